"""Small environments for tests: a point in a square, with many observation and action spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo.common.roles import PLAIN, Roles
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.wrappers.goal import GoalWrapper

PIXELS = 36
GRID = 4
MOVES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
NEAR = 0.3

OBSERVATIONS = ("box", "dict", "image", "discrete", "goal")
ACTIONS = ("discrete", "box")

OBSERVATION_SPACES: dict[str, spaces.Space] = {
    "box": spaces.Box(-1, 1, (2,), np.float64),  # float64, as Fetch hands observations over
    "image": spaces.Box(0, 255, (PIXELS, PIXELS, 1), np.uint8),
    "discrete": spaces.Discrete(GRID * GRID, start=3),
    "multi_discrete": spaces.MultiDiscrete([GRID, GRID]),
    "multi_binary": spaces.MultiBinary(4),
}
OBSERVATION_SPACES["dict"] = spaces.Dict({**OBSERVATION_SPACES, "multi_discrete.": spaces.MultiDiscrete([GRID, GRID])})
OBSERVATION_SPACES["goal"] = spaces.Dict(
    {key: spaces.Box(-1, 1, (2,), np.float64) for key in ("observation", "achieved_goal", "desired_goal")}
)

ACTION_SPACES: dict[str, spaces.Space] = {
    "discrete": spaces.Discrete(5, start=2),
    "box": spaces.Box(np.array([-2, -1], dtype=np.float32), np.array([1, 3], dtype=np.float32)),
    "multi_discrete": spaces.MultiDiscrete([3, 3]),
    "multi_binary": spaces.MultiBinary(2),
    "dict": spaces.Dict({"move": spaces.Discrete(5)}),
}


class PointEnv(gym.Env):
    """
    A point starts at random; the reward is its negative distance to (0.5, 0.5), or to the desired goal.

    An episode terminates near that place and is truncated after ``max_steps``. Random play does both.

    :param observation: key of ``OBSERVATION_SPACES``
    :param action: key of ``ACTION_SPACES``
    :param max_steps: episodes are cut then
    :param broken: number of steps after which ``broken_part`` ("reward" or "observation") is NaN
    """

    def __init__(
        self,
        observation: str = "box",
        action: str = "discrete",
        max_steps: int = 12,
        broken: int | None = None,
        broken_part: str = "reward",
    ) -> None:
        self.kind, self.action_kind, self.max_steps = observation, action, max_steps
        self.broken, self.broken_part = broken, broken_part
        self.observation_space = OBSERVATION_SPACES[observation]
        self.action_space = ACTION_SPACES[action]
        self.seen: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.point = self.np_random.uniform(-1, 1, 2)
        self.target = self.np_random.uniform(-1, 1, 2) if self.kind == "goal" else np.array([0.5, 0.5])
        self.steps = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is outside {self.action_space}"
        self.seen.append(action)
        if self.action_kind == "discrete":
            move = MOVES[action - self.action_space.start]
        else:
            move = np.asarray(action, dtype=np.float32).reshape(-1)[:2]
        self.point = np.clip(self.point + 0.25 * move, -1, 1)
        self.steps += 1
        reward, observation = self.compute_reward(self.point, self.target, {}), self.observe()
        if self.broken is not None and len(self.seen) > self.broken:
            reward = np.nan if self.broken_part == "reward" else reward
            observation = observation * np.nan if self.broken_part == "observation" else observation
        terminated = bool(np.linalg.norm(self.point - self.target) < NEAR)
        return observation, reward, terminated, self.steps >= self.max_steps, {"is_success": terminated}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return -np.linalg.norm(np.asarray(achieved_goal) - desired_goal, axis=-1)

    def observe(self) -> Any:
        if self.kind == "dict":
            return {key: self.view(key.rstrip(".")) for key in self.observation_space.spaces}
        if self.kind == "goal":
            point = self.point.copy()
            return {"observation": point, "achieved_goal": point, "desired_goal": self.target.copy()}
        return self.view(self.kind)

    def view(self, kind: str) -> Any:
        cell = np.clip((self.point + 1) / 2 * GRID, 0, GRID - 1).astype(np.int64)
        if kind == "box":
            return self.point.copy()
        if kind == "image":
            image = np.zeros((PIXELS, PIXELS, 1), dtype=np.uint8)
            row, column = ((self.point + 1) / 2 * (PIXELS - 4)).astype(int)
            image[row : row + 4, column : column + 4] = 255
            return image
        if kind == "discrete":
            return int(cell[0] * GRID + cell[1]) + 3
        if kind == "multi_discrete":
            return cell
        assert kind == "multi_binary"
        return np.array([*(self.point > 0), *(np.abs(self.point) > 0.5)], dtype=np.int8)


class AnyGoal(GoalWrapper):
    """Samples goals from the observation space; of a ``Dict``, from the space of its first key."""

    def __init__(self, env: gym.Env) -> None:
        space = env.observation_space
        super().__init__(env, threshold=NEAR, key=next(iter(space)) if isinstance(space, spaces.Dict) else PLAIN)

    def sample_goal(self, info: dict[str, Any]) -> Any:
        self.goal_space.seed(int(self.np_random.integers(2**31)))
        return self.goal_space.sample()


def ask_for_goals(env: gym.Env) -> gym.Env:
    """Add goals to an environment that has none."""
    return env if Roles.of(env.observation_space).desired_goal else AnyGoal(env)


class ForSB3(gym.Wrapper):
    """The same environment with spaces that SB3's own policies take: discrete ones from 0 on, keys without dots."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space, self.action_space = taken_by_sb3(env.observation_space), taken_by_sb3(env.action_space)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        return self.view(observation, self.env.observation_space), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        start = getattr(self.env.action_space, "start", 0)
        observation, *rest = self.env.step(action + start)
        return self.view(observation, self.env.observation_space), *rest

    def view(self, observation: Any, space: spaces.Space) -> Any:
        if isinstance(space, spaces.Dict):
            return {key.replace(".", "_"): self.view(observation[key], each) for key, each in space.items()}
        return observation - space.start if isinstance(space, spaces.Discrete) else observation


