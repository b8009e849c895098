"""Converts data to the layout of the environment, where the conversion is lossless and unambiguous."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage, is_vecenv_wrapped

from gcrl_zoo.common.data_checks import check_observations, shapes_of
from gcrl_zoo.common.roles import ACHIEVED_GOAL, Roles
from gcrl_zoo.data.episode import FLOAT, Array, Episode
from gcrl_zoo.data.spaces import same_values
from gcrl_zoo.data.store import TrajectoryStore


@dataclass(frozen=True)
class Change:
    """
    What to change in a column.

    :param shape: of one entry, for a single number that is stored as ``()``, ``(1,)``, ...; None: as it is
    :param channels_first: turn (H, W, C) into (C, H, W)
    :param floats: turn whole numbers into float32
    """

    shape: tuple[int, ...] | None = None
    channels_first: bool = False
    floats: bool = False

    def of(self, column: Array) -> Array:
        """:param column: (T, ...)"""
        if self.shape is not None:
            column = column.reshape(len(column), *self.shape)
        if self.channels_first:
            column = np.moveaxis(column, -1, 1)
        return column.astype(FLOAT) if self.floats else column


def fit_layout(store: TrajectoryStore, roles: Roles, action_space: spaces.Space | None = None) -> TrajectoryStore:
    """
    Convert a dataset to the environment's layout. Datasets store images as (H, W, C), SB3 uses (C, H, W). A single
    number, such as a Discrete action, may be stored as ``(T,)`` or ``(T, 1)``.

    :param store: a dataset
    :param roles: of the environment's observation space, as SB3 shows it
    :param action_space: of the environment; None where actions are not read
    :return: the store itself where it has the environment's layout, else a view that has
    """
    changes = _changes(store, roles, action_space)
    return store.changed({key: change.of for key, change in changes.items()}) if changes else store


def _changes(store: TrajectoryStore, roles: Roles, action_space: spaces.Space | None) -> dict[str, Change]:
    """By column."""
    wanted: dict[str, spaces.Space] = dict(roles.facts_space.spaces)
    found = shapes_of(store)
    if action_space is not None and store.has_actions:
        wanted["actions"] = action_space
        found["actions"] = store.take("actions", store.steps[:1]).shape[1:]
    changes = {key: _change(found[key], space) for key, space in wanted.items() if key in found}
    if "actions" in changes and isinstance(action_space, spaces.Box) and store.action_space is not None:
        # Whole numbers are choices, unless the dataset says that they are amounts.
        whole = store.take("actions", store.steps[:1]).dtype != FLOAT
        changes["actions"] = replace(changes["actions"], floats=whole and same_values(store.action_space, action_space))
    return {key: change for key, change in changes.items() if change != Change()}


def _change(found: tuple[int, ...], space: spaces.Space) -> Change:
    wanted = tuple(space.shape or ())
    if found == wanted:
        return Change()
    if math.prod(found) == math.prod(wanted) == 1:
        return Change(shape=wanted)
    turned = len(found) == 3 and is_image_space(space) and wanted == (found[-1], *found[:-1])
    return Change(channels_first=turned)


def with_achieved_goals(store: TrajectoryStore, roles: Roles, env: VecEnv, argument: str) -> TrajectoryStore:
    """
    A dataset that was recorded without goals, for an environment whose wrapper gives it goals.

    :param store: a dataset, its images as SB3 shows them
    :param roles: of the environment's observation space
    :param env: whose goal wrapper, if any, knows what an observation achieves (``achieved_goal_of``)
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :return: the store itself, or a copy with the column that the environment has and the dataset lacks
    :raises ValueError: its observations are not those of the environment
    """
    lacking = roles.desired_goal and ACHIEVED_GOAL not in store.observation_keys
    if not lacking or not env.has_attr("achieved_goal_of"):
        return store
    entries = {key: space for key, space in roles.facts_space.spaces.items() if key != ACHIEVED_GOAL}
    check_observations(store, replace(roles, facts_space=spaces.Dict(entries)), argument)
    turned = is_vecenv_wrapped(env, VecTransposeImage)  # outside of the goal wrapper, which sees what a camera makes
    images = [key for key, space in entries.items() if turned and is_image_space(space)]
    turn_back = turned and is_image_space(roles.facts_space[ACHIEVED_GOAL])

    def with_goals(episode: Episode) -> Episode:
        facts = {**episode.observations, **{key: np.moveaxis(episode.observations[key], 1, -1) for key in images}}
        (achieved,) = env.env_method("achieved_goal_of", facts, indices=0)
        achieved = np.moveaxis(achieved, -1, 1) if turn_back else achieved
        return replace(episode, observations={**episode.observations, ACHIEVED_GOAL: achieved})

    return TrajectoryStore.from_episodes(
        map(with_goals, store.episodes()), name=store.name, action_space=store.action_space, n_slots=store.n_slots
    ).freeze()


def as_own_play(store: TrajectoryStore, roles: Roles, capacity: int | None) -> TrajectoryStore:
    """
    A copy that own episodes can be appended to: recorded commands (``desired_goal``) and extras are left out, and
    numbers have the type of the environment's.

    :param store: a checked dataset
    :param roles: of the environment's observation space
    :param capacity: slots of the copy; None for no limit
    """
    types = {key: space.dtype for key, space in roles.facts_space.spaces.items()}
    episodes = (
        replace(episode, observations={k: episode.observations[k].astype(t) for k, t in types.items()}, extras={})
        for episode in store.episodes()
    )
    return TrajectoryStore.from_episodes(episodes, capacity, store.name, n_slots=store.n_slots)
