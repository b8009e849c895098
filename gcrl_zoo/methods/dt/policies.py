"""Returns-to-go, states and actions in, a representation of each state in its context out."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import torch as th
from annotated_types import Ge, Le, Unit
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.common.arguments import Width
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.policies import State
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.window_policies import WindowPolicy
from gcrl_zoo.methods.dt.exportable import DTStep
from gcrl_zoo.methods.dt.tokens import TOKENS, StepTokens
from gcrl_zoo.nets.transformer import Cache, Transformer, causal


class DTPolicy(WindowPolicy):
    """
    A causal transformer over the tokens (R_0, s_0, a_0, R_1, ...) of the last ``context_length`` steps. What comes out
    at a state token leads to its action.

    :param context_length: number K of steps that the transformer sees
    :param embed_dim: width D of a token
    :param n_layers: number of layers of the transformer
    :param n_heads: attention heads of each layer; they share the width of a token
    :param dropout: probability with which dropout zeroes a unit of the transformer
    :param max_timesteps: number of embeddings of time; later steps of an episode share the last one
    :param attention: ``"window"``: acting computes the whole window again at each step. ``"banded"``: each layer sees
        so few steps that all layers together see K; acting computes the new step only and caches the rest, exactly
    :param kwargs: of :class:`~gcrl_zoo.common.policies.ConditionedPolicy`
    """

    #: Whether actions are chosen by what comes out at the return, too.
    reads_returns = False
    #: How many actions are predicted at each step.
    n_actions = 1

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        context_length: Annotated[int, Ge(1), Le(2048), Unit("steps")] = 20,
        embed_dim: Width = 128,
        n_layers: Annotated[int, Ge(1), Le(256)] = 3,
        n_heads: Annotated[int, Ge(1), Le(1024)] = 1,
        dropout: Annotated[float, Ge(0), Le(0.99)] = 0.1,
        max_timesteps: Annotated[int, Ge(1), Le(1_000_000), Unit("steps")] = 1000,
        attention: Literal["window", "banded"] = "window",
        **kwargs: Any,
    ) -> None:
        if embed_dim % n_heads:
            raise ValueError(f"n_heads is {n_heads}, which does not divide embed_dim ({embed_dim}); give a divisor.")
        super().__init__(observation_space, action_space, embed_dim, **kwargs)
        self.context_length = context_length
        self.band = TOKENS * math.ceil(context_length / n_layers) if attention == "banded" else None
        if self.band is not None:
            self.ring_distance, ring_mask = ring(self.band)
            self.register_buffer("ring_mask", ring_mask, persistent=False)
        self.tokens = StepTokens(self.head.encoding_dim, self.encoder.features_dim, embed_dim, max_timesteps)
        self.transformer = Transformer(embed_dim, n_layers, n_heads, dropout, self.activation_fn)
        self.newest = slice(-1, None), slice(-2, -1) if self.reads_returns else None  # state and return
        # Nothing comes before the first return-to-go.
        self.register_buffer("mask", causal(TOKENS * context_length - 1, self.band), persistent=False)

    mask: Tensor
    ring_mask: Tensor

    # ----------------------------------------------------------------- training

    def represent_windows(self, batch: Any) -> Tensor:
        """
        :param batch: a :class:`~gcrl_zoo.data.samplers.WindowBatch` of K steps, as tensors; padding is on its right,
            where no step before it can see it
        :return: (B, K, D)
        """
        return self.represent_step(self.outputs(batch))

    def outputs(self, batch: Any) -> Tensor:
        """(B, K, D) or (B, K, 2, D), what the transformer makes of a batch"""
        n, length = batch.timesteps.shape
        states = self.encoder({key: each.flatten(0, 1) for key, each in batch.observations.items()})
        before = self.head.encode(batch.actions[:, : length - 1].flatten(0, 1)).unflatten(0, (n, length - 1))
        to_go = batch.returns_to_go.unsqueeze(2) / self.return_scale
        tokens = self.tokens(
            F.pad(before, (0, 0, 1, 0)), to_go, states.unflatten(0, (n, length)), batch.timesteps
        ).flatten(1, 2)[:, 1:]
        size = tokens.shape[1]
        returns, states = slice(0, None, TOKENS), slice(1, None, TOKENS)
        early = returns if self.reads_returns else None
        return self.transformer(tokens, self.mask[:size, :size], wanted=states, early=early)

    def represent_step(self, outputs: Tensor) -> Tensor:
        """
        :param outputs: (..., D) at states, or (..., 2, D) at returns and states
        :return: (..., D)
        """
        return outputs

    # ------------------------------------------------------------------- acting

    def command(self, inputs: Inputs) -> Inputs:
        """The wrapper ``ReturnToGo`` counts what was received, from 0 downwards; the target is ours to add."""
        assert inputs.return_to_go is not None
        return inputs._replace(return_to_go=self.target_return + inputs.return_to_go)

    @property
    def asks_for(self) -> str:
        return f"a return of {self.target_return.item():,.6g} of the whole episode, counted down"

    def initial_state(self, n_envs: int) -> State:
        """
        Further memory, embedded tokens so far (or a cache of what layers made of them), steps so far, and the action
        before.
        """
        further, steps, actions = self.further_memory(n_envs), np.zeros(n_envs, dtype=np.int64), self.no_actions(n_envs)
        if self.band is None:
            size, width = TOKENS * self.context_length - 1, self.tokens.width
            return further, self.target_return.new_zeros(n_envs, size, width), steps, actions
        return further, self.transformer.make_cache(n_envs, len(self.ring_distance[0])), 0, steps, actions

    def no_actions(self, n_envs: int) -> Tensor:
        """(E, A) or (E,), in the place of the action before the first one"""
        space = self.action_space
        nothing = np.full((n_envs, *(space.shape or ())), getattr(space, "start", 0))
        return to_tensors(self.to_action_space.kept(nothing), self.device)

    def step(
        self, inputs: Inputs, state: State | None, episode_starts: np.ndarray, deterministic: bool = False
    ) -> tuple[Tensor, State]:
        assert state is not None
        seen, memory = self.encode_step(inputs, state[1:], episode_starts)
        params, further = self.decide(seen, state[0], episode_starts)
        chosen = self.head.act(params, deterministic)
        return chosen, (further, *memory, chosen)

    def further_memory(self, n_envs: int) -> tuple[Tensor, ...]:
        """
        :param n_envs: number E of environments
        :return: what :meth:`decide` remembers, at the start of an episode; (E, ...) each
        """
        return ()

    def decide(
        self, z: Tensor, further: tuple[Tensor, ...], episode_starts: np.ndarray | Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """
        :param z: (E, D) representation of the newest step
        :param further: as returned by the last call or by :meth:`further_memory`
        :param episode_starts: (E,) where the memory must be forgotten
        :return: (E, P) parameters for the action head, and the new memory
        """
        return self.head(z), ()

    def exportable_step(self) -> DTStep:
        return DTStep(self)

    def encode_step(self, inputs: Inputs, state: State, episode_starts: np.ndarray) -> tuple[Tensor, State]:
        """(E, D) that actions are chosen by, and the memory without the action that will be"""
        *past, steps, actions = state
        steps = np.where(episode_starts, 0, steps)
        tokens = self.embed(inputs, actions, to_tensors(steps, self.device))
        outputs, past = (self._attend_window if self.band is None else self._attend_band)(tokens, past, steps)
        return self.represent_step(outputs.squeeze(1)), (*past, steps + 1)

    def embed(self, inputs: Inputs, actions: Tensor, steps: Tensor) -> Tensor:
        """
        :param inputs: of E environments
        :param actions: (E, A) or (E,) of the step before
        :param steps: (E,) since the start of the episode
        :return: (E, 3, D) tokens of the newest step
        """
        assert inputs.state is not None and inputs.return_to_go is not None
        to_go = inputs.return_to_go / self.return_scale
        return self.tokens(self.head.encode(actions), to_go, self.encoder(inputs.state), steps)

    def executed(self, state: State | None, actions: np.ndarray) -> State:
        assert state is not None
        return (*state[:-1], to_tensors(self.to_action_space.kept(actions), self.device))

    def _attend_window(self, tokens: Tensor, past: list[Tensor], steps: np.ndarray) -> tuple[Tensor, list[Tensor]]:
        """(E, 1, D) or (E, 1, 2, D), and the past to remember: (E, 3K - 1, D), the newest last"""
        window = th.cat((past[0], tokens), dim=1)[:, TOKENS:]
        size = window.shape[1]
        there = np.minimum(TOKENS * steps + TOKENS - 1, size)  # (E,) tokens of this episode
        longest = int(there.max())
        mask = self.mask[:longest, :longest]
        if there.min() < longest:
            missing = np.arange(longest) < longest - there[:, None]  # (E, T)
            mask = mask.masked_fill(to_tensors(missing, self.device)[:, None, :], -math.inf)
            mask.diagonal(dim1=1, dim2=2).zero_()  # what is not there sees itself: softmax needs something
        return self.transformer(window[:, -longest:], mask, *self.newest), [window]

    def _attend_band(self, tokens: Tensor, past: list[Any], steps: np.ndarray) -> tuple[Tensor, list[Any]]:
        """(E, 1, D) or (E, 1, 2, D), and the past to remember"""
        cache, written = past
        assert isinstance(cache, Cache) and self.band is not None
        if cache.written != written:
            raise ValueError(
                "With `attention: banded` a state can be continued only once, and this one was: keep the newest state."
            )
        at = written // TOKENS % len(self.ring_distance)
        mask = self.ring_mask[at]  # (3, W)
        if TOKENS * (steps.min() + 1) <= mask.shape[1]:
            there = TOKENS * steps + TOKENS - 1  # (E,) tokens of this episode
            missing = self.ring_distance[at] >= there[:, None]  # (E, W)
            mask = mask.masked_fill(to_tensors(missing, self.device)[:, None, :], -math.inf)
            mask[:, 0, TOKENS * at] = 0  # no action came before the first state, but softmax needs something
        return self.transformer.step(tokens, cache, mask, *self.newest), [cache, cache.written]


def ring(band: int) -> tuple[np.ndarray, Tensor]:
    """
    A ring that holds the tokens of S steps; the three of the newest step may be at each of S places.

    :param band: tokens that each of the three sees, its own included
    :return: (S, W) for each place of the newest step, how many tokens before the newest one each of the ring was
        written; (S, 3, W), -inf where a new token must not look, else 0
    """
    size = band + TOKENS  # the first of the new tokens sees a whole band, too
    newest = np.arange(0, size, TOKENS)[:, None] + TOKENS - 1  # (S, 1)
    distance = (newest - np.arange(size)) % size
    own = np.arange(TOKENS)[::-1, None]  # (3, 1) of the new tokens from the newest
    seen = (distance[:, None] >= own) & (distance[:, None] < own + band)
    return distance, th.where(th.from_numpy(seen), 0.0, -math.inf)
