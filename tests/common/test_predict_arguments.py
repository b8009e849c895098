"""``predict`` takes numbers of any dtype, and refuses in one sentence what its networks cannot use."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gcrl_zoo.common.window_policy import WindowPolicy
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.case import trajectory_cases
from tests.support.envs import PointEnv
from tests.support.matrix import every_trajectory_case


class WithCategories(gym.ObservationWrapper):
    """A Dict observation with a number of each kind that is encoded as a category."""

    def __init__(self, env):
        super().__init__(env)
        kinds = {"one": spaces.Discrete(3, start=1), "several": spaces.MultiDiscrete([2, 3])}
        self.observation_space = spaces.Dict({"observation": env.observation_space, **kinds})

    def observation(self, observation):
        return {"observation": observation, "one": np.int64(1), "several": np.zeros(2, np.int64)}


class WideReturn(gym.ObservationWrapper):
    """Return-to-go in float64, as a user's own wrapper may count it."""

    def __init__(self, env):
        super().__init__(env)
        wide = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict({**env.observation_space.spaces, "return_to_go": wide})

    def observation(self, observation):
        return {**observation, "return_to_go": observation["return_to_go"].astype(np.float64)}


def each_entry(space, value):
    return {key: value(each) for key, each in space.items()} if isinstance(space, spaces.Dict) else value(space)


@every_trajectory_case
@pytest.mark.parametrize("n", [None, 2], ids=["one", "batch"])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, list])
def test_the_dtype_of_an_observation_does_not_matter(case, n, dtype):
    model = case.make()
    shape = () if n is None else (n,)
    plain = each_entry(model.observation_space, lambda space: np.ones(shape + space.shape, space.dtype))
    convert = (lambda each: each.tolist()) if dtype is list else (lambda each: each.astype(dtype))
    given = {key: convert(each) for key, each in plain.items()} if isinstance(plain, dict) else convert(plain)
    expected = model.predict(plain, deterministic=True)[0]
    np.testing.assert_array_equal(model.predict(given, deterministic=True)[0], expected)


@pytest.mark.parametrize("case", [case for case in trajectory_cases() if case.algorithm.needs.return_to_go], ids=str)
def test_the_dtype_of_the_return_to_go_does_not_matter_in_learning(case):
    model = case.make(WideReturn(ReturnToGo(PointEnv()))).learn(40)
    assert model.num_timesteps == 40


OUTSIDE = {"above": ("one", 7), "below": ("one", 0), "not a number": ("one", np.nan), "second": ("several", [1, 3])}
OUTSIDE["negative"] = "several", [1, -1]


# A batch goes to the networks unchecked, and there a negative one of several categories has the place of another.
WRONG = [(key, value, n) for key, value in OUTSIDE.values() for n in (None, 2) if n is None or np.min(value) >= 0]


@every_trajectory_case
@pytest.mark.parametrize(("key", "value", "n"), WRONG, ids=str)
def test_a_category_that_does_not_exist_is_refused(case, key, value, n):
    env = case.wrap(WithCategories(PointEnv()))
    model = case.make(env)
    observation = {**env.reset(seed=0)[0], key: np.array(value)}
    if n:
        observation = {name: np.stack([each] * n) for name, each in observation.items()}
    refusal(ValueError, lambda: model.predict(observation), f"'{key}'", "Discrete")


STATES = {"text": "x", "number": 5, "empty": (), "list": [], "nothing": (None,) * 4, "array": np.zeros(3), "dict": {}}


with_memory = pytest.mark.parametrize(
    "case",
    [
        case
        for case in trajectory_cases()
        if issubclass(case.algorithm.policy_aliases["MultiInputPolicy"], WindowPolicy)
    ],
    ids=str,
)


def zeros(model, n):
    space = model.observation_space
    if not isinstance(space, spaces.Dict):
        return np.zeros((n, *space.shape), space.dtype)
    return {key: np.zeros((n, *each.shape), each.dtype) for key, each in space.items()}


@with_memory
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_state_of_another_kind_is_refused(case, state):
    model = case.make()
    refusal(ValueError, lambda: model.predict(zeros(model, 2), state=state), "state", "2 environments", "None")


@with_memory
@pytest.mark.parametrize("attention", ["window", "banded"])
@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1), (2, 3)])
def test_a_state_of_another_number_of_environments_is_refused(case, attention, before, now):
    if attention == "banded" and case.name == "video_vicreg":
        pytest.skip("it has no banded attention")
    model = case.make(policy_kwargs={**case.kwargs["policy_kwargs"], "attention": attention})
    state = model.predict(zeros(model, before))[1]
    observation = zeros(model, now)
    refusal(ValueError, lambda: model.predict(observation, state=state), "state", f"{now} environment")
    starts = np.zeros(now + 2, dtype=bool)
    state = model.predict(observation)[1]
    refusal(ValueError, lambda: model.predict(observation, state=state, episode_start=starts), "episode_start")
