"""Samples windows of consecutive steps, for sequence models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gcrl_zoo.data.checks import boolean, optional_whole, whole
from gcrl_zoo.data.episode import Array
from gcrl_zoo.data.samplers import MOST, Sampler, uniform_steps
from gcrl_zoo.data.store import TrajectoryStore


class WindowIndex(NamedTuple):
    """Slots of a batch of windows."""

    slots: Array  # (B, K+ahead-1); padded with the first one after the end of the window


class WindowBatch(NamedTuple):
    """Windows of consecutive steps, padded on the right with a copy of their first step."""

    observations: dict[str, Array]  # (B, K, ...); (B, K+1, ...) with the one after the last step, if requested
    actions: Array | None  # (B, K+ahead-1, A) or (B, K+ahead-1); None from a store without actions
    mask: Array  # (B, K+ahead-1) bool: False where the window is padded
    returns_to_go: Array | None  # (B, K); like the next one None from a store without rewards
    episode_returns: Array | None  # (B,)
    timesteps: Array  # (B, K) int32 steps since the beginning of the episode
    later: dict[str, Array] | None = None  # (B, K, ...) the observations some steps after each step, if requested
    later_mask: Array | None = None  # (B, K) bool: False where the episode ends before that observation


class Windows(Sampler[WindowIndex, WindowBatch]):
    """Samples windows of up to K consecutive steps, as for sequence models.

    The last step of a window is uniform over all steps. A window that would begin before the episode is shorter.
    Sampling the window *start* uniformly would almost never cover the first steps of an episode, where acting begins.

    :param length: K, the number of observations, at least 1
    :param ahead: number of actions for each observation, its own included, as for action chunks; at least 1. The batch
        has K + ahead - 1 actions
    :param successor: also read the observation after the last step, so that each of the K steps has its next
        observation in the batch; it may be the final observation of the episode
    :param horizon: also read the observations so many steps after each of the K steps; where the episode ends before,
        its final observation. None for not
    :raises ValueError: an argument is out of its range
    """

    def __init__(
        self, store: TrajectoryStore, length: int, ahead: int = 1, successor: bool = False, horizon: int | None = None
    ) -> None:
        self.store = store
        self.length = whole(length, "The length of windows", most=MOST)
        self.ahead = whole(ahead, "The number of actions ahead", most=MOST)
        self.successor = boolean(successor, "successor")
        self.horizon = optional_whole(horizon, "The horizon of windows")
        self._offsets = np.arange(self.length + self.ahead - 1)

    def draw(self, rng: np.random.Generator, n: int) -> WindowIndex:
        """Choose n windows."""
        store, newest = self.store, uniform_steps(self.store, rng, n)[:, None]
        begin = np.maximum(newest - (self.length - 1), store.first.take(newest))
        slots = begin + self._offsets
        beyond = np.minimum(newest + self.ahead, store.last.take(newest))
        return WindowIndex(np.where(slots < beyond, slots, begin))

    def gather(self, index: WindowIndex) -> WindowBatch:
        """Read the windows."""
        store, slots = self.store, index.slots
        rows, mask = store.rows(slots), slots > slots[:, :1]
        mask[:, 0] = True
        seen = rows.part(np.s_[:, : self.length])
        observed = store.rows(self._with_successors(slots, mask)) if self.successor else seen
        timesteps = slots - store.first[slots[:, :1]]
        later = later_mask = None
        if self.horizon is not None:
            wanted, last = slots[:, : self.length] + self.horizon, store.last[slots[:, :1]]
            later, later_mask = store.rows(np.minimum(wanted, last)), wanted <= last
        return WindowBatch(
            observations={key: observed[key] for key in store.observation_keys},
            actions=rows["actions"] if store.has_actions else None,
            mask=mask,
            returns_to_go=seen["return_to_go"] if store.has_rewards else None,
            episode_returns=rows["episode_return"][:, 0] if store.has_rewards else None,
            timesteps=timesteps[:, : self.length].astype(np.int32),
            later=None if later is None else {key: later[key] for key in store.observation_keys},
            later_mask=later_mask,
        )

    def _with_successors(self, slots: Array, mask: Array) -> Array:
        """Return the slots of K + 1 observations, (B, K+1), padded with the first one behind the last successor."""
        begin, steps = slots[:, :1], mask[:, : self.length].sum(1, keepdims=True)
        offsets = np.arange(self.length + 1)
        return np.where(offsets <= steps, begin + offsets, begin)
