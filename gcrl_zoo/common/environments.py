"""Environments that an agent is to act in later: their spaces must hold the values of those that it was trained in."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from gcrl_zoo.common.actions import ToActionSpace
from gcrl_zoo.common.observations import difference
from gcrl_zoo.data.spaces import same_values


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
