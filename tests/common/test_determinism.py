"""The same seed gives the same agent, and looking at it changes nothing."""

import copy

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import EvalCallback

from tests.support.case import data_of, differing, weights_of
from tests.support.matrix import every_case, every_trajectory_case, every_variant, sources_of, sources_of_all


@sources_of_all()
@pytest.mark.parametrize("action", ["discrete", "box"])
def test_same_seed_same_weights(case, source, action):
    def learned(seed):
        model = case.make(case.env("box", action, n_envs=2), seed=seed, **data_of(source, action=action))
        return weights_of(model.learn(72 if "own play" in source else 24))  # offline, that is 24 updates

    first = learned(3)
    assert not differing(first, learned(3))
    assert differing(first, learned(4))


@every_trajectory_case
def test_same_seed_same_weights_with_noise(case):
    def learned():
        return weights_of(case.make(case.env("box", "box"), noise_levels=(0.0, 0.5)).learn(72))

    assert not differing(learned(), learned())


@sources_of("dataset")
def test_evaluation_does_not_change_what_is_learned_offline(case, source):
    def learned(eval_freq, log_interval, deterministic=True):
        model = case.make(noise_levels=(0.5,), **data_of(source))
        evaluate = EvalCallback(case.env(), eval_freq=eval_freq, deterministic=deterministic, verbose=0)
        return weights_of(model.learn(40, evaluate, log_interval=log_interval))

    plain = learned(1000, None)
    assert not differing(plain, learned(10, None))
    assert not differing(plain, learned(7, 3, deterministic=False))


@sources_of("own play")
def test_evaluation_does_not_change_what_is_learned_from_own_play(case, source):
    def learned(eval_freq, log_interval):
        evaluate = EvalCallback(case.env(), eval_freq=eval_freq, verbose=0)
        return weights_of(case.make().learn(60, evaluate, log_interval=log_interval))

    assert not differing(learned(1000, None), learned(10, 7))


@every_variant
def test_log_lines_do_not_change_what_is_learned(case, variant):
    """Metrics that are computed for a log line draw no numbers that acting or training would have drawn."""

    def learned(log_interval):
        return weights_of(case.make(**variant).learn(72, log_interval=log_interval))

    assert not differing(learned(None), learned(9))


@every_case
@pytest.mark.parametrize("action", ["discrete", "box"])
@pytest.mark.parametrize("observation", ["box", "dict", "goal"])
def test_one_env_acts_as_many_do(case, observation, action):
    env = case.env(observation, action, n_envs=5)
    model = case.make(env).learn(60)
    many = env.reset()
    together, _ = model.predict(many, deterministic=True)
    for i, action in enumerate(together):
        row = {key: value[i] for key, value in many.items()} if isinstance(many, dict) else many[i]
        alone, _ = model.predict(row, deterministic=True)
        np.testing.assert_allclose(alone, action, atol=1e-5)


@every_case
@pytest.mark.parametrize("observation", ["box", "image", "goal"])
def test_predict_does_not_touch_its_arguments(case, observation):
    env = case.env(observation, n_envs=2)
    model = case.make(env).learn(60)
    observations, starts, state = env.reset(), np.ones(2, dtype=bool), None
    for _ in range(3):
        before = copy.deepcopy((observations, state, starts))
        _, new_state = model.predict(observations, state=state, episode_start=starts)
        assert not differing(*(to_tensors(each) for each in (before, (observations, state, starts))))
        state, starts = new_state, np.zeros(2, dtype=bool)


def to_tensors(value):
    """Arrays, at any depth, as tensors."""
    if isinstance(value, dict):
        return {key: to_tensors(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(to_tensors(each) for each in value)
    return th.as_tensor(value) if isinstance(value, np.ndarray) else value


@sources_of("own play")
def test_a_target_return_only_asks(case, source):
    """Acting for another return changes neither weights nor statistics."""
    model = case.make().learn(60)
    before = weights_of(model)
    model.policy.set_target_return(17.0)
    model.predict(case.env().reset())
    assert set(differing(before, weights_of(model))) <= {"/target_return"}
