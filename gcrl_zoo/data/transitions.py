"""Samples transitions, for methods that learn values: observation, action, reward and next observation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gcrl_zoo.data.episode import Array
from gcrl_zoo.data.samplers import Sampler, Steps
from gcrl_zoo.data.store import TrajectoryStore


class TransitionBatch(NamedTuple):
    """Single steps with the observation that follows."""

    observations: dict[str, Array]  # (B, ...)
    actions: Array | None  # (B, A) or (B,); None from a store without actions
    rewards: Array | None  # (B,); None from a store without rewards
    next_observations: dict[str, Array]  # (B, ...)
    terminated: Array  # (B,) bool: the next observation is a terminal state, whose value is zero


class Transitions(Sampler[Array, TransitionBatch]):
    """
    Samples transitions uniformly over all steps.

    ``terminated`` is True only for the last step of an episode that ended in a terminal state. It is False for the last
    step of a truncated episode, so that the value of its next observation is bootstrapped.
    """

    def __init__(self, store: TrajectoryStore) -> None:
        self.store = store
        self._steps = Steps(store)

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Choose n steps: (B,) slots."""
        return self._steps.draw(rng, n)

    def gather(self, index: Array) -> TransitionBatch:
        """Read the chosen transitions."""
        store, following = self.store, index + 1
        rows = store.rows(np.concatenate((index, following)).reshape(2, -1))  # in one pass over memory
        here, there = rows.part(0), rows.part(1)
        terminated = following == store.last.take(index)  # (B,) the episode ends here
        ends = np.flatnonzero(terminated)
        episodes = np.searchsorted(store.final_slots, following[ends])
        terminated[ends] = store.terminated.take(episodes)
        return TransitionBatch(
            observations={key: here[key] for key in store.observation_keys},
            actions=here["actions"] if store.has_actions else None,
            rewards=here["rewards"] if store.has_rewards else None,
            next_observations={key: there[key] for key in store.observation_keys},
            terminated=terminated,
        )
