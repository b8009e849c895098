"""A made-up environment with colour images, and scripted policies for it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

FRAMES = "Frames-v0"
gym.register(FRAMES, entry_point="tests.support.frames:Frames", max_episode_steps=12)


class Frames(gym.Env[Any, Any]):
    """
    A square of a random colour moves over a noisy background; the reward is the first action.

    :param size: height and width of the images
    """

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, size: int = 96) -> None:
        self.observation_space = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.size = size

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.point, self.colour = self.np_random.random(2), self.np_random.integers(100, 256, 3)
        self.background = self.np_random.integers(0, 20, (self.size, self.size, 3), dtype=np.uint8)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.point = np.clip(self.point + 0.1 * np.asarray(action), 0, 1)
        return self._observe(), float(action[0]), bool(self.point.max() == 1), False, {}

    def _observe(self) -> np.ndarray:
        image = self.background.copy()
        row, column = (self.point * (self.size - 8)).astype(int)
        image[row : row + 8, column : column + 8] = self.colour
        return image


class Swerving:
    """
    Drives straight on, with random swerves that depend on the seed of the episode only.

    :param env: environments in which it acts
    :param speed: first action
    """

    def __init__(self, env: VecEnv, speed: float = 0.2) -> None:
        self.env, self.speed = env, speed

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        rngs = list(state) if state is not None else [None] * len(observation)
        for i, seed in enumerate(self.env.get_attr("np_random_seed")):
            if episode_start is None or episode_start[i]:
                rngs[i] = np.random.default_rng([seed, 1])
        return np.array([[self.speed, rng.uniform(-1, 1)] for rng in rngs], np.float32), tuple(rngs)


def far(env: VecEnv) -> Any:
    """A policy whose actions are outside the space."""
    return Swerving(env, speed=7.0)


def crooked(env: VecEnv) -> Any:
    """A policy whose actions have another shape."""
    policy = Swerving(env)
    policy.predict = lambda *args, **kwargs: (np.zeros(3), None)  # type: ignore[method-assign]
    return policy


def worded(env: VecEnv) -> Any:
    """A policy whose actions are no numbers."""
    policy = Swerving(env)
    policy.predict = lambda *args, **kwargs: (np.array([["left", "right"]]), None)  # type: ignore[method-assign]
    return policy


def lone(env: VecEnv) -> Any:
    """A policy that returns actions without a state."""
    policy = Swerving(env)
    policy.predict = lambda *args, **kwargs: np.zeros((1, 2))  # type: ignore[method-assign,assignment,return-value]
    return policy


def nothing(env: VecEnv) -> None:
    """Returns no policy."""
