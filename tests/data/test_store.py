"""The store against a plain list of episodes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gcrl_zoo.data import Episode, TrajectoryStore, readable_store
from gcrl_zoo.data.columns import PADDING
from gcrl_zoo.data.formats import own_file
from tests.support.data_episodes import assert_same, assert_same_episode, told_episode, told_store, varied_episode


def assert_holds(store: TrajectoryStore, episodes: list[Episode]) -> None:
    """Everything the store tells is true of exactly these episodes in this order."""
    lengths = [episode.length for episode in episodes]
    assert (store.n_episodes, store.n_steps, store.n_slots) == (len(lengths), sum(lengths), sum(lengths) + len(lengths))
    assert store.lengths.tolist() == lengths
    assert store.terminated.tolist() == [episode.terminated for episode in episodes]
    np.testing.assert_allclose(store.returns, [episode.episode_return for episode in episodes], rtol=1e-5, atol=1e-6)
    for kept, episode in zip(store.episodes(), episodes, strict=True):
        assert_same_episode(kept, episode)

    slots = store.slots
    steps = slots[slots < store.last[slots]]
    np.testing.assert_array_equal(store.steps, steps)
    assert PADDING not in slots
    bounds = np.cumsum([0, *(length + 1 for length in lengths)])
    for i, episode in enumerate(episodes):
        own = slots[bounds[i] : bounds[i + 1]]
        assert (np.diff(own) == 1).all()
        assert (store.first[own] == own[0]).all() and (store.last[own] == own[-1]).all()
        assert store.final_slots[i] == own[-1]
        assert not store.take("rewards", own[-1]).any() and not store.take("actions", own[-1]).any()
        assert episode.rewards is not None
        to_go = [episode.rewards[t:].sum(dtype=np.float64) for t in range(episode.length + 1)]
        np.testing.assert_allclose(store.take("return_to_go", own), to_go, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(store.take("episode_return", own), np.full(len(own), store.returns[i]))
    for key in (*store.observation_keys, "actions", "rewards", "return_to_go") if episodes else ():
        assert not store.take(key, np.array(PADDING)).any()


@pytest.mark.parametrize("capacity", [None, 33, 100])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2))])
def test_append_and_evict_like_a_list(capacity: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    store, episodes, evicted, versions = TrajectoryStore(capacity), [], 0, {0}
    for _ in range(150):
        episode = varied_episode(rng, int(rng.integers(1, 32)))
        store.append(episode)
        episodes.append(episode)
        while capacity is not None and sum(episode.length + 1 for episode in episodes) > capacity:
            del episodes[0]
            evicted += 1
        versions.add(store.version)
        if rng.random() < 0.3:
            assert_holds(store, episodes)
    assert_holds(store, episodes)
    assert len(versions) == 151
    assert (evicted > 0) == (capacity is not None)
    if capacity is not None:  # memory stays bounded, too
        assert max(len(array) for array in store._table.arrays.arrays.values()) <= 1.3 * capacity


def test_from_episodes_takes_memory_once_for_a_list_and_for_a_hint() -> None:
    episodes = [told_episode(i, 5) for i in range(20)]
    for source, n_slots in ((episodes, None), (iter(episodes), 120)):
        store = TrajectoryStore.from_episodes(source, n_slots=n_slots)
        assert_holds(store, episodes)
        assert len(store._table.arrays.arrays["last"]) == 121
    assert_holds(TrajectoryStore.from_episodes(iter(episodes)), episodes)
    assert_holds(TrajectoryStore.from_episodes(episodes, capacity=60), episodes[-10:])


def test_take_keeps_the_shape_of_slots_and_dtypes() -> None:
    store = TrajectoryStore.from_episodes([varied_episode(np.random.default_rng(0), 30)])
    slots = store.steps[:24].reshape(2, 3, 4)
    shapes = {"vector": (3,), "image": (4, 5, 3), "choice": (), "switch": (2,), "actions": (), "commanded_return": ()}
    dtypes = {"vector": "f4", "image": "u1", "choice": "i8", "switch": "?", "actions": "i8", "commanded_return": "f4"}
    for key, shape in shapes.items():
        taken = store.take(key, slots)
        assert (taken.shape, taken.dtype) == (slots.shape + shape, np.dtype(dtypes[key]))
        assert_same(taken[1, 2, 3], store.take(key, slots[1, 2, 3])[()])
    assert (store.observation_keys, store.extra_keys) == (
        ("vector", "image", "choice", "switch"),
        ("commanded_return",),
    )


def test_rows_are_what_take_gives() -> None:
    store = TrajectoryStore.from_episodes([varied_episode(np.random.default_rng(0), 30)])
    slots = store.steps[:24].reshape(2, 12)
    rows = store.rows(slots)
    for key in (*store.observation_keys, *store.extra_keys, "actions", "rewards", "return_to_go", "episode_return"):
        assert_same(rows[key], store.take(key, slots))
        assert_same(rows.part(1)[key], store.take(key, slots[1]))
        assert_same(rows.part(np.s_[:, 3:])[key], store.take(key, slots[:, 3:]))
        # What torch.from_numpy demands of views:
        assert all(stride % rows[key].itemsize == 0 for stride in rows[key].strides)
        assert store.take(key, slots).flags.c_contiguous
    with pytest.raises(ValueError, match="no column 'nothing' in own play; it has vector, image, choice"):
        rows["nothing"]
    with pytest.raises(ValueError, match="actions of own play cannot be read"):
        store.unlabelled().rows(slots)["actions"]


def test_taken_data_is_a_copy() -> None:
    store = told_store(3)
    store.take("observation", store.slots)[:] = 9
    store.episode(0).observations["observation"][:] = 9
    assert_holds(store, [told_episode(0, 3)])


def test_episodes_without_actions_or_rewards() -> None:
    store = TrajectoryStore.from_episodes([told_episode(0, 3, actions=None, rewards=None)])
    assert not store.has_actions and not store.has_rewards
    assert store.episode(0).actions is None and store.episode(0).rewards is None
    assert store.returns.tolist() == [0.0]
    with pytest.raises(ValueError, match="actions of own play cannot be read"):
        store.take("actions", store.steps)
    with pytest.raises(ValueError, match="no column 'return_to_go' in own play; it has observation"):
        store.take("return_to_go", store.steps)
    with pytest.raises(ValueError, match="it holds no rewards"):
        store.best(0.5)


def test_best_takes_the_highest_returns_and_later_ones_among_equals() -> None:
    rewards = [3.0, 1.0, 5.0, 3.0, 5.0, 0.0, 3.0]
    episodes = [told_episode(i, 1 + i % 3, rewards=np.full(1 + i % 3, r / (1 + i % 3))) for i, r in enumerate(rewards)]
    store = TrajectoryStore.from_episodes(episodes)
    for fraction, chosen in ((1e-9, [4]), (2 / 7, [2, 4]), (0.3, [2, 4, 6]), (4 / 7, [2, 3, 4, 6]), (1, range(7))):
        view = store.best(fraction)
        assert_holds(view, [episodes[i] for i in chosen])
        assert view.take("observation", view.steps).base is None
        assert view._table is store._table  # the columns are shared
    assert_holds(store.best(4 / 7).best(0.25), [episodes[4]])
    for fraction in (0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="give a number in"):
            store.best(fraction)


def test_best_counts_are_not_rounded_up_by_float_noise() -> None:
    store = told_store(*[1] * 100)
    assert [store.best(percent / 100).n_episodes for percent in range(1, 101)] == list(range(1, 101))


def test_watched_hides_actions_and_grows_along() -> None:
    store = TrajectoryStore()
    unlabelled = store.unlabelled()
    store.append(told_episode(0, 4))
    assert store.has_actions and not unlabelled.has_actions
    assert unlabelled.n_steps == 4 and unlabelled.observation_keys == ("observation",)
    for view in (
        unlabelled,
        unlabelled.unlabelled(),
        store.best(1).unlabelled(),
        unlabelled.best(1),
        unlabelled.copy(),
    ):
        with pytest.raises(ValueError, match=r"^The actions of .*own play cannot be read"):
            view.take("actions", view.steps)
        assert view.episode(0).actions is None
        assert_same(view.take("observation", view.steps), store.take("observation", store.steps))


def test_a_view_of_some_episodes_is_a_snapshot() -> None:
    store = told_store(2, 3)
    view = store.best(0.5)
    slots = view.steps
    store.append(told_episode(2, 4))
    for use in (
        lambda: view.steps,
        lambda: view.take("observation", slots),
        lambda: view.episode(0),
        view.unlabelled().copy,
    ):
        with pytest.raises(ValueError, match=r"the best 50.00% of own play, was made before more episodes came in"):
            use()
    assert store.best(0.5).n_episodes == 2


def test_views_and_shared_stores_are_read_only_but_copies_are_not() -> None:
    store = told_store(2, 3, 4, name="mine")
    for shared in (store.best(0.5), store.unlabelled(), copy.copy(store).freeze()):
        with pytest.raises(ValueError, match=r"mine is read-only.*copy\(\)"):
            shared.append(told_episode(3, 2))
    grown = store.best(1).copy(capacity=10)
    assert_holds(grown, [told_episode(1, 3), told_episode(2, 4)])
    grown.append(told_episode(3, 2))
    assert_holds(grown, [told_episode(2, 4), told_episode(3, 2)])
    assert_holds(store, [told_episode(0, 2), told_episode(1, 3), told_episode(2, 4)])


@pytest.mark.parametrize("key", ["vector", "image", "switch", "rewards"])
def test_moments_in_portions_read_few_entries_at_a_time(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    store = TrajectoryStore.from_episodes([varied_episode(rng, length) for length in (3, 8, 5, 20)])
    values = store.take(key, store.steps if key == "rewards" else store.slots)
    expected = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    for moment, exact in zip(store.moments(key), expected, strict=True):
        np.testing.assert_array_equal(moment, exact.astype(np.float32))
    take, sizes = TrajectoryStore.take, []

    def counting(self: TrajectoryStore, column: str, slots: np.ndarray) -> np.ndarray:
        found = take(self, column, slots)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(readable_store, "PORTION", 120)
    monkeypatch.setattr(TrajectoryStore, "take", counting)
    for moment, exact in zip(store.moments(key), expected, strict=True):
        np.testing.assert_allclose(moment, exact, rtol=1e-5, atol=1e-6)
    assert max(sizes) <= 120


def test_moments() -> None:
    rng = np.random.default_rng(0)
    episodes = [varied_episode(rng, 20) for _ in range(9)]
    store = TrajectoryStore.from_episodes(episodes, capacity=100)
    for part, kept in ((store, list(store.episodes())), (store.best(0.5), list(store.best(0.5).episodes()))):
        for key in ("vector", "choice", "commanded_return"):
            column = np.concatenate([{**episode.observations, **episode.extras}[key] for episode in kept])
            for moment, expected in zip(part.moments(key), (column.mean(0), column.std(0)), strict=True):
                assert moment.dtype == np.float32
                np.testing.assert_allclose(moment, expected, rtol=1e-4, atol=1e-5)
        rewards = np.concatenate([episode.rewards for episode in kept])  # the zeros of last slots do not count
        np.testing.assert_allclose(part.moments("rewards"), (rewards.mean(), rewards.std()), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="own play holds no episodes"):
        TrajectoryStore().moments("vector")


def _pickled(store: TrajectoryStore, _: Path) -> TrajectoryStore:
    return pickle.loads(pickle.dumps(store))  # type: ignore[no-any-return]


def _saved(store: TrajectoryStore, folder: Path) -> TrajectoryStore:
    path = folder / "replay_buffer.pkl"
    path.write_text("an older file")
    store.save(path)
    assert [file.name for file in folder.iterdir()] == [path.name]
    return TrajectoryStore.load(path)


@pytest.mark.parametrize("travel", [_pickled, _saved, lambda store, _: copy.deepcopy(store)])
@pytest.mark.parametrize("appended", [0, 1, 4, 20])
def test_stores_travel(
    travel: Callable[[TrajectoryStore, Path], TrajectoryStore], appended: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    store = TrajectoryStore(capacity=80, name="mine")
    for i in range(appended):
        store.append(varied_episode(rng, 12 - i % 5))
    arrived = travel(store, tmp_path)
    assert (arrived.name, arrived.capacity) == ("mine", 80)
    assert_holds(arrived, list(store.episodes()))
    before = list(store.episodes())
    for _ in range(7):
        arrived.append(varied_episode(rng, 12))
    assert arrived.n_episodes == 6
    assert_holds(store, before)


def test_views_are_saved_as_what_they_show(tmp_path: Path) -> None:
    store = told_store(2, 3, 4)
    store.best(0.3).save(tmp_path / "best")
    assert_holds(TrajectoryStore.load(tmp_path / "best"), [told_episode(2, 4)])
    store.unlabelled().save(tmp_path / "unlabelled")
    assert not TrajectoryStore.load(tmp_path / "unlabelled").has_actions


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store"
    told_store(2).save(path)
    monkeypatch.setattr(np.lib.format, "write_array", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        told_store(3, 4).save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["store"]
    assert_holds(TrajectoryStore.load(path), [told_episode(0, 2)])


def test_a_save_makes_folders_and_a_file_as_readable_as_any_other(tmp_path: Path) -> None:
    told_store(2).save(tmp_path / "new" / "folder" / "store")
    (tmp_path / "other").write_text("")
    path = tmp_path / "new" / "folder" / "store"
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert_holds(TrajectoryStore.load(path), [told_episode(0, 2)])


def test_a_saved_file_holds_the_columns_and_nothing_else(tmp_path: Path) -> None:
    store = TrajectoryStore.from_episodes([varied_episode(np.random.default_rng(0), 9) for _ in range(3)])
    store.save(tmp_path / "store.npz")
    with np.load(tmp_path / "store.npz", allow_pickle=False) as arrays:  # plain arrays, which others can read, too
        columns = {"observations vector", "observations image", "observations choice", "observations switch"}
        columns |= {"extras commanded_return", "actions", "rewards"}
        assert {*arrays} == columns | {"header", "lengths", "terminated"}
        assert_same(arrays["observations image"], store.take("image", store.slots))


def test_a_column_larger_than_a_portion_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_file, "PORTION", 100)
    store = TrajectoryStore.from_episodes([varied_episode(np.random.default_rng(0), 9) for _ in range(3)])
    store.save(tmp_path / "store")
    assert_holds(TrajectoryStore.load(tmp_path / "store"), list(store.episodes()))


def test_load_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no file .*missing"):
        TrajectoryStore.load(tmp_path / "missing")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "pickled.pkl").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "empty").touch()
    told_store(5).save(tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:700])
    np.savez(tmp_path / "objects.npz", header=np.array([{}], dtype=object))
    for name, reason in (
        ("other.npz", "holds no trajectories; give a file that TrajectoryStore.save wrote"),
        ("pickled.pkl", r"cannot be read \(File is not a zip file\)"),
        ("empty", r"cannot be read \(File is not a zip file\)"),
        ("half", r"cannot be read \(File is not a zip file\)"),
        ("objects.npz", r"cannot be read \(Object arrays such as 'header' can run code"),
    ):
        with pytest.raises(ValueError, match=rf"{name} {reason}"):
            TrajectoryStore.load(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"actions": None, "rewards": None}, "'actions' as nothing where earlier episodes have float32 "),
        ({"actions": np.zeros(4, int)}, r"'actions' as int64 of shape \(\) where"),
        ({"observations": {"observation": np.zeros((5, 2))}}, "'observation' as float32 of shape .* have int64"),
        ({"extras": {"x": np.zeros(5)}}, r"'x' as float32 of shape \(\) where earlier episodes have nothing"),
    ],
)  # fmt: skip
def test_episodes_must_agree(changes: dict, sentence: str) -> None:  # type: ignore[type-arg]
    odd = told_episode(2, 4, **changes)
    with pytest.raises(
        ValueError, match=rf"^Episode 2 of mine has .*{sentence}.*; give all episodes the same columns\.$"
    ):
        TrajectoryStore.from_episodes([told_episode(0, 4), told_episode(1, 4), odd], name="mine")
    store = told_store(3)
    with pytest.raises(ValueError, match=r"^The episode has "):
        store.append(odd)
    assert_holds(store, [told_episode(0, 3)])


def test_names_of_columns_must_be_free() -> None:
    for key in ("actions", "rewards", "return_to_go", "episode_return", "first", "last"):
        with pytest.raises(ValueError, match=f"calls an observation or extra '{key}'"):
            TrajectoryStore().append(told_episode(0, 2, observations={key: np.zeros(3)}))
    with pytest.raises(ValueError, match="both an observation and an extra 'observation'"):
        TrajectoryStore().append(told_episode(0, 2, extras={"observation": np.zeros(3)}))


def test_an_episode_must_fit_the_capacity() -> None:
    store = told_store(4, capacity=10)
    with pytest.raises(ValueError, match=r"takes 11 slots, more than the capacity of own play \(10\)"):
        store.append(told_episode(1, 10))
    assert_holds(store, [told_episode(0, 4)])
    store.append(told_episode(1, 9))
    assert_holds(store, [told_episode(1, 9)])
    with pytest.raises(ValueError, match=r"of own play is 1; give a whole number of at least 2"):
        TrajectoryStore(capacity=1)


def test_faults_of_lazy_episodes_are_named_by_their_number() -> None:
    lazy = (told_episode(i, 3, rewards=[0, float("nan") if i == 5 else 0, 0]) for i in range(9))
    with pytest.raises(ValueError, match=r"^Episode 5 of mine holds nan in reward at step 1"):
        TrajectoryStore.from_episodes(lazy, name="mine")
