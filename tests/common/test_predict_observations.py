"""``predict`` takes all that fits, in every form, and refuses all else in one sentence that names a missing wrapper."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

import gcrl_zoo.wrappers
from gcrl_zoo import BC, DT, GCSL
from gcrl_zoo.common.observations import is_batch, to_batch
from tests.common.test_bad_input import refusal
from tests.support.case import data_of
from tests.support.envs import OBSERVATION_SPACES, PointEnv
from tests.support.matrix import every_trajectory_case

SPACES = {
    **{key: space for key, space in OBSERVATION_SPACES.items() if key != "image"},
    "image": spaces.Box(0, 255, (1, 36, 36), np.uint8),
    "matrix": spaces.Box(-1, 1, (2, 3)),
    "square": spaces.MultiDiscrete([[2, 3], [4, 5]]),
}
SPACES["dict"] = spaces.Dict({key: space for key, space in SPACES.items() if key not in ("dict", "goal")})
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def batch_of(space, samples):
    if isinstance(space, spaces.Dict):
        return {key: np.stack([sample[key] for sample in samples]) for key in space}
    return np.stack(samples)


def assert_equal(space, one, other):
    for key in space if isinstance(space, spaces.Dict) else [...]:
        np.testing.assert_array_equal(one[key], other[key])


@every_space
def test_one_observation_and_a_batch_are_told_apart(space):
    space.seed(0)
    samples = [space.sample() for _ in range(3)]
    batch = batch_of(space, samples)
    found, several = to_batch(batch, space)
    assert several and is_batch(batch, space) and is_batch(found, space)
    assert_equal(space, found, batch)
    found, several = to_batch(samples[0], space)
    assert not several and not is_batch(samples[0], space)
    assert_equal(space, found, batch_of(space, samples[:1]))


@every_space
def test_lists_and_arrays_that_torch_cannot_use_are_taken(space):
    space.seed(0)
    samples = [space.sample(), space.sample()]
    expected = batch_of(space, samples)
    as_list = (
        {key: each.tolist() for key, each in expected.items()} if isinstance(expected, dict) else expected.tolist()
    )
    assert_equal(space, to_batch(as_list, space)[0], expected)
    if not isinstance(space, spaces.Dict):
        expected.flags.writeable = False
        for odd in (expected, expected[::-1]):
            assert not is_batch(odd, space)
            np.testing.assert_array_equal(to_batch(odd, space)[0], odd)


def test_images_come_in_both_layouts():
    space, last = SPACES["image"], np.zeros((36, 36, 1), np.uint8)
    for image, several in ((last, False), (last[None], True), (np.moveaxis(last, -1, 0), False)):
        batch, was_batch = to_batch(image, space)
        assert batch.shape == (1, 1, 36, 36) and was_batch == several


@every_trajectory_case
def test_what_gymnasium_resets_to_is_refused(case):
    """Stable-Baselines3's own sentence for the Gymnasium API in place of that of a VecEnv."""
    model = case.make()
    refusal(ValueError, lambda: model.predict(case.wrap(PointEnv()).reset()), "tuple", "mixing Gym API", "obs, info")


WRONG = {
    "shape": np.zeros(3),
    "batch of a shape": np.zeros((2, 3)),
    "number": 3.0,
    "nothing": None,
    "text": "left",
    "objects": np.array([None, None]),
    "ragged": [[1.0, 2.0], [1.0]],
}


@every_trajectory_case
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_refused(case, wrong):
    model = case.make()
    space = model.observation_space
    if isinstance(space, spaces.Dict):
        sample = {key: np.zeros(each.shape) for key, each in space.items()}
        told = refusal(ValueError, lambda: model.predict({**sample, "observation": wrong}), "'observation'")
    else:
        told = refusal(ValueError, lambda: model.predict(wrong), "observation")
    assert "shape" in told or "numbers" in told


def test_entries_of_unequal_numbers_are_refused():
    model = GCSL("MultiInputPolicy", PointEnv("goal"))
    entries = {"observation": np.zeros((3, 2)), "achieved_goal": np.zeros((2, 2)), "desired_goal": np.zeros(2)}
    refusal(ValueError, lambda: model.predict(entries), "(3, 2)", "(2, 2)", "(2,)")


