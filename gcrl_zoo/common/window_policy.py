"""Policies with memory, which act on a window of the episode; the memory travels through SB3's ``predict``."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from torch import Tensor, nn

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.observations import to_batch
from gcrl_zoo.common.policies import ConditionedPolicy, Memory
from gcrl_zoo.common.roles import Inputs, Observation


class WindowPolicy(ConditionedPolicy):
    """
    Acts on the last steps of an episode, which it keeps in a memory. ``predict`` takes and returns the memory as
    ``state``, like sb3-contrib's recurrent policies, so ``evaluate_policy``, ``EvalCallback`` and ``enjoy`` act as in
    training. Without a ``state`` an episode starts.

    A memory is a NamedTuple of E rows. Its field ``actions`` holds the last actions, (E, A) or (E,).
    """

    @abstractmethod
    def initial_memory(self, n_envs: int) -> Any:
        """
        Make the memory at the start of an episode.

        :param n_envs: number E of environments
        """

    @abstractmethod
    def exportable_memory(self, n_envs: int) -> Any:
        """
        Make the memory at the start of an episode for an exported policy: every field is a tensor, the last ones may be
        None. With such a memory ``respond`` does not branch on values.

        :param n_envs: number E of environments
        """

    @abstractmethod
    def respond(self, inputs: Inputs, memory: Any, episode_starts: np.ndarray | Tensor) -> tuple[Tensor, Any]:
        """
        Compute the distribution of actions.

        :param inputs: of E environments, with the commands to follow
        :param memory: as returned by the last call, with the actions that were executed; not changed
        :param episode_starts: (E,) bool, where an episode starts and the memory is ignored; a tensor when exported
        :return: (E, P) parameters for ``head``, and the memory for the next call, whose ``actions`` are not yet known
        """

    def choose(
        self,
        inputs: Inputs,
        memory: Any,
        episode_starts: np.ndarray | Tensor | None,
        deterministic: bool = False,
    ) -> tuple[Tensor, Memory]:
        if memory is None or episode_starts is None:
            n_envs = inputs.batch_size
            memory = self.initial_memory(n_envs) if memory is None else memory
            episode_starts = np.zeros(n_envs, dtype=bool)
        elif not isinstance(episode_starts, Tensor):
            episode_starts = np.asarray(episode_starts, dtype=bool)
        params, memory = self.respond(inputs, memory, episode_starts)
        actions = self.head.act(params, deterministic)
        return actions, memory._replace(actions=actions)

    def remember(self, memory: Any, actions: np.ndarray) -> Memory:
        """
        Replace the last actions in a memory, where exploration changed them.

        :param memory: as returned by ``act`` or ``predict``
        :param actions: (E, ...) as sent to the environments
        """
        return memory._replace(actions=to_tensors(self.to_action_space.stored(actions), self.device))

    def no_actions(self, n_envs: int) -> Tensor:
        """
        Make a placeholder for the actions before the first one.

        :param n_envs: number E of environments
        :return: (E, A) or (E,)
        """
        space = self.action_space
        nothing = np.full((n_envs, *(space.shape or ())), getattr(space, "start", 0))
        return to_tensors(self.to_action_space.stored(nothing), self.device)

    def exportable_step(self) -> ExportableStep:
        """Make a module for ``torch.export`` and ``torch.jit.trace`` that acts as ``predict`` does."""
        return ExportableStep(self)

    def _check_predict_arguments(
        self, observation: Observation, state: Memory | None, episode_start: np.ndarray | None
    ) -> None:
        batch, _ = to_batch(observation, self.observation_space)
        n_envs = len(next(iter(self.roles.facts(batch).values())))
        if episode_start is not None and np.shape(episode_start) not in ((), (1,), (n_envs,)):
            raise ValueError(
                f"episode_start has shape {np.shape(episode_start)}, but there are {n_envs} observations; give one "
                "bool for each, or None for no beginning."
            )
        if state is not None and _form(state) != _form(self.initial_memory(n_envs)):
            raise ValueError(
                f"The state does not belong to {n_envs} {'environment' if n_envs == 1 else 'environments'} with this "
                "policy; give the one that the last call of `predict` returned, or None at the beginning of an episode."
            )


def _form(state: Any) -> Any:
    """What the memories of one policy have in common as long as the number of environments stays."""
    if not isinstance(state, tuple):
        return type(state), getattr(state, "shape", None)
    return type(state), [_form(each) for each in state]


class ExportableStep(nn.Module):
    """
    Chooses the actions of ``predict(..., deterministic=True)`` for one step, with the memory as a tuple of tensors.

    :param policy: whose weights, statistics and target are exported
    """

    def __init__(self, policy: WindowPolicy) -> None:
        super().__init__()
        self.policy = policy.eval()
        self.memory_class = type(policy.exportable_memory(1))

    def initial_memory(self, n_envs: int) -> tuple[Tensor, ...]:
        """
        Make the memory at the start of an episode.

        :param n_envs: number E of environments
        :return: the fields of the policy's memory that are tensors
        """
        return _tensors(self.policy.exportable_memory(n_envs))

    def forward(
        self, observation: Any, episode_starts: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """
        Act, and update the memory.

        :param observation: (E, ...) tensor, or tensors by key; images with the channels first
        :param episode_starts: (E,) bool, where an episode starts
        :param memory: as returned by the last call or by :meth:`initial_memory`
        :return: actions, (E, A) float32 or (E,) int64, and the new memory
        """
        fields = self.memory_class(*memory)
        actions, fields = self.policy.act(observation, fields, episode_starts, deterministic=True)
        return actions, _tensors(fields)


def _tensors(memory: Any) -> tuple[Tensor, ...]:
    return tuple(each for each in memory if each is not None)
