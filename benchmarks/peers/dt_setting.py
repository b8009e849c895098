"""The data and sizes that `dt` and its peers are compared with: random data of Hopper's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

OBS, ACTION, K, BATCH = 11, 3, 20, 64


class Arrays(NamedTuple):
    """Arrays of an episode of T steps."""

    observations: np.ndarray  # (T + 1, OBS)
    actions: np.ndarray  # (T, ACTION)
    rewards: np.ndarray  # (T,)


def make_episodes(n_steps: int, seed: int = 0) -> Iterator[Arrays]:
    """Make random episodes of 200 to 1,000 steps."""
    rng = np.random.default_rng(seed)
    while n_steps > 0:
        length = min(int(rng.integers(200, 1001)), n_steps)
        n_steps -= length
        observations = rng.standard_normal((length + 1, OBS), dtype=np.float32)
        actions = rng.uniform(-1, 1, (length, ACTION)).astype(np.float32)
        yield Arrays(observations, actions, rng.random(length, dtype=np.float32))
