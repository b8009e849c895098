"""Checks data against the spaces of the environment and the needs of the method, before training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from gymnasium import spaces

from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.episode import FLOAT, Array
from gcrl_zoo.data.rows import Stack
from gcrl_zoo.data.spaces import ROUNDING, bounds, same_values
from gcrl_zoo.data.store import TrajectoryStore

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

#: Steps whose actions are compared at a time.
PORTION = 2**16

#: Entries, at most, whose pixels are compared with a space of floats.
SOME = 100


def check_store(
    store: TrajectoryStore,
    roles: Roles,
    action_space: spaces.Space,
    needs: Needs,
    argument: str,
    stacks: Mapping[str, Stack] | None = None,
) -> None:
    """
    Check that data fits an environment and the needs of a method.

    :param store: the data
    :param roles: of the environment's observation space
    :param action_space: of the environment
    :param needs: of the method, for this source
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :param stacks: of the environment's observations, for messages
    :raises ValueError: the data does not fit; names what
    """
    check_observations(store, roles, argument, stacks)
    if needs.rewards and not store.has_rewards:
        raise ValueError(
            f"{argument} '{store.name}' holds no rewards, which this method needs; {needs.without_rewards}."
        )
    if needs.actions:
        if not store.has_actions:
            raise ValueError(
                f"{argument} '{store.name}' holds no actions, which this method learns from; "
                "give it as `stream` to a method that only watches, such as gcsl_vicreg."
            )
        _check_actions(store, action_space, argument)


def check_observations(
    store: TrajectoryStore, roles: Roles, argument: str, stacks: Mapping[str, Stack] | None = None
) -> None:
    """
    Check that the observations of data fit an environment.

    :param store: the data
    :param roles: of the environment's observation space
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :param stacks: of the environment's observations, for messages
    :raises ValueError: an observation is missing, or of another shape, or has values that the environment's cannot have
    """
    wanted = {key: tuple(space.shape or ()) for key, space in roles.facts_space.spaces.items()}
    found = shapes_of(store)
    if not wanted.items() <= found.items():
        hints = [
            _one_hot(store, key, store.slots, space) for key, space in roles.facts_space.spaces.items() if key in found
        ]
        raise ValueError(
            f"{argument} '{store.name}' does not fit the environment: its observations are {_describe(found)}, "
            f"the environment's are {_describe_wanted(wanted, found, stacks or {})}{next(filter(None, hints), '')}."
        )
    for key, space in roles.facts_space.spaces.items():
        _check_values(store, key, store.slots, space, argument)


def shapes_of(store: TrajectoryStore) -> dict[str, tuple[int, ...]]:
    """Return the shape of one entry of each observation."""
    return {key: store.take(key, np.zeros(1, dtype=np.int64)).shape[1:] for key in store.observation_keys}


def _check_actions(store: TrajectoryStore, action_space: spaces.Space, argument: str) -> None:
    """Check the stored actions as well as the declared space, which must contain the same values."""
    actions = store.take("actions", store.steps[:1])
    shape, whole = actions.shape[1:], actions.dtype != FLOAT
    problem = f"{argument} '{store.name}' does not fit the environment: its actions are"
    if store.action_space is not None and not same_values(store.action_space, action_space):
        raise ValueError(f"{problem} {store.action_space}, the environment's are {action_space}.")
    if shape != action_space.shape or whole != isinstance(action_space, spaces.Discrete):
        hint = _one_hot(store, "actions", store.steps, action_space)
        if shape == action_space.shape:
            hint = f"; if these are the same actions, store them as {'float32' if whole else 'int64'}"
        raise ValueError(
            f"{problem} {'integers' if whole else 'float32 vectors'} of shape {shape}, the environment's are "
            f"{action_space}{hint}."
        )
    _check_values(store, "actions", store.steps, action_space, argument)
    if isinstance(action_space, spaces.Box):
        _warn_outside(store, action_space, argument)


def _warn_outside(store: TrajectoryStore, space: spaces.Box, argument: str) -> None:
    """Warn of actions outside a Box, which are not an error: some recordings contain actions before clipping."""
    allowed = bounds(space)
    assert allowed is not None
    limits = np.abs(np.stack([allowed.low, allowed.high]))
    tolerance = ROUNDING * np.where(np.isfinite(limits), limits, 0).max(axis=0)
    worst, largest, n_outside = 0.0, 0.0, 0
    for start in range(0, store.n_steps, PORTION):
        actions = store.take("actions", store.steps[start : start + PORTION]).astype(np.float64)
        excess = np.maximum(allowed.low - actions, actions - allowed.high)
        outside = excess > tolerance
        n_outside += int(outside.reshape(len(actions), -1).any(axis=1).sum())
        if outside.any() and excess.max() > worst:
            worst, largest = float(excess.max()), float(actions.flat[excess.argmax()])
    if n_outside:
        warnings.warn(
            f"{argument} '{store.name}' has actions outside of the environment's {space}: {n_outside} of "
            f"{store.n_steps}, such as {largest:g}, which is {worst:g} beyond its bound; clip them, "
            "unless they are meant to be outside.",
            stacklevel=2,
        )


def _one_hot(store: TrajectoryStore, column: str, slots: Array, space: spaces.Space) -> str:
    """Return advice on one-hot choices, for the end of a message; empty where there are none."""
    if not isinstance(space, spaces.Discrete) or store.take(column, slots[:1]).shape[1:] != (space.n,):
        return ""
    values = store.take(column, slots)
    if not (np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()):
        return ""
    start = f" + {space.start}" if space.start else ""
    return f"; they are one-hot: store `{column}.argmax(axis=1){start}` instead"


def _check_values(store: TrajectoryStore, column: str, slots: Array, space: spaces.Space, argument: str) -> None:
    """Refuse values outside the space: training would raise an index error, or convert them to other values."""
    what = "actions hold" if column == "actions" else f"observation '{column}' holds"
    problem = f"{argument} '{store.name}' does not fit the environment: its {what}"
    found = store.take(column, slots[:1]).dtype
    if isinstance(space, spaces.Box) and (column == "actions" or space.dtype.kind not in "iu"):
        if found == np.uint8 and column != "actions":
            _check_pixels(store.take(column, slots[:: 1 + len(slots) // SOME]), space, problem)
        return
    if found.kind == "f":
        raise ValueError(
            f"{problem} {found}, the environment's are whole numbers, {space}; convert them without loss "
            "(pixels to 0 ... 255, say)."
        )
    if isinstance(space, spaces.Box) and found == space.dtype:
        return
    values = store.take(column, slots)
    low, high = _limits(space)
    outside = values[(values < low) | (values > high)]
    if outside.size:
        raise ValueError(f"{problem} {outside.flat[0]}, the environment's are {space}.")


def _check_pixels(pixels: Array, space: spaces.Box, problem: str) -> None:
    """Refuse 0 ... 255 where the environment has 0 ... 1."""
    if pixels.max(initial=0) > space.high.max(initial=0):
        raise ValueError(
            f"{problem} {pixels.max()}, the environment's are {space}; scale them as the environment does."
        )


def _limits(space: spaces.Space) -> tuple[Array, Array]:
    """Return the limits of a space of whole numbers; of a Box those of its dtype, since bounds are often rough."""
    if isinstance(space, spaces.Box):
        info = np.iinfo(space.dtype)
        return np.array(info.min), np.array(info.max)
    allowed = bounds(space)
    assert allowed is not None
    return allowed.low, allowed.high


def _describe_wanted(wanted: Shapes, found: Shapes, stacks: Mapping[str, Stack]) -> str:
    """Describe stacks by their frames where the data has single frames."""
    single = {key for key in stacks if len(found.get(key, ())) == len(wanted[key]) - 1}
    shapes = {key: shape[1:] if key in single else shape for key, shape in wanted.items()}
    return _describe(shapes, {key: f" in stacks of {stacks[key].size}" for key in single})


def _describe(shapes: Shapes, endings: Mapping[str, str] | None = None) -> str:
    return ", ".join(f"'{key}' of shape {shape}{(endings or {}).get(key, '')}" for key, shape in shapes.items())
