"""Samplers make batches from a store. ``draw`` chooses samples at random, ``gather`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar, get_args

import numpy as np

from gcrl_zoo.data.checks import boolean, is_number, optional_whole, whole
from gcrl_zoo.data.episode import Array
from gcrl_zoo.data.store import TrajectoryStore

IndexT = TypeVar("IndexT")
BatchT = TypeVar("BatchT", covariant=True)

MOST = 2**24
"""Limit of the samples in a batch and of the steps in a window; more would need gigabytes."""

Strategy: TypeAlias = Literal["future", "final", "episode", "geometric", "random"]


class Sampler(Protocol[IndexT, BatchT]):
    """Makes batches from a store.

    All randomness is in ``draw``, so a thread can gather ahead, or several processes can each gather a part of an
    index, without changing the results. An index is valid until episodes are added to its store.
    """

    def draw(self, rng: np.random.Generator, n: int) -> IndexT:
        """Choose n samples at random.

        :raises ValueError: n is no whole number of at least 1, or the store holds no episodes
        """
        ...

    def gather(self, index: IndexT) -> BatchT:
        """Read the chosen samples."""
        ...

    def sample(self, rng: np.random.Generator, n: int) -> BatchT:
        """Draw and gather."""
        return self.gather(self.draw(rng, n))


class StepBatch(NamedTuple):
    """Observations and actions of single steps."""

    observations: dict[str, Array]  # (B, ...)
    actions: Array | None  # (B, A) or (B,); None from a store without actions


class Steps(Sampler[Array, StepBatch]):
    """Samples single steps uniformly: pairs of an observation and an action, as for behaviour cloning."""

    def __init__(self, store: TrajectoryStore) -> None:
        self.store = store

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Choose n steps: (B,) slots."""
        return _uniform_steps(self.store, rng, n)

    def gather(self, index: Array) -> StepBatch:
        """Read the chosen steps."""
        store, rows = self.store, self.store.rows(index)
        return StepBatch(
            observations={key: rows[key] for key in store.observation_keys},
            actions=rows["actions"] if store.has_actions else None,
        )


class GoalIndex(NamedTuple):
    """Slots of a batch of goal pairs."""

    steps: Array  # (B,) slots of the steps
    goals: Array  # (B,) slots of the observations that serve as goals


class GoalBatch(NamedTuple):
    """Steps, each with an observation that serves as its goal (hindsight relabelling)."""

    observations: dict[str, Array]  # (B, ...)
    actions: Array | None  # (B, A) or (B,); None from a store without actions
    goals: dict[str, Array]  # (B, ...)
    horizons: Array  # (B,) int32 steps to the goal; 0 if the goal is not a later observation of the episode
    episode_returns: Array | None  # (B,); like the next two None from a store without rewards
    returns_to_go: Array | None  # (B,) rewards from the step to the end of the episode
    segment_returns: Array | None  # (B,) rewards from the step until the goal; 0 where the horizon is 0
    successors: dict[str, Array] | None = None  # (B, ...) goal keys of the next observation, if requested


class GoalPairs(Sampler[GoalIndex, GoalBatch]):
    """Samples steps uniformly, and for each step an observation of the store as its goal (hindsight relabelling).

    ===========  ==============================================================================
    strategy     goal of a step at slot k in an episode that ends at slot ``last``
    ===========  ==============================================================================
    future       uniform over the slots k+1 ... last
    final        last
    episode      uniform over all slots of the episode, earlier ones and k itself included
    geometric    k + Geometric(1 - discount), at most last
    random       uniform over all slots of the store
    ===========  ==============================================================================

    :param max_horizon: for ``future`` and ``geometric``: the goal lies at most so many steps ahead; at least 1
    :param discount: for ``geometric``, in [0, 1)
    :param goal_keys: observation keys that make up the goal; None: all of them
    :param successors: also read the next observation of each step
    :raises ValueError: an argument is out of its range
    """

    def __init__(
        self,
        store: TrajectoryStore,
        strategy: Strategy = "future",
        max_horizon: int | None = None,
        discount: float = 0.99,
        goal_keys: Sequence[str] | None = None,
        successors: bool = False,
    ) -> None:
        if not isinstance(strategy, str) or strategy not in get_args(Strategy):
            raise ValueError(f"The goal strategy {strategy!r} is unknown; choose {', '.join(get_args(Strategy))}.")
        if max_horizon is not None and strategy not in ("future", "geometric"):
            raise ValueError(f"The goal strategy '{strategy}' has no horizon; set max_horizon ({max_horizon}) to None.")
        if not is_number(discount) or not 0 <= discount < 1:
            raise ValueError(f"The discount of geometric goals is {discount!r}; give a number in [0, 1).")
        self.store = store
        self.strategy = strategy
        self.max_horizon = optional_whole(max_horizon, "max_horizon")
        self.discount = discount
        self.goal_keys = _goal_keys(goal_keys, store)
        self.successors = boolean(successors, "successors")

    def draw(self, rng: np.random.Generator, n: int) -> GoalIndex:
        """Choose n steps, and a goal for each of them."""
        store, strategy = self.store, self.strategy
        steps = _uniform_steps(store, rng, n)
        n, last = len(steps), store.last.take(steps)
        if strategy == "final":
            return GoalIndex(steps, last)
        if strategy == "random":
            return GoalIndex(steps, _uniform_slots(store, rng, n))
        if strategy == "episode":
            first = store.first.take(steps)
            return GoalIndex(steps, first + _uniform(rng, n, last - first + 1))
        reach = last - steps
        if self.max_horizon is not None:
            np.minimum(reach, self.max_horizon, out=reach)
        if strategy == "future":
            return GoalIndex(steps, steps + 1 + _uniform(rng, n, reach))
        return GoalIndex(steps, steps + np.minimum(rng.geometric(1 - self.discount, n), reach))

    def horizons(self, index: GoalIndex) -> Array:
        """(B,) int32 as in a batch, without reading observations."""
        horizons = index.goals - index.steps
        if self.strategy in ("episode", "random"):
            horizons *= (horizons > 0) & (index.goals <= self.store.last.take(index.steps))
        return horizons.astype(np.int32)

    def gather(self, index: GoalIndex) -> GoalBatch:
        """Read the steps and their goals."""
        store, (steps, goals) = self.store, index
        slots = (steps, goals, steps + 1) if self.successors else index
        rows = store.rows(np.concatenate(slots).reshape(len(slots), -1))  # in one pass over memory
        here, there = rows.part(0), rows.part(1)
        goal_keys = self.goal_keys or store.observation_keys

        horizons = self.horizons(index)
        ahead = horizons > 0 if self.strategy in ("episode", "random") else None
        episode_returns = to_go = segment_returns = None
        if store.has_rewards:
            episode_returns, to_go = here["episode_return"], here["return_to_go"]
            segment_returns = to_go - there["return_to_go"]
            if ahead is not None:
                segment_returns = np.where(ahead, segment_returns, 0)
        return GoalBatch(
            observations={key: here[key] for key in store.observation_keys},
            actions=here["actions"] if store.has_actions else None,
            goals={key: there[key] for key in goal_keys},
            horizons=horizons,
            episode_returns=episode_returns,
            returns_to_go=to_go,
            segment_returns=segment_returns,
            successors={key: rows.part(2)[key] for key in goal_keys} if self.successors else None,
        )


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


