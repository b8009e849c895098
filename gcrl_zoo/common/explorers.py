"""Explorers: how own play differs from acting, by other commands or by other actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge, Le, Lt, MinLen
from gymnasium import spaces

from gcrl_zoo.common.actions import ToActionSpace
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.values import check

NoiseLevel = Annotated[float, Ge(0), Le(1000)]
Probability = Annotated[float, Ge(0), Lt(1)]
NoiseKind = Literal["gaussian", "uniform"]
#: Probability that a dimension of a random action is at rest, or one for each dimension.
Rest = Probability | Annotated[Sequence[Probability], MinLen(1)]
Levels = NoiseLevel | Annotated[Sequence[NoiseLevel], MinLen(1)]


class Explorer(Protocol):
    """Called at each step of own play. The defaults change nothing, so only the policy's own sampling explores."""

    def command(self, inputs: Inputs, episode_starts: np.ndarray) -> Inputs:
        """
        Ask for another goal or return than acting does.

        :param inputs: of E environments, with the commands of the policy
        :param episode_starts: (E,)
        """
        return inputs

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        """
        Change the actions of the policy.

        :param actions: (E, ...) of the policy; not changed in place
        :param episode_starts: (E,)
        :return: actions to send to the environments; the same array where nothing is changed
        """
        return actions

    def state_dict(self) -> dict[str, Any]:
        """Return what a restart needs, without the random generator: numbers and arrays by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Restore a state.

        :param state: as returned by ``state_dict``
        """


