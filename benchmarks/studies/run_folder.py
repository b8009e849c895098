"""Find a run in RL Zoo's log folder, read its settings and load its agent (the scripts beside this file import it)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

#: By environment: the names of the dimensions of its actions.
ACTIONS = {"CarRacing-v3": ("steering", "gas", "brake"), "Hopper-v5": ("thigh", "leg", "foot")}


def find_run(folder: Path) -> Path:
    """
    Find the only run in a log folder.

    :param folder: folder of a run, such as ``logs/bco/CartPole-v1_1``, or a parent of it
    :return: the folder of the run
    :raises ValueError: there is no run, or there are several
    """
    found = sorted(path.parent.parent for path in folder.rglob("config.yml"))
    if len(found) != 1:
        raise ValueError(
            f"There are {len(found)} runs of RL Zoo in {folder}; give the folder of one run, such as "
            f"{found[-1] if found else 'logs/bco/CartPole-v1_1'}."
        )
    return found[0]


def name_of(folder: Path) -> str:
    """Return ``ALGO/ENV_1`` for the folder of a run, and the name of a folder around it, which tells more."""
    run = find_run(folder)
    return f"{run.parent.name}/{run.name}" if run == folder else folder.name


def read_settings(run: Path, name: str = "config.yml") -> dict[str, Any]:
    """
    Read settings that RL Zoo saved with a run. Its YAML tags need the loader that RL Zoo uses.

    :param run: folder of the run
    :param name: ``config.yml`` for the hyperparameters, ``args.yml`` for the arguments of the command
    :return: the settings; nothing if there are none
    """
    path = next(run.glob(f"*/{name}"), None)
    return dict(yaml.load(path.read_text(), Loader=yaml.UnsafeLoader)) if path else {}


def read_counts(run: Path) -> tuple[int, int]:
    """
    Read how far the training of the final agent went.

    :param run: folder of the run
    :return: timesteps done, and timesteps asked for; zeros if no agent was saved
    """
    agent = next((path for path in run.glob("*.zip") if (run / path.stem).is_dir()), None)
    if agent is None:
        return 0, 0
    with zipfile.ZipFile(agent) as file:
        counts = json.loads(file.read("data"))
    return int(counts["num_timesteps"]), int(counts["_total_timesteps"])


def load_agent(run: Path, seed: int = 0, **env_kwargs: Any) -> tuple[BaseAlgorithm, VecEnv]:
    """
    Load the final agent of a run, and one environment with all wrappers of the training.

    :param run: folder of the run
    :param seed: seed of the environment and of the agent
    :param env_kwargs: further arguments of the environment's constructor, such as ``render_mode``
    :raises ValueError: the run has no agent
    """
    from gcrl_zoo.zoo import agents  # imported late, since it takes seconds

    where = agents.Run(str(run.parent.parent), exp_id=int(run.name.rpartition("_")[2]))
    return agents.load_run(run.parent.name, env_id(run), where, 1, env_kwargs, seed, device="cpu")


def env_id(run: Path) -> str:
    """Return the id of the environment of a run."""
    env = read_settings(run, "args.yml")["env"]
    return str(getattr(env, "gym_id", env))


def action_names(environment: str, n_dimensions: int) -> tuple[str, ...]:
    """Return a name for each dimension of the actions of an environment."""
    return ACTIONS.get(environment, tuple(f"action {i}" for i in range(n_dimensions)))
