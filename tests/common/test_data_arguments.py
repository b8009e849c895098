"""Values outside of what the data layer can keep or do are refused in one sentence, whatever their kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.data import EpisodeBuilder, GoalPairs, Steps, TrajectoryStore, Windows
from tests.support.data_episodes import told_episode, told_store

LENGTH = 3
LARGE = 2**64 - 1


def refusal(act: Callable[[], Any]) -> str:
    """The one sentence with which something is refused."""
    with pytest.raises(ValueError) as caught:
        act()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and re.search(r"; |, but ", sentence), sentence
    return sentence


def column(place: str, entry: Any) -> dict[str, Any]:
    """An episode's fields in which one column consists of this entry."""
    values = [entry] * (LENGTH + (place in ("observations", "extras")))
    return {place: {"x": values} if place in ("observations", "extras") else values}


PLACES = ("observations", "extras", "actions", "rewards")
NO_NUMBERS = {
    "text": "1.0",
    "bytes": b"1",
    "none": None,
    "object": object(),
    "complex": 1j,
    "date": np.datetime64("2020-01-01"),
    "record": np.zeros((), [("a", float)]),
    "dict": {"a": 1},
    "huge": 2**70,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_only_numbers_are_kept(place: str, kind: str) -> None:
    assert "not numbers" in refusal(lambda: told_episode(0, LENGTH, **column(place, NO_NUMBERS[kind])))


@pytest.mark.parametrize("place", PLACES)
def test_entries_have_one_shape(place: str) -> None:
    fields = column(place, 1.0)
    values = fields[place]["x"] if isinstance(fields[place], dict) else fields[place]
    values[-1] = [1.0, 2.0]
    assert "make no array" in refusal(lambda: told_episode(0, LENGTH, **fields))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
def test_masks_are_not_lost(place: str, dtype: Any) -> None:
    length = LENGTH + (place in ("observations", "extras"))
    masked = np.ma.array(np.ones(length, dtype), mask=[*[False] * (length - 1), True])
    unmasked = np.ma.array(np.ones(length, dtype), mask=False)

    def fields(values: Any) -> dict[str, Any]:
        return {place: {"x": values} if place in ("observations", "extras") else values}

    for values in (masked, list(np.ma.array(np.ones((length, 2)), mask=np.stack([masked.mask] * 2, 1)))):
        assert "masked entries" in refusal(lambda values=values: told_episode(0, LENGTH, **fields(values)))
    told_episode(0, LENGTH, **fields(unmasked))


@pytest.mark.parametrize("place", ["observations", "extras", "actions"])
@pytest.mark.parametrize("value", [2**63, LARGE])
def test_integers_beyond_int64_do_not_turn_negative(place: str, value: int) -> None:
    length = LENGTH + (place != "actions")
    values = np.full((length, 2), 7, np.uint64)
    values[1, 1] = value
    fields = {place: {"x": values} if place != "actions" else values}
    assert f"holds {value} in " in (sentence := refusal(lambda: told_episode(0, LENGTH, **fields)))
    assert " at step 1; " in sentence
    values[1, 1] = 2**63 - 1
    episode = told_episode(0, LENGTH, **fields)
    kept = episode.actions if place == "actions" else getattr(episode, place)["x"]
    assert kept[1].tolist() == [7, 2**63 - 1]


def test_integers_of_own_play_do_not_turn_negative_either() -> None:
    builder, done = EpisodeBuilder(1), np.array([True])
    seen = {"x": np.array([[LARGE]], np.uint64)}
    builder.start(seen)
    step = (np.zeros(1), np.zeros(1), seen, done, done, [{"x": seen["x"][0]}])
    assert f"holds {LARGE} in observation 'x' at step 0" in refusal(lambda: builder.step(*step))


@pytest.mark.parametrize("terminated", ["no", "", 0, 1, 0.5, float("nan"), None, [False], np.array([True, False])])
def test_terminated_is_true_or_false(terminated: Any) -> None:
    assert "as terminated; give True" in refusal(lambda: told_episode(0, LENGTH, terminated=terminated))
    assert told_episode(0, LENGTH, terminated=np.True_).terminated is True


@pytest.mark.parametrize("rewards", [[3e38] * 3, [-3e38, -3e38, 0], [3e38, -3e38, 3e38], [2e38, 2e38, -2e38]])
def test_returns_stay_finite(rewards: list[float]) -> None:
    """Also the differences of two of them, which hindsight takes."""
    assert "rewards whose sum exceeds 3.4e+38" in refusal(lambda: told_episode(0, LENGTH, rewards=rewards))
    store = TrajectoryStore.from_episodes([told_episode(0, LENGTH, rewards=np.array(rewards) / 3)])
    pairs = GoalPairs(store).sample(np.random.default_rng(0), 50)
    for values in (pairs.returns_to_go, pairs.segment_returns, store.returns):
        assert values is not None and np.isfinite(values).all()


@pytest.mark.parametrize("place", ["observations", "extras"])
def test_columns_come_in_a_dict_with_names(place: str) -> None:
    for value in ([1, 2, 3, 4], np.zeros((4, 2)), "x", 7, [("x", np.zeros(4))]):
        assert "give a dict of arrays" in refusal(lambda value=value: told_episode(0, LENGTH, **{place: value}))
    for key in (0, None, "", "a\nb", "a\0b", "\ud800", ("a",)):
        fields = {place: {key: np.zeros(4)}}
        assert f"has the key {key!r} in {place}" in refusal(lambda fields=fields: told_episode(0, LENGTH, **fields))
    assert "has extras of type NoneType" in refusal(lambda: told_episode(0, LENGTH, extras=None))


NO_COUNTS = (0, -1, 2.5, float("nan"), float("inf"), "3", True, [3], np.zeros(2))
STORE = told_store(3, 4, 5)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "act",
    [
        lambda n: STORE.newest(n),
        lambda n: TrajectoryStore(capacity=n),
        lambda n: STORE.copy(capacity=n),
        lambda n: GoalPairs(STORE, max_horizon=n),
        lambda n: GoalPairs(STORE, "geometric", max_horizon=n),
        lambda n: Windows(STORE, length=n),
        lambda n: Windows(STORE, length=2, ahead=n),
        lambda n: EpisodeBuilder(n),
        lambda n: EpisodeBuilder(1, max_episode_steps=n),
        *(lambda n, s=s: s.sample(RNG, n) for s in (Steps(STORE), GoalPairs(STORE), Windows(STORE, 2))),
        *(lambda n, s=s: GoalPairs(STORE, s).draw(RNG, n) for s in ("final", "episode", "geometric", "random")),
    ],
)
def test_counts_are_whole_numbers_from_one(act: Callable[[Any], Any]) -> None:
    for count in NO_COUNTS:
        assert "give a whole number of at least" in refusal(lambda count=count: act(count))
    for count in (3, np.int32(3), 3.0, np.float32(3)):
        act(10 * count)


