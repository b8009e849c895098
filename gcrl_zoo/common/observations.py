"""Checks the observations given to ``predict``, and makes batches of them. Most errors come from a missing wrapper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from gcrl_zoo.common.roles import DESIRED_GOAL, RETURN_TO_GO, Observation
from gcrl_zoo.data.spaces import bounds

ADD_RETURN = (
    "add it with `env_wrapper: gcrl_zoo.wrappers.ReturnToGo` in RL Zoo's YAML, or wrap the environment in Python: "
    "`env = gcrl_zoo.wrappers.ReturnToGo(env)`"
)
ADD_GOAL = (
    "wrap the environment in the goal wrapper that the agent was trained with, such as "
    "`env = gcrl_zoo.wrappers.FixedGoal(env, goal=..., threshold=...)` (docs/wrappers.md)"
)
REMOVE = {RETURN_TO_GO: "leave out the wrapper `ReturnToGo`", DESIRED_GOAL: "leave out the goal wrapper"}


def is_batch(observation: Any, space: spaces.Space) -> bool:
    """
    Whether an observation needs no conversion, as in each step of a vectorised environment.

    :param observation: the argument of ``predict``
    :param space: of the agent's observations
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, dict) or len(observation) != len(space.spaces):
            return False
        rows = None
        for key, each in space.spaces.items():
            entry: Any = observation.get(key)
            if not is_batch(entry, each) or rows not in (None, len(entry)):
                return False
            rows = len(entry)
        return True
    return (
        isinstance(observation, np.ndarray)
        and observation.ndim > 0
        and observation.shape[1:] == space.shape
        and observation.dtype.kind in "biuf"
        and observation.flags.carray
    )


def to_batch(observation: Any, space: spaces.Space) -> tuple[Observation, bool]:
    """
    Check observations, and convert them to a batch of arrays.

    :param observation: one observation or a batch of them, as arrays, lists or numbers
    :param space: of the agent's observations
    :return: (B, ...) array, or arrays by key; and whether it was a batch
    :raises ValueError: the observation does not fit the space
    """
    if isinstance(observation, tuple):
        raise ValueError(
            "You have passed a tuple to the predict() function instead of an array or a dict: you are probably mixing "
            "Gym API with SB3 VecEnv API; write `obs, info = env.reset()` with a Gymnasium environment, and "
            "`obs = vec_env.reset()` with an SB3 VecEnv."
        )
    if not isinstance(space, spaces.Dict):
        if isinstance(observation, Mapping):
            raise ValueError(
                f"The agent acts on observations of shape {space.shape}, but got a dict with {_names(observation)}; "
                f"{_removal(observation)}."
            )
        return _entry(observation, space, "The observation")
    _check_keys(observation, space)
    entries = {key: _entry(observation[key], each, f"Observation '{key}'") for key, each in space.spaces.items()}
    batches = {key: batch for key, (batch, _) in entries.items()}
    if len({(len(batch), several) for batch, several in entries.values()}) > 1:
        shapes = ", ".join(f"'{key}' has shape {np.shape(observation[key])}" for key in batches)
        raise ValueError(f"The entries of the observation hold different numbers of observations: {shapes}.")
    return batches, any(several for _, several in entries.values())


def difference(expected: spaces.Space, found: spaces.Space) -> str:
    """
    Describe how two observation spaces differ.

    :param expected: of the agent's observations
    :param found: of an environment, holding other values
    :return: how they differ, and what to do
    """
    wanted = expected.spaces if isinstance(expected, spaces.Dict) else {}
    shown = found.spaces if isinstance(found, spaces.Dict) else {}
    if wanted and (missing := wanted.keys() - shown.keys()):
        what = f"a dict with {_names(shown)}" if shown else str(found)
        return f"the agent acts on a dict with {_names(wanted)}, but the environment shows {what}; {_addition(missing)}"
    if shown and (extra := {key: None for key in shown if key not in wanted}):
        what = f"a dict with {_names(wanted)}" if wanted else str(expected)
        return f"the agent acts on {what}, but the environment shows a dict with {_names(shown)}; {_removal(extra)}"
    return (
        f"the agent acts on {expected}, but the environment shows {found}; give an environment with the spaces and "
        "wrappers of the one that it was trained in"
    )


def _check_keys(observation: Any, space: spaces.Dict) -> None:
    known = f"The agent acts on a dict with {_names(space.spaces)}"
    if not isinstance(observation, Mapping):
        found = f"an array of shape {np.shape(_array(observation, 'The observation'))}"
        raise ValueError(f"{known}, but got {found}; {_addition(set(space.spaces))}.")
    missing = space.spaces.keys() - observation.keys()
    if missing:
        raise ValueError(f"{known}, but {_names(sorted(missing))} is missing; {_addition(missing)}.")
    extra = {key: None for key in observation if key not in space.spaces}
    if extra:
        raise ValueError(f"{known}, but got {_names(extra)}, too; {_removal(extra)}.")


def _entry(observation: Any, space: spaces.Space, name: str) -> tuple[np.ndarray, bool]:
    array, shape = _array(observation, name), space.shape
    assert shape is not None
    if is_image_space(space) and array.shape[-3:] != shape and array.ndim in (3, 4):
        array = np.moveaxis(array, -1, -3)  # as cameras make them; SB3 turns those of a vectorised environment
    if array.shape == shape:
        return _in_range(array, space, name)[None], False
    if array.ndim and array.shape[1:] == shape:
        return _in_range(array, space, name), True
    raise ValueError(
        f"{name} has shape {np.shape(observation)}, but the agent acts on {shape}, or {('n', *shape)} for n of them; "
        "give observations of an environment with the spaces and wrappers of the one that it was trained in."
    )


def _in_range(array: np.ndarray, space: spaces.Space, name: str) -> np.ndarray:
    """Return the array; raise a ValueError for a category outside of the space, which has no encoding."""
    if not isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        return array
    limits = bounds(space)
    assert limits is not None
    outside = ~((array >= limits.low) & (array <= limits.high))
    if outside.any():
        raise ValueError(
            f"{name} holds {array[outside].flat[0]}, which is not a value of {space}; give observations of an "
            "environment with the spaces and wrappers of the one that it was trained in."
        )
    return array


def _array(observation: Any, name: str) -> np.ndarray:
    try:
        array = np.array(observation)  # a copy: torch cannot use all arrays as they are
    except ValueError:  # a list of rows that differ in length
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} is {type(observation).__name__} {str(observation)[:40]!r}, which is not an array of numbers; give "
            "what `env.reset()` or `env.step(action)` returns as observation."
        )
    return array


def _names(keys: Any) -> str:
    return " and ".join(f"'{key}'" for key in keys) or "no keys"


def _addition(missing: Any) -> str:
    advice = [text for key, text in ((DESIRED_GOAL, ADD_GOAL), (RETURN_TO_GO, ADD_RETURN)) if key in missing]
    return " and ".join(advice) or "give observations of an environment with the wrappers of the one it was trained in"


def _removal(extra: Any) -> str:
    advice = [text for key, text in REMOVE.items() if key in extra]
    return " and ".join(advice) or "give only what the environment showed in training"
