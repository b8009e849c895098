"""Does the data fit the method and the environment? Asked before anything is trained."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
    is_vecenv_wrapped,
)

from gcrl_zoo.common.arguments import is_number
from gcrl_zoo.common.roles import ACHIEVED_GOAL, Roles
from gcrl_zoo.data.episode import Array, Episode
from gcrl_zoo.data.store import TrajectoryStore


class Needs(NamedTuple):
    """
    What a method reads of its data.

    :param actions: of the dataset (a ``stream`` never needs them)
    :param rewards: of the dataset and the stream
    :param stream: whether the method can watch a ``stream`` at all
    :param goals: whether the environment must ask for goals
    :param return_to_go: whether the environment must ask for returns
    :param without_rewards: for messages: what to do about data without rewards where they are needed
    """

    actions: bool = True
    rewards: bool = False
    stream: bool = False
    goals: bool = False
    return_to_go: bool = False
    without_rewards: str = "give data that has them"


def check_commands(name: str, needs: Needs, observation_space: spaces.Space) -> None:
    """
    :param name: of the method, for messages
    :param needs: of the agent
    :param observation_space: of the environment
    :raises ValueError: the environment gives no goals or no returns, and the agent needs them
    """
    if needs.goals and not Roles.of(observation_space).desired_goal:
        raise ValueError(
            f"{name} acts towards goals, but the environment asks for none (it shows no 'desired_goal'); "
            "give it goals with a wrapper, such as `env_wrapper: gcrl_zoo.wrappers.FixedGoal`."
        )
    if needs.return_to_go and not Roles.of(observation_space).return_to_go:
        raise ValueError(
            f"{name} must see how much return is still to come, but the environment shows no 'return_to_go'; "
            "add it with `env_wrapper: gcrl_zoo.wrappers.ReturnToGo`."
        )


def check_environment(name: str, action_space: spaces.Space, env: VecEnv | None) -> None:
    """
    :param name: of the method, for messages
    :param action_space: of the environment
    :param env: with all its wrappers; None where an agent is only loaded
    :raises ValueError: one sentence that names what does not fit
    """
    if not isinstance(action_space, (spaces.Box, spaces.Discrete)):
        raise ValueError(
            f"{name} plays Box and Discrete actions, not {action_space}; change the action space by a wrapper."
        )
    if isinstance(action_space, spaces.Box) and (action_space.dtype.kind != "f" or not action_space.shape):
        raise ValueError(
            f"{name} plays Box actions that are vectors of floats, not {action_space}; change the action space by a "
            "wrapper, such as `gymnasium.wrappers.TransformAction`."
        )
    if env is None:
        return
    if is_vecenv_wrapped(env, VecNormalize):
        raise ValueError(
            f"{name} normalises observations itself, with statistics saved in the agent: "
            "remove `normalize` (VecNormalize), whose moving statistics a dataset would never have seen."
        )
    if is_vecenv_wrapped(env, VecFrameStack):
        raise ValueError(
            f"{name} cannot take `frame_stack`, which stacks goals and returns too; "
            "use `env_wrapper: gymnasium.wrappers.FrameStackObservation` instead, inside (in a list: before) the "
            "wrapper that gives goals or returns."
        )


def check_store(store: TrajectoryStore, roles: Roles, action_space: spaces.Space, needs: Needs, argument: str) -> None:
    """
    :param store: the data
    :param roles: of the environment's observation space
    :param action_space: of the environment
    :param needs: of the method, for this source
    :param argument: ``"dataset"`` or ``"stream"``, as the user wrote it
    :raises ValueError: one sentence that names what does not fit
    """
    _check_observations(store, roles, argument)
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


def check_room(env: VecEnv, capacity: int | None, max_episode_steps: float | None) -> None:
    """
    :param env: for own play
    :param capacity: of the store of own play
    :param max_episode_steps: where own episodes are cut; None for nowhere
    :raises ValueError: an episode that runs to its time limit would not fit
    """
    limits = [math.inf if max_episode_steps is None else max_episode_steps]
    if env.has_attr("_max_episode_steps"):  # of Gymnasium's TimeLimit; not every `spec` can leave a subprocess
        told = [limit for limit in env.get_attr("_max_episode_steps") if is_number(limit)]
        limits += [max(told)] if told else []
    slots = min(limits) + 1
    if capacity is not None and capacity < slots < math.inf:
        raise ValueError(
            f"buffer_size is {capacity}, but an episode may take {slots - 1:.0f} steps and has one observation more; "
            f"raise buffer_size to at least {slots:.0f}, or cut episodes earlier with max_episode_steps."
        )


def channels_first(store: TrajectoryStore, roles: Roles) -> TrajectoryStore:
    """
    Datasets keep images as cameras make them, (H, W, C); SB3 turns those of an environment into (C, H, W).

    :param store: a dataset
    :param roles: of the environment's observation space, as SB3 shows it
    :return: the store itself, or a copy with its images turned where the environment's are
    """
    wanted = {key: space.shape for key, space in roles.facts_space.spaces.items() if is_image_space(space)}
    turned = [
        key
        for key, shape in _shapes(store).items()
        if key in wanted and wanted[key] != shape and wanted[key] == (shape[-1], *shape[:-1])
    ]
    if not turned:
        return store
    state = store.version, tuple(turned)
    if store not in _turned or _turned[store][0] != state:
        _turned[store] = state, _turn(store, tuple(turned))
    return _turned[store][1]


# A hyperparameter search asks for the same images in each trial; kept as long as the dataset itself.
_turned: WeakKeyDictionary[TrajectoryStore, tuple[tuple[int, tuple[str, ...]], TrajectoryStore]] = WeakKeyDictionary()


def _turn(store: TrajectoryStore, keys: tuple[str, ...]) -> TrajectoryStore:
    episodes = (
        replace(
            episode,
            observations={**episode.observations, **{k: np.moveaxis(episode.observations[k], -1, 1) for k in keys}},
        )
        for episode in store.episodes()
    )
    return TrajectoryStore.from_episodes(
        episodes, name=store.name, action_space=store.action_space, n_slots=store.n_slots
    ).freeze()


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
    _check_observations(store, replace(roles, facts_space=spaces.Dict(entries)), argument)
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


def as_own_play(store: TrajectoryStore, roles: Roles, capacity: int) -> TrajectoryStore:
    """
    A copy that own episodes can be appended to: recorded commands (``desired_goal``) and extras are left out, and
    numbers have the type of the environment's.

    :param store: a checked dataset
    :param roles: of the environment's observation space
    :param capacity: slots of the copy
    """
    types = {key: space.dtype for key, space in roles.facts_space.spaces.items()}
    episodes = (
        replace(episode, observations={k: episode.observations[k].astype(t) for k, t in types.items()}, extras={})
        for episode in store.episodes()
    )
    return TrajectoryStore.from_episodes(episodes, capacity, store.name, n_slots=store.n_slots)


def _check_observations(store: TrajectoryStore, roles: Roles, argument: str) -> None:
    wanted = {key: tuple(space.shape or ()) for key, space in roles.facts_space.spaces.items()}
    found = _shapes(store)
    if not wanted.items() <= found.items():
        raise ValueError(
            f"{argument} '{store.name}' does not fit the environment: its observations are {_describe(found)}, "
            f"the environment's are {_describe(wanted)}."
        )
    for key, space in roles.facts_space.spaces.items():
        _check_values(store, key, store.slots, space, argument)


def _shapes(store: TrajectoryStore) -> dict[str, tuple[int, ...]]:
    return {key: store.take(key, np.zeros(1, dtype=np.int64)).shape[1:] for key in store.observation_keys}


def _check_actions(store: TrajectoryStore, action_space: spaces.Space, argument: str) -> None:
    actions = store.take("actions", store.steps[:1])
    if store.action_space is not None:
        found, fits = str(store.action_space), _same_actions(store.action_space, action_space)
    else:
        discrete = np.issubdtype(actions.dtype, np.integer)
        found = f"{'integers' if discrete else 'vectors'} of shape {actions.shape[1:]}"
        fits = actions.shape[1:] == action_space.shape and discrete == isinstance(action_space, spaces.Discrete)
    if not fits:
        raise ValueError(
            f"{argument} '{store.name}' does not fit the environment: its actions are {found}, "
            f"the environment's are {action_space}."
        )
    _check_values(store, "actions", store.steps, action_space, argument)


def _check_values(store: TrajectoryStore, column: str, slots: Array, space: spaces.Space, argument: str) -> None:
    """A value that the space does not offer would be an index error, or silently another value, in training."""
    if isinstance(space, spaces.Box) and (column == "actions" or space.dtype.kind not in "iu"):
        return
    what = "actions hold" if column == "actions" else f"observation '{column}' holds"
    problem = f"{argument} '{store.name}' does not fit the environment: its {what}"
    found = store.take(column, slots[:1]).dtype
    if found.kind == "f":
        raise ValueError(
            f"{problem} {found}, the environment's are whole numbers, {space}; convert them without loss "
            "(pixels to 0 ... 255, say)."
        )
    if isinstance(space, spaces.Box) and found == space.dtype:
        return
    values = store.take(column, slots)
    low, high = _bounds(space)
    outside = values[(values < low) | (values > high)]
    if outside.size:
        raise ValueError(f"{problem} {outside.flat[0]}, the environment's are {space}.")


def _bounds(space: spaces.Space) -> tuple[Array | int, Array | int]:
    """The smallest and the largest whole number of a space; for a Box, of its type."""
    if isinstance(space, spaces.Discrete):
        return int(space.start), int(space.start + space.n) - 1
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, spaces.MultiBinary):
        return 0, 1
    assert isinstance(space, spaces.Box)
    return int(np.iinfo(space.dtype).min), int(np.iinfo(space.dtype).max)


def _same_actions(a: spaces.Space, b: spaces.Space) -> bool:
    if isinstance(a, spaces.Box) and isinstance(b, spaces.Box):
        return a.shape == b.shape and np.allclose(a.low, b.low) and np.allclose(a.high, b.high)
    return a == b


def _describe(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"'{key}' of shape {shape}" for key, shape in shapes.items())
