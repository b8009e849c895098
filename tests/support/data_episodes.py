"""Small episodes whose values encode the episode and the step, for tests of the data layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from gcrl_zoo.data import Array, Episode, TrajectoryStore


def told_episode(number: int, length: int, **changes: Any) -> Episode:
    """An episode whose observations are (number, t), actions (number, t, -t) and rewards irregular."""
    t = np.arange(length + 1)
    number_t = np.stack([np.full(length + 1, number), t], axis=1)
    fields: dict[str, Any] = {
        "observations": {"observation": number_t},
        "actions": np.column_stack([number_t, -t])[:-1].astype(np.float32),
        "rewards": (1 + (7 * t[:-1] + 3 * number) % 5) / 4,
        "terminated": number % 2 == 0,
    }
    return Episode(**{**fields, **changes})


def told_store(*lengths: int, **arguments: Any) -> TrajectoryStore:
    """A store with one such episode per length."""
    return TrajectoryStore.from_episodes([told_episode(i, n) for i, n in enumerate(lengths)], **arguments)


def varied_episode(rng: np.random.Generator, length: int) -> Episode:
    """A random episode with Dict observations (vector, image, discrete), discrete actions and an extra."""
    slots = length + 1
    return Episode(
        observations={
            "vector": rng.standard_normal((slots, 3)),
            "image": rng.integers(0, 256, (slots, 4, 5, 3), dtype=np.uint8),
            "choice": rng.integers(0, 7, slots, dtype=np.int32),
            "switch": rng.random((slots, 2)) < 0.5,
        },
        actions=rng.integers(0, 4, length, dtype=np.int16),
        rewards=rng.standard_normal(length),
        terminated=bool(rng.random() < 0.5),
        extras={"commanded_return": rng.standard_normal(slots)},
    )


def assert_same_episode(a: Episode, b: Episode) -> None:
    """Equal to the bit, dtypes included."""
    assert a.terminated is b.terminated
    for columns_a, columns_b in (
        (a.observations, b.observations),
        (a.extras, b.extras),
        ({"actions": a.actions, "rewards": a.rewards}, {"actions": b.actions, "rewards": b.rewards}),
    ):
        assert list(columns_a) == list(columns_b)
        for key in columns_a:
            assert_same(columns_a[key], columns_b[key])


def assert_same(a: Array | None, b: Array | None) -> None:
    """Equal to the bit, or both missing."""
    if a is None or b is None:
        assert a is b
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)
