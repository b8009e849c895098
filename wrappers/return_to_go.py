"""Wrapper that adds the return-to-go to the observation."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KEY = "return_to_go"


class ReturnToGo(gym.Wrapper[dict[str, Any], Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Adds ``return_to_go`` to the observation: the target minus the rewards of the episode so far, unscaled.

    A policy does not receive rewards, so a policy that is conditioned on the return-to-go needs it in the observation.
    The policies of this package add their saved target and divide by their fitted scale. Leave ``target`` at 0 for
    them.

    :param env: any environment; a ``Dict`` observation gets one more key, any other becomes the key ``observation``
    :param target: the return-to-go at the start of an episode

    >>> import gymnasium as gym
    >>> from gcrl_zoo.wrappers import ReturnToGo
    >>> env = ReturnToGo(gym.make("CartPole-v1"), target=500)
    >>> observation, info = env.reset(seed=0)
    >>> sorted(observation), observation["return_to_go"].item()
    (['observation', 'return_to_go'], 500.0)
    >>> observation, reward, *_ = env.step(env.action_space.sample())
    >>> observation["return_to_go"].item()
    499.0
    """

    def __init__(self, env: gym.Env[Any, Any], target: float = 0.0) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, target=target)
        super().__init__(env)
        self.target = float(target)
        self._to_go = self.target  # Python float: a float32 would lose rewards in long episodes
        inner = env.observation_space
        self._keyed = isinstance(inner, spaces.Dict)
        keys = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"observation": inner}
        if KEY in keys:
            raise ValueError(
                f"ReturnToGo cannot wrap {env}: its observation already has the key {KEY!r}; use the wrapper only once."
            )
        self.observation_space = spaces.Dict({**keys, KEY: spaces.Box(-np.inf, np.inf, (1,), np.float32)})

    @property
    def compute_reward(self) -> Any:
        """Forward the environment's ``compute_reward``: Gymnasium hides it, and SB3's ``check_env`` needs it here."""
        return self.env.get_wrapper_attr("compute_reward")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode with the full target.

        :param seed: seed of the environment
        :param options: options of the environment
        :return: observation and info
        """
        observation, info = self.env.reset(seed=seed, options=options)
        self._to_go = self.target
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """
        Take a step and subtract its reward from the return-to-go.

        :param action: action of the environment
        :return: observation, reward, terminated, truncated and info
        :raises ValueError: the reward is not a number
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        try:
            self._to_go -= float(reward)
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.env} gave the reward {reward!r} of type {type(reward).__name__}; return one number per step."
            ) from None
        return self._observe(observation), reward, terminated, truncated, info

    def _observe(self, observation: Any) -> dict[str, Any]:
        keys = observation if self._keyed else {"observation": observation}
        return {**keys, KEY: np.array([self._to_go], dtype=np.float32)}
