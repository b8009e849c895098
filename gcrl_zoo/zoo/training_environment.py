"""Find out in which wrappers an algorithm trains, by its hyperparameters."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import gymnasium as gym
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_wrapper_class

from gcrl_zoo.zoo.agents import algorithm
from gcrl_zoo.zoo.hyperparams import SOURCES, accepted_keys

STACK = "FrameStackObservation"


class TrainingEnvironment(NamedTuple):
    """
    How an algorithm's hyperparameters change an environment.

    :param wrap: adds the wrappers; None if there are none
    :param kwargs: arguments of the constructor of the environment
    """

    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None
    kwargs: dict[str, Any]


def training_environment(name: str, env_id: str) -> TrainingEnvironment:
    """
    Read ``env_wrapper`` and ``env_kwargs`` of the hyperparameters with which an algorithm trains from a dataset.

    Stacks of frames (``gymnasium.wrappers.FrameStackObservation``) are left out, because datasets hold single frames.

    :param name: of the algorithm (``--algo``), or ``ALGO/PRESET`` (``--algo`` and ``-conf``)
    :param env_id: id of the environment
    :raises ValueError: there is no such algorithm or preset, or it has no hyperparameters for this environment
    """
    algo, _, preset = name.partition("/")
    accepted = accepted_keys(algorithm(algo))
    sources = {source: env_id for source in SOURCES if source in accepted}
    manager = ExperimentManager(Namespace(), algo, env_id, log_folder="", hyperparams=sources, config=preset or None)
    try:
        with redirect_stdout(io.StringIO()):  # it prints all hyperparameters
            hyperparams, _ = manager.read_hyperparameters()
    except (FileNotFoundError, ModuleNotFoundError) as error:
        raise ValueError(f"{algo} has no hyperparameters {preset!r} ({error}); leave out /{preset}.") from None
    given = hyperparams.get("env_wrapper") or []
    wrappers = [each for each in (given if isinstance(given, list) else [given]) if not _is_stack(each)]
    wrap = get_wrapper_class({"env_wrapper": wrappers}) if wrappers else None
    return TrainingEnvironment(wrap, hyperparams.get("env_kwargs") or {})


def _is_stack(entry: Any) -> bool:
    """:param entry: of ``env_wrapper``: a name, or a mapping from it to arguments"""
    name = next(iter(entry), "") if isinstance(entry, dict) else entry
    return str(name).rpartition(".")[2] == STACK
