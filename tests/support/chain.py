"""A task that shows in seconds whether an agent learns from action-free episodes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo.data import Episode, TrajectoryStore

LENGTH, STEPS = 10, 20


class Chain(gym.Env):
    """
    Cells 0 ... 10 in a row; a step goes left, right or nowhere. An episode starts in the middle and lasts 20 steps. The
    reward is 1 at the right end, so the maximal return is 16. The effect of an action differs from cell to cell: a
    constant action leads nowhere, and the effects can only be learned by trying them.
    """

    observation_space = spaces.Discrete(LENGTH + 1)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.cell, self.steps = LENGTH // 2, 0
        return self.cell, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.cell = int(np.clip(self.cell + (int(action) + self.cell) % 3 - 1, 0, LENGTH))
        self.steps += 1
        return self.cell, float(self.cell == LENGTH), False, self.steps >= STEPS, {}


def make_chain(n_envs: int = 4, wrapper: type[gym.Wrapper] | None = None) -> VecEnv:
    return DummyVecEnv([lambda: Monitor(wrapper(Chain()) if wrapper else Chain())] * n_envs)


def chain_return(model: BaseAlgorithm, wrapper: type[gym.Wrapper] | None = None) -> float:
    """Return of the greedy policy, which is the same in every episode."""
    return float(evaluate_policy(model, make_chain(1, wrapper), n_eval_episodes=1)[0])


def shown(n_episodes: int = 40, seed: int = 0) -> TrajectoryStore:
    """Good and bad episodes without actions: each drifts to one end, with some random moves."""
    rng = np.random.default_rng(seed)
    walks = [drifted(rng, 1 if number % 2 else -1)[0] for number in range(n_episodes)]
    episodes = [Episode({"observation": cells}, None, cells[1:] == LENGTH) for cells in walks]
    return TrajectoryStore.from_episodes(episodes, name="shown")


def mixed(n_episodes: int = 20, good: int = 4, seed: int = 0) -> TrajectoryStore:
    """A few episodes that drift to the right end, among many that drift to the left one; with actions."""
    rng = np.random.default_rng(seed)
    walks = [drifted(rng, 1 if number < good else -1) for number in range(n_episodes)]
    episodes = [
        Episode({"observation": cells}, (moves + 1 - cells[:-1]) % 3, cells[1:] == LENGTH) for cells, moves in walks
    ]
    return TrajectoryStore.from_episodes(episodes, name="mixed")


def drifted(rng: np.random.Generator, drift: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (T + 1,) and moves (T,) of a walk to one end with some random moves."""
    moves = np.where(rng.random(STEPS) < 0.8, drift, rng.integers(-1, 2, STEPS))
    cells = [LENGTH // 2]
    for move in moves:
        cells.append(int(np.clip(cells[-1] + move, 0, LENGTH)))
    return np.array(cells), moves
