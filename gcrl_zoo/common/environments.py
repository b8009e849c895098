"""Environments for training: checks of their spaces, wrappers and steps, and spaces in the dtypes of the agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
    is_vecenv_wrapped,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from gcrl_zoo.common.actions import ToActionSpace
from gcrl_zoo.common.observations import difference
from gcrl_zoo.common.roles import PLAIN, Observation
from gcrl_zoo.data.arrays import FLOAT, LARGEST
from gcrl_zoo.data.checks import is_number
from gcrl_zoo.data.spaces import same_values


def check_environment(name: str, action_space: spaces.Space, env: VecEnv | None) -> None:
    """
    Check that a method can act in an action space, and the wrappers of an environment.

    :param name: of the method, for messages
    :param action_space: of the environment
    :param env: with all its wrappers; None where an agent is only loaded
    :raises ValueError: the method cannot act in it; names why
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
    if isinstance(action_space, spaces.Box) and 0 in action_space.shape:
        raise ValueError(
            f"{name} cannot choose actions of {action_space}, which has no entries; give an environment whose actions "
            "have at least one."
        )
    if env is None:
        return
    if any(each.norm_obs for each in normalizers(env)):
        raise ValueError(
            f"{name} normalises observations itself, with statistics saved in the agent: remove `normalize` "
            "(VecNormalize), whose moving statistics a dataset has never seen, or set norm_obs=False in it."
        )
    if is_vecenv_wrapped(env, VecFrameStack):
        raise ValueError(
            f"{name} cannot take `frame_stack`, which stacks goals and returns too; "
            "use `env_wrapper: gymnasium.wrappers.FrameStackObservation` instead, inside (in a list: before) the "
            "wrapper that gives goals or returns."
        )


def normalizers(env: VecEnv) -> list[VecNormalize]:
    """
    Find the ``VecNormalize`` wrappers of an environment.

    :param env: environment with all its wrappers
    :return: wrappers, the innermost last
    """
    found = []
    while isinstance(env, VecEnvWrapper):
        found += [env] if isinstance(env, VecNormalize) else []
        env = env.venv
    return found


def check_room(env: VecEnv, capacity: int | None, max_episode_steps: float | None) -> None:
    """
    Check that the replay buffer has room for an episode that runs to its time limit.

    :param env: for own play
    :param capacity: of the store of own play
    :param max_episode_steps: where own episodes are cut; None for nowhere
    :raises ValueError: an episode that runs to its time limit would not fit
    """
    limits = [math.inf if max_episode_steps is None else max_episode_steps]
    if env.has_attr("_max_episode_steps"):  # of Gymnasium's TimeLimit; not every `spec` can leave a subprocess
        found = [limit for limit in env.get_attr("_max_episode_steps") if is_number(limit)]
        limits += [max(found)] if found else []
    slots = min(limits) + 1
    if capacity is not None and capacity < slots < math.inf:
        raise ValueError(
            f"buffer_size is {capacity}, but an episode may take {slots - 1:.0f} steps and has one observation more; "
            f"raise buffer_size to at least {slots:.0f}, or cut episodes earlier with max_episode_steps."
        )


def check_rewards(rewards: np.ndarray, lengths: np.ndarray, env: VecEnv | None = None) -> None:
    """
    Check the rewards of a step.

    :param rewards: (E,)
    :param lengths: (E,) steps of the episodes before this one
    :param env: source of the rewards, to report their values before SB3 converts them to float32
    :raises ValueError: a reward is NaN, infinite or beyond float32
    """
    fits = np.abs(rewards) <= LARGEST[FLOAT]
    if not fits.all():
        index = int(np.argmin(fits))
        given = _as_given(rewards[index], env, index)
        raise ValueError(
            f"Environment {index} gave the reward {given} at step {lengths[index]} of an episode; "
            "repair it, or change its rewards by a wrapper."
        )


def _as_given(reward: Any, env: VecEnv | None, index: int) -> Any:
    """Return the reward before rounding: ``Monitor`` stores it, while ``DummyVecEnv`` turns 1e300 into inf."""
    if env is None or np.isnan(reward):
        return reward
    try:
        (rewards,) = env.get_attr("rewards", [index])
        given = rewards[-1]
        return given if isinstance(given, float) and abs(given) > float(LARGEST[FLOAT]) else reward
    except (AttributeError, IndexError, KeyError, TypeError):  # no Monitor, or the next episode has begun
        return reward


