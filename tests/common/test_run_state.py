"""The state of a run: another agent that loads it continues with the same bits."""

import copy
import functools
import io
import json

import numpy as np
import pytest

from tests.support.case import data_of, differing, trajectory_cases, weights_of
from tests.support.matrix import every_trajectory_case

STEPS = 14


def assert_plain(value):
    """Numbers, text and arrays in dicts and lists: what can be written without running code when it is read."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            assert_plain(each)
    elif not isinstance(value, np.ndarray):
        json.dumps(value)


def halves(make, steps):
    """
    An agent after some steps, and an equal agent whose run was saved at that point and loaded by a new agent, which
    takes over the environment.
    """
    model, stopped = make().learn(steps), make().learn(steps)
    state, file = stopped._run.state_dict(), io.BytesIO()
    assert_plain(state)
    stopped.save(file)
    file.seek(0)
    data = {name: getattr(stopped, name) for name in ("dataset", "stream")}
    loaded = type(stopped).load(file, env=stopped.env, force_reset=False, seed=7, **data)
    loaded._setup_learn(STEPS, reset_num_timesteps=False)
    loaded._run.load_state_dict(state)
    return model, loaded


def assert_same_future(model, other):
    for each in (model, other):
        each.learn(STEPS, reset_num_timesteps=False)
    assert not differing(weights_of(model), weights_of(other))
    assert not differing(model._run.state_dict()["counters"], other._run.state_dict()["counters"])
    assert model._run.streams.state_dict() == other._run.streams.state_dict()
    if model.plays:
        for mine, others in zip(model.replay_buffer.episodes(), other.replay_buffer.episodes(), strict=True):
            for key, values in mine.observations.items():
                np.testing.assert_array_equal(values, others.observations[key])
            np.testing.assert_array_equal(mine.actions, others.actions)


@every_trajectory_case
@pytest.mark.parametrize("noise_hold", [1, 3], ids=["drawn", "held"])
def test_own_play_continues_within_unfinished_episodes(case, noise_hold):
    observation, action = ("goal", "discrete") if noise_hold == 1 else ("dict", "box")
    make = functools.partial(case.make, noise_hold=noise_hold, **PLAY)
    model, other = halves(lambda: make(case.env(observation, action, n_envs=2)), 26)
    assert model._run.collector.builder.lengths.any() and model.replay_buffer.n_episodes
    assert_same_future(model, other)


PLAY = {"learning_starts": 8, "train_freq": 6, "gradient_steps": 1, "max_episode_steps": 9}


@every_trajectory_case
def test_training_from_a_dataset_continues(case):
    source = "dataset" if "dataset" in case.sources else case.sources[0]
    assert_same_future(*halves(lambda: case.make(case.env(n_envs=2), **data_of(source)), 8))


def test_random_play_continues():
    case = trajectory_cases()[0]
    make = functools.partial(case.make, **{**PLAY, "learning_starts": 99}, noise_hold=4)
    with pytest.warns(UserWarning, match="Nothing was learned"):
        assert_same_future(*halves(lambda: make(case.env(action="box", n_envs=2)), STEPS))


def test_a_state_is_a_copy():
    case = trajectory_cases()[0]
    model = case.make(**PLAY).learn(STEPS)
    state = model._run.state_dict()
    before = copy.deepcopy(state)
    model.learn(STEPS, reset_num_timesteps=False)
    assert not differing(as_lists(before), as_lists(state))


def as_lists(value):
    if isinstance(value, dict):
        return {key: as_lists(each) for key, each in value.items()}
    return [as_lists(each) for each in value] if isinstance(value, list) else np.asarray(value).tolist()
