"""The samplers against brute force: exact probabilities of every pair, every window cell by cell."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.data import Array, Episode, GoalPairs, TrajectoryStore, Windows
from gcrl_zoo.data.samplers import Steps, Strategy
from tests.support.data_episodes import assert_same, told_episode, told_store, varied_episode

LENGTHS = (5, 1, 3, 8, 2)
STRATEGIES: tuple[Strategy, ...] = ("future", "final", "episode", "geometric", "random")
LIMITED = [(strategy, limit) for strategy in ("future", "geometric") for limit in (1, 3, 100)]
Place = tuple[int, int]  # episode, t


def goal_probabilities(
    lengths: tuple[int, ...], k: Place, strategy: str, reach: float, discount: float
) -> dict[Place, float]:
    """Probability of each goal of the step k, slot by slot."""
    e, t = k
    own = [(e, g) for g in range(lengths[e] + 1)]
    if strategy == "final":
        return {own[-1]: 1.0}
    if strategy == "random":
        own = [(i, g) for i, n in enumerate(lengths) for g in range(n + 1)]
    if strategy in ("random", "episode"):
        return {g: 1 / len(own) for g in own}
    ahead = [g for g in own if t < g[1] <= t + reach]
    if strategy == "future":
        return {g: 1 / len(ahead) for g in ahead}
    weights = {g: (1 - discount) * discount ** (g[1] - t - 1) for g in ahead}
    weights[ahead[-1]] = discount ** (len(ahead) - 1)  # all that goes further is cut to here
    return weights


def assert_distributed(counts: dict[Any, int], probabilities: dict[Any, float]) -> None:
    """Chi-squared test at p > 0.01 (Wilson-Hilferty), and nothing that cannot happen."""
    total = sum(counts.values())
    assert counts.keys() <= probabilities.keys()
    assert sum(probabilities.values()) == pytest.approx(1)
    assert min(probabilities.values()) * total > 5  # else the test itself is not valid
    squares = sum((counts.get(key, 0) - total * p) ** 2 / (total * p) for key, p in probabilities.items())
    ninth = 2 / (9 * (len(probabilities) - 1))
    assert ((squares / (len(probabilities) - 1)) ** (1 / 3) - 1 + ninth) / ninth**0.5 < 2.33


def places(observations: Array) -> list[Place]:
    return [(int(e), int(t)) for e, t in observations]


@pytest.mark.parametrize("view", ["all", "after evictions", "best", "unlabelled"])
@pytest.mark.parametrize(("strategy", "max_horizon"), [*((strategy, None) for strategy in STRATEGIES), *LIMITED])
def test_goal_pairs_are_distributed_as_by_brute_force(strategy: Any, max_horizon: int | None, view: str) -> None:
    store = told_store(*LENGTHS)
    if view == "after evictions":
        store = TrajectoryStore(capacity=sum(LENGTHS) + len(LENGTHS))
        for i, n in enumerate(2 * LENGTHS):
            store.append(told_episode(i % len(LENGTHS), n))
        assert store.slots[0] > 1
    chosen = set(range(len(LENGTHS)))
    if view == "best":
        chosen = set(np.argsort(store.returns)[-3:].tolist())
        store = store.best(0.6)
    if view == "unlabelled":
        store = store.unlabelled()

    steps = [(e, t) for e in chosen for t in range(LENGTHS[e])]
    lengths = tuple(LENGTHS[e] for e in sorted(chosen))
    number = {e: i for i, e in enumerate(sorted(chosen))}  # brute force numbers the chosen episodes from 0
    probabilities = {
        ((number[e], t), g): p / len(steps)
        for e, t in steps
        for g, p in goal_probabilities(lengths, (number[e], t), strategy, max_horizon or np.inf, 0.8).items()
    }
    batch = GoalPairs(store, strategy, max_horizon, discount=0.8).sample(np.random.default_rng(1), 100_000)
    counts: dict[Any, int] = {}
    starts, goals = places(batch.observations["observation"]), places(batch.goals["observation"])
    assert strategy == "random" or all(e == f for (e, _), (f, _) in zip(starts, goals, strict=True))
    assert batch.horizons.max() <= (max_horizon or max(LENGTHS))
    for (e, t), (f, g) in zip(starts, goals, strict=True):
        pair = ((number[e], t), (number[f], g))
        counts[pair] = counts.get(pair, 0) + 1
    assert_distributed(counts, probabilities)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_goal_batches_say_what_the_episodes_say(strategy: Any) -> None:
    episodes = [told_episode(i, n) for i, n in enumerate(LENGTHS)]
    store = TrajectoryStore.from_episodes(episodes)
    batch = GoalPairs(store, strategy).sample(np.random.default_rng(0), 500)
    assert (batch.horizons.dtype, batch.horizons.shape) == (np.int32, (500,))
    assert batch.actions is not None and batch.segment_returns is not None
    assert batch.returns_to_go is not None and batch.episode_returns is not None
    kinds = set()
    for i, (k, g) in enumerate(
        zip(places(batch.observations["observation"]), places(batch.goals["observation"]), strict=True)
    ):
        rewards, actions = episodes[k[0]].rewards, episodes[k[0]].actions
        assert rewards is not None and actions is not None
        ahead = g[0] == k[0] and g[1] > k[1]
        kinds.add(ahead)
        assert batch.horizons[i] == (g[1] - k[1] if ahead else 0)
        assert batch.segment_returns[i] == pytest.approx(rewards[k[1] : g[1]].sum() if ahead else 0)
        assert batch.returns_to_go[i] == pytest.approx(rewards[k[1] :].sum())
        assert batch.episode_returns[i] == pytest.approx(rewards.sum())
        np.testing.assert_array_equal(batch.actions[i], actions[k[1]])
    assert kinds == ({True, False} if strategy in ("episode", "random") else {True})


@pytest.mark.parametrize("view", ["all", "best"])
def test_steps_are_uniform(view: str) -> None:
    store, chosen = told_store(*LENGTHS), set(range(len(LENGTHS)))
    if view == "best":
        chosen = set(np.argsort(store.returns)[-3:].tolist())
        store = store.best(0.6)
    probabilities = {(e, t): 1 / sum(LENGTHS[i] for i in chosen) for e in chosen for t in range(LENGTHS[e])}
    counts: dict[Place, int] = {}
    for place in places(Steps(store).sample(np.random.default_rng(1), 50_000).observations["observation"]):
        counts[place] = counts.get(place, 0) + 1
    assert_distributed(counts, probabilities)


def test_steps_say_what_the_episodes_say() -> None:
    rng = np.random.default_rng(0)
    store = TrajectoryStore.from_episodes([varied_episode(rng, n) for n in LENGTHS])
    index = Steps(store).draw(rng, 64)
    batch = Steps(store).gather(index)
    assert batch.actions is not None and tuple(batch.observations) == store.observation_keys
    for i, slot in enumerate(index):
        e = int(np.searchsorted(store.final_slots, slot))
        episode, t = store.episode(e), int(slot - store.first[slot])
        assert t < episode.length and episode.actions is not None
        assert_same(batch.actions[i], episode.actions[t])
        for key, facts in batch.observations.items():
            assert_same(facts[i], episode.observations[key][t])
    assert Steps(store.unlabelled()).sample(rng, 8).actions is None


def test_goals_of_some_keys_and_missing_data() -> None:
    rng = np.random.default_rng(0)
    store = TrajectoryStore.from_episodes([varied_episode(rng, 9) for _ in range(4)])
    sampler = GoalPairs(store, goal_keys=["image", "choice"])
    index = sampler.draw(rng, 32)
    batch = sampler.gather(index)
    assert tuple(batch.observations) == store.observation_keys and list(batch.goals) == ["image", "choice"]
    for key, facts in batch.observations.items():
        assert_same(facts, store.take(key, index.steps))
    for key, facts in batch.goals.items():
        assert_same(facts, store.take(key, index.goals))
    assert_same(batch.actions, store.take("actions", index.steps))

    bare = TrajectoryStore.from_episodes([told_episode(0, 5, rewards=None)]).unlabelled()
    batch = GoalPairs(bare, "random").sample(rng, 8)
    assert (batch.actions, batch.episode_returns, batch.returns_to_go, batch.segment_returns) == (None,) * 4
    window = Windows(bare, 3).sample(rng, 8)
    assert (window.actions, window.episode_returns, window.returns_to_go) == (None,) * 3


def naive_window(episode: Episode, newest: int, length: int, ahead: int) -> dict[str, Array]:
    """One window in plain Python."""
    actions, rewards = episode.actions, episode.rewards
    assert actions is not None and rewards is not None
    there = [step for step in range(newest - length + 1, newest + ahead) if 0 <= step < episode.length]
    mask = np.arange(length + ahead - 1) < len(there)
    steps = there + there[:1] * (len(mask) - len(there))
    return {
        **{key: np.stack([column[step] for step in steps[:length]]) for key, column in episode.observations.items()},
        "actions": np.stack([actions[step] for step in steps]),
        "mask": mask,
        "returns_to_go": np.array([rewards[step:].sum(dtype=np.float64) for step in steps[:length]], np.float32),
        "timesteps": np.array(steps[:length], np.int32),
    }


@pytest.mark.parametrize(("length", "ahead"), list(itertools.product((1, 4, 12), (1, 3))))
@pytest.mark.parametrize("varied", [False, True])
def test_windows_equal_the_naive_ones(length: int, ahead: int, varied: bool) -> None:
    rng = np.random.default_rng(0)
    episodes = [varied_episode(rng, n) if varied else told_episode(i, n) for i, n in enumerate(LENGTHS)]
    store = TrajectoryStore(capacity=sum(LENGTHS) + len(LENGTHS))
    for episode in (varied_episode(rng, 17) if varied else told_episode(9, 17), *episodes):
        store.append(episode)
    assert store.n_episodes == len(LENGTHS)
    sampler = Windows(store, length, ahead)
    index = sampler.draw(rng, 200)
    batch = sampler.gather(index)
    assert batch.mask.any() and (length + ahead == 2 or not batch.mask.all())
    assert batch.actions is not None and batch.returns_to_go is not None and batch.episode_returns is not None
    for i, slots in enumerate(index.slots):
        begin, last = int(slots[0]), int(slots.max())
        e = int(np.searchsorted(store.final_slots, begin))
        t, n = begin - int(store.first[begin]), episodes[e].length
        # Windows cut at both ends may be several: whose newest steps have all that follows them within the episode.
        newest = [
            end for end in range(t, n) if max(end - length + 1, 0) == t and min(end + ahead, n) == t + last - begin + 1
        ]
        expected = naive_window(episodes[e], newest[0], length, ahead)
        for key, column in batch.observations.items():
            assert_same(column[i], expected[key])
        assert_same(batch.actions[i], expected["actions"])
        assert_same(batch.mask[i], expected["mask"])
        assert_same(batch.timesteps[i], expected["timesteps"])
        np.testing.assert_allclose(batch.returns_to_go[i], expected["returns_to_go"], rtol=1e-6)
        assert batch.episode_returns[i] == pytest.approx(episodes[e].episode_return)


def test_windows_end_at_uniform_steps() -> None:
    batch = Windows(told_store(*LENGTHS), 4).sample(np.random.default_rng(0), 50_000)
    counts: dict[Place, int] = {}
    ends = batch.observations["observation"][np.arange(50_000), batch.mask.sum(1) - 1]
    for place in places(ends):
        counts[place] = counts.get(place, 0) + 1
    assert_distributed(counts, {(e, t): 1 / sum(LENGTHS) for e, n in enumerate(LENGTHS) for t in range(n)})


@pytest.mark.parametrize(
    "make",
    [
        Steps,
        lambda store: GoalPairs(store, "geometric", successors=True),
        lambda store: Windows(store, 3),
        lambda store: Windows(store, 3, successor=True),
        lambda store: Windows(store, 3, horizon=2),
    ],
)
def test_all_randomness_is_in_draw(make: Any) -> None:
    sampler = make(told_store(*LENGTHS))
    rng = np.random.default_rng(3)
    index = sampler.draw(rng, 64)
    state = rng.bit_generator.state
    first, second = sampler.gather(index), sampler.gather(index)
    half = sampler.gather(type(index)(*(slots[32:] for slots in index)) if isinstance(index, tuple) else index[32:])
    again = sampler.sample(np.random.default_rng(3), 64)
    assert rng.bit_generator.state == state
    for a, b, c, d in zip(first, second, half, again, strict=True):
        a, b, c, d = (x["observation"] if isinstance(x, dict) else x for x in (a, b, c, d))
        assert_same(a, b)
        if a is None:
            assert c is None and d is None
            continue
        assert_same(a[32:], c)
        assert_same(a, d)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_successors_come_right_after_their_steps(strategy: Strategy) -> None:
    store = told_store(*LENGTHS)
    rng = np.random.default_rng(0)
    batch = GoalPairs(store, strategy, successors=True).sample(rng, 200)
    plain = GoalPairs(store, strategy).sample(np.random.default_rng(0), 200)
    for (e, t), successor in zip(
        places(batch.observations["observation"]), batch.successors["observation"], strict=True
    ):
        assert tuple(successor[:2].astype(int)) == (e, t + 1)
    assert plain.successors is None
    assert_same(plain.goals["observation"], batch.goals["observation"])


@pytest.mark.parametrize("ahead", [1, 3])
def test_windows_read_the_observation_after_each_step(ahead: int) -> None:
    """Also after the last step of an episode; all else is as without."""
    store, length = told_store(*LENGTHS), 4
    batch = Windows(store, length, ahead, successor=True).sample(np.random.default_rng(0), 300)
    plain = Windows(store, length, ahead).sample(np.random.default_rng(0), 300)
    finals = 0
    for row, mask in zip(batch.observations["observation"], batch.mask[:, :length], strict=True):
        (e, t), n = row[0].astype(int)[:2], int(mask.sum())
        assert places(row[: n + 1, :2]) == [(e, t + step) for step in range(n + 1)]
        assert places(row[n + 1 :, :2]) == [(e, t)] * (length - n)
        finals += t + n == LENGTHS[e]
    assert finals > 20
    assert_same(
        plain.observations["observation"],
        np.where(
            plain.mask[:, :length, None],
            batch.observations["observation"][:, :length],
            plain.observations["observation"],
        ),
    )
    for one, other in zip(plain[1:], batch[1:], strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("horizon", [1, 2, 100])
def test_windows_read_the_observations_some_steps_after_each_step(horizon: int) -> None:
    """Where the episode ends before, its final observation, and a mask that says so; all else is as without."""
    store, length = told_store(*LENGTHS), 3
    batch = Windows(store, length, horizon=horizon).sample(np.random.default_rng(0), 300)
    plain = Windows(store, length).sample(np.random.default_rng(0), 300)
    assert batch.later is not None and batch.later_mask is not None
    assert plain.later is None and plain.later_mask is None
    for row, later, exists in zip(
        batch.observations["observation"], batch.later["observation"], batch.later_mask, strict=True
    ):
        here = places(row[:, :2])
        assert places(later[:, :2]) == [(e, min(t + horizon, LENGTHS[e])) for e, t in here]
        assert exists.tolist() == [t + horizon <= LENGTHS[e] for e, t in here]
    for one, other in zip(plain[:-2], batch[:-2], strict=True):
        assert_same(one, other) if not isinstance(one, dict) else assert_same(one["observation"], other["observation"])


def test_samplers_follow_a_growing_store() -> None:
    store = TrajectoryStore(capacity=12)
    steps, pairs, windows, rng = Steps(store), GoalPairs(store), Windows(store, 2), np.random.default_rng(0)
    for sampler in (steps, pairs, windows):
        with pytest.raises(ValueError, match="drawn from own play, but it holds no episodes yet"):
            sampler.sample(rng, 1)
    for i in range(30):
        store.append(told_episode(i, 4))
        held = {i, i - 1} - {-1}
        assert set(steps.sample(rng, 100).observations["observation"][:, 0]) == held
        assert set(pairs.sample(rng, 100).observations["observation"][:, 0]) == held
        assert set(windows.sample(rng, 100).observations["observation"][:, 0, 0]) == held


def test_what_is_drawn_does_not_depend_on_where_it_lies_in_memory() -> None:
    """So that a run that resumes with a saved store goes on as it would have."""
    store = TrajectoryStore(capacity=40)
    for i in range(24):
        store.append(told_episode(i, 1 + i % 7))
    copied = store.copy()
    assert store.steps[0] != copied.steps[0]
    for sampler in (
        Steps,
        *(lambda s, strategy=strategy: GoalPairs(s, strategy) for strategy in STRATEGIES),
        lambda s: Windows(s, 3),
    ):
        a, b = (sampler(each).sample(np.random.default_rng(0), 99) for each in (store, copied))
        assert_same(a.observations["observation"], b.observations["observation"])
        if hasattr(a, "goals"):
            assert_same(a.goals["observation"], b.goals["observation"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"strategy": "futur"}, "strategy 'futur' is unknown; choose future, final, episode, geometric, random"),
        ({"strategy": "final", "max_horizon": 3}, "strategy 'final' has no horizon"),
        ({"max_horizon": 0}, "max_horizon is 0"),
        ({"discount": 1.0}, "discount of geometric goals is 1.0"),
    ],
)
def test_goal_pairs_refuse_nonsense(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GoalPairs(told_store(3), **arguments)


def test_windows_refuse_nonsense() -> None:
    for length, ahead, name in ((0, 1, "length of windows"), (1, 0, "number of actions ahead")):
        with pytest.raises(ValueError, match=f"^The {name} is 0; give a whole number of at least 1"):
            Windows(told_store(3), length, ahead)
    with pytest.raises(ValueError, match="successor is 2"):
        Windows(told_store(3), 1, successor=2)  # type: ignore[arg-type]
