"""Episodes check themselves; the builder cuts the steps of many environments into the right ones."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.data import Episode, EpisodeBuilder, EpisodeError
from tests.support.data_episodes import assert_same_episode, told_episode


def test_dtypes_become_canonical() -> None:
    episode = Episode(
        observations={
            "double": np.ones((3, 2)),
            "half": np.ones(3, np.float16),
            "int": np.ones(3, np.int8),
            "image": np.ones((3, 2, 2), np.uint8),
            "flag": np.ones(3, bool),
        },
        actions=np.ones((2, 1)),
        rewards=[1, 2],  # type: ignore[arg-type]  # a list will do as well
        extras={"commanded": np.ones(3)},
    )
    assert [str(column.dtype) for column in episode.observations.values()] == [
        "float32", "float32", "int64", "uint8", "bool",
    ]  # fmt: skip
    assert episode.actions is not None and episode.actions.dtype == np.float32
    assert episode.rewards is not None and episode.rewards.dtype == np.float32
    assert episode.extras["commanded"].dtype == np.float32
    assert (episode.length, episode.episode_return, episode.terminated) == (2, 3.0, False)
    assert told_episode(0, 2, actions=np.array([1, 0], np.uint8)).actions.dtype == np.int64  # type: ignore[union-attr]


def test_without_actions_and_rewards() -> None:
    episode = Episode({"observation": np.zeros((4, 2))}, None, None)
    assert (episode.length, episode.episode_return) == (3, 0.0)


def _with(array: Any, step: int, value: float) -> Any:
    array = np.array(array, dtype=float)
    array[step] = value
    return array


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"observations": {}}, "has no observations"),
        ({"observations": {"observation": np.zeros((1, 2))}, "actions": None, "rewards": None}, "has no step"),
        ({"observations": {"observation": np.array(3.0)}}, "holds a single number as observation 'observation'"),
        ({"observations": {"observation": _with(np.zeros((6, 2)), 4, np.nan)}}, "nan in observation '.*' at step 4"),
        ({"observations": {"observation": np.array(["a"] * 6)}}, "'observation' values that are not numbers"),
        ({"observations": {"observation": {"nested": 1}}}, "'observation' values that are not numbers"),
        ({"observations": {"a": np.zeros(6), "b": np.zeros(5)}}, "has observation 'b' of length 5, but 6 belong"),
        ({"actions": np.zeros((6, 3))}, "has actions of length 6, but 5 belong to its 6 observations"),
        ({"actions": _with(np.zeros((5, 3)), 2, -np.inf)}, "-inf in action at step 2"),
        ({"rewards": np.zeros(4)}, "has rewards of length 4, but 5 belong"),
        ({"rewards": np.zeros((5, 2))}, "rewards of shape \\(5, 2\\)"),
        ({"rewards": _with(np.zeros(5), 3, np.inf)}, "holds inf in reward at step 3"),
        ({"rewards": _with(np.zeros(5), 1, 1e300)}, r"holds 1e\+300, beyond 3.4e\+38 \(float32\), in reward at step 1"),
        ({"extras": {"commanded": np.zeros(5)}}, "has extra 'commanded' of length 5, but 6 belong"),
        ({"extras": {"commanded": _with(np.zeros(6), 5, np.nan)}}, "nan in extra 'commanded' at step 5"),
    ],
)  # fmt: skip
def test_bad_episodes_name_the_fault(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^The episode .*{sentence}.*\.$"):
        told_episode(0, 5, **changes)


def test_a_fault_can_be_retold_and_pickled() -> None:
    error = EpisodeError("has no step").at("Episode 7 of mine")
    for copied in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(copied) == "Episode 7 of mine has no step."


class NaiveBuilder:
    """One list per environment, in plain Python."""

    def __init__(self, max_episode_steps: int | None, observations: dict[str, Any]) -> None:
        self.max_episode_steps = max_episode_steps
        n_envs = len(next(iter(observations.values())))
        self.lanes = [self._lane({k: v[e] for k, v in observations.items()}) for e in range(n_envs)]

    @staticmethod
    def _lane(observation: dict[str, Any]) -> dict[str, list[Any]]:
        return {"observations": [observation], "actions": [], "rewards": [], "extras": []}

    def step(self, actions, rewards, following, dones, truncated, finals, extras):  # type: ignore[no-untyped-def]
        finished = []
        for e, lane in enumerate(self.lanes):
            after = {k: np.array(v[e]) for k, v in following.items()}
            lane["actions"].append(actions[e])
            lane["rewards"].append(rewards[e])
            lane["extras"].append(extras[e])
            lane["observations"].append(finals[e] if dones[e] else after)
            if dones[e] or len(lane["actions"]) == self.max_episode_steps:
                facts = {k: np.array([o[k] for o in lane["observations"]]) for k in after}
                commanded = np.array([*lane["extras"], lane["extras"][-1]])
                episode = Episode(
                    facts,
                    np.array(lane["actions"]),
                    np.array(lane["rewards"]),
                    bool(dones[e] and not truncated[e]),
                    {"commanded": commanded},
                )
                finished.append((e, episode))
                self.lanes[e] = self._lane(after)
        return finished


@pytest.mark.parametrize("max_episode_steps", [None, 1, 9])
@pytest.mark.parametrize("n_envs", [1, 5])
def test_builder_equals_the_naive_one(n_envs: int, max_episode_steps: int | None) -> None:
    rng = np.random.default_rng(n_envs)

    def observe() -> dict[str, Any]:
        return {"x": rng.standard_normal((n_envs, 2)), "image": rng.integers(0, 256, (n_envs, 3, 3), dtype=np.uint8)}

    first = observe()
    builder, naive = EpisodeBuilder(n_envs, max_episode_steps), NaiveBuilder(max_episode_steps, first)
    builder.start(first)
    kinds, finished = set(), 0
    for step in range(400):
        if n_envs > 1 and step % 37 == 0:  # a builder that loads the state of another continues its episodes
            state, builder = builder.state_dict(), EpisodeBuilder(n_envs, max_episode_steps)
            builder.load_state_dict(state)
        following = observe()
        # Rare ends at first, so that the buffers (64 steps at the beginning) must grow.
        dones = rng.random(n_envs) < (0.004 if step < 250 else 0.1)
        truncated = dones & (rng.random(n_envs) < 0.5)
        last = observe()
        finals = [{k: v[e] for k, v in last.items()} if dones[e] else None for e in range(n_envs)]
        arguments = (rng.standard_normal((n_envs, 3)), rng.standard_normal(n_envs), following, dones, truncated, finals)
        commanded = rng.standard_normal(n_envs)
        expected = naive.step(*arguments, commanded)
        got = builder.step(*arguments, {"commanded": commanded})
        for column in following.values():
            column[:] = 0  # environments reuse their arrays: the builder must have copied
        assert [e for e, _ in got] == [e for e, _ in expected]
        for (_, a), (e, b) in zip(got, expected, strict=True):
            assert_same_episode(a, b)
            kinds.add((bool(dones[e]), b.terminated))
        finished += len(got)
        np.testing.assert_array_equal(builder.lengths, [len(lane["actions"]) for lane in naive.lanes])
    assert finished > 10
    assert kinds == {(True, True), (True, False)} | (set() if max_episode_steps is None else {(False, False)})


def test_builder_begins_anew_and_owns_what_it_returns() -> None:
    builder = EpisodeBuilder(1)
    no, yes = np.array([False]), np.array([True])

    def step(value: float, done: Any) -> list[tuple[int, Episode]]:
        observation = {"observation": np.full((1, 1), value)}
        return builder.step(np.zeros(1, int), np.zeros(1), observation, done, no, [{"observation": np.array([value])}])

    builder.start({"observation": np.zeros((1, 1))})
    step(1.0, no)
    builder.start({"observation": np.full((1, 1), 5.0)})  # drops the growing episode
    [(_, episode)] = step(6.0, yes)
    np.testing.assert_array_equal(episode.observations["observation"].ravel(), [5, 6])
    step(7.0, no)
    np.testing.assert_array_equal(episode.observations["observation"].ravel(), [5, 6])
    assert builder.lengths.tolist() == [1]


def test_builder_refuses_nonsense() -> None:
    observation, flags = {"observation": np.zeros((1, 1))}, np.array([True])
    step = (np.zeros(1), np.zeros(1), observation, flags, flags)
    with pytest.raises(ValueError, match=r"n_envs .* is 0; give a whole number of at least 1"):
        EpisodeBuilder(0)
    with pytest.raises(ValueError, match="max_episode_steps is 0"):
        EpisodeBuilder(1, 0)
    builder = EpisodeBuilder(1)
    with pytest.raises(ValueError, match=r"call start\(\)"):
        builder.step(*step, [None])
    builder.start(observation)
    with pytest.raises(ValueError, match="Environment 0 is done, but its final observation is missing"):
        builder.step(*step, [None])
    with pytest.raises(ValueError, match=r"extras changed from \[\] to \['x'\]"):
        builder.step(*step, [observation], {"x": np.zeros(1)})
