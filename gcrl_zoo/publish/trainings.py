"""Find the trainings in a log folder, and run missing ones."""

from __future__ import annotations

import importlib
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch as th
import yaml
from huggingface_sb3 import EnvironmentName

from gcrl_zoo.registry import Method
from gcrl_zoo.zoo.hyperparams import base_blocks

# Options of rl_zoo3.train to repeat a training, with their defaults, by their names in args.yml.
OPTIONS: dict[str, tuple[str, Any]] = {
    "gym_packages": ("--gym-packages", []),
    "conf_file": ("-conf", None),
    "n_timesteps": ("-n", -1),
    "env_kwargs": ("--env-kwargs", None),
    "hyperparams": ("-params", None),
    "trained_agent": ("-i", ""),
    "vec_env": ("--vec-env", "dummy"),
    "num_threads": ("--num-threads", -1),
}
# Options that do not affect the result, or that are contained in the hyperparameters.
INDIFFERENT = ("vec_env", "num_threads", "gym_packages", "conf_file")
#: Private options, such as the database of a search.
PRIVATE = ("storage", "wandb_entity")


@dataclass(frozen=True)
class Training:
    """
    One run in RL Zoo's log folder that has saved an agent.

    :param folder: folder of the run, ``LOGS/ALGO/ENVIRONMENT_NUMBER``
    :param arguments: arguments of ``rl_zoo3.train``
    :param hyperparams: hyperparameters saved by RL Zoo, including wrappers
    """

    folder: Path
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]

    @property
    def algo(self) -> str:
        """Name of the algorithm (``--algo``)."""
        return self.folder.parent.name

    @property
    def env_id(self) -> str:
        """Id of the environment (``--env``)."""
        return str(self.arguments["env"])

    @property
    def env_name(self) -> EnvironmentName:
        """Name of the environment in file names."""
        return EnvironmentName(self.env_id)

    @property
    def number(self) -> int:
        """Number of the run (``--exp-id``)."""
        return int(self.folder.name.rpartition("_")[2])

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.arguments["seed"])

    @property
    def settings(self) -> str:
        """Key that is equal for trainings that differ only in the seed."""
        given = {name: self.arguments.get(name) for name in OPTIONS if name not in INDIFFERENT}
        return yaml.dump([self.algo, self.env_id, self.hyperparams, given])

    @property
    def trained_with(self) -> dict[str, Any]:
        """Hyperparameters, with the number of timesteps given on the command line."""
        steps = int(self.arguments.get("n_timesteps") or -1)
        return {**self.hyperparams, **({"n_timesteps": steps} if steps > 0 else {})}

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment's constructor, as in :func:`~gcrl_zoo.zoo.agents.load_run`."""
        return dict(self.arguments.get("env_kwargs") or self.hyperparams.get("env_kwargs") or {})

    @property
    def command(self) -> str:
        """Command that repeats the training."""
        words = ["python", "-m", "rl_zoo3.train", "--algo", self.algo, "--env", self.env_id, "--seed", str(self.seed)]
        given = dict(self.arguments)
        if given.get("trial_id") is not None:  # of a search whose study is private
            given["hyperparams"] = self.hyperparams
        for name, (option, default) in OPTIONS.items():
            value = given.get(name, default)
            if value == default or value is None:
                continue
            match value:
                case dict():
                    words += [option, *(f"{key}:{written(each)}" for key, each in value.items())]
                case list():
                    words += [option, *map(str, value)]
                case _:
                    words += [option, str(value)]
        return shlex.join(words)


def find_trainings(folder: Path, algo: str) -> tuple[list[Training], list[str]]:
    """
    Find the trainings of a method that have saved an agent.

    :param folder: RL Zoo's log folder
    :param algo: name of the method (``--algo``)
    :return: trainings in the order of their numbers, and one sentence per unreadable training
    """
    found, broken = [], []
    runs = [path for path in (folder / algo).glob("*_*") if re.fullmatch(r".+_\d+", path.name) and path.is_dir()]
    for run in sorted(runs, key=lambda path: int(path.name.rpartition("_")[2])):
        name = run.name.rpartition("_")[0]
        settings = run / name
        if all(path.is_file() for path in (run / f"{name}.zip", settings / "args.yml", settings / "config.yml")):
            try:
                # The tags need RL Zoo's own loader. Downloaded files have been checked before.
                arguments, hyperparams = (
                    dict(yaml.load((settings / file).read_text(), Loader=yaml.UnsafeLoader))
                    for file in ("args.yml", "config.yml")
                )
                found.append(Training(run, arguments, hyperparams))
            except (yaml.YAMLError, TypeError, ValueError) as error:
                broken.append(f"{settings}: args.yml or config.yml cannot be read ({' '.join(str(error).split())})")
    return found, broken


def written(value: Any) -> str:
    """Write the value of a hyperparameter as Python for RL Zoo's command line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key!r}: {written(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case tuple():
            return "(" + "".join(f"{written(each)}, " for each in value) + ")"
        case type():
            module = "th.optim" if issubclass(value, th.optim.Optimizer) else "nn"
            return f"{module}.{value.__name__}"
        case float() if not math.isfinite(value):
            return f"float('{value}')"
    return repr(value)


def same_settings(trainings: Sequence[Training]) -> list[Training]:
    """
    Select the trainings that differ from the latest one only in the seed.

    :param trainings: trainings of one method in one environment, in the order of their numbers
    :return: the latest training of each seed, sorted by seed
    """
    found = {each.seed: each for each in trainings if each.settings == trainings[-1].settings}
    return [found[seed] for seed in sorted(found)]


def by_environment(trainings: Iterable[Training], env_ids: Sequence[str]) -> dict[str, list[Training]]:
    """
    Group trainings by environment.

    :param trainings: trainings of one method
    :param env_ids: environments to keep; empty for all
    :return: for each environment, the trainings with the same settings
    """
    found: dict[str, list[Training]] = {}
    for each in trainings:
        if not env_ids or each.env_id in env_ids:
            found.setdefault(each.env_id, []).append(each)
    return {env_id: same_settings(same) for env_id, same in sorted(found.items())}


def tuned_environments(method: Method) -> list[str]:
    """
    List the installed environments that have a block in the method's YAML file.

    :param method: the method
    """
    return [env_id for env_id in base_blocks(method.yaml) if env_id in gymnasium.registry]


def train(folder: Path, algo: str, env_id: str, seed: int, extra: Sequence[str]) -> None:
    """
    Run ``rl_zoo3.train``.

    :param folder: RL Zoo's log folder
    :param algo: name of the method (``--algo``)
    :param env_id: id of the environment
    :param seed: seed of the training
    :param extra: further arguments of ``rl_zoo3.train``
    :raises ValueError: the training failed and has printed why
    """
    words = ["rl_zoo3.train", "--algo", algo, "--env", env_id, "--seed", str(seed), "-f", str(folder), *extra]
    print(f"Training: python -m {shlex.join(words)}", flush=True)
    if code := subprocess.run([sys.executable, "-m", *words]).returncode:
        raise ValueError(f"The training of {algo} on {env_id} with seed {seed} ended with code {code}; see above.")


def import_packages(trainings: Sequence[Training]) -> None:
    """Import the packages that register the environments of the trainings (``--gym-packages``)."""
    for package in {name for each in trainings for name in each.arguments.get("gym_packages") or []}:
        importlib.import_module(package)
