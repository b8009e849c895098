"""The data and sizes that `dt` and its peers are compared with: random data of Hopper's size."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import numpy as np

OBS, ACTION, K, BATCH = 11, 3, 20, 64
Step = Callable[[], Any]


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


def filled(step: Step) -> Step:
    for _ in range(K + 1):
        step()
    return step


def measure(contenders: dict[str, Step], rounds: int, seed: int = 0) -> dict[str, float]:
    """Return the median CPU milliseconds of each contender."""
    rng, times = random.Random(seed), {name: [] for name in contenders}
    for _ in range(3):
        for step in contenders.values():
            step()
    for _ in range(rounds):
        for name in rng.sample(list(contenders), len(contenders)):
            start = time.process_time()
            contenders[name]()
            times[name].append(time.process_time() - start)
    return {name: 1000 * median(each) for name, each in times.items()}
