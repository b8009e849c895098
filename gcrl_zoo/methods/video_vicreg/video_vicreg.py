"""Temporal VICReg on action-free video, and an inverse dynamics model from own play that labels its actions."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch as th
from annotated_types import Unit
from torch import Tensor

from gcrl_zoo.common.arguments import Environment, Fraction, NonNegative, Options, Policy, PositiveInt, arguments_of
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.phases import Phases, phase_cycle
from gcrl_zoo.common.terms import WeightedTerms, check_sources, weighted_terms
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.data.windows import Windows
from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.losses.vicreg import VICRegLoss, effective_rank, spread
from gcrl_zoo.methods.dt.dt import DT
from gcrl_zoo.methods.video_vicreg.policies import VideoVICRegPolicy
from gcrl_zoo.methods.video_vicreg.terms import Outputs, Term, action, inverse, label, vicreg_term

TermName = Literal["inverse", "label", "action", "vicreg"]
DEFAULT_TERMS = {"inverse": 1.0, "label": 1.0, "action": 0.0, "vicreg": 1.0}
#: The weights of R2R2 (arXiv:2605.14026): prediction prevents little, so the other two can be small.
DEFAULT_VICREG = {"invariance": 1.0, "variance": 0.01, "covariance": 0.01, "stop_gradient": True}


class VideoVICReg(DT):
    """
    Learns from action-free video with returns, and the effect of actions from own play: EXP1 to EXP5 of unpublished
    research notes, and a default that labels the video.

    Video teaches the transformer which states follow each other in episodes of a given return. Own play teaches an
    inverse dynamics model which action leads from one state to the next; it labels the video. The loss is a weighted
    sum of terms (see :mod:`~gcrl_zoo.methods.video_vicreg.terms`): ``inverse`` and ``action`` on labelled data,
    ``label`` on unlabelled data, ``vicreg`` on both.

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"`` (names of one class)
    :param env: see :class:`~gcrl_zoo.common.trajectory_algorithm.TrajectoryAlgorithm`, as for all other arguments
    :param terms: weights of terms that replace the defaults: 1 for ``inverse``, ``label`` and ``vicreg``, 0 for
        ``action``. A term of weight 0 is not computed
    :param vicreg: options of VICReg that replace the defaults: ``invariance`` 1, ``variance`` 0.01, ``covariance``
        0.01, ``gamma`` 1 and ``stop_gradient`` true
    :param top_fraction: use only this fraction of the unlabelled episodes, those with the highest return
    :param inverse_horizon: number of steps to the later state from which the inverse model infers an action. The effect
        of an action may be invisible in the next state
    :param own_return: return that windows of own play are conditioned on: ``"achieved"`` by their episode, or
        ``"commanded"``, the target return
    :param phases: number of updates with ``unlabelled`` and with ``labelled`` data, alternately; None uses both in each
        update
    :param target_return: target return for acting; default: the highest return of the stream; without a stream, as in
        :class:`~gcrl_zoo.methods.dt.dt.DT`
    """

    needs: ClassVar[Needs] = Needs(rewards=True, stream=True)
    policy: VideoVICRegPolicy

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        terms: Mapping[TermName, NonNegative] | None = None,
        vicreg: Annotated[Options, arguments_of(VICRegLoss)] | None = None,
        top_fraction: Fraction = 1.0,
        inverse_horizon: Annotated[PositiveInt, Unit("steps")] = 1,
        own_return: Literal["achieved", "commanded"] = "achieved",
        phases: Phases | None = None,
        **kwargs: Any,
    ) -> None:
        self.terms, self.vicreg, self.own_return, self.phases = terms, vicreg, own_return, phases
        self.inverse_horizon = inverse_horizon
        super().__init__(policy, env, top_fraction=top_fraction, **kwargs)

    # ------------------------------------------------------------------- set-up

    def _check_arguments(self) -> None:
        super()._check_arguments()
        self._terms = self._weighted_terms()
        self._cycle = phase_cycle(self.phases)
        check_sources(self._cycle, self._terms, "phases use")
        used = {name for source in self._cycle or self._terms for name in self._terms[source]}
        if "label" in used and "inverse" not in used:
            warnings.warn(
                "terms: 'label' imitates the inverse model, which nothing trains; give 'inverse' a weight, and "
                "`phases`, if set, some labelled updates.",
                stacklevel=2,
            )

    def _weighted_terms(self) -> WeightedTerms[Term]:
        """Return the weight and the function of each term that is computed, by source and name."""
        weights: dict[Any, float] = {**DEFAULT_TERMS, **(self.terms or {})}
        vicreg = vicreg_term(VICRegLoss(**{**DEFAULT_VICREG, **(self.vicreg or {})}))
        known: dict[str, dict[str, Term]] = {
            "unlabelled": {"label": label, "vicreg": vicreg},
            "labelled": {"inverse": inverse, "action": action, "vicreg": vicreg},
        }
        return weighted_terms(known, weights)

    def _setup_model(self) -> None:
        super()._setup_model()
        computed, policy = {name for terms in self._terms.values() for name in terms}, self.policy
        predicts = policy.predictor is not None and policy.predictor_sees_action
        motion = None if policy.inverse is None else policy.inverse.motion
        if motion is not None and self.inverse_horizon < motion.n_frames:
            raise ValueError(
                f"inverse_horizon is {self.inverse_horizon}, but with inverse_input 'motion' all frames of the later "
                f"stack must come after the state; give at least {motion.n_frames}, the number of frames of a stack."
            )
        for name in sorted(computed & {"inverse", "label", *["vicreg"] * predicts}):
            if policy.inverse is None:
                advice = " or `predictor_sees_action: false`" if name == "vicreg" else f", or {name} the weight 0"
                raise ValueError(
                    f"terms: '{name}' needs an inverse model, but inverse_arch is None; give it widths, such as "
                    f"`policy_kwargs: {{inverse_arch: [256, 256]}}`{advice}."
                )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_terms", "_cycle"]

    # --------------------------------------------------------------------- data

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        super().fit_statistics(unlabelled)
        if self.policy.inverse is not None:
            self.policy.inverse.fit_change(unlabelled, self.inverse_horizon)

    def choose_target(self, unlabelled: TrajectoryStore) -> float:
        """Choose the highest return of the stream; without a stream, as :class:`~gcrl_zoo.methods.dt.dt.DT` does."""
        if self.stream is None:
            return super().choose_target(unlabelled)
        return TrajectoryAlgorithm.choose_target(self, unlabelled)

    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        best = unlabelled if self.top_fraction == 1 else unlabelled.best(self.top_fraction)
        stores = {"unlabelled": best, "labelled": labelled}
        return {source: self.windows(store, source) for source, store in stores.items() if self._terms[source]}

    def windows(self, store: TrajectoryStore, source: str) -> Windows:
        """
        Sample windows of K steps, with the states that the inverse model needs, and with next states if VICReg does.

        :param store: trajectories
        :param source: ``"unlabelled"`` or ``"labelled"``
        """
        horizon = None if self.inverse_horizon == 1 else self.inverse_horizon
        successor = "vicreg" in self._terms[source] or horizon is None
        return Windows(store, self.policy.context_length, successor=successor, horizon=horizon)

    # -------------------------------------------------------------------- learn

    def phase(self, update: int) -> Collection[str] | None:
        return (self._cycle[update % len(self._cycle)],) if self._cycle else None

    def outputs(self, source: str, batch: Any) -> Outputs:
        """
        Prepare what the terms are computed from.

        :param source: ``"unlabelled"`` or ``"labelled"``
        :param batch: of that source
        """
        played, returns = source == "labelled", batch.episode_returns
        if played and self.own_return == "commanded":
            returns = self.policy.target_return.expand(len(returns))
        autocast = partial(th.autocast, self.device.type, th.bfloat16, enabled=self.bf16)
        return Outputs(self.policy, batch, returns, played, "vicreg" in self._terms[source], autocast)

    def _train_from_scratch(self, gradient_steps: int) -> None:
        if self.policy.calibration is not None:
            self.policy.calibration.reset()
        super()._train_from_scratch(gradient_steps)

    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        losses: list[Tensor] = []
        metrics: dict[str, Tensor] = {}
        for source, batch in batches.items():
            outputs = self.outputs(source, batch)
            for name, (weight, term) in self._terms[source].items():
                value, parts = term(outputs)
                metrics.update(parts or {name: value})
                losses.append(weight * value)
            if source == "labelled" and self.policy.calibration is not None and "inverse" in self._terms[source]:
                self.policy.calibration.update(outputs.inferred.detach(), outputs.executed, outputs.inferable)
        return th.stack(losses).sum(), metrics

    # ----------------------------------------------------------------- metrics

    def heldout_metrics(self, new_episodes: TrajectoryStore) -> dict[str, Tensor]:
        """Return the error of the inverse model on new episodes."""
        if "inverse" not in self._terms["labelled"]:
            return {}
        batch = self.windows(new_episodes, "labelled").sample(np.random.default_rng(0), self.batch_size)
        return {"inverse_held_out": inverse(self.outputs("labelled", to_tensors(batch, self.device)))[0]}

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """
        Return, for each kind of data with a VICReg loss, the spread and the rank of the representations that it sees,
        which show a collapse; for video the distance between the actions that the policy and the inverse model choose;
        and the smallest slope that calibration corrects.
        """
        metrics: dict[str, Tensor] = {}
        if self.policy.calibration is not None:
            metrics["slope_min"] = self.policy.calibration.slope()[self.policy.calibration.chosen].min()
        for source, batch in batches.items():
            outputs = self.outputs(source, batch)
            if "vicreg" in self._terms[source]:
                z = outputs.expanded[:, 0]  # the first step of each window
                metrics |= {f"{source}/spread_min": spread(z).min(), f"{source}/spread_mean": spread(z).mean()}
                metrics[f"{source}/effective_rank"] = effective_rank(z)
            if source == "unlabelled" and self.policy.inverse is not None:
                gap = self.policy.head.distance(outputs.chosen, outputs.labels)
                metrics["action_gap"] = masked_mean(gap, outputs.inferable)
        return metrics
