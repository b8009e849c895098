"""Converts data to the layout of the environment, where the conversion is lossless and unambiguous."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage, is_vecenv_wrapped

from gcrl_zoo.common.data_checks import check_observations, shapes_of
from gcrl_zoo.common.roles import ACHIEVED_GOAL, PLAIN, Roles
from gcrl_zoo.data.arrays import FLOAT, Array, checked, observation_dtype
from gcrl_zoo.data.copying import PORTION
from gcrl_zoo.data.rows import Stack
from gcrl_zoo.data.spaces import same_values
from gcrl_zoo.data.store import TrajectoryStore


@dataclass(frozen=True)
class ChannelsFirst:
    """Shows images (H, W, C) as (C, H, W)."""

    def __call__(self, entries: Array) -> Array:
        """
        Move the channels first.

        :param entries: (n, H, W, C)
        """
        return np.moveaxis(entries, -1, 1)

    def undo(self, entries: Array) -> Array:
        """
        Move the channels last.

        :param entries: (n, C, H, W)
        """
        return np.moveaxis(entries, 1, -1)


@dataclass(frozen=True)
class Numbers:
    """
    Shows numbers in another shape or dtype.

    :param shape: of one entry, for a single number that is stored as ``()``, ``(1,)``, ...; None: as it is
    :param floats: turn whole numbers into float32
    """

    shape: tuple[int, ...] | None = None
    floats: bool = False

    def __call__(self, entries: Array) -> Array:
        """
        Change shape and dtype.

        :param entries: (n, ...)
        """
        if self.shape is not None:
            entries = entries.reshape(len(entries), *self.shape)
        return entries.astype(FLOAT) if self.floats else entries


def frame_stacks(env: VecEnv | None, roles: Roles) -> dict[str, Stack]:
    """
    The observations that are stacks of frames, made by ``gymnasium.wrappers.FrameStackObservation``.

    :param env: with all its wrappers
    :param roles: of its observation space
    :return: by key, how they are stacked
    """
    names = ("stack_size", "padding_type", "padding_value", "stacked_obs")
    if env is None or not all(map(env.has_attr, names)):
        return {}
    size, kind, padding, stacks = (env.get_attr(name, 0)[0] for name in names)
    if not isinstance(stacks, Mapping):
        padding, stacks = {PLAIN: padding}, {PLAIN: stacks}
    spaces_of_facts = roles.facts_space.spaces
    return {
        key: Stack.of_wrapper(size, kind, padding[key])
        for key, stack in stacks.items()
        if key in spaces_of_facts and spaces_of_facts[key].shape == stack.shape
    }


def fit_layout(
    store: TrajectoryStore,
    roles: Roles,
    action_space: spaces.Space | None = None,
    stacks: Mapping[str, Stack] | None = None,
) -> TrajectoryStore:
    """
    Convert a dataset to the environment's layout. Datasets store images as (H, W, C), SB3 uses (C, H, W). A single
    number, such as a Discrete action, may be stored as ``(T,)`` or ``(T, 1)``. Where the environment stacks frames, a
    dataset may hold single frames.

    :param store: a dataset
    :param roles: of the environment's observation space, as SB3 shows it
    :param action_space: of the environment; None where actions are not read
    :param stacks: of the environment's observations, see :func:`frame_stacks`
    :return: the store itself where it has the environment's layout, else a view that has
    """
    found = shapes_of(store)
    wanted = {key: tuple(space.shape or ()) for key, space in roles.facts_space.spaces.items() if key in found}
    changes = {key: _change(found[key], shape, roles.facts_space[key]) for key, shape in wanted.items()}
    odd = {key for key, change in changes.items() if found[key] != wanted[key] and change == Numbers()}
    stacked = {key: stack for key, stack in (stacks or {}).items() if key in odd}
    changes |= {key: _change(found[key], wanted[key][1:], roles.facts_space[key]) for key in stacked}
    if action_space is not None and store.has_actions:
        changes["actions"] = _change_of_actions(store, action_space)
    needed = {key: change for key, change in changes.items() if change != Numbers()}
    fitted = store.changed(needed) if needed else store
    # A frame of another shape is not stacked, so that the message on what does not fit shows it as it is.
    stacked = {key: stack for key, stack in stacked.items() if shapes_of(fitted)[key] == wanted[key][1:]}
    return fitted.stacked(stacked) if stacked else fitted


def _change_of_actions(store: TrajectoryStore, space: spaces.Space) -> Numbers | ChannelsFirst:
    actions = store.take("actions", store.steps[:1])
    change = _change(actions.shape[1:], tuple(space.shape or ()), space)
    if not isinstance(space, spaces.Box) or store.action_space is None or isinstance(change, ChannelsFirst):
        return change
    # Whole numbers are choices, unless the dataset says that they are amounts.
    return replace(change, floats=actions.dtype != FLOAT and same_values(store.action_space, space))


def _change(found: tuple[int, ...], wanted: tuple[int, ...], space: spaces.Space) -> Numbers | ChannelsFirst:
    if found == wanted:
        return Numbers()
    if math.prod(found) == math.prod(wanted) == 1:
        return Numbers(shape=wanted)
    turned = len(found) == 3 and is_image_space(space) and wanted == (found[-1], *found[:-1])
    return ChannelsFirst() if turned else Numbers()


def with_achieved_goals(
    store: TrajectoryStore,
    roles: Roles,
    env: VecEnv,
    argument: str,
    stacks: Mapping[str, Stack] | None = None,
) -> TrajectoryStore:
    """
    A dataset that was recorded without goals, for an environment whose wrapper gives it goals.

    :param store: a dataset, its images as SB3 shows them
    :param roles: of the environment's observation space
    :param env: whose goal wrapper, if any, knows what an observation achieves (``achieved_goal_of``)
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :param stacks: of the environment's observations, for messages
    :return: the store itself, or a copy with the column that the environment has and the dataset lacks; it shares
        compressed images with the store
    :raises ValueError: its observations are not those of the environment
    """
    lacking = roles.desired_goal and ACHIEVED_GOAL not in store.observation_keys
    if not lacking or not env.has_attr("achieved_goal_of"):
        return store
    entries = {key: space for key, space in roles.facts_space.spaces.items() if key != ACHIEVED_GOAL}
    check_observations(store, replace(roles, facts_space=spaces.Dict(entries)), argument, stacks)
    turned = is_vecenv_wrapped(env, VecTransposeImage)  # outside of the goal wrapper, which sees what a camera makes
    images = [key for key, space in entries.items() if turned and is_image_space(space)]
    turn_back = turned and is_image_space(roles.facts_space[ACHIEVED_GOAL])

    def goals_of(facts: Mapping[str, Array]) -> Array:
        given = {**facts, **{key: np.moveaxis(facts[key], 1, -1) for key in images}}
        (achieved,) = env.env_method("achieved_goal_of", given, indices=0)
        return np.moveaxis(achieved, -1, 1) if turn_back else np.asarray(achieved)

    goals: str | Array | None = _same_image(store, goals_of)
    if goals is None:
        found = np.concatenate([goals_of(facts) for facts in _portions(store)])
        goals = checked(found, f"observation '{ACHIEVED_GOAL}'")
    copied = store.copy(added={ACHIEVED_GOAL: goals})
    copied.observation_space = None  # that of the dataset has no goals
    return copied.freeze()


def _same_image(store: TrajectoryStore, goals_of: Callable[[Mapping[str, Array]], Array]) -> str | None:
    """The image that is the goal, in all slots, so that it need not be stored a second time."""
    dtypes = {key: fact.dtype for key, fact in next(_portions(store)).items()}
    same = {key for key, dtype in dtypes.items() if dtype == np.uint8}
    for facts in _portions(store) if same else ():
        goals = goals_of(facts)
        same = {key for key in same if np.array_equal(facts[key], goals)}
        if not same:
            return None
    return min(same, default=None)


def _portions(store: TrajectoryStore) -> Iterator[dict[str, Array]]:
    """The observations of all slots in order, a few megabytes at a time."""
    slots, keys = store.slots, store.observation_keys
    step = max(1, PORTION // sum(store.take(key, slots[:1]).nbytes for key in keys))
    for start in range(0, len(slots), step):
        rows = store.rows(slots[start : start + step])
        yield {key: rows[key] for key in keys}


def as_own_play(
    store: TrajectoryStore, roles: Roles, capacity: int | None, single_frames: bool = True
) -> TrajectoryStore:
    """
    A copy that own episodes can be appended to: recorded commands (``desired_goal``) and extras are left out, and
    numbers have the type of the environment's. It shares compressed images with the dataset.

    :param store: a checked dataset
    :param roles: of the environment's observation space
    :param capacity: slots of the copy; None for no limit
    :param single_frames: whether stacks of frames are made when they are read, see :meth:`TrajectoryStore.copy`
    """
    facts = roles.facts_space.spaces.items()
    dtypes = {key: observation_dtype(np.dtype(space.dtype)) for key, space in facts}
    return store.copy(capacity, dtypes, single_frames=single_frames)
