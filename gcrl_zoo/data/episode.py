"""Episodes: the unit in which experience enters and leaves the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

FLOAT: DType = np.dtype(np.float32)
INT: DType = np.dtype(np.int64)


class EpisodeError(ValueError):
    """A fault in one episode, told as a sentence that can be retold with a better name for the episode.

    :param fault: what is wrong and what to do, as a verb phrase ("holds nan in ...")
    :param where: the subject of the sentence
    """

    def __init__(self, fault: str, where: str = "The episode") -> None:
        super().__init__(fault, where)  # both are args, so that the error survives pickling between processes
        self.fault = fault
        self.where = where

    def __str__(self) -> str:
        return f"{self.where} {self.fault}."

    def at(self, where: str) -> EpisodeError:
        """The same fault under a more precise name, such as ``"Episode 7 of gcrl/hopper/mixed-v0"``."""
        return EpisodeError(self.fault, where)


def observation_dtype(dtype: DType) -> DType:
    """The dtype in which facts are kept: float32, int64, bool, or uint8 (images).

    :raises ValueError: for anything that is no number
    """
    if dtype.kind == "f":
        return FLOAT
    if dtype.kind not in "biu":
        raise ValueError(f"dtype {dtype}")
    return dtype if dtype in (np.bool_, np.uint8) else INT


def action_dtype(dtype: DType) -> DType:
    """The dtype in which actions are kept: float32 for boxes, int64 for choices."""
    kept = observation_dtype(dtype)
    return FLOAT if kept == FLOAT else INT


def reward_dtype(dtype: DType) -> DType:
    """The dtype in which rewards are kept: float32."""
    return FLOAT


@dataclass(frozen=True, eq=False)
class Episode:
    """What happened from one reset to the end: T steps, hence T + 1 observations. Checked when it is made.

    Observations are facts only. What was asked for (a desired goal, a return to go) is an input of the policy and is
    not kept here.

    :param observations: (T+1, ...) for each key of the observation space; a plain space has the key ``"observation"``
    :param actions: (T, A) float32 in the units of the environment, (T,) int64, or None: the episode was only watched
    :param rewards: (T,) float32 as the environment gave them, or None
    :param terminated: True when the environment reached a terminal state, False when the episode was cut (truncated)
    :param extras: (T+1, ...) further facts, such as the return that was commanded at each step
    """

    observations: dict[str, Array]
    actions: Array | None
    rewards: Array | None
    terminated: bool = False
    extras: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.observations:
            raise EpisodeError("has no observations; give at least one key")
        facts = {key: _checked(value, f"observation '{key}'") for key, value in self.observations.items()}
        extras = {key: _checked(value, f"extra '{key}'") for key, value in self.extras.items()}
        actions = None if self.actions is None else _checked(self.actions, "action", action_dtype)
        rewards = None if self.rewards is None else _checked(self.rewards, "reward", reward_dtype)

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


def _checked(value: Any, name: str, dtype_of: Callable[[DType], DType] = observation_dtype) -> Array:
    """``value`` as an array of its canonical dtype, all of it finite."""
    array: Array = np.asarray(value)
    try:
        observation_dtype(array.dtype)  # refuses anything that is no number
        dtype = dtype_of(array.dtype)
    except ValueError as error:
        raise EpisodeError(f"holds {name} values that are no numbers ({error}); give plain numeric arrays") from None
    if array.ndim == 0:
        raise EpisodeError(f"holds a single number as {name}; give one entry per step")
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the next line reports
        array = array.astype(dtype, copy=False)
    if dtype == FLOAT and not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array))[0, 0])
        bad = array[step].ravel()[~np.isfinite(array[step]).ravel()][0]
        raise EpisodeError(f"holds {bad} in {name} at step {step}; repair the recording or leave this episode out")
    return array


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
    """

    def __init__(self, n_envs: int, max_episode_steps: int | None = None) -> None:
        if n_envs < 1:
            raise ValueError(f"An EpisodeBuilder needs at least one environment, but n_envs is {n_envs}.")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps is {max_episode_steps}; give None or a number of steps above 0.")
        self.max_episode_steps = max_episode_steps
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
        return np.empty((self._capacity, *values.shape), dtype=dtype_of(values.dtype))

    def _grow(self) -> None:
        """Double the capacity of all buffers."""
        self._capacity *= 2
        for buffers in (self._observations, self._steps, self._extras):
            for key, buffer in buffers.items():
                buffers[key] = np.empty((self._capacity, *buffer.shape[1:]), dtype=buffer.dtype)
                buffers[key][: len(buffer)] = buffer
