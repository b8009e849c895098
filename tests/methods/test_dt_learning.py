"""The Decision Transformer learns what it is for: to remember, and to do as well as it is asked to."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo import BC, DT
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.envs import PIXELS

DOORS, AHEAD = 4, 4
BUTTONS, PRESSES = 4, 8
SEED = 0  # of all agents; margins are such that others do as well
POLICY = {
    DT: {"embed_dim": 32, "n_layers": 2, "dropout": 0.0, "max_timesteps": 20, "image_features": 32},
    BC: {"net_arch": [64], "image_features": 32},
}


class Doors(gym.Env):
    """
    A corridor that leads to four doors. A sign at its beginning, and nowhere else, says which door is the right one,
    which brings 1. Each sign is seen equally often: who cannot remember it opens a quarter of the right doors.
    """

    observation_space = spaces.Discrete(DOORS + 2)  # a sign, the corridor, the doors
    action_space = spaces.Discrete(DOORS + 1)  # open a door, or go ahead
    number = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.number += 1
        self.sign, self.left, self.steps = self.number % DOORS, int(self.np_random.integers(2, 5)), 0
        return self.sign, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        opened = self.left == 0 and action != AHEAD
        self.left -= int(self.left > 0 and action == AHEAD)
        self.steps += 1
        seen = DOORS if self.left else DOORS + 1
        return seen, float(opened and action == self.sign), bool(opened), self.steps >= 12, {}

    def known(self) -> int:
        """What somebody does who knows."""
        return AHEAD if self.left else self.sign


class Dot(gym.Env):
    """A dot is shown once. Wait, and from the next picture on, which are all black, point at where it was."""

    observation_space = spaces.Box(0, 255, (PIXELS, PIXELS, 1), np.uint8)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-1, 1), 0
        image, row = self.black(), int((self.place + 1) / 2 * (PIXELS - 4))
        image[row : row + 4, 16:20] = 255
        return image, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        close = 1 - abs(float(action[0]) - self.place) if self.steps else 0.0
        self.steps += 1
        return self.black(), close, self.steps == 4, False, {}

    def black(self) -> np.ndarray:
        return np.zeros((PIXELS, PIXELS, 1), np.uint8)

    def known(self) -> np.ndarray:
        """What somebody does who knows, with a hand that shakes."""
        shaken = self.place * (self.steps > 0) + 0.1 * self.np_random.standard_normal()
        return np.array([np.clip(shaken, -1, 1)], np.float32)


class Buttons(gym.Env):
    """Four buttons are pressed eight times; the one that is lit, another each time, brings 1."""

    observation_space = spaces.Discrete(BUTTONS)
    action_space = spaces.Discrete(BUTTONS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.light(), {}

    def light(self) -> int:
        self.lit = int(self.np_random.integers(BUTTONS))
        return self.lit

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.lit)
        self.steps += 1
        return self.light(), reward, False, self.steps >= PRESSES, {}

    def known(self) -> int:
        """Nobody knows."""
        return int(self.np_random.integers(BUTTONS))


@cache
def played(task: type[gym.Env], n_episodes: int) -> TrajectoryStore:
    """By somebody who does what is ``known``."""
    env, episodes = task(), []
    for number in range(n_episodes):
        seen, acted, rewards, ended = [env.reset(seed=number)[0]], [], [], False
        while not ended:
            acted.append(env.known())
            observed, reward, terminated, truncated, _ = env.step(acted[-1])
            seen.append(observed)
            rewards.append(reward)
            ended = terminated or truncated
        episodes.append(Episode({"observation": np.array(seen)}, np.array(acted), np.array(rewards), terminated))
    return TrajectoryStore.from_episodes(episodes, name="played")


def make(task: type[gym.Env], n_envs: int = 1) -> VecEnv:
    return DummyVecEnv([lambda: Monitor(ReturnToGo(task()))] * n_envs)


def learned(algorithm, task, dataset, updates, learning_rate=2e-3, **policy_kwargs) -> BaseAlgorithm:
    """From the dataset alone."""
    settings = {"learning_rate": learning_rate, "batch_size": 64, "policy_kwargs": POLICY[algorithm] | policy_kwargs}
    model = algorithm("MultiInputPolicy", make(task), dataset=dataset, seed=SEED, device="cpu", **settings)
    return model.learn(updates)


def mean_return(model: BaseAlgorithm, deterministic: bool = True) -> float:
    env = make(type(model.get_env().envs[0].unwrapped))
    env.seed(1000)
    return float(evaluate_policy(model, env, 40, deterministic)[0])


def asked(model: BaseAlgorithm, target: float) -> float:
    """What it gets when it is asked for so much."""
    model.policy.set_target_return(target)
    return mean_return(model)


# ------------------------------------------------------------------ memory


@cache
def doors(algorithm, learning_rate=2e-3, **policy_kwargs) -> float:
    return mean_return(learned(algorithm, Doors, played(Doors, 200), 300, learning_rate, **policy_kwargs))


@cache
def dots(algorithm, **policy_kwargs) -> float:
    return mean_return(learned(algorithm, Dot, played(Dot, 200), 200, 1e-3, **policy_kwargs))


NO_MEMORY = {
    "bc": (BC, {}),
    "the last step and this one": (DT, {"context_length": 2}),
    "this step": (DT, {"context_length": 1}),
}


@pytest.mark.parametrize(
    "who",
    ["bc", *(pytest.param(who, marks=pytest.mark.thorough) for who in ("the last step and this one", "this step"))],
)
def test_a_sign_is_remembered(who):
    """At best 1; who opens doors by habit gets a quarter."""
    algorithm, policy_kwargs = NO_MEMORY[who]
    assert doors(DT, context_length=6) - doors(algorithm, **policy_kwargs) >= 0.5


@pytest.mark.slow
def test_a_sign_is_remembered_from_layer_to_layer():
    """A layer that sees three steps does not see from the doors to the sign: it is handed on."""
    wide = {"embed_dim": 64, "n_heads": 8}
    assert doors(DT, 1e-3, context_length=6, attention="banded", **wide) >= 0.75


@pytest.mark.thorough
@pytest.mark.parametrize("who", ["bc", "this step"])
def test_a_picture_is_remembered(who):
    """At best 3; who points at the middle gets 1.5."""
    algorithm, policy_kwargs = NO_MEMORY[who]
    assert dots(DT, context_length=4) - dots(algorithm, **policy_kwargs) >= 0.8


# ------------------------------------------------------------------ returns


@cache
def presser(shuffled=False) -> BaseAlgorithm:
    """Learned from random play, each episode with its own rewards or with those of another one."""
    store = played(Buttons, 1000)
    if shuffled:
        episodes = list(store.episodes())
        others = np.random.default_rng(0).permutation(len(episodes))
        episodes = [replace(each, rewards=episodes[i].rewards) for each, i in zip(episodes, others, strict=True)]
        store = TrajectoryStore.from_episodes(episodes, name="shuffled")
    return learned(DT, Buttons, store, 300, context_length=2)


@pytest.mark.parametrize("target", [0, 2, 4, 6])
def test_it_gets_what_it_is_asked_for(target):
    """Random play gets 2 in the mean, and 6 at most."""
    assert played(Buttons, 1000).returns.max() == 6
    assert asked(presser(), target) == pytest.approx(target, abs=1)


def test_asked_for_much_it_beats_bc():
    bc = learned(BC, Buttons, played(Buttons, 1000), 300)
    assert asked(presser(), 6) - mean_return(bc, deterministic=False) >= 2.5  # which plays as the data does


def test_returns_that_are_not_its_own_tell_nothing():
    shuffled = presser(shuffled=True)
    assert asked(presser(), 6) - asked(presser(), 0) >= 4
    assert asked(shuffled, 6) - asked(shuffled, 0) <= 2


# ------------------------------------------------------------------ own play


def went_on(folder, own_play: bool) -> float:
    """With the saved agent: as many updates again, twenty after each 256 steps where it plays."""
    play = {"own_play": True, "learning_starts": 0, "train_freq": 32, "gradient_steps": 20} if own_play else {}
    settings = {"dataset": played(Buttons, 200), "top_fraction": 0.1, "device": "cpu", **play}
    model = DT.load(folder / "agent", env=make(Buttons, 8 if own_play else 1), **settings)
    model.learn(256 * 10 if own_play else 200)
    assert model._n_updates == 400
    return mean_return(model)


def test_own_play_goes_beyond_the_dataset(tmp_path):
    """From a little random play, in which nobody got more than 5."""
    store = played(Buttons, 200)
    assert store.returns.max() == 5
    beginner = learned(DT, Buttons, store, 200, context_length=2)
    beginner.save(tmp_path / "agent")
    before = mean_return(beginner)
    assert before == pytest.approx(5, abs=0.5)
    assert went_on(tmp_path, own_play=True) - before >= 1.5
    assert went_on(tmp_path, own_play=False) - before <= 0.5, "more of the same does not"
