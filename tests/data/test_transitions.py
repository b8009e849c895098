"""Transitions against brute force: what came next, and whether it was a terminal state."""

from __future__ import annotations

import numpy as np
import pytest

from gcrl_zoo import BC
from gcrl_zoo.data import Array, TrajectoryStore, Transitions
from tests.data.test_samplers import LENGTHS, assert_distributed
from tests.support.data_episodes import assert_same, told_episode, told_store, varied_episode
from tests.support.envs import NEAR, make_env

TERMINATED = {e for e in range(len(LENGTHS)) if e % 2 == 0}  # as told_episode says


def places(observations: dict[str, Array]) -> list[tuple[int, int]]:
    return [(int(e), int(t)) for e, t in observations["observation"]]


def store_of(view: str) -> tuple[TrajectoryStore, set[int]]:
    """A store or view, and the numbers of its episodes."""
    store, chosen = told_store(*LENGTHS), set(range(len(LENGTHS)))
    if view == "after evictions":
        store = TrajectoryStore(capacity=sum(LENGTHS) + len(LENGTHS))
        for i, n in enumerate(2 * LENGTHS):
            store.append(told_episode(i % len(LENGTHS), n))
        assert store.slots[0] > 1
    if view == "best":
        chosen = set(np.argsort(store.returns)[-3:].tolist())
        store = store.best(0.6)
    if view == "newest":
        chosen, store = {3, 4}, store.newest(2)
    return (store.unlabelled() if view == "unlabelled" else store), chosen


@pytest.mark.parametrize("view", ["all", "after evictions", "best", "newest", "unlabelled"])
def test_transitions_say_what_the_episodes_say(view: str) -> None:
    store, chosen = store_of(view)
    batch = Transitions(store).sample(np.random.default_rng(0), 4000)
    assert (batch.terminated.dtype, batch.terminated.shape) == (np.bool_, (4000,))
    assert batch.rewards is not None and batch.rewards.dtype == np.float32
    episodes = [told_episode(e, n) for e, n in enumerate(LENGTHS)]
    counts: dict[tuple[int, int], int] = {}
    for i, ((e, t), following) in enumerate(
        zip(places(batch.observations), places(batch.next_observations), strict=True)
    ):
        episode = episodes[e]
        assert episode.rewards is not None and episode.actions is not None
        assert following == (e, t + 1)
        assert batch.rewards[i] == np.float32(episode.rewards[t])
        assert batch.terminated[i] == (e in TERMINATED and t == LENGTHS[e] - 1)
        if view != "unlabelled":
            assert batch.actions is not None
            np.testing.assert_array_equal(batch.actions[i], episode.actions[t])
        counts[e, t] = counts.get((e, t), 0) + 1
    assert (batch.actions is None) == (view == "unlabelled")
    steps = [(e, t) for e in chosen for t in range(LENGTHS[e])]
    assert_distributed(counts, dict.fromkeys(steps, 1 / len(steps)))
    assert set(steps) & {(e, LENGTHS[e] - 1) for e in TERMINATED}, "some end in a terminal state"
    assert {(e, LENGTHS[e] - 1) for e in chosen - TERMINATED}, "some are truncated"


@pytest.mark.parametrize("terminated", [True, False])
def test_an_episode_of_one_step(terminated: bool) -> None:
    store = TrajectoryStore.from_episodes([told_episode(0, 1, terminated=terminated)])
    batch = Transitions(store).sample(np.random.default_rng(0), 3)
    assert batch.terminated.tolist() == [terminated] * 3


def test_columns_of_all_kinds() -> None:
    """Images lie outside the packed rows; extras are no observations."""
    rng = np.random.default_rng(3)
    store = TrajectoryStore.from_episodes([varied_episode(rng, n) for n in LENGTHS])
    sampler = Transitions(store)
    index = sampler.draw(rng, 50)
    batch = sampler.gather(index)
    for key in ("vector", "image", "choice", "switch"):
        assert_same(np.ascontiguousarray(batch.observations[key]), store.take(key, index))
        assert_same(np.ascontiguousarray(batch.next_observations[key]), store.take(key, index + 1))
    assert list(batch.next_observations) == ["vector", "image", "choice", "switch"]


def test_data_without_rewards_and_without_episodes() -> None:
    store = TrajectoryStore.from_episodes([told_episode(0, 4, rewards=None)])
    assert Transitions(store).sample(np.random.default_rng(0), 3).rewards is None
    with pytest.raises(ValueError, match="no episodes yet"):
        Transitions(TrajectoryStore()).draw(np.random.default_rng(0), 3)


def test_own_play_that_terminates_and_is_cut() -> None:
    """Through environment, collector and store: the environment's own rule holds for each step."""
    model = BC("MlpPolicy", make_env("box", n_envs=3), learning_starts=300, gradient_steps=1, seed=0).learn(400)
    store = model.replay_buffer
    assert not store.terminated.all()
    batch = Transitions(store).gather(store.steps.astype(np.intp))
    there = np.linalg.norm(batch.next_observations["observation"] - 0.5, axis=1) < NEAR  # where PointEnv ends
    np.testing.assert_array_equal(batch.terminated, there)
    assert there.sum() == store.terminated.sum() > 0
