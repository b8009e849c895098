"""Episodes: the unit in which experience enters and leaves the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gcrl_zoo.data.arrays import (
    FLOAT,
    INT,
    LARGEST,
    Array,
    DType,
    EpisodeError,
    action_dtype,
    checked,
    observation_dtype,
    reward_dtype,
)
from gcrl_zoo.data.checks import optional_whole, whole

__all__ = ["FLOAT", "INT", "Array", "DType", "Episode", "EpisodeBuilder", "EpisodeError"]


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode: T steps and T + 1 observations. The values are checked when the object is created.

    Observations do not contain commands: a desired goal or a return-to-go is an input of the policy, and is not stored.

    :param observations: (T+1, ...) for each key of the observation space; a plain space has the key ``"observation"``
    :param actions: (T, A) float32 in the units of the environment, (T,) int64, or None for an unlabelled episode
    :param rewards: (T,) or (T, 1) as the environment gave them, kept as (T,) float32; or None
    :param terminated: True when the environment reached a terminal state, False when the episode was cut (truncated)
    :param extras: (T+1, ...) further facts, such as the return that was commanded at each step
    """

    observations: dict[str, Array]
    actions: Array | None
    rewards: Array | None
    terminated: bool = False
    extras: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_mapping(self.observations, "observations")
        _check_mapping(self.extras, "extras")
        if not self.observations:
            raise EpisodeError("has no observations; give at least one key")
        facts = {key: checked(value, f"observation '{key}'") for key, value in self.observations.items()}
        extras = {key: checked(value, f"extra '{key}'") for key, value in self.extras.items()}
        actions = None if self.actions is None else checked(self.actions, "action", action_dtype)
        rewards = None if self.rewards is None else checked(self.rewards, "reward", reward_dtype)
        if not isinstance(self.terminated, (bool, np.bool_)):
            raise EpisodeError(f"has {self.terminated!r} as terminated; give True (a terminal state) or False (cut)")
        if rewards is not None and rewards.shape[1:] == (1,):
            rewards = rewards[:, 0]

        slots = len(next(iter(facts.values())))
        if slots < 2:
            raise EpisodeError(f"has no step (its number of observations is {slots}); leave such episodes out")
        for name, columns, expected in (("observation", facts, slots), ("extra", extras, slots)):
            for key, column in columns.items():
                _check_length(f"{name} '{key}'", column, expected, slots)
        if actions is not None:
            _check_length("actions", actions, slots - 1, slots)
        if rewards is not None:
            _check_length("rewards", rewards, slots - 1, slots)
            if rewards.ndim != 1:
                raise EpisodeError(f"has rewards of shape {rewards.shape}; give one number per step")
            # Bounds every return and every difference of two returns, which are kept as float32, too.
            if np.abs(rewards).sum(dtype=np.float64) > LARGEST[FLOAT]:
                raise EpisodeError(f"has rewards whose sum exceeds {LARGEST[FLOAT]:.3g} (float32); scale them down")

        # A frozen dataclass can only be completed through object.__setattr__.
        canonical = {"observations": facts, "actions": actions, "rewards": rewards, "extras": extras}
        for name, value in (*canonical.items(), ("terminated", bool(self.terminated))):
            object.__setattr__(self, name, value)

    @property
    def length(self) -> int:
        """Number of steps T."""
        return len(next(iter(self.observations.values()))) - 1

    @property
    def episode_return(self) -> float:
        """Sum of the raw rewards, 0.0 without rewards."""
        return 0.0 if self.rewards is None else float(self.rewards.sum(dtype=np.float64))


def _check_mapping(columns: Any, name: str) -> None:
    """Refuse anything but a dict of columns with printable names, which files keep."""
    if not isinstance(columns, Mapping):
        raise EpisodeError(
            f"has {name} of type {type(columns).__name__}; give a dict of arrays, such as {{'observation': array}}"
        )
    for key in columns:
        if not isinstance(key, str) or not key or not key.isprintable():
            raise EpisodeError(f"has the key {key!r} in {name}; give names of printable characters")


def _check_length(name: str, array: Array, expected: int, slots: int) -> None:
    if len(array) != expected:
        raise EpisodeError(
            f"has {name} of length {len(array)}, but {expected} belong to its {slots} observations: "
            f"T steps need T actions, T rewards and T + 1 observations"
        )


