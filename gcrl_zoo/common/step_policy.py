"""Policies without memory, which act on one observation."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor

from gcrl_zoo.common.policies import ConditionedPolicy, Memory
from gcrl_zoo.common.roles import Inputs


class StepPolicy(ConditionedPolicy):
    """Acts on one observation at a time. A subclass implements :meth:`represent`; training and acting share it."""

    @abstractmethod
    def represent(self, inputs: Inputs) -> Tensor:
        """
        Compute the representation that the action head sees.

        :param inputs: see :class:`~gcrl_zoo.common.roles.Inputs`
        :return: (B, D)
        """

    def respond(self, inputs: Inputs) -> Tensor:
        """
        Compute the distribution of actions.

        :param inputs: with the commands to follow
        :return: (B, P) parameters for the methods of ``head``, such as ``nll``
        """
        return self.head(self.represent(inputs))

    def choose(
        self,
        inputs: Inputs,
        memory: Memory | None,
        episode_starts: np.ndarray | Tensor | None,
        deterministic: bool = False,
    ) -> tuple[Tensor, Memory | None]:
        return self.head.act(self.respond(inputs), deterministic), memory