def taken_by_sb3(space: spaces.Space) -> spaces.Space:
    """See ``ForSB3``."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key.replace(".", "_"): taken_by_sb3(each) for key, each in space.items()})
    return spaces.Discrete(int(space.n)) if isinstance(space, spaces.Discrete) else space


def make_env(
    observation: str = "box",
    action: str = "discrete",
    n_envs: int = 1,
    wrap: Callable[[gym.Env], gym.Env] = lambda env: env,
    **kwargs: Any,
) -> VecEnv:
    """Monitored copies of the point environment."""
    return DummyVecEnv([lambda: Monitor(wrap(PointEnv(observation, action, **kwargs)))] * n_envs)


def success_rate(model: BaseAlgorithm, n_episodes: int = 60) -> float:
    """Success rate of the greedy policy on the goal environment."""
    action = "discrete" if isinstance(model.action_space, spaces.Discrete) else "box"
    env, successes = make_env("goal", action, n_envs=4), []
    env.seed(5)

    def note(local: dict[str, Any], _: Any) -> None:
        if local["done"]:
            successes.append(local["info"]["is_success"])

    evaluate_policy(model, env, n_eval_episodes=n_episodes, callback=note)
    return float(np.mean(successes))


def assert_same_actions(one: BaseAlgorithm, other: BaseAlgorithm, env: VecEnv, n_steps: int = 20) -> None:
    """Assert that two agents act identically while the first one plays."""
    observation: Any = env.reset()
    for _ in range(n_steps):
        (action, _), (same, _) = (each.predict(observation, deterministic=True) for each in (one, other))
        np.testing.assert_array_equal(action, same)
        observation, *_ = env.step(action)


def make_store(
    observation: str = "box",
    action: str = "discrete",
    n_episodes: int = 8,
    seed: int = 0,
    actions: bool = True,
    rewards: bool = True,
    length: int = 12,
) -> TrajectoryStore:
    """Random play. Images are channel-first, as Stable-Baselines3 passes them to agents; commands are left out."""
    env = PointEnv(observation, action, max_steps=length)
    env.action_space.seed(seed)
    episodes = []
    for number in range(n_episodes):
        seen, acted, rewarded, ended = [env.reset(seed=1000 * seed + number)[0]], [], [], False
        while not ended:
            acted.append(env.action_space.sample())
            observed, reward, terminated, truncated, _ = env.step(acted[-1])
            seen.append(observed)
            rewarded.append(reward)
            ended = terminated or truncated
        episodes.append(
            Episode(
                facts(seen),
                np.array(acted) if actions else None,
                np.array(rewarded) if rewards else None,
                terminated=terminated,
            )
        )
    return TrajectoryStore.from_episodes(episodes, name="test play", action_space=env.action_space)


def facts(seen: list[Any]) -> dict[str, np.ndarray]:
    """Stack observations by key, without commands."""
    columns = seen if isinstance(seen[0], dict) else [{"observation": each} for each in seen]
    stacked = {key: np.stack([each[key] for each in columns]) for key in columns[0] if key != "desired_goal"}
    return {key: np.moveaxis(value, -1, 1) if value.ndim == 4 else value for key, value in stacked.items()}
