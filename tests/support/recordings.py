"""Environments and agents for tests of recording, and a check that a recording replays exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO

from tests.support.envs import PointEnv

ID = "test/play-v0"
POINT = "Point-v0"
gym.register(POINT, entry_point="tests.support.recordings:Point")


class Point(PointEnv):
    """With actions from 0 on, as PPO requires."""

    def __init__(self, action: str = "discrete", **kwargs: Any) -> None:
        super().__init__(action=action, **kwargs)
        if action == "discrete":
            self.action_space = spaces.Discrete(5)


def untrained(env: str = POINT, algorithm: type = PPO, **env_kwargs: Any) -> Any:
    return algorithm("MlpPolicy" if algorithm is PPO else "MlpLstmPolicy", gym.make(env, **env_kwargs), seed=0)


def episodes(dataset: minari.MinariDataset) -> Iterator[tuple[int, Any]]:
    """Yield the seed of each episode, and the episode."""
    seeds = [each["seed"] for each in dataset.storage.get_episode_metadata(dataset.episode_indices)]
    return zip(seeds, dataset.iterate_episodes(), strict=True)


def assert_replays(dataset: minari.MinariDataset, env: gym.Env) -> None:
    """Assert that the recorded actions, from the recorded seed, reproduce the episodes bit by bit."""
    for seed, episode in episodes(dataset):
        observation, _ = env.reset(seed=seed)
        seen, came = [observation], []
        for action in episode.actions:
            observation, *rest, _ = env.step(action)
            seen.append(observation)
            came.append(rest)
        columns = {"": seen} if not isinstance(observation, dict) else {k: [s[k] for s in seen] for k in observation}
        for key, column in columns.items():
            recorded = episode.observations[key] if key else episode.observations
            np.testing.assert_array_equal(recorded, np.array(column))
            assert recorded.dtype == np.array(column).dtype
        for recorded, column in zip(
            (episode.rewards, episode.terminations, episode.truncations), zip(*came, strict=True), strict=True
        ):
            np.testing.assert_array_equal(recorded, column)
