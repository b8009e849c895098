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
        return uniform_steps(self.store, rng, n)

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
        steps = uniform_steps(store, rng, n)
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


def uniform_steps(store: TrajectoryStore, rng: np.random.Generator, n: int) -> Array:
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
