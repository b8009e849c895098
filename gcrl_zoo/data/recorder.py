"""Records the episodes of environments, without normalising or stacking anything."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gcrl_zoo.data.episode import Array

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer

OBSERVATION, ACTION = "The environment's observation", "The agent's action"


class Recording:
    """Episodes of several environments: numbered as they begin, returned in that order.

    The number of an episode determines its seed, with which the environment and NumPy's global generator are reset. So
    the number of environments changes the episodes only where it changes what the player does, and short episodes,
    which are finished first, do not displace long ones.

    :param seed: of the whole recording
    :param first: number of the first episode
    :param step: by which the numbers grow; more than 1 if other processes record the episodes between
    """

    def __init__(self, seed: int, first: int = 0, step: int = 1) -> None:
        self.seed, self._step = seed, step
        self._begun = self._given = first
        self._finished: dict[int, EpisodeBuffer] = {}

    def begin(self) -> tuple[int, int]:
        """The number and the seed of a new episode."""
        number = self._begun
        self._begun += self._step
        # Below 2**31, since some environments take no larger seed.
        return number, int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0] >> 1)

    def finish(self, number: int, episode: EpisodeBuffer) -> None:
        """Add a finished episode."""
        self._finished[number] = episode

    def ready(self) -> Iterator[EpisodeBuffer]:
        """Return the episodes that are next in order, each once."""
        while self._given in self._finished:
            yield self._finished.pop(self._given)
            self._given += self._step


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Adds each finished episode to a recording.

    :param env: one of the environments that play
    :param recording: of all of them
    """

    def __init__(self, env: gym.Env[Any, Any], recording: Recording) -> None:
        super().__init__(env)
        self.recording = recording
        self.episode_seed = 0
        self._number: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with its own seed, ignoring the given one. An unfinished episode starts again."""
        if self._number is None:
            self._number, self.episode_seed = self.recording.begin()
        np.random.seed(self.episode_seed)  # OGBench draws from there
        observation, info = self.env.reset(seed=self.episode_seed, options=options)
        self._observations = [_copy(self.observation_space, observation, OBSERVATION)]
        self._steps: list[tuple[Any, float, bool, bool]] = []
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and record the transition."""
        done = _copy(self.action_space, action, ACTION)  # before the environment can change it
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observations.append(_copy(self.observation_space, observation, OBSERVATION))
        self._steps.append((done, float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            assert self._number is not None
            self.recording.finish(self._number, self._episode())
            self._number = None
        return observation, reward, terminated, truncated, info

    def _episode(self) -> EpisodeBuffer:
        from minari.data_collector import EpisodeBuffer

        observations: Any = self._observations
        if isinstance(self.observation_space, spaces.Dict):
            observations = {key: np.stack([seen[key] for seen in observations]) for key in self.observation_space}
        else:
            observations = np.stack(observations)
        actions, rewards, terminations, truncations = map(np.array, zip(*self._steps, strict=True))
        return EpisodeBuffer(
            seed=self.episode_seed,
            observations=observations,
            actions=actions,
            rewards=rewards,
            terminations=terminations,
            truncations=truncations,
            infos={},  # with None, Minari's own episodes cannot be printed
        )


def _copy(space: gym.Space[Any], value: Any, what: str) -> Any:
    """An observation or action in the type and shape of its space, which the environment cannot change any more.

    :param what: for messages: "The environment's observation"
    :raises ValueError: it has another shape
    """
    if isinstance(space, spaces.Dict):
        return {key: _copy(part, value[key], f"{what} '{key}'") for key, part in space.items()}
    array: Array = np.array(value, dtype=space.dtype)
    if array.shape == space.shape:
        return array
    if array.size == 1 and space.shape is not None and math.prod(space.shape) == 1:
        return array.reshape(space.shape)
    raise ValueError(f"{what} has shape {array.shape}, but its space is {space}, of shape {space.shape}; repair it.")