class Windows(Sampler[WindowIndex, WindowBatch]):
    """Samples windows of up to K consecutive steps, as for sequence models.

    The last step of a window is uniform over all steps. A window that would begin before the episode is shorter.
    Sampling the window *start* uniformly would almost never cover the first steps of an episode, where acting begins.

    :param length: K, the number of observations, at least 1
    :param ahead: number of actions for each observation, its own included, as for action chunks; at least 1. The batch
        has K + ahead - 1 actions
    :param successor: also read the observation after the last step, so that each of the K steps has its next
        observation in the batch; it may be the final observation of the episode
    :param horizon: also read the observations so many steps after each of the K steps, at most the final observation of
        the episode; None for not
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
        store, newest = self.store, _uniform_steps(self.store, rng, n)[:, None]
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
        later = None
        if self.horizon is not None:
            steps = slots[:, : self.length]
            later = store.rows(np.minimum(steps + self.horizon, store.last[steps]))
        return WindowBatch(
            observations={key: observed[key] for key in store.observation_keys},
            actions=rows["actions"] if store.has_actions else None,
            mask=mask,
            returns_to_go=seen["return_to_go"] if store.has_rewards else None,
            episode_returns=rows["episode_return"][:, 0] if store.has_rewards else None,
            timesteps=timesteps[:, : self.length].astype(np.int32),
            later=None if later is None else {key: later[key] for key in store.observation_keys},
        )

    def _with_successors(self, slots: Array, mask: Array) -> Array:
        """Return the slots of K + 1 observations, (B, K+1), padded with the first one behind the last successor."""
        begin, steps = slots[:, :1], mask[:, : self.length].sum(1, keepdims=True)
        offsets = np.arange(self.length + 1)
        return np.where(offsets <= steps, begin + offsets, begin)


def _goal_keys(keys: Sequence[str] | None, store: TrajectoryStore) -> tuple[str, ...] | None:
    """Check that the store has these keys. A store without episodes has none yet, so it allows all."""
    if keys is None:
        return None
    known = store.observation_keys
    listed = isinstance(keys, Sequence) and not isinstance(keys, str) and all(isinstance(key, str) for key in keys)
    if not listed or not keys or (known and not {*keys} <= {*known}):
        have = ", ".join(known) or "none yet"
        raise ValueError(f"goal_keys is {keys!r}; give a list of observation keys of {store.name} ({have}), or None.")
    return tuple(keys)


def _uniform(rng: np.random.Generator, n: int, bounds: Array | int) -> Array:
    """n integers, each uniform over 0 ... bound - 1; faster than ``rng.integers`` where bounds differ."""
    return (rng.random(n) * bounds).astype(np.intp)


def _uniform_steps(store: TrajectoryStore, rng: np.random.Generator, n: int) -> Array:
    """(B,) slots, uniform over all steps."""
    n, steps = whole(n, "The number of samples", most=MOST), store.steps
    if not len(steps):
        raise ValueError(f"A batch was drawn from {store.name}, but it holds no episodes yet.")
    return steps.take(_uniform(rng, n, len(steps))).astype(np.intp)


def _uniform_slots(store: TrajectoryStore, rng: np.random.Generator, n: int) -> Array:
    """(B,) slots, uniform over all slots: those of steps and those of final observations."""
    steps, finals = store.steps, store.final_slots
    chosen = _uniform(rng, n, len(steps) + len(finals))
    of_steps, of_finals = steps.take(chosen, mode="clip"), finals.take(chosen - len(steps), mode="clip")
    return np.where(chosen < len(steps), of_steps, of_finals).astype(np.intp)