class Held:
    """
    Holds random draws: each environment keeps its draw for some steps. Where actions are forces, independent draws at
    each step cancel out, and exploration stays near its start.

    :param rng: source of all randomness
    :param steps: mean number of steps that a draw is held, at least 1; it is also replaced where an episode starts
    """

    def __init__(self, rng: np.random.Generator, steps: float) -> None:
        self.rng, self.steps = rng, steps
        self.values = np.zeros(0)

    def __call__(self, drawn: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        """
        Replace the values whose time is over.

        :param drawn: (E, ...) new values
        :param episode_starts: (E,)
        :return: (E, ...) values that hold now
        """
        if self.steps == 1:
            return drawn
        if len(self.values) == len(drawn):
            replaced = episode_starts | (self.rng.random(len(drawn)) < 1 / self.steps)
            drawn = np.where(_rows(replaced, drawn), drawn, self.values)
        self.values = drawn
        return drawn


class RandomPlay(Explorer):
    """
    Uniformly random actions instead of those of the policy.

    With ``rest``, each dimension of a ``Box`` action is 0 (or the bound nearest to 0) with this probability. Where
    brakes and motors are dimensions of one action, a uniformly random action uses all of them at once, and nothing
    moves.

    :param action_space: ``Discrete`` or ``Box``
    :param rng: source of all randomness
    :param hold: mean number of steps that an action is held
    :param rest: probability that a dimension of an action is at rest, or a flat list with one for each dimension; for
        ``Box`` only
    :raises ValueError: ``rest`` is above 0 for another action space, or is a list of another length than an action
    """

    def __init__(self, action_space: spaces.Space, rng: np.random.Generator, hold: float = 1, rest: Rest = 0.0) -> None:
        self.space, self.rng, self.held, self.rest = action_space, rng, Held(rng, hold), np.asarray(rest)
        if self.rest.any() and not isinstance(action_space, spaces.Box):
            raise ValueError(f"random_rest is {rest}, but it is for Box actions, not for {action_space}; leave it out.")
        if self.rest.ndim:
            size = int(np.prod(action_space.shape or ()))
            if self.rest.size != size:
                raise ValueError(
                    f"random_rest is {rest}, but an action has {size} dimensions; give {size} numbers, or one."
                )
            self.rest = self.rest.reshape(action_space.shape)
        self.to_action_space = ToActionSpace(action_space)

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        return self.to_action_space(self.held(self._uniform(actions.shape), episode_starts))

    def state_dict(self) -> dict[str, Any]:
        return {"held": self.held.values.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.held.values = state["held"].copy()

    def _uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        if isinstance(self.space, spaces.Discrete):
            return self.rng.integers(int(self.space.n), size=shape) + int(self.space.start)
        assert isinstance(self.space, spaces.Box)
        drawn = self.rng.uniform(self.space.low, self.space.high, size=shape).astype(np.float32)
        if self.rest.any():
            at_rest = self.rng.random(shape) < self.rest
            drawn = np.where(at_rest, np.clip(0, self.space.low, self.space.high), drawn).astype(np.float32)
        return drawn


class NoiseLevels(RandomPlay):
    """
    Draws a noise level for each episode. Episodes without noise show what the policy does; episodes with noise show the
    effects of other actions, which an inverse model needs.

    :param action_space: ``Discrete`` or ``Box``
    :param rng: source of all randomness
    :param levels: drawn from uniformly; a number is a list of one. Of ``"gaussian"`` noise on ``Box`` actions, a level
        is the standard deviation, as a fraction of half the action range; else the probability of a random action, or
        of ``"uniform"`` noise the probability of each action dimension to be random
    :param hold: mean number of steps that a random action, or the noise on an action, is held
    :param rest: see :class:`RandomPlay`
    :param kind: of ``Box`` actions: ``"gaussian"`` adds noise, ``"uniform"`` replaces each action dimension
        independently, so that an inverse model can learn its effect
    """

    def __init__(
        self,
        action_space: spaces.Space,
        rng: np.random.Generator,
        levels: Levels,
        hold: float = 1,
        rest: Rest = 0.0,
        kind: NoiseKind = "gaussian",
    ) -> None:
        super().__init__(action_space, rng, hold, rest)
        check("noise_levels", levels, Levels)
        self.kind = kind
        self.levels = np.atleast_1d(np.asarray(levels, dtype=np.float32))
        self._level = np.zeros(0, dtype=np.float32)  # (E,)
        self._all_zero = False
        if isinstance(action_space, spaces.Box):  # halved first, since high - low may be beyond the dtype
            self._half_range = action_space.high / 2 - action_space.low / 2

    def perturb(self, actions: np.ndarray, episode_starts: np.ndarray) -> np.ndarray:
        new = len(self._level) != len(actions)
        if new or True in episode_starts:
            drawn = self.rng.choice(self.levels, len(actions))
            self._level = drawn if new else np.where(episode_starts, drawn, self._level)
            self._all_zero = not self._level.any()
        if self._all_zero:
            return actions
        if isinstance(self.space, spaces.Discrete):
            return self._replaced(actions, int(self.space.start) - 1, episode_starts)
        if self.kind == "uniform":
            return self._replaced(actions, np.float32(np.inf), episode_starts)
        noise = self.held(self.rng.standard_normal(actions.shape, dtype=np.float32), episode_starts)
        return self.to_action_space(actions + noise * _rows(self._level, actions) * self._half_range)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "level": self._level.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._level = state["level"].copy()
        self._all_zero = not self._level.any()

    def _replaced(self, actions: np.ndarray, none: int | np.float32, episode_starts: np.ndarray) -> np.ndarray:
        """
        Replace actions, or dimensions of ``Box`` actions, at random.

        :param none: stands for the policy's own choice, so that one draw says whether and by what it is replaced
        """
        levels = _rows(self._level, actions)
        random, nothing = self.rng.random(actions.shape) < levels, np.full_like(actions, none)
        drawn = np.where(random, self._uniform(actions.shape), nothing) if True in random else nothing
        held = self.held(drawn, episode_starts)
        # While all levels are zero nothing is drawn, so an episode without noise may still hold an older draw.
        random = (held != none) & (levels > 0)
        return self.to_action_space(np.where(random, held, actions)) if True in random else actions


def _rows(flags: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Shape flags of rows, (E,), such that they select rows of an array, (E, ...)."""
    return flags.reshape((-1,) + (1,) * (like.ndim - 1))
