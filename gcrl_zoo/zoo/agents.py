"""Load agents from RL Zoo's log folder, with their training environment, as ``rl_zoo3.enjoy`` does."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rl_zoo3.import_envs  # noqa: F401  registers environments
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import ALGOS, StoreDict, create_test_env, get_model_path, get_saved_hyperparams
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo.common.wording import suggestion


class Run(NamedTuple):
    """
    A run in RL Zoo's log folder, with the options of its scripts.

    :param folder: log folder
    :param exp_id: number of the run; 0 for the latest, -1 if the agent is not in a numbered folder
    :param load_best: load the best agent of the evaluations instead of the final agent
    :param load_checkpoint: load the checkpoint after that many steps
    :param load_last_checkpoint: load the last checkpoint
    """

    folder: str
    exp_id: int = 0
    load_best: bool = False
    load_checkpoint: str | None = None
    load_last_checkpoint: bool = False


def keyword_arguments(given: Sequence[str]) -> dict[str, Any]:
    """
    Parse keyword arguments as the scripts parse ``--env-kwargs``.

    :param given: ``KEY:VALUE``, with the value in Python
    """
    namespace = Namespace()
    StoreDict([], "kwargs")(ArgumentParser(), namespace, given)
    return namespace.kwargs


def algorithm(name: str) -> type[BaseAlgorithm]:
    """
    Return an algorithm class.

    :param name: name of the algorithm (``--algo``)
    :raises ValueError: RL Zoo has no such algorithm
    """
    if name not in ALGOS:
        raise ValueError(f"There is no algorithm '{name}'; {suggestion(name, ALGOS)}")
    return ALGOS[name]


def samples_by_default(env_id: str) -> bool:
    """Whether RL Zoo uses stochastic actions by default in this environment (Atari and MiniGrid)."""
    return ExperimentManager.is_atari(env_id) or ExperimentManager.is_minigrid(env_id)


def load_run(
    algo: str,
    env_id: str,
    run: Run,
    n_envs: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
) -> tuple[BaseAlgorithm, VecEnv]:
    """
    Load an agent and its environment, with all wrappers and statistics of the run.

    :param algo: name of the algorithm (``--algo``)
    :param env_id: id of the environment
    :param run: where the agent was saved
    :param n_envs: number of parallel environments
    :param env_kwargs: additional arguments of the environment's constructor
    :param seed: seed of the agent
    :param device: device of the agent
    :raises ValueError: there is no such agent
    """
    algorithm(algo)
    name = EnvironmentName(env_id)
    try:
        _, model, folder = get_model_path(run.exp_id, run.folder, algo, name, *run[2:])
    except AssertionError as error:
        raise ValueError(f"{error}; give the log folder of the training by -f, and the number of a run.") from None
    settings = Path(folder, name)
    hyperparams, statistics = get_saved_hyperparams(str(settings), test_mode=True)
    kwargs = hyperparams.pop("env_kwargs", None) or {}
    arguments = settings / "args.yml"
    if arguments.is_file():  # its YAML tags need the loader that RL Zoo uses
        kwargs = yaml.load(arguments.read_text(), Loader=yaml.UnsafeLoader)["env_kwargs"] or kwargs
    env = create_test_env(
        env_id,
        n_envs=n_envs,
        stats_path=statistics,
        seed=seed,
        should_render=False,
        hyperparams=hyperparams,
        env_kwargs={**kwargs, **(env_kwargs or {})},
        vec_env_cls=DummyVecEnv,
    )
    return load_zip(algo, model, seed, device), env


def refuse_statistics(path: str, env_id: str) -> None:
    """
    Refuse a zip whose agent needs the ``VecNormalize`` statistics beside it.

    :param path: path of the zip
    :param env_id: id of its environment
    :raises ValueError: RL Zoo saved statistics for this agent
    """
    folder = Path(path).parent
    for statistics in (folder / EnvironmentName(env_id) / "vecnormalize.pkl", folder / "vecnormalize.pkl"):
        if statistics.is_file():
            raise ValueError(
                f"The agent {path} was trained on normalised observations, whose statistics are in {statistics}; "
                f"play it from its log folder, by -f instead of --model."
            )


def load_zip(algo: str, path: str, seed: int = 0, device: str = "auto") -> BaseAlgorithm:
    """
    Load an agent for acting only.

    :param algo: name of the algorithm (``--algo``)
    :param path: path of the zip
    :param seed: seed of the agent
    :param device: device of the agent
    :raises ValueError: there is no such file
    """
    cls = algorithm(algo)
    if not Path(path).is_file():
        raise ValueError(f"There is no file {path}; give the zip that the agent was saved to.")
    kwargs: dict[str, Any] = {}
    if issubclass(cls, OffPolicyAlgorithm):  # avoids allocating an unused replay buffer; HER's would need an env
        kwargs = {"buffer_size": 1, "optimize_memory_usage": False, "n_steps": 1}
        kwargs |= {"replay_buffer_class": None, "replay_buffer_kwargs": {}}
    # Schedules pickled by another Python version cannot be loaded, and are not needed.
    unused = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    return cls.load(path, device=device, custom_objects=unused, seed=seed, **kwargs)
