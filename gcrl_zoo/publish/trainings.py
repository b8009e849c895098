"""What there is to publish: the trainings in a log folder, and those that are still to be done."""

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

# What trains again: by its name in args.yml, an option of rl_zoo3.train and its default, which need not be written.
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
# Of these, those that do not change what is learned from a seed, or that the hyperparameters tell of.
INDIFFERENT = ("vec_env", "num_threads", "gym_packages", "conf_file")
#: Of a search: where its database is, and what opens it, is nobody's business.
PRIVATE = ("storage", "wandb_entity")


@dataclass(frozen=True)
class Training:
    """
    One run in RL Zoo's log folder that has saved an agent.

    :param folder: of the run, ``LOGS/ALGO/ENVIRONMENT_NUMBER``
    :param arguments: of ``rl_zoo3.train``
    :param hyperparams: as RL Zoo saved them, wrappers included
    """

    folder: Path
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]

    @property
    def algo(self) -> str:
        """As ``--algo`` takes it."""
        return self.folder.parent.name

    @property
    def env_id(self) -> str:
        """As ``--env`` takes it."""
        return str(self.arguments["env"])

    @property
    def env_name(self) -> EnvironmentName:
        """As files are called."""
        return EnvironmentName(self.env_id)

    @property
    def number(self) -> int:
        """As ``--exp-id`` takes it."""
        return int(self.folder.name.rpartition("_")[2])

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.arguments["seed"])

    @property
    def settings(self) -> str:
        """What trainings share that differ in nothing but the seed."""
        given = {name: self.arguments.get(name) for name in OPTIONS if name not in INDIFFERENT}
        return yaml.dump([self.algo, self.env_id, self.hyperparams, given])

    @property
    def trained_with(self) -> dict[str, Any]:
        """The hyperparameters, with the number of steps that was given beside them."""
        steps = int(self.arguments.get("n_timesteps") or -1)
        return {**self.hyperparams, **({"n_timesteps": steps} if steps > 0 else {})}

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """For the environment's constructor, as :func:`~gcrl_zoo.zoo.agents.load_run` gives them."""
        return dict(self.arguments.get("env_kwargs") or self.hyperparams.get("env_kwargs") or {})

    @property
    def command(self) -> str:
        """What trains it again."""
        words = ["python", "-m", "rl_zoo3.train", "--algo", self.algo, "--env", self.env_id, "--seed", str(self.seed)]
        given = dict(self.arguments)
        if given.get("trial_id") is not None:  # of a search that only its owner can look into
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
    :param folder: RL Zoo's log folder
    :param algo: as ``--algo`` takes it
    :return: those that have saved an agent, in the order of their numbers; and a sentence on each that cannot be read
    """
    found, broken = [], []
    runs = [path for path in (folder / algo).glob("*_*") if re.fullmatch(r".+_\d+", path.name) and path.is_dir()]
    for run in sorted(runs, key=lambda path: int(path.name.rpartition("_")[2])):
        name = run.name.rpartition("_")[0]
        settings = run / name
        if all(path.is_file() for path in (run / f"{name}.zip", settings / "args.yml", settings / "config.yml")):
            try:
                # Tags that only RL Zoo's own loader reads. What others made is checked as it is downloaded.
                arguments, hyperparams = (
                    dict(yaml.load((settings / file).read_text(), Loader=yaml.UnsafeLoader))
                    for file in ("args.yml", "config.yml")
                )
                found.append(Training(run, arguments, hyperparams))
            except (yaml.YAMLError, TypeError, ValueError) as error:
                broken.append(f"{settings}: args.yml or config.yml cannot be read ({' '.join(str(error).split())})")
    return found, broken


def written(value: Any) -> str:
    """:param value: of a hyperparameter, as RL Zoo's command line evaluates it"""
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


def alike(trainings: Sequence[Training]) -> list[Training]:
    """
    :param trainings: of one method in one environment, in the order of their numbers
    :return: those that differ from the last one in nothing but the seed, the last of each seed, by seed
    """
    found = {each.seed: each for each in trainings if each.settings == trainings[-1].settings}
    return [found[seed] for seed in sorted(found)]


def by_environment(trainings: Iterable[Training], env_ids: Sequence[str]) -> dict[str, list[Training]]:
    """
    :param trainings: of one method
    :param env_ids: to keep; empty for all
    :return: for each environment, those that are alike
    """
    found: dict[str, list[Training]] = {}
    for each in trainings:
        if not env_ids or each.env_id in env_ids:
            found.setdefault(each.env_id, []).append(each)
    return {env_id: alike(same) for env_id, same in sorted(found.items())}


def tuned_environments(method: Method) -> list[str]:
    """
    :param method: of the registry
    :return: environments that its YAML file has a block for, and that are installed
    """
    return [env_id for env_id in base_blocks(method.yaml) if env_id in gymnasium.registry]


def train(folder: Path, algo: str, env_id: str, seed: int, extra: Sequence[str]) -> None:
    """
    :param folder: RL Zoo's log folder
    :param algo: as ``--algo`` takes it
    :param env_id: of the environment
    :param seed: of the training
    :param extra: more arguments of ``rl_zoo3.train``
    :raises ValueError: it failed; it has told why
    """
    words = ["rl_zoo3.train", "--algo", algo, "--env", env_id, "--seed", str(seed), "-f", str(folder), *extra]
    print(f"Training: python -m {shlex.join(words)}", flush=True)
    if code := subprocess.run([sys.executable, "-m", *words]).returncode:
        raise ValueError(f"The training of {algo} on {env_id} with seed {seed} ended with code {code}; see above.")


def import_packages(trainings: Sequence[Training]) -> None:
    """:param trainings: whose environments are registered by packages that RL Zoo was told to import"""
    for package in {name for each in trainings for name in each.arguments.get("gym_packages") or []}:
        importlib.import_module(package)
