"""The policy of video_vicreg: a plain causal transformer over returns, states and, in own play, actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch as th
from annotated_types import Ge, Le, MinLen, Unit
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.common.actions import HeadKind
from gcrl_zoo.common.arguments import Options, Width, Widths
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.encoders import ImageEncoderName, make_motion
from gcrl_zoo.common.inverse_dynamics import InverseDynamics
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.losses.vicreg import Expander
from gcrl_zoo.methods.dt.attention import hide
from gcrl_zoo.methods.dt.policies import DTPolicy
from gcrl_zoo.methods.dt.tokens import TOKENS
from gcrl_zoo.methods.video_vicreg.layout import TokenLayout
from gcrl_zoo.nets.calibration import Calibration
from gcrl_zoo.nets.encoders import with_own_weights
from gcrl_zoo.nets.heads import GaussianHead
from gcrl_zoo.nets.mlp import mlp
from gcrl_zoo.nets.transformer import causal

VICRegInput = Literal["output", "rep", "expanded_rep", "rep_and_action", "tokens"]


class VideoMemory(NamedTuple):
    """
    What the policy keeps of E episodes between two steps.

    :param states: (E, K, F) encodings of the last states, the newest last
    :param before: (E, K, A) encodings of the actions before them
    :param steps: (E,) since the start of the episode
    :param actions: (E, A) or (E,) the last ones
    """

    states: Tensor
    before: Tensor
    steps: Tensor
    actions: Tensor


class LastEntries(nn.Module):
    """
    Returns the last entries of a representation; takes the place of a linear layer.

    :param in_features: width D of the representation
    :param out_features: number P of entries
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features

    def forward(self, z: Tensor) -> Tensor:
        """Select the entries, (..., D) -> (..., P)."""
        return z[..., -self.out_features :]


