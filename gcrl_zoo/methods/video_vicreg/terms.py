"""The terms of the loss, each a function from the outputs for a batch of windows to a scalar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch as th
from torch import Tensor

from gcrl_zoo.losses.masked import masked_mean
from gcrl_zoo.losses.vicreg import VICRegLoss
from gcrl_zoo.methods.video_vicreg.policies import VideoVICRegPolicy
from gcrl_zoo.nets.heads import ActionHead


class Outputs:
    """
    Compute the outputs of the networks for B windows of K steps on first use, and share them among all terms.

    :param policy: that holds the networks
    :param batch: :class:`~gcrl_zoo.data.windows.WindowBatch` of tensors; with the successor of the last
        step, if VICReg or the inverse model needs it
    :param returns: (B,) the return that each window is conditioned on
    :param played: whether this is own play, whose actions are read
    :param next_states: whether VICReg needs the states after the last steps
    :param autocast: makes the context in which encoder and transformer run
    """

    def __init__(
        self,
        policy: VideoVICRegPolicy,
        batch: Any,
        returns: Tensor,
        played: bool,
        next_states: bool = True,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.policy, self.batch, self.returns, self.played = policy, batch, returns, played
        self.mask, self.n_steps = batch.mask.flatten(), batch.mask.shape[1]  # (B * K,), K
        later = batch.later_mask
        #: Steps whose action the inverse model can infer: the episode lasts until the later state. (B * K,)
        self.inferable = self.mask if later is None else self.mask & later.flatten()
        self.infers_from_encoded = policy.infers_from_encoded(batch)
        #: L, the states to encode: K or, with the ones after the last steps, K + 1.
        self.n_states = self.n_steps + int(next_states or self.infers_from_encoded)
        self.autocast = autocast

    @cached_property
    def encoded(self) -> Tensor:
        """Encode the states, (B, L, F)."""
        with self.autocast():
            states = {key: each[:, : self.n_states] for key, each in self.batch.observations.items()}
            return self.policy.encode_states(states).float()

    @cached_property
    def _outputs(self) -> tuple[Tensor, Tensor]:
        with self.autocast():
            states, seen = self.policy.run_windows(self.batch, self.encoded, self.returns, self.played)
        return states.float(), seen.float()

    @property
    def states(self) -> Tensor:
        """Return the outputs of the transformer at the states, (B, L, D)."""
        return self._outputs[0]

    @cached_property
    def chosen(self) -> Tensor:
        """Compute the parameters of the actions that the policy chooses at each step, (B * K, P)."""
        return self.policy.head(self.states[:, : self.n_steps].flatten(0, 1))

    @cached_property
    def expanded(self) -> Tensor:
        """Compute what VICReg sees, (B, L, E), or at representation tokens (B, L - 1, E)."""
        return self.policy.expand(self._outputs[1])

    @cached_property
    def inferred(self) -> Tensor:
        """Infer the parameters of the actions by the inverse model, (B * K, P)."""
        return self.policy.infer_actions(self.batch, self.encoded if self.infers_from_encoded else None)

    @cached_property
    def labels(self) -> Tensor:
        """Infer the parameters of the actions without a gradient, and calibrate them if the policy does, (B * K, P)."""
        encoded = self.encoded if self.infers_from_encoded else None  # other terms need a gradient into these
        with th.no_grad():
            inferred, calibration = self.policy.infer_actions(self.batch, encoded), self.policy.calibration
            return inferred if calibration is None else calibration(inferred)

    @property
    def executed(self) -> Tensor:
        """Return the encoded actions that were executed, (B * K, A); in video those that the inverse model infers."""
        if self.played:
            return self.policy.head.encode(self.batch.actions.flatten(0, 1))
        return self.inverse_head.expected(self.labels)

    @property
    def inverse_head(self) -> ActionHead:
        """Return the head of the inverse model."""
        assert self.policy.inverse is not None
        return self.policy.inverse.head


Metrics = dict[str, Tensor]
Term = Callable[[Outputs], tuple[Tensor, Metrics]]


def inverse(played: Outputs) -> tuple[Tensor, Metrics]:
    """Predict the action of own play that led from one state to the next: the inverse dynamics model."""
    nll = played.inverse_head.nll(played.inferred, played.batch.actions.flatten(0, 1))
    return masked_mean(nll, played.inferable), {}


def action(played: Outputs) -> tuple[Tensor, Metrics]:
    """Predict the action of own play from the past and the return, as upside-down reinforcement learning does."""
    nll = played.policy.head.nll(played.chosen, played.batch.actions.flatten(0, 1))
    return masked_mean(nll, played.mask), {}


def label(video: Outputs) -> tuple[Tensor, Metrics]:
    """Imitate the labels of video, without a gradient into the inverse model."""
    # The noise of calibrated labels goes beyond the bounds of actions. Cut off there, its mean would not be zero.
    bounded = video.policy.calibration is None
    return masked_mean(video.policy.head.imitate(video.chosen, video.labels, bounded), video.inferable), {}


def vicreg_term(loss: VICRegLoss) -> Term:
    """
    VICReg between the representations of consecutive steps. With a predictor, its prediction of the next one is
    compared with the next one; without, the representation itself ("consistency between vectors at t and t+1").
    """

    def vicreg(outputs: Outputs) -> tuple[Tensor, Metrics]:
        policy, z, mask = outputs.policy, outputs.expanded, outputs.mask
        now, later = z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
        shape = outputs.batch.mask.shape
        first = shape[1] + 1 - z.shape[1]  # step between the first pair: 1 at representation tokens, else 0
        predicted = None
        if policy.predictor is not None:
            predicted = now
            if policy.predictor_sees_action:
                actions = outputs.executed.unflatten(0, shape)[:, first:].flatten(0, 1)
                predicted = th.cat((now, actions), 1)
                mask = mask if outputs.played else outputs.inferable
            predicted = policy.predictor(predicted)
        value, parts = loss(now, later, mask.unflatten(0, shape)[:, first:].flatten(), predicted)
        source = "labelled" if outputs.played else "unlabelled"
        return value, {f"{source}/{name}": part for name, part in {"vicreg": value, **parts}.items()}

    return vicreg
