"""The hooks of a method: the functions that a subclass of ``TrajectoryAlgorithm`` must or may define."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from gcrl_zoo.common.arguments import resolved
from gcrl_zoo.common.explorers import Explorer, Levels, NoiseKind, NoiseLevels, Rest
from gcrl_zoo.common.saving import SavedAlgorithm
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore

#: Returns up to this size are rounding errors of zero, and give no scale.
NO_RETURN = 1e-6


class MethodHooks(SavedAlgorithm):
    """A method defines ``make_samplers``, ``compute_loss`` and a policy. All other hooks have a default."""

    target_return: float | None
    return_scale: float | None
    noise_levels: Levels
    noise_hold: float
    noise_kind: NoiseKind
    random_rest: Rest

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let SB3's aliases stand for the class in the annotation ``policy``, unless a method defines its own."""
        super().__init_subclass__(**kwargs)
        annotation = inspect.get_annotations(cls).get("policy")
        if annotation is None or "policy_aliases" in vars(cls):
            return
        names = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        policy = resolved({"policy": annotation}, names).get("policy")
        if not (isinstance(policy, type) and issubclass(policy, BasePolicy)):
            raise TypeError(
                f"The annotation `policy: {annotation}` of {cls.__name__} is not a policy class that its module "
                "defines or imports; give one, or define `policy_aliases`."
            )
        cls.policy_aliases = dict.fromkeys(("MlpPolicy", "CnnPolicy", "MultiInputPolicy"), policy)

    @abstractmethod
    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        """
        Make the samplers whose batches feed the updates. Called again whenever the data has grown.

        :param labelled: trajectories with actions: own play or dataset
        :param unlabelled: trajectories without actions: the stream, or ``labelled`` with its actions hidden
        :return: sampler by name
        """

    @abstractmethod
    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """
        Compute the loss of an update.

        :param batches: batch, on the device, of each sampler in the current phase
        :return: scalar loss, and scalars to log under ``train/``
        """

    def phase(self, update: int) -> Collection[str] | None:
        """
        Choose which samplers feed an update.

        :param update: number of updates so far
        :return: names of samplers; None for all
        """
        return None

    def after_update(self) -> None:
        """
        Change networks after an optimizer step, such as a target network, under ``torch.no_grad()``. Random numbers
        come from the stream of training. Networks that change here must be part of the policy, which saves them.
        """

    def update_context(self) -> AbstractContextManager[None]:
        """Return a context for updates, such as autocast. Settings of torch that it changes hold only inside it."""
        return nullcontext()

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """
        Compute metrics that are too expensive for each update. Called, without gradients, when metrics are logged.

        :param batches: of the last update
        :return: scalars to log under ``train/``
        """
        return {}

    def heldout_metrics(self, new_episodes: TrajectoryStore) -> dict[str, Tensor]:
        """
        Compute metrics on new episodes before training uses them, when they are still held-out data. Called, without
        gradients, before each round of training except the first.

        :param new_episodes: the episodes played since the last round
        :return: scalars to log under ``train/``
        """
        return {}

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        """
        Fit the statistics that the policy saves, such as the scale of returns. Called once, before the first update.

        :param unlabelled: as for ``make_samplers``
        """
        self.policy.fit_statistics(unlabelled)
        scale = self.return_scale
        if scale is None:
            largest = float(np.abs(unlabelled.returns).max())
            scale = largest if largest > NO_RETURN else 1.0
        self.policy.set_return_scale(scale)

    def choose_target(self, unlabelled: TrajectoryStore) -> float:
        """
        Choose the return to ask for when acting. Called again whenever the data has grown.

        :param unlabelled: as for ``make_samplers``
        :return: in the environment's units; by default the highest return in the data
        """
        return float(unlabelled.returns.max()) if self.target_return is None else self.target_return

    def make_explorer(self, rng: np.random.Generator) -> Explorer:
        """
        Make the explorer for own play after random play.

        :param rng: source of all randomness
        """
        return NoiseLevels(
            self.action_space, rng, self.noise_levels, self.noise_hold, self.random_rest, self.noise_kind
        )