MISSING = {
    "return": (DT, "gcrl_zoo.wrappers.ReturnToGo"),
    "goal": (GCSL, "gcrl_zoo.wrappers.FixedGoal"),
}


def agent(kind, **kwargs):
    """An agent that needs a wrapper, and its environment with and without."""
    algorithm, _ = MISSING[kind]
    wrap = gcrl_zoo.wrappers.ReturnToGo if kind == "return" else fixed_goal
    return algorithm("MultiInputPolicy", wrap(PointEnv()), **kwargs), wrap(PointEnv()), PointEnv()


def fixed_goal(env):
    return gcrl_zoo.wrappers.FixedGoal(env, goal=[0.5, 0.5], threshold=0.3)


@pytest.mark.parametrize("kind", MISSING)
def test_an_environment_without_its_wrapper_is_refused_with_the_wrapper(kind):
    model, wrapped, bare = agent(kind)
    _, wrapper = MISSING[kind]
    entry = wrapped.reset()[0]
    key = "return_to_go" if kind == "return" else "desired_goal"
    for observation in (bare.reset()[0], bare.reset()[0][None], {k: v for k, v in entry.items() if k != key}):
        refusal(ValueError, lambda given=observation: model.predict(given), key, wrapper)
    refusal(ValueError, lambda: evaluate_policy(model, bare, n_eval_episodes=1, warn=False), key, wrapper)
    vec_env = DummyVecEnv([PointEnv, PointEnv])
    refusal(ValueError, lambda: evaluate_policy(model, vec_env, n_eval_episodes=1, warn=False), key, wrapper)
    evaluate_policy(model, wrapped, n_eval_episodes=1, warn=False)


def test_an_evaluation_callback_without_the_wrapper_is_refused_with_it():
    model, _, bare = agent("return", **{**data_of("dataset"), "batch_size": 4})
    callback = EvalCallback(bare, eval_freq=1, n_eval_episodes=1, verbose=0, warn=False)
    refusal(ValueError, lambda: model.learn(2, callback), "'return_to_go'", "gcrl_zoo.wrappers.ReturnToGo")


@pytest.mark.parametrize("kind", MISSING)
def test_a_plain_agent_in_a_wrapped_environment_is_told_to_leave_the_wrapper_out(kind):
    model, (_, wrapped, _) = BC("MlpPolicy", PointEnv()), agent(kind)
    wrapper = "ReturnToGo" if kind == "return" else "goal wrapper"
    refusal(ValueError, lambda: model.predict(wrapped.reset()[0]), "leave out", wrapper)
    refusal(ValueError, lambda: evaluate_policy(model, wrapped, warn=False), "leave out", wrapper)


def test_a_dict_with_other_keys_names_them():
    model = BC("MultiInputPolicy", PointEnv("goal"))
    sample = model.observation_space.sample()
    refusal(ValueError, lambda: model.predict({**sample, "camera": 1}), "'camera'")
    refusal(ValueError, lambda: model.predict({}), "'achieved_goal'", "is missing")
    refusal(ValueError, lambda: BC("MlpPolicy", PointEnv()).predict({"camera": 1}), "'camera'")


@pytest.mark.parametrize("advised", ["refused in predict", "refused in the constructor"])
def test_the_advice_works_as_it_is_written(advised):
    """``DT("MlpPolicy", "CartPole-v1")``, and an agent in an environment without the wrapper."""
    env = gym.make("CartPole-v1")
    settings = {"learning_starts": 0, "policy_kwargs": {"embed_dim": 16, "n_layers": 1}}
    if advised == "refused in predict":
        model = DT("MlpPolicy", gcrl_zoo.wrappers.ReturnToGo(gym.make("CartPole-v1")), **settings)
        told = refusal(ValueError, lambda: model.predict(env.reset(seed=0)[0]), "ReturnToGo")
    else:
        told = refusal(ValueError, lambda: DT("MlpPolicy", "CartPole-v1"), "DT", "'return_to_go'")
    names = {"gcrl_zoo": gcrl_zoo, "env": env}
    exec(told.split("`")[3], names)  # the first advice is for YAML
    DT("MlpPolicy", names["env"], **settings).predict(names["env"].reset(seed=0)[0])
