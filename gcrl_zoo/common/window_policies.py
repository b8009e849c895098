"""Policies that see a window of the episode: SB3's ``predict`` with a memory that travels with the caller."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor

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

    def predict(
        self,
        observation: Observation,
        state: State | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, State | None]:
        """
        :param observation: of one environment or of E
        :param state: as returned by the last call; None at the beginning of an episode
        :param episode_start: (E,) where an episode begins; None for nowhere (but everywhere without a ``state``)
        :param deterministic: the most likely action instead of a sample
        :return: actions and the memory for the next call
        """
        self.set_training_mode(False)
        tensors, vectorised = self.obs_to_tensor(observation)
        inputs = self.command(self.roles.inputs(tensors))
        if state is None or episode_start is None:
            begun, episode_start = self._begin(inputs)
            state = begun if state is None else state
        starts = np.asarray(episode_start, dtype=bool)
        with th.inference_mode():
            chosen, state = self.step(inputs, state, starts, deterministic)
        actions = chosen.cpu().numpy()
        return (actions if vectorised else actions.squeeze(axis=0)), state

    def represent(self, inputs: Inputs) -> Tensor:
        """A single moment is not enough."""
        raise NotImplementedError(f"{type(self).__name__} represents windows, not single observations.")

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        """As an episode begins."""
        inputs = self.command(self.roles.inputs(observation))
        state, starts = self._begin(inputs)
        return self.step(inputs, state, starts, deterministic)[0]

    def _begin(self, inputs: Inputs) -> tuple[State, np.ndarray]:
        assert inputs.state is not None
        n_envs = len(next(iter(inputs.state.values())))
        return self.initial_state(n_envs), np.zeros(n_envs, dtype=bool)
