"""Data and rewards that are hardly meant so: the message says what was found."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gcrl_zoo import BC, DT, GCSL
from gcrl_zoo.data import Episode, TrajectoryStore, open_store
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.data.formats.test_d4rl import columns, write
from tests.support.envs import PointEnv

# ------------------------------------------------------------------ marks of D4RL


@pytest.mark.parametrize("marks", ["terminals", "timeouts", "both"])
def test_rows_that_all_end_an_episode(tmp_path: Path, marks: str) -> None:
    changes = {key: np.full(15, marks in (key, "both")) for key in ("terminals", "timeouts")}
    path = write(tmp_path / "data.npz", columns(next_observations=None, **changes))
    refusal(ValueError, lambda: open_store(path), str(path), "each of its 15 rows", "'terminals' or 'timeouts'")
    write(path, columns(**changes))  # where each row is a whole step, and still no episode to learn from
    refusal(ValueError, lambda: open_store(path), f"Every episode of {path} has one step only")


@pytest.mark.parametrize("followed", [True, False])
def test_rows_of_which_none_ends_an_episode(tmp_path: Path, followed: bool) -> None:
    rows = np.arange(16, dtype=np.float32)[:, None]
    changes: dict[str, Any] = {key: np.zeros(15, dtype=bool) for key in ("terminals", "timeouts")}
    changes |= {"observations": rows[:-1], "rewards": np.zeros(15)}
    path = write(tmp_path / "data.npz", columns(next_observations=rows[1:] if followed else None, **changes))
    with pytest.warns(UserWarning) as caught:
        store = open_store(path)
    assert store.lengths.tolist() == [15 if followed else 14]
    (told,) = [str(each.message) for each in caught]
    assert str(path) in told and "15 rows are read as one episode" in told


# ------------------------------------------------------------------ rewards


class Paid(PointEnv):
    """Gives one reward, whatever happens, from the third step on."""

    def __init__(self, reward: Any) -> None:
        super().__init__()
        self.reward = reward

    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = super().step(action)
        return observation, self.reward if self.steps > 2 else reward, False, truncated, info


@pytest.mark.parametrize("reward", [None, "a", [1.0, 2.0], {}], ids=repr)
def test_a_reward_that_is_no_number(reward: Any) -> None:
    make = lambda: DT("MlpPolicy", ReturnToGo(Paid(reward)), device="cpu").learn(20)  # noqa: E731
    refusal(ValueError, make, f"gave the reward {reward!r} of type {type(reward).__name__}", "return one number")


@pytest.mark.parametrize("reward", [1e300, -1e39, np.float64(1e200)], ids=repr)
def test_a_reward_beyond_float32_is_shown(reward: float) -> None:
    for algorithm, env in ((BC, Paid(reward)), (DT, ReturnToGo(Paid(reward)))):
        make = lambda a=algorithm, e=env: a("MlpPolicy", e, learning_starts=50, device="cpu").learn(20)  # noqa: E731
        refusal(ValueError, make, f"gave the reward {reward} at step 2")


@pytest.mark.parametrize("value", [1e300, -1e39, 1e39])
@pytest.mark.parametrize("part", ["rewards", "actions", "observation"])
def test_an_episode_shows_the_value_given(part: str, value: float) -> None:
    given = {"rewards": np.ones(4), "actions": np.ones((4, 2)), "observation": np.ones((5, 2))}
    given[part][2] = value
    make = lambda: Episode({"observation": given["observation"]}, given["actions"], given["rewards"])  # noqa: E731
    refusal(ValueError, make, f"holds {value}, beyond 3.4e+38 (float32), in ", "at step 2")


# ------------------------------------------------------------------ actions outside of their Box


class Moved(gym.Wrapper[Any, Any, Any, Any]):
    """Another action space."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(PointEnv(action="box"))
        self.action_space = space


def with_actions(actions: Any) -> TrajectoryStore:
    rng = np.random.default_rng(0)
    episodes = [Episode({"observation": rng.normal(size=(13, 2))}, actions, np.ones(12))] * 3
    return TrajectoryStore.from_episodes(episodes, name="mine")


SPACES = {
    "unit": spaces.Box(-1, 1, (2,)),
    "wide": spaces.Box(-1e4, 1e4, (2,)),
    "uneven": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 1e4], np.float32)),
    "double": spaces.Box(-0.1, 0.1, (2,), np.float64),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("algorithm", [BC, GCSL])
def test_actions_outside_of_the_box_are_warned_of_once(space: spaces.Box, algorithm: Any) -> None:
    actions = np.tile(space.low, (12, 1))
    actions[7, 0] -= 49
    actions[3, 1] = space.high[1] + 2
    env: Any = Moved(space)
    if algorithm is GCSL:
        env = gym.wrappers.TransformAction(PointEnv("goal", "box"), lambda a: a, space)
        episodes = [
            Episode({"observation": np.ones((13, 2)), "achieved_goal": np.ones((13, 2))}, actions, np.ones(12))
        ] * 3
        store = TrajectoryStore.from_episodes(episodes, name="mine")
    else:
        store = with_actions(actions)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        policy = "MultiInputPolicy" if algorithm is GCSL else "MlpPolicy"
        agent = algorithm(policy, env, dataset=store, own_play=False, batch_size=8, device="cpu").learn(4)
        agent.learn(4)
    (told,) = [str(each.message) for each in caught if "outside" in str(each.message)]
    assert "dataset 'mine' has actions outside" in told and "6 of 36" in told and "\n" not in told
    assert f"such as {actions[7, 0]:g}, which is 49 beyond" in told


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_actions_at_the_bounds_are_silent(space: spaces.Box) -> None:
    ends = np.tile(np.stack([space.low, space.high]), (6, 1)).astype(np.float64)
    for actions in (ends, ends * (1 + 1e-6), ends.astype(np.float32)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            BC("MlpPolicy", Moved(space), dataset=with_actions(actions), own_play=False, batch_size=8, device="cpu")


# ------------------------------------------------------------------ scale of pixels


def test_pixels_on_another_scale_than_the_environment() -> None:
    space = spaces.Box(0, 1, (6, 6, 3), np.float32)

    class Camera(gym.Env[Any, Any]):
        observation_space, action_space = space, spaces.Discrete(2)

    pixels = np.random.default_rng(0).integers(0, 256, (21, 6, 6, 3), np.uint8)
    for images in (pixels, pixels > 127, pixels // 255):
        store = TrajectoryStore.from_episodes([Episode({"observation": images}, np.arange(20) % 2, np.ones(20))])
        if images is pixels:
            told = ("observation 'observation' holds 25", "Box(0.0, 1.0, (6, 6, 3), float32); scale them")
            refusal(ValueError, lambda store=store: BC("MlpPolicy", Camera(), dataset=store), *told)
        else:
            BC("MlpPolicy", Camera(), dataset=store)
