"""Agents as RL Zoo saved them, with the environment that they were trained in; what ``rl_zoo3.enjoy`` does first."""

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
    A run in RL Zoo's log folder, in the words of its scripts.

    :param folder: log folder
    :param exp_id: number of the run; 0 for the latest, -1 for no folder of its own
    :param load_best: the best agent of its evaluations instead of the last one
    :param load_checkpoint: the agent after that many steps
    :param load_last_checkpoint: the last of these
    """

    folder: str
    exp_id: int = 0
    load_best: bool = False
    load_checkpoint: str | None = None
    load_last_checkpoint: bool = False


def keyword_arguments(given: Sequence[str]) -> dict[str, Any]:
    """:param given: ``KEY:VALUE``, the value in Python, as the scripts take ``--env-kwargs``"""
    namespace = Namespace()
    StoreDict([], "kwargs")(ArgumentParser(), namespace, given)
    return namespace.kwargs


def algorithm(name: str) -> type[BaseAlgorithm]:
    """
    :param name: as ``--algo`` takes it
    :raises ValueError: RL Zoo knows no such algorithm
    """
    if name not in ALGOS:
        raise ValueError(f"There is no algorithm '{name}'; {suggestion(name, ALGOS)}")
    return ALGOS[name]


def samples_by_default(env_id: str) -> bool:
    """Whether RL Zoo plays the policy's samples instead of its most likely actions (Atari and MiniGrid)."""
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
    An agent, and its environment with all wrappers and statistics of the run.

    :param algo: as ``--algo`` takes it
    :param env_id: of the environment
    :param run: where it was saved
    :param n_envs: how many environments play side by side
    :param env_kwargs: for the environment's constructor, beyond those of the run
    :param seed: of the agent
    :param device: of the agent
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
    if arguments.is_file():  # its tags need the loader that RL Zoo itself uses
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
    :param path: of a zip
    :param env_id: of its environment
    :raises ValueError: statistics lie where RL Zoo puts them, so that the agent alone would not play as it was trained
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
    An agent to be played, not to be trained.

    :param algo: as ``--algo`` takes it
    :param path: of the zip
    :param seed: of the agent
    :param device: of the agent
    :raises ValueError: there is no such file
    """
    cls = algorithm(algo)
    if not Path(path).is_file():
        raise ValueError(f"There is no file {path}; give the zip that the agent was saved to.")
    kwargs: dict[str, Any] = {}
    if issubclass(cls, OffPolicyAlgorithm):  # no memory for a replay buffer that will not be used, no env for HER's
        kwargs = {"buffer_size": 1, "optimize_memory_usage": False, "n_steps": 1}
        kwargs |= {"replay_buffer_class": None, "replay_buffer_kwargs": {}}
    # Schedules of another Python version cannot be unpickled, and are not needed.
    unused = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    return cls.load(path, device=device, custom_objects=unused, seed=seed, **kwargs)