class EpisodeBuilder:
    """E growing episodes, one per environment, of which the finished ones come out as :class:`Episode`.

    It understands the autoreset of SB3's ``VecEnv``: for an environment that is done, ``next_observations`` already
    holds the first observation of the next episode.

    :param n_envs: number of environments E
    :param max_episode_steps: cuts (truncates) episodes of this length, so that endless ones get finished, too
    :raises ValueError: one of the two is no whole number of at least 1
    """

    def __init__(self, n_envs: int, max_episode_steps: int | None = None) -> None:
        n_envs = whole(n_envs, "n_envs (number of environments)")
        self.max_episode_steps = optional_whole(max_episode_steps, "max_episode_steps")
        self._envs = np.arange(n_envs)
        self._lengths: Array = np.zeros(n_envs, dtype=np.int64)
        self._capacity = 0
        # Each buffer is (capacity, E, ...): one vectorised write per column and env step, whatever E is.
        self._observations: dict[str, Array] = {}
        self._steps: dict[str, Array] = {}  # "actions" and "rewards"
        self._extras: dict[str, Array] = {}

    @property
    def lengths(self) -> Array:
        """(E,) number of steps in each growing episode."""
        return self._lengths.copy()

    def start(self, observations: Mapping[str, Array]) -> None:
        """Begin E new episodes; whatever was growing is dropped.

        :param observations: (E, ...) what the environments returned at reset
        """
        self._lengths[:] = 0
        self._capacity = 64
        self._observations = {key: self._buffer(value) for key, value in observations.items()}
        self._steps, self._extras = {}, {}
        for key, buffer in self._observations.items():
            buffer[0] = observations[key]

    def step(
        self,
        actions: Array,
        rewards: Array,
        next_observations: Mapping[str, Array],
        dones: Array,
        truncated: Array,
        final_observations: Sequence[Mapping[str, Array] | None],
        extras: Mapping[str, Array] | None = None,
    ) -> list[tuple[int, Episode]]:
        """Add one step to each episode.

        :param actions: (E, A) or (E,) what was executed, in the units of the environment
        :param rewards: (E,)
        :param next_observations: (E, ...) per key; after a done, the first observation of the next episode
        :param dones: (E,) bool: the episode ended here
        :param truncated: (E,) bool: it ended because it was cut, not in a terminal state
        :param final_observations: for each done environment the true last observation, else None
        :param extras: (E, ...) further facts of this step; the same keys at every step
        :return: (environment, episode) for each episode that ended
        """
        if not self._observations:
            raise ValueError("The EpisodeBuilder has no first observations; call start() before step().")
        extras = extras or {}
        if not self._steps:
            self._steps = {
                "actions": self._buffer(actions, action_dtype),
                "rewards": self._buffer(rewards, reward_dtype),
            }
            self._extras = {key: self._buffer(value) for key, value in extras.items()}
        if extras.keys() != self._extras.keys():
            raise ValueError(f"The extras changed from {sorted(self._extras)} to {sorted(extras)}; keep the same keys.")

        at, envs = self._lengths, self._envs
        self._steps["actions"][at, envs] = actions
        self._steps["rewards"][at, envs] = rewards
        for key, buffer in self._extras.items():
            buffer[at, envs] = extras[key]
        at += 1
        longest = int(at.max())
        if longest == self._capacity:
            self._grow()
        for key, buffer in self._observations.items():
            buffer[at, envs] = next_observations[key]

        ended = dones
        if self.max_episode_steps is not None and longest >= self.max_episode_steps:
            ended = dones | (at >= self.max_episode_steps)
        if not ended.any():
            return []
        return [
            (env, self._finish(env, dones, truncated, final_observations)) for env in np.flatnonzero(ended).tolist()
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the unfinished episodes as arrays, for :meth:`load_state_dict`."""
        used = int(self._lengths.max()) + 1
        parts = {"observations": self._observations, "steps": self._steps, "extras": self._extras}
        columns = {name: {key: buffer[:used].copy() for key, buffer in part.items()} for name, part in parts.items()}
        return {"lengths": self._lengths.copy(), **columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the unfinished episodes of another builder for as many environments.

        :param state: as returned by :meth:`state_dict`
        """
        self._lengths = state["lengths"].copy()
        self._capacity = int(self._lengths.max()) + 1
        self._observations, self._steps, self._extras = (
            {key: buffer.copy() for key, buffer in state[name].items()} for name in ("observations", "steps", "extras")
        )

    def _finish(
        self, env: int, dones: Array, truncated: Array, final_observations: Sequence[Mapping[str, Array] | None]
    ) -> Episode:
        """Take the episode out of ``env``'s lane and begin the next one with the observation written last."""
        length = int(self._lengths[env])
        facts = {key: buffer[: length + 1, env].copy() for key, buffer in self._observations.items()}
        extras = {key: buffer[: length + 1, env].copy() for key, buffer in self._extras.items()}
        for buffer in self._observations.values():
            buffer[0, env] = buffer[length, env]
        for extra in extras.values():
            extra[length] = extra[length - 1]
        if dones[env]:
            final = final_observations[env]
            if final is None:
                raise ValueError(f"Environment {env} is done, but its final observation is missing; pass it to step().")
            for key, fact in facts.items():
                fact[length] = final[key]
        steps = {key: buffer[:length, env].copy() for key, buffer in self._steps.items()}
        self._lengths[env] = 0
        return Episode(facts, **steps, terminated=bool(dones[env] and not truncated[env]), extras=extras)

    def _buffer(self, values: Array, dtype_of: Callable[[DType], DType] = observation_dtype) -> Array:
        """An empty buffer for values of shape (E, ...)."""
        values = np.asarray(values)
        # uint64 is kept until the episode checks that int64 holds its values.
        dtype = values.dtype if values.dtype == np.uint64 else dtype_of(values.dtype)
        return np.empty((self._capacity, *values.shape), dtype=dtype)

    def _grow(self) -> None:
        """Double the capacity of all buffers."""
        self._capacity *= 2
        for buffers in (self._observations, self._steps, self._extras):
            for key, buffer in buffers.items():
                buffers[key] = np.empty((self._capacity, *buffer.shape[1:]), dtype=buffer.dtype)
                buffers[key][: len(buffer)] = buffer
