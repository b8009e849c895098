"""Data is brought into the shape of the environment where that can be done without guessing."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from gcrl_zoo.common.data_layout import fit_layout
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.methods.gcsl import GCSL
from gcrl_zoo.methods.gcsl_vicreg import GCSLVICReg
from gcrl_zoo.wrappers import FixedGoal
from tests.support.envs import PointEnv, ask_for_goals, make_env, make_store
from tests.support.matrix import sources_of


def channels_last(store: TrajectoryStore) -> TrajectoryStore:
    """As a camera and Minari keep images."""
    turned = [
        replace(episode, observations={key: np.moveaxis(x, 1, -1) for key, x in episode.observations.items()})
        for episode in store.episodes()
    ]
    return TrajectoryStore.from_episodes(turned, name="camera")


def test_images_of_a_dataset_are_turned_as_sb3_turns_those_of_an_environment():
    first = make_store("image")
    shape = first.take("observation", first.steps[:1]).shape[1:]
    roles = Roles.of(spaces.Box(0, 255, shape, np.uint8))
    turned = fit_layout(channels_last(first), roles)
    assert turned.name == "camera"
    for a, b in zip(first.episodes(), turned.episodes(), strict=True):
        np.testing.assert_array_equal(a.observations["observation"], b.observations["observation"])
        np.testing.assert_array_equal(a.actions, b.actions)


def test_what_fits_already_is_not_copied():
    store = make_store("image")
    shape = store.take("observation", store.steps[:1]).shape[1:]
    assert fit_layout(store, Roles.of(spaces.Box(0, 255, shape, np.uint8))) is store
    vectors = make_store("box")
    assert fit_layout(vectors, Roles.of(PointEnv("box").observation_space)) is vectors


def test_images_are_turned_when_they_are_read_and_forgotten_with_their_dataset():
    camera = channels_last(make_store("image"))
    turned = fit_layout(camera, Roles.of(spaces.Box(0, 255, (1, 36, 36), np.uint8)))
    camera.append(camera.episode(0))
    assert turned.n_episodes == camera.n_episodes
    alive = weakref.ref(turned), weakref.ref(camera)
    del camera, turned
    gc.collect()
    assert [each() for each in alive] == [None, None]


@sources_of("dataset")
def test_an_agent_sees_that_a_dataset_of_images_has_grown(case, source):
    camera = channels_last(make_store("image"))
    model = case.make(case.env("image"), dataset=camera).learn(2)
    for episode in list(camera.episodes()):
        camera.append(episode)
    model.learn(2)
    assert model._learner.samplers["labelled"].store.n_episodes == camera.n_episodes == 16


def test_an_agent_learns_from_images_as_a_camera_keeps_them():
    agent = GCSLVICReg("CnnPolicy", PointEnv("image"), dataset=channels_last(make_store("image")), batch_size=8, seed=0)
    agent.learn(2)
    assert agent._n_updates == 2


# ------------------------------------------------------------------ goals for data that was recorded without


def opened(store, env):
    """The dataset as gcsl learns from it."""
    return GCSL("MultiInputPolicy", env, dataset=store, batch_size=8, device="cpu", seed=0)._data.dataset


KINDS = ("box", "discrete", "multi_discrete", "multi_binary", "image")


@pytest.mark.parametrize(("kind", "camera"), [*((kind, False) for kind in KINDS), ("image", True)])
def test_what_an_observation_achieves_is_added(kind, camera):
    """Images as a camera keeps them or as SB3 shows them: the goal wrapper sees the former, the agent the latter."""
    first = make_store(kind)
    store = opened(channels_last(first) if camera else first, make_env(kind, wrap=ask_for_goals))
    for a, b in zip(first.episodes(), store.episodes(), strict=True):
        np.testing.assert_array_equal(a.observations["observation"], b.observations["achieved_goal"])
        np.testing.assert_array_equal(a.observations["observation"], b.observations["observation"])
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.rewards, b.rewards)
        assert a.terminated is b.terminated
    assert "achieved_goal" not in first.observation_keys


def test_it_is_the_part_of_the_observation_that_the_wrapper_says():
    env = FixedGoal(PointEnv("dict"), goal=3, key="discrete", threshold=0)
    store = opened(make_store("dict"), env)
    np.testing.assert_array_equal(*(store.take(key, store.slots) for key in ("achieved_goal", "discrete")))


def test_what_a_dataset_says_it_achieved_stays():
    store = make_store("goal")
    assert opened(store, make_env("goal")) is store
    env = FixedGoal(PointEnv("box"), goal=[0, 0], threshold=0.1)
    assert opened(store, env) is store


def test_goals_are_added_to_what_came_later_too():
    store = make_store()
    model = GCSL("MultiInputPolicy", make_env(wrap=ask_for_goals), dataset=store, batch_size=8, device="cpu").learn(2)
    for episode in list(store.episodes()):
        store.append(episode)
    assert model.learn(2)._learner.samplers["labelled"].store.n_episodes == store.n_episodes == 16


def test_goals_are_added_to_what_replaced_old_episodes_too():
    """As many episodes as before are other episodes: the copy with goals counts like the one before."""
    first, later = make_store(length=5), make_store(length=5, seed=1)
    store = first.copy(capacity=first.n_slots)
    model = GCSL("MultiInputPolicy", make_env(wrap=ask_for_goals), dataset=store, batch_size=8, device="cpu").learn(2)
    store.append(later.episode(0))
    assert store.n_episodes == first.n_episodes
    learned = model.learn(2)._learner.samplers["labelled"].store
    np.testing.assert_array_equal(learned.take("actions", learned.steps), store.take("actions", store.steps))


def test_goals_are_added_once_for_each_environment():
    model = GCSL("MultiInputPolicy", make_env(wrap=ask_for_goals), dataset=make_store(), batch_size=8, device="cpu")
    first = model.learn(2)._data.dataset
    assert model.learn(2)._data.dataset is first
    model.set_env(make_env(wrap=ask_for_goals))
    assert model.learn(2)._data.dataset is not first


# ------------------------------------------------------------------ own play that goes on from a dataset


@sources_of("dataset + own play")
def test_own_play_joins_a_dataset_without_rewards(case, source, tmp_path):
    """It then goes without, where the method needs none (test_bad_input has the others)."""
    if case.algorithm.needs.rewards:
        pytest.skip("this method needs rewards")
    model = case.make(dataset=make_store(rewards=False), own_play=True).learn(60)
    assert model._n_updates and model.replay_buffer.n_episodes > 8 and not model.replay_buffer.has_rewards
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    other = case.make()
    other.load_replay_buffer(tmp_path / "buffer.pkl")
    played = other.learn(60).replay_buffer
    assert played.n_episodes > model.replay_buffer.n_episodes and not played.has_rewards
