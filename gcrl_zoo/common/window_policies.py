"""Policies that see a window of the episode: SB3's ``predict`` with a memory that travels with the caller."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from torch import Tensor, nn

from gcrl_zoo.common.policies import ConditionedPolicy, State
from gcrl_zoo.common.roles import Inputs, Observation


class WindowPolicy(ConditionedPolicy):
    """
    A policy with memory. ``predict`` takes and returns it as ``state``, as sb3-contrib's recurrent policies do, so
    that ``evaluate_policy``, ``EvalCallback`` and ``enjoy`` play it as it was trained. Without a ``state`` an episode
    begins.
    """

    @abstractmethod
    def initial_state(self, n_envs: int) -> State: ...

    @abstractmethod
    def step(
        self, inputs: Inputs, state: State | None, episode_starts: np.ndarray, deterministic: bool = False
    ) -> tuple[Tensor, State | None]: ...

    @abstractmethod
    def executed(self, state: State | None, actions: np.ndarray) -> State | None: ...

    @abstractmethod
    def exportable_step(self) -> nn.Module:
        """
        A module for ``torch.export`` and ``torch.jit.trace`` that acts as ``predict`` does, with its memory as tensors.

        :return: module with ``initial_memory(n_envs)`` and ``forward(observation, episode_starts, memory)``, which
            returns actions and the new memory
        """

    def represent(self, inputs: Inputs) -> Tensor:
        """A single moment is not enough."""
        raise NotImplementedError(f"{type(self).__name__} represents windows, not single observations.")

    def _memory(
        self, inputs: Inputs, state: State | None, episode_start: np.ndarray | None
    ) -> tuple[State, np.ndarray]:
        if state is None or episode_start is None:
            assert inputs.state is not None
            n_envs = len(next(iter(inputs.state.values())))
            state = self.initial_state(n_envs) if state is None else state
            episode_start = np.zeros(n_envs, dtype=bool)
        return state, np.asarray(episode_start, dtype=bool)

    def _refuse_unfit(
        self, observation: Observation, inputs: Inputs, state: State | None, episode_start: np.ndarray | None
    ) -> None:
        super()._refuse_unfit(observation, inputs, state, episode_start)
        assert inputs.state is not None
        n_envs = len(next(iter(inputs.state.values())))
        if episode_start is not None and np.shape(episode_start) not in ((), (1,), (n_envs,)):
            raise ValueError(
                f"episode_start has shape {np.shape(episode_start)}, but there are {n_envs} observations; give one "
                "bool for each, or None for no beginning."
            )
        if state is not None and _form(state) != _form(self.initial_state(n_envs)):
            raise ValueError(
                f"The state does not belong to {n_envs} {'environment' if n_envs == 1 else 'environments'} with this "
                "policy; give the one that the last call of `predict` returned, or None at the beginning of an episode."
            )


def _form(state: Any) -> Any:
    """What the states of one policy have in common as long as the number of environments stays."""
    if not isinstance(state, tuple):
        return type(state)
    return [(type(each), getattr(each, "shape", None)) for each in state]
