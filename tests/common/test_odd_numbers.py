"""Numbers that torch, NumPy or Python would refuse with exceptions of their own, and other odd values."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gcrl_zoo import BC, GCSL, DTVICReg
from gcrl_zoo.common.arguments import has_device
from gcrl_zoo.common.values import plain
from gcrl_zoo.data import open_store
from gcrl_zoo.record import record
from gcrl_zoo.wrappers import FixedGoal, ReturnToGo
from tests.support.envs import PointEnv

SMALL = dict(learning_starts=10, train_freq=10, gradient_steps=1, batch_size=8, device="cpu", seed=0)
HUGE = 10**30


def refusal(call: Any) -> str:
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bc(**kwargs: Any) -> BC:
    return BC("MlpPolicy", gym.make("CartPole-v1"), **{**SMALL, **kwargs})


@pytest.mark.parametrize("name", ["action_weight", "vicreg_weight"])
def test_a_huge_whole_weight_counts_like_the_same_float(name: str) -> None:
    tiny = dict(embed_dim=16, n_layers=1, n_heads=1, context_length=3, max_timesteps=500)
    for number in (HUGE, float(HUGE)):
        env = ReturnToGo(gym.make("CartPole-v1"))
        model = DTVICReg("MultiInputPolicy", env, policy_kwargs=tiny, **{**SMALL, name: number})
        assert getattr(model, name) == 1e30
        assert type(getattr(model, name)) is float
        learned(model)


@pytest.mark.parametrize("name", ["target_horizon", "detour_penalty"])
def test_a_huge_whole_number_of_gcsl(name: str) -> None:
    model = GCSL("MultiInputPolicy", FixedGoal(PointEnv(), goal=[0.0, 0.0], threshold=0.1), **{**SMALL, name: HUGE})
    assert type(getattr(model, name)) is float
    learned(model)


def learned(model: Any) -> None:
    try:
        model.learn(40)
    except ValueError as error:  # one sentence of ours: such a loss is not finite
        assert "finite" in str(error) or "NaN" in str(error) or "diverged" in str(error), error


@pytest.mark.parametrize("number", [2**63, -(2**63), HUGE, -HUGE])
def test_whole_numbers_beyond_64_bits_become_floats(number: int) -> None:
    assert plain({"a": [number]}) == {"a": [float(number)]}
    assert type(plain(number)) is float
    assert type(plain(2**62)) is int


@pytest.mark.parametrize("given", ["a", 2.5, -1, True, float("nan"), [1]])
def test_log_interval(given: Any) -> None:
    assert refusal(lambda: bc().learn(20, log_interval=given)).startswith("log_interval is ")


@pytest.mark.parametrize("given", [None, 0, 10, 10.0, np.int64(10)])
def test_log_intervals_that_are_allowed(given: Any) -> None:
    assert bc().learn(20, log_interval=given).num_timesteps == 20


def test_one_example_for_train_freq() -> None:
    assert refusal(lambda: bc(train_freq=2.5)).count("such as") == 1
    assert refusal(lambda: bc(batch_size=8.5)).endswith(", such as 8.")


def test_the_meta_device_is_none() -> None:
    assert "give a device that this machine has" in refusal(lambda: bc(device="meta"))
    assert not has_device("meta:0")
    assert has_device("cpu")


@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_name_of_a_dataset(given: str) -> None:
    assert "is empty" in refusal(lambda: bc(dataset=given))
    assert "is empty" in refusal(lambda: open_store(given))


@pytest.mark.parametrize("argument", ["n_episodes", "n_timesteps", "n_envs", "seed"])
@pytest.mark.parametrize("given", ["a", 2.5, -1, float("nan"), True, [1]])
@pytest.mark.usefixtures("datasets")
def test_numbers_of_record(argument: str, given: Any) -> None:
    amount = {} if argument in ("n_episodes", "n_timesteps") else {"n_episodes": 1}
    message = refusal(lambda: record(None, "CartPole-v1", "odd/numbers-v0", **{**amount, argument: given}))
    assert f"{argument} is {given!r}" in message
