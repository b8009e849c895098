"""Columns of compressed images: the same images as in an array, stored once and shared by copies."""

from __future__ import annotations

import copy
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.data.columns import FrameColumn, is_frame
from gcrl_zoo.data.columns.frames import Frames


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Noise in one corner, so that they can be compressed."""
    values = np.zeros((n, *shape), np.uint8)
    values[:, : shape[0] // 2] = np.random.default_rng(seed).integers(0, 256, (n, shape[0] // 2, *shape[1:]))
    return values


def stacks_of(frames: np.ndarray, size: int) -> np.ndarray:
    """As FrameStackObservation makes them."""
    return np.stack([frames[np.maximum(np.arange(t - size + 1, t + 1), 0)] for t in range(len(frames))])


def episode(entries: np.ndarray) -> Episode:
    return Episode({"image": entries}, np.zeros(len(entries) - 1, np.int64), np.ones(len(entries) - 1))


@pytest.mark.parametrize(
    ("shape", "dtype", "frame"),
    [
        ((84, 84, 3), np.uint8, True),
        ((32, 32), np.uint8, True),
        ((31, 33), np.uint8, False),
        ((7, 7, 3), np.uint8, False),
        ((2048,), np.uint8, False),
        ((84, 84, 3), np.float32, False),
    ],
)
def test_images_of_a_kibibyte_are_frames(shape: tuple[int, ...], dtype: type, frame: bool) -> None:
    assert is_frame(shape, np.dtype(dtype)) is frame


@pytest.mark.parametrize("shape", [(84, 84, 3), (36, 36, 1), (40, 40)])
def test_frames_are_what_was_appended(shape: tuple[int, ...]) -> None:
    expected, frames = images(50, *shape), Frames(shape)
    first = [frames.append(part) for part in np.split(expected, [1, 2, 20, 41])]
    assert first == [0, 1, 2, 20, 41] and len(frames) == 50
    numbers = np.random.default_rng(0).integers(0, 50, (4, 6))
    np.testing.assert_array_equal(frames.read(numbers), expected[numbers])
    frames.drop_before(30)
    for same in (frames, frames.share(), copy.deepcopy(frames), pickle.loads(pickle.dumps(frames))):
        np.testing.assert_array_equal(same.read(np.arange(30, 50)), expected[30:])
        assert same.nbytes < 0.8 * expected.nbytes


def test_threads_share_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcrl_zoo.data.columns.frames.CACHE_BYTES", 4096)
    frames, entries = Frames((32, 32)), np.zeros((1, 32, 32), np.uint8)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(lambda: [frames._remember(i, entries) for i in range(50_000)]) for _ in range(4)]
        assert all(each.exception() is None for each in done)
    finally:
        sys.setswitchinterval(interval)


def test_a_damaged_chunk_is_named() -> None:
    frames = Frames((84, 84), name="data")
    frames.append(images(2, 84, 84))
    frames._chunks[1] = frames._chunks[1][:-9] + b"123456789"
    with pytest.raises(ValueError, match=r"^The images of data are damaged \(chunk 1: "):
        frames.read(np.array([0, 1]))


@pytest.mark.parametrize("stack", [1, 4])
def test_eviction_and_relocation_copy_no_frame(stack: int) -> None:
    store, kept = TrajectoryStore(capacity=60), []
    chunks: dict[int, bytes] = {}
    for i in range(30):
        frames = images(7 + i % 5, 84, 84, seed=i)
        kept.append(stacks_of(frames, stack) if stack > 1 else frames)
        store.append(episode(kept[-1]))
        column = store._table.frames["image"]
        assert column.stack == stack
        here = {number: column.frames.chunk(number) for number in column.frames.chunk_numbers}
        assert all(here[number] is chunks[number] for number in here.keys() & chunks.keys())
        chunks = here
    for found, expected in zip(store.episodes(), kept[-store.n_episodes :], strict=True):
        np.testing.assert_array_equal(found.observations["image"], expected)
    assert not store.take("image", np.array([[0]])).any()
    assert len(chunks) <= 60 + (stack - 1) * store.n_episodes  # each frame once; the first one fills its stack


def test_recorded_stacks_are_stored_once_without_loss() -> None:
    frames = images(40, 84, 84, 3)
    stacked = stacks_of(frames, 4)
    stacked[20, 1] += 1  # fits neither the stack before nor the one behind
    store = TrajectoryStore.from_episodes([episode(stacks_of(frames, 4)), episode(stacked)])
    np.testing.assert_array_equal(store.episode(1).observations["image"], stacked)
    assert len(store._table.frames["image"].frames) == 2 * 43 + 2 * 3
    random = images(6, 4, 84, 84)
    column = FrameColumn((4, 84, 84))
    column.write(1, random)
    assert column.stack == 1
    np.testing.assert_array_equal(column.take(np.arange(1, 7)), random)


def test_copies_share_compressed_frames() -> None:
    parts = [images(5 + i, 84, 84, 3, seed=i) for i in range(6)]
    store = TrajectoryStore.from_episodes([episode(part) for part in parts]).changed({"image": lambda x: x})
    raw = TrajectoryStore.from_episodes([episode(part) for part in parts])
    for source, chosen in ((raw, parts), (raw.newest(2), parts[-2:]), (raw.best(0.5), parts[-3:]), (store, parts)):
        own = source.copy(capacity=200)
        own.append(episode(parts[0]))
        for found, expected in zip(own.episodes(), [*chosen, parts[0]], strict=True):
            np.testing.assert_array_equal(found.observations["image"], expected)
        shared = own._table.frames["image"].frames.chunk(0) is raw._table.frames["image"].frames.chunk(0)
        assert shared is (source is not store)  # a change that cannot be reversed is applied
    np.testing.assert_array_equal(raw.copy(capacity=11).episode(0).observations["image"], parts[-1])
    with pytest.raises(ValueError, match=r"^Episode 5 of own play takes 10 slots, more than the capacity of own play"):
        raw.copy(capacity=9)


def test_stacks_of_many_short_episodes_take_linear_time() -> None:
    column, stacks = FrameColumn((2, 32, 32)), stacks_of(images(3, 32, 32), 2)
    arrays = []
    for i in range(1000):
        column.write(1 + 3 * i, stacks)
        arrays.append(column._runs.arrays["slot"])
    assert column.runs.shape == (2, 1000)
    assert sum(new is not old for old, new in pairwise(arrays)) < 30
    np.testing.assert_array_equal(column.take(np.arange(2998, 3001)), stacks)


@pytest.mark.parametrize(("shape", "stack"), [((400, 600, 3), 1), ((4, 84, 84), 4), ((4, 84, 84, 3), 4)])
def test_large_uniform_images_are_no_stacks(shape: tuple[int, ...], stack: int) -> None:
    column = FrameColumn(shape)
    column.write(1, np.zeros((3, *shape), np.uint8))
    assert column.stack == stack