def check_observation(observation: Observation, lengths: np.ndarray, starts: np.ndarray, first: int = 0) -> None:
    """
    Check the observations of a step.

    :param observation: (E, ...), or by key
    :param lengths: (E,) steps of the episodes before the observation
    :param starts: (E,) whether the observation begins an episode
    :param first: number of the first of these environments
    :raises ValueError: a number is NaN, infinite or beyond float32
    """
    for key, values in observation.items() if isinstance(observation, dict) else [(PLAIN, observation)]:
        if values.dtype.kind != "f":
            continue
        fits = np.abs(values) <= LARGEST[FLOAT]
        if not fits.all():
            index = int(np.argwhere(~fits)[0, 0])
            bad = values[index][~fits[index]].flat[0]
            raise ValueError(
                f"Environment {first + index} shows {bad} in observation '{key}' at step "
                f"{0 if starts[index] else lengths[index]} of an episode; "
                "repair it, or change what it shows by a wrapper."
            )


def final_facts(info: Mapping[str, Any], like: Mapping[str, np.ndarray], index: int, length: int) -> dict[str, Any]:
    """
    Return the true last observation of an episode.

    :param info: of the environment at the episode's last step
    :param like: (E, ...) by key: facts of the environments
    :param index: of the environment, for messages
    :param length: of the episode
    :return: facts by key
    :raises ValueError: the observation is missing, or differs in keys or shapes, or a number is not finite
    """
    final = info.get("terminal_observation")
    entries: Mapping[str, Any] = final if isinstance(final, Mapping) else {PLAIN: final}
    for key, values in like.items():
        if entries.get(key) is None or np.shape(entries[key]) != values.shape[1:]:
            found = "is missing" if entries.get(key) is None else f"has the shape {np.shape(entries[key])}"
            raise ValueError(
                f"Environment {index} ended an episode, but '{key}' in info['terminal_observation'] {found}; give the "
                f"true last observation there, of shape {values.shape[1:]}, as SB3's DummyVecEnv and SubprocVecEnv do."
            )
    facts = {key: np.asarray(entries[key]) for key in like}
    check_observation({key: fact[None] for key, fact in facts.items()}, np.array([length]), np.array([False]), index)
    return facts


class InSpaces(VecEnvWrapper):
    """
    Shows an environment in spaces that hold the same values in other dtypes.

    :param venv: environment
    :param observation_space: to show
    :param action_space: to show
    """

    def __init__(self, venv: VecEnv, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__(venv, observation_space, action_space)
        self._to_action_space = ToActionSpace(venv.action_space)

    def reset(self) -> VecEnvObs:
        return _cast(self.venv.reset(), self.observation_space)

    def step_async(self, actions: np.ndarray) -> None:
        self.venv.step_async(self._to_action_space(actions))

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = _cast(info["terminal_observation"], self.observation_space)
        return _cast(observations, self.observation_space), rewards, dones, infos


def fit_environment(env: VecEnv, observation_space: spaces.Space, action_space: spaces.Space) -> VecEnv:
    """
    Show an environment in the spaces of an agent, if they hold the same values.

    :param env: environment, as Stable-Baselines3 has vectorised it
    :param observation_space: of the agent
    :param action_space: of the agent
    :return: the environment, with the agent's spaces
    :raises ValueError: its spaces hold other values
    """
    if env.observation_space == observation_space and env.action_space == action_space:
        return env
    if not same_values(observation_space, env.observation_space):
        raise ValueError(f"Observation spaces do not match: {difference(observation_space, env.observation_space)}.")
    if not same_values(action_space, env.action_space):
        raise ValueError(
            f"Action spaces do not match: the agent acts in {action_space}, but the environment takes "
            f"{env.action_space}; give an environment with the action space of the one that it was trained in."
        )
    return InSpaces(env, observation_space, action_space)


def _cast(observation: Any, space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _cast(observation[key], each) for key, each in space.spaces.items()}
    return np.asarray(observation).astype(space.dtype, copy=False)