@pytest.mark.parametrize(
    "act",
    [
        lambda n: Windows(STORE, length=n),
        lambda n: Windows(STORE, 1, ahead=n),
        *(lambda n, s=s: s.sample(RNG, n) for s in (Steps(STORE), GoalPairs(STORE), Windows(STORE, 2))),
    ],
)
def test_counts_that_ask_for_gigabytes(act: Callable[[Any], Any]) -> None:
    for count in (2**24 + 1, 1e12, 10**30):
        assert "of at least 1 and at most 16,777,216." in refusal(lambda count=count: act(count))


def test_shares_and_discounts_lie_in_their_range() -> None:
    for value in (-0.1, 1.5, float("nan"), float("inf"), "0.5", None, True, [0.5], 1j):
        assert "give a number in (0, 1]" in refusal(lambda value=value: STORE.best(value))
        assert "give a number in [0, 1)" in refusal(lambda value=value: GoalPairs(STORE, "geometric", discount=value))
    assert "give a number in (0, 1]" in refusal(lambda: STORE.best(0))
    assert "give a number in [0, 1)" in refusal(lambda: GoalPairs(STORE, "geometric", discount=1))


@pytest.mark.parametrize("keys", ["observation", [], ["nothing"], [0], [["observation"]], 7, {"observation": 1}])
def test_goal_keys_are_columns_of_the_store(keys: Any) -> None:
    assert "give a list of observation keys of own play (observation)" in refusal(
        lambda: GoalPairs(STORE, goal_keys=keys)
    )
    assert GoalPairs(STORE, goal_keys=["observation"]).sample(RNG, 5).goals.keys() == {"observation"}


def test_other_arguments_of_samplers() -> None:
    for strategy in ("futur", None, ["future"], 1):
        assert "is unknown; choose future," in refusal(lambda strategy=strategy: GoalPairs(STORE, strategy))
    for value in ("False", 0, 1, None):
        assert f"successors is {value!r}; give True" in refusal(lambda value=value: GoalPairs(STORE, successors=value))


def test_episodes_are_asked_for_by_their_number() -> None:
    for i in (3, -4, 0.5, "0", None, True):
        assert f"Episode {i!r} of own play was asked for, but it has 3" in refusal(lambda i=i: STORE.episode(i))
    assert (STORE.episode(2).length, STORE.episode(-3).length) == (5, 3)


def test_a_store_takes_episodes_only() -> None:
    for other in ({"observations": np.zeros((4, 2))}, None, np.zeros(3)):
        assert "keeps objects of the class Episode" in refusal(lambda other=other: TrajectoryStore().append(other))
        assert "keeps objects" in refusal(lambda other=other: TrajectoryStore.from_episodes([other]))
    for n_slots in (-1, 2.5, "3", 1j):
        assert "n_slots is" in refusal(lambda n=n_slots: TrajectoryStore.from_episodes([], n_slots=n))