class VideoVICRegPolicy(DTPolicy):
    """
    A causal transformer over the tokens of a window (see :class:`~gcrl_zoo.methods.video_vicreg.layout.TokenLayout`),
    conditioned on the return of the whole episode. The action head reads its output at a state token. An inverse
    dynamics model, an expander and a predictor serve training only.

    :param context_length: number K of steps in the context of the transformer
    :param dropout: dropout probability in the transformer
    :param max_timesteps: number of timestep embeddings; later steps of an episode share the last one
    :param attention: ``"window"``: acting recomputes the whole window at each step
    :param action_tokens: whether windows of own play contain the actions before each state, also in acting. Windows of
        video contain returns and states only
    :param modality_token: whether a learned vector, one for video and one for own play, is added to the embeddings of
        returns, states and actions; acting is own play
    :param action_part: where the action is in the output: ``"head"``, an action head reads all of it; ``"last"``, its
        last entries are the parameters of the action, and the others are the representation
    :param vicreg_on: what VICReg sees: ``"output"``, the expanded output; ``"rep"``, the expanded representation;
        ``"expanded_rep"``, the expanded output without its last entries; ``"rep_and_action"``, the expanded output
        together with the embedding of the predicted action; ``"tokens"``, the expanded outputs at representation tokens
    :param expander_dim: width of the expander; None applies VICReg to its input directly
    :param predictor_dim: width of the hidden layer of a predictor from one step to the next, which VICReg then uses;
        None for none
    :param predictor_sees_action: whether the predictor sees the action, in video the one that the inverse model infers
    :param inverse_arch: widths of the hidden layers of the inverse model; None for no inverse model
    :param inverse_input: what the inverse model sees of images: ``"frames"``, their encodings, or ``"motion"``, the
        differences of consecutive frames between the two states
    :param calibrated_labels: whether the actions that the inverse model infers in video are corrected for their
        shrinkage in own play, or a flat list that says so for each action dimension, see
        :class:`~gcrl_zoo.nets.calibration.Calibration`; for ``Box`` actions, whose head predicts a mean
    :param shared_encoder: whether inverse model and transformer share the encoder of images; with ``inverse_input``
        ``"motion"`` they never do
    :param image_features: width of an image's encoding
    :param image_encoder: convolutions for images, see :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    :param kwargs: of :class:`~gcrl_zoo.methods.dt.policies.DTPolicy`
    """

    causal: Tensor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        context_length: Annotated[int, Ge(1), Le(2048), Unit("steps")] = 4,
        dropout: Annotated[float, Ge(0), Le(0.99)] = 0.0,
        max_timesteps: Annotated[int, Ge(1), Le(1_000_000), Unit("steps")] = 1,
        attention: Literal["window"] = "window",
        action_tokens: bool = False,
        modality_token: bool = False,
        action_part: Literal["head", "last"] = "head",
        vicreg_on: VICRegInput = "output",
        expander_dim: Width | None = 128,
        predictor_dim: Width | None = 256,
        predictor_sees_action: bool = True,
        inverse_arch: Widths | None = (256, 256),
        inverse_input: Literal["frames", "motion"] = "frames",
        calibrated_labels: bool | Annotated[Sequence[bool], MinLen(1)] = False,
        shared_encoder: bool = True,
        image_features: Width = 256,
        image_encoder: ImageEncoderName = "nature",
        action_head: HeadKind = "auto",
        action_head_kwargs: Options | None = None,
        **kwargs: Any,
    ) -> None:
        window: dict[str, Any] = {"context_length": context_length, "attention": attention}
        window |= {"dropout": dropout, "max_timesteps": max_timesteps}
        heads: dict[str, Any] = {"action_head": action_head, "action_head_kwargs": action_head_kwargs}
        images: dict[str, Any] = {"image_features": image_features, "image_encoder": image_encoder}
        super().__init__(observation_space, action_space, **window, **heads, **images, **kwargs)
        self.vicreg_on, self.shared_encoder = vicreg_on, shared_encoder
        self.predictor_sees_action = predictor_sees_action
        width, self.n_params = self.tokens.width, self.head.linear.out_features
        self._check(action_part, inverse_arch is not None, calibrated_labels)
        self.layout = TokenLayout(width, action_tokens, modality_token, vicreg_on == "tokens")
        self.register_buffer("causal", causal(TOKENS * (context_length + 1)), persistent=False)
        if action_part == "last":
            self.head.linear = LastEntries(width, self.n_params)  # type: ignore[assignment]
        self.inverse: InverseDynamics | None = None
        if inverse_arch is not None:
            encoders = {k: each if shared_encoder else with_own_weights(each) for k, each in self.encoder.items()}
            motion = make_motion(self.roles.facts_space, **images) if inverse_input == "motion" else None
            self.inverse = InverseDynamics.from_encoders(
                encoders, action_space, inverse_arch, activation=self.activation_fn, motion=motion, **heads
            )
            if isinstance(self.head, GaussianHead) and isinstance(self.inverse.head, GaussianHead):
                self.head.log_std = self.inverse.head.log_std  # imitation is of means: only the teacher learns a spread
        self.calibration = Calibration.of(calibrated_labels, self.n_params)
        seen = {"rep": width - self.n_params, "rep_and_action": 2 * width}.get(vicreg_on, width)
        expanded = seen if expander_dim is None else expander_dim
        self.expander: nn.Module = nn.Identity() if expander_dim is None else Expander(seen, expanded)
        expanded -= self.n_params if vicreg_on == "expanded_rep" else 0
        self.predictor: nn.Module | None = None
        if predictor_dim is not None:
            action = self.head.encoding_dim if predictor_sees_action else 0
            self.predictor = mlp([expanded + action, predictor_dim, expanded], self.activation_fn)

    def _check(self, action_part: str, infers: bool, calibrated: bool | Sequence[bool]) -> None:
        """Refuse arguments that do not fit together."""
        if np.any(calibrated) and not (infers and self.head.learns_mean):
            why = f"the head {type(self.head).__name__} learns no mean action" if infers else "inverse_arch is None"
            raise ValueError(
                f"calibrated_labels is {calibrated}, but {why}; leave it out, or use an inverse model, Box actions and "
                "`action_head: deterministic` (with its loss l2) or `gaussian`."
            )
        parts = action_part == "last" or self.vicreg_on in ("rep", "expanded_rep")
        if parts and self.n_params >= self.tokens.width:
            raise ValueError(
                f"embed_dim is {self.tokens.width}, but the action takes {self.n_params} entries of the output, so no "
                "representation is left; give a larger embed_dim."
            )
        if self.vicreg_on == "tokens" and self.context_length < 2:
            raise ValueError(
                "context_length is 1, but `vicreg_on: tokens` compares the representation tokens of two steps; give at "
                "least 2."
            )

    # ----------------------------------------------------------------- training

    def encode_states(self, observations: dict[str, Tensor]) -> Tensor:
        """
        Encode the observations of windows.

        :param observations: (B, L, ...) by key
        :return: (B, L, F)
        """
        n = len(next(iter(observations.values())))
        return self.encoder({key: each.flatten(0, 1) for key, each in observations.items()}).unflatten(0, (n, -1))

    def run_windows(self, batch: Any, states: Tensor, returns: Tensor, played: bool) -> tuple[Tensor, Tensor]:
        """
        Run the transformer over windows.

        :param batch: a :class:`~gcrl_zoo.data.windows.WindowBatch` of K steps, as tensors
        :param states: (B, L, F) encoded, L being K or, with the state after the last step, K + 1
        :param returns: (B,) of the whole episodes
        :param played: whether this is own play, whose actions are read
        :return: the outputs at the states, (B, L, D), and what VICReg sees before it is expanded, (B, L, .); at
            representation tokens, of which the last state has none, (B, K, D)
        """
        n, length = states.shape[:2]
        before = states.new_zeros(n, length, self.head.encoding_dim)
        if played and self.layout.action_tokens:
            actions = self.head.encode(batch.actions[:, : length - 1].flatten(0, 1))
            before = F.pad(actions.unflatten(0, (n, length - 1)), (0, 0, 1, 0))
        times = batch.timesteps[:, :1] + th.arange(length, device=states.device)
        to_all = (returns / self.return_scale)[:, None, None].expand(n, length, 1)
        tokens = self.layout(self.tokens(before, to_all, states, times), played)
        mask, places = self.causal[: tokens.shape[1], : tokens.shape[1]], self.layout.states(played)
        if self.vicreg_on != "tokens":
            outputs = self.transformer(tokens, mask, places)
            return outputs, outputs
        outputs = self.transformer(tokens, mask)
        return outputs[:, places], outputs[:, self.layout.representations(played)]

    def expand(self, seen: Tensor) -> Tensor:
        """
        Compute what VICReg is applied to.

        :param seen: (..., D) outputs at states, or at representation tokens
        :return: (..., E)
        """
        if self.vicreg_on == "rep":
            seen = seen[..., : -self.n_params]
        elif self.vicreg_on == "rep_and_action":
            seen = th.cat((seen, self.tokens.action(self.head.expected(self.head(seen)))), -1)
        z = self.expander(seen)
        return z[..., : -self.n_params] if self.vicreg_on == "expanded_rep" else z

    def infers_from_encoded(self, batch: Any) -> bool:
        """
        Return whether the inverse model sees the states as the transformer does, so that they are encoded only once.

        :param batch: see :meth:`run_windows`
        """
        return self.inverse is not None and self.shared_encoder and self.inverse.motion is None and batch.later is None

    def infer_actions(self, batch: Any, states: Tensor | None) -> Tensor:
        """
        Infer the action of each step by the inverse model, from its state and a later one.

        :param batch: see :meth:`run_windows`; without later states, the next ones are used
        :param states: (B, K+1, F) encoded for the transformer; None or not read unless :meth:`infers_from_encoded`
        :return: (B * K, P) parameters of the head of the inverse model
        """
        inverse = self.inverse
        assert inverse is not None and inverse.change is not None
        n_steps = batch.mask.shape[1]
        here = {key: each[:, :n_steps].flatten(0, 1) for key, each in batch.observations.items()}
        later = batch.later or {key: each[:, 1:] for key, each in batch.observations.items()}
        there = {key: each.flatten(0, 1) for key, each in later.items()}
        if states is None or not self.infers_from_encoded(batch):
            return inverse(here, there)
        change = inverse.change(here, there)
        return inverse.head(inverse.network(states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1), change))

    # ------------------------------------------------------------------- acting

    def command(self, inputs: Inputs) -> Inputs:
        """Ask for the target return of the whole episode, at each step."""
        return inputs._replace(episode_return=self.target_return.expand(inputs.batch_size, 1))

    @property
    def target_description(self) -> str:
        return f"a return of {self.target_return.item():,.6g} of the whole episode"

    def initial_memory(self, n_envs: int) -> Any:
        length, like = self.context_length, self.target_return
        return VideoMemory(
            like.new_zeros(n_envs, length, self.encoder.features_dim),
            like.new_zeros(n_envs, length, self.head.encoding_dim),
            th.zeros(n_envs, dtype=th.int64, device=self.device),
            self.no_actions(n_envs),
        )

    exportable_memory = initial_memory

    def respond(self, inputs: Inputs, memory: Any, episode_starts: np.ndarray | Tensor) -> tuple[Tensor, Any]:
        assert inputs.episode_return is not None
        length, steps = self.context_length, memory.steps * ~to_tensors(episode_starts, self.device)
        states = th.cat((memory.states[:, 1:], self.encode_state(inputs).unsqueeze(1)), 1)
        before = th.cat((memory.before[:, 1:], self.head.encode(memory.actions).unsqueeze(1)), 1)
        times = (steps[:, None] + th.arange(1 - length, 1, device=self.device)).clamp(min=0)
        returns = (inputs.episode_return / self.return_scale).unsqueeze(1).expand(-1, length, 1)
        tokens = self.layout(self.tokens(before, returns, states, times), played=True)
        size, absent = tokens.shape[1], (length - 1 - steps).clamp(min=0)
        mask = hide(self.causal[:size, :size], self.layout.missing(absent, size, played=True))
        mask.diagonal(dim1=1, dim2=2).zero_()  # a missing token sees itself: softmax needs a finite entry
        newest = self.transformer(tokens, mask, slice(-1, None)).squeeze(1)
        return self.head(newest), VideoMemory(states, before, steps + 1, memory.actions)
