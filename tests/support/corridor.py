"""A task in which most steps of the data lead away from the goal that they reach later."""

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
from gcrl_zoo.wrappers import FixedGoal

DOOR, END, ROOM = 3, 6, 7
LEFT, RIGHT, ENTER = 0, 1, 2
LIMIT = 12


class Corridor(gym.Env):
    """Cells 0 ... 6 in a row, walked left and right, and a room behind the door at cell 3. An episode starts at 0."""

    observation_space = spaces.Discrete(ROOM + 1)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.cell, self.steps = 0, 0
        return self.cell, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.cell, self.steps = moved(self.cell, int(action)), self.steps + 1
        return self.cell, 0.0, False, self.steps >= LIMIT, {}


def moved(cell: int, action: int) -> int:
    """Return the next cell; an agent cannot leave the room."""
    if cell == ROOM or (action == ENTER and cell == DOOR):
        return ROOM
    return cell if action == ENTER else int(np.clip(cell + (1 if action == RIGHT else -1), 0, END))


def make_corridor() -> VecEnv:
    """The goal is the room. Each step costs 1, except the one that enters it."""
    task = {"goal": ROOM, "threshold": 0, "goal_reward": True, "terminate": True}
    return DummyVecEnv([lambda: Monitor(FixedGoal(Corridor(), **task))])


def corridor_return(model: BaseAlgorithm) -> float:
    """Return of the greedy policy, the same in every episode: at best -3, and -12 if it never enters."""
    return float(evaluate_policy(model, make_corridor(), n_eval_episodes=1)[0])


def walked(n_episodes: int = 20) -> TrajectoryStore:
    """Half of the episodes go straight to the room, the others walk to the end of the corridor and back, twice."""
    straight = [RIGHT] * DOOR + [ENTER]
    detour = [RIGHT] * END + ([LEFT] * END + [RIGHT] * END) * 2 + [LEFT] * (END - DOOR) + [ENTER]
    episodes = []
    for number in range(n_episodes):
        actions = detour if number % 2 else straight
        cells = [0]
        for action in actions:
            cells.append(moved(cells[-1], action))
        episodes.append(Episode({"observation": np.array(cells)}, np.array(actions), None))
    return TrajectoryStore.from_episodes(episodes, name="walked")
