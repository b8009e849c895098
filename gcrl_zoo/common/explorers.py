"""How own play differs from acting: what it asks for, and what it does to the actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

import numpy as np
from annotated_types import Ge, Le, MinLen
from gymnasium import spaces

from gcrl_zoo.common.actions import ToActionSpace
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.values import check

NoiseLevel = Annotated[float, Ge(0), Le(1000)]
Levels = NoiseLevel | Annotated[Sequence[NoiseLevel], MinLen(1)]


class Explorer(Protocol):
    """Called at every step of own play. The defaults explore nothing beyond the policy's own sampling."""

    def command(self, inputs: Inputs, episode_starts: np.ndarray) -> Inputs:
        """
        Ask for another goal or return than acting would.

        :param inputs: of E environments, with the commands of the policy
        :param episode_starts: (E,)
        """
        return inputs

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        """
        :param actions: (E, ...) of the policy; not changed in place
        :param episode_starts: (E,)
        :return: actions to send to the environments; the same array where nothing is changed
        """
        return actions


class Held:
    """
    Random draws that last: each environment keeps its own for a while. Where actions are forces, fresh ones at each
    step cancel out, and play never leaves the place where it started.

    :param rng: source of all randomness
    :param steps: how many steps a draw lasts in the mean, at least 1; at its end, and at that of an episode, it is
        replaced
    """

    def __init__(self, rng: np.random.Generator, steps: float) -> None:
        self.rng, self.steps = rng, steps
        self._kept = np.zeros(0)

    def __call__(self, fresh: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        """
        :param fresh: (E, ...) what to go on with
        :param episode_starts: (E,)
        :return: (E, ...) what holds now
        """
        if self.steps == 1:
            return fresh
        if len(self._kept) == len(fresh):
            renewed = episode_starts | (self.rng.random(len(fresh)) < 1 / self.steps)
            fresh = np.where(renewed.reshape((-1,) + (1,) * (fresh.ndim - 1)), fresh, self._kept)
        self._kept = fresh
        return fresh


class RandomPlay(Explorer):
    """
    Uniformly random actions, whatever the policy says.

    :param action_space: ``Discrete`` or ``Box``
    :param rng: source of all randomness
    :param hold: steps that an action lasts in the mean
    """

    def __init__(self, action_space: spaces.Space, rng: np.random.Generator, hold: float = 1) -> None:
        self.space, self.rng, self.held = action_space, rng, Held(rng, hold)
        self.to_action_space = ToActionSpace(action_space)

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        return self.to_action_space(self.held(self._uniform(actions.shape), episode_starts))

    def _uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        if isinstance(self.space, spaces.Discrete):
            return self.rng.integers(int(self.space.n), size=shape) + int(self.space.start)
        assert isinstance(self.space, spaces.Box)
        return self.rng.uniform(self.space.low, self.space.high, size=shape).astype(np.float32)


class NoiseLevels(RandomPlay):
    """
    Each episode is played with a level of noise drawn for it. Calm episodes show what the policy can do,
    restless ones what its actions do: the inverse model needs both.

    :param action_space: ``Discrete`` (a level is the probability of a random action) or ``Box`` (a level is the
        standard deviation of Gaussian noise, as a fraction of half the action range)
    :param rng: source of all randomness
    :param levels: drawn from uniformly; a number is a list of one
    :param hold: steps that a random action, or a disturbance of an action, lasts in the mean
    """

    def __init__(
        self,
        action_space: spaces.Space,
        rng: np.random.Generator,
        levels: Levels,
        hold: float = 1,
    ) -> None:
        super().__init__(action_space, rng, hold)
        check("noise_levels", levels, Levels)
        self.levels = np.atleast_1d(np.asarray(levels, dtype=np.float32))
        self._level = np.zeros(0, dtype=np.float32)  # (E,)
        self._calm = False
        if isinstance(action_space, spaces.Box):  # halved first, since high - low may be beyond the dtype
            self._half_range = action_space.high / 2 - action_space.low / 2

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        new = len(self._level) != len(actions)
        if new or True in episode_starts:
            drawn = self.rng.choice(self.levels, len(actions))
            self._level = drawn if new else np.where(episode_starts, drawn, self._level)
            self._calm = not self._level.any()
        if self._calm:
            return actions
        if isinstance(self.space, spaces.Discrete):
            return self._replaced(actions, int(self.space.start) - 1, episode_starts)
        level = self._level.reshape((-1,) + (1,) * (actions.ndim - 1))
        noise = self.held(self.rng.standard_normal(actions.shape, dtype=np.float32), episode_starts)
        return self.to_action_space(actions + noise * level * self._half_range)

    def _replaced(self, actions: np.ndarray, none: int, episode_starts: np.ndarray) -> np.ndarray:
        """:param none: stands for the policy's own action, so that whether and by what it is replaced is one draw"""
        wild = self.rng.random(len(actions)) < self._level
        fresh = np.where(wild, self._uniform(actions.shape), none) if True in wild else np.full(len(actions), none)
        drawn = self.held(fresh, episode_starts)
        # An episode without noise has no use for what was drawn before it began, while all others were calm as well.
        wild = (drawn != none) & (self._level > 0)
        return self.to_action_space(np.where(wild, drawn, actions)) if True in wild else actions
