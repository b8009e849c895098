"""Networks and batches that do not fit into memory are refused in one sentence before they are made."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from gcrl_zoo import BC, DT
from gcrl_zoo.common import memory_checks
from gcrl_zoo.registry import discover
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.case import trajectory_cases

VECTOR, CHOICE = spaces.Box(-1, 1, (3,)), spaces.Discrete(3)


class Bare(gym.Env):
    """It has these spaces, and is refused before it is asked to play."""

    def __init__(self, observation: spaces.Space = VECTOR, action: spaces.Space = CHOICE) -> None:
        self.observation_space, self.action_space = observation, action


def refusal(algorithm: Any, env: gym.Env, **kwargs: Any) -> str:
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    with pytest.raises(ValueError) as caught:
        algorithm(policy, env, device="cpu", **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def four_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_checks, "available_memory", lambda: 2**32)


@pytest.mark.parametrize(
    ("observation", "action", "kwargs", "words"),
    [
        (VECTOR, CHOICE, {"net_arch": [8192] * 64}, "lower net_arch"),
        (VECTOR, spaces.Box(-1, 1, (2,)), {"net_arch": [8192] * 64}, "lower net_arch"),
        (VECTOR, spaces.Discrete(10**9), {}, "make the action space Discrete(1000000000) smaller"),
        (spaces.Discrete(2**40), CHOICE, {}, "make the observation space Discrete(1099511627776) smaller"),
        (spaces.Discrete(2**62), CHOICE, {}, "make the observation space"),
        (spaces.MultiDiscrete([2**40, 3]), CHOICE, {}, "make the observation space"),
    ],
)
def test_networks(observation: Any, action: Any, kwargs: dict, words: str, four_gib: None) -> None:
    message = refusal(BC, Bare(observation, action), policy_kwargs=kwargs)
    assert words in message
    assert "parameters" in message
    assert "4.00 GiB are available" in message


def test_a_transformer(four_gib: None) -> None:
    message = refusal(DT, ReturnToGo(Bare()), policy_kwargs={"embed_dim": 8192, "n_layers": 256})
    assert "lower embed_dim" in message
    assert "n_layers" in message


def test_batches(four_gib: None) -> None:
    long = {"context_length": 2048, "embed_dim": 16}
    message = refusal(DT, ReturnToGo(Bare()), policy_kwargs=long, batch_size=1_000_000)
    assert "lower batch_size or context_length in policy_kwargs" in message
    images = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    assert refusal(BC, Bare(images), batch_size=1_000_000).endswith("lower batch_size.")


def test_actions_without_entries() -> None:
    for shape in [(0,), (2, 0)]:
        assert "has no entries" in refusal(BC, Bare(action=spaces.Box(-1, 1, shape)))


@pytest.mark.parametrize("action", [CHOICE, spaces.Box(-1, 3, (2,))], ids=str)
@pytest.mark.parametrize("name", [case.name for case in trajectory_cases()])
def test_the_count_is_exact_and_draws_no_random_numbers(name: str, action: spaces.Space) -> None:
    algorithm = discover()[name].algorithm
    parts = {"observation": VECTOR, "achieved_goal": VECTOR, "desired_goal": VECTOR}
    env = ReturnToGo(Bare(action=action)) if name.startswith("dt") else Bare(spaces.Dict(parts), action)
    model = algorithm("MultiInputPolicy", env, device="cpu", seed=0)
    before = th.get_rng_state()
    assert memory_checks._count(model._make_policy) == sum(each.numel() for each in model.policy.parameters())
    assert th.equal(before, th.get_rng_state())
