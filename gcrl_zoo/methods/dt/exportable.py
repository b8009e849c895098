"""One step of a Decision Transformer with its memory as tensors, for ``torch.export`` and ``torch.jit.trace``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch as th
from torch import Tensor, nn

from gcrl_zoo.methods.dt.tokens import TOKENS
from gcrl_zoo.nets.transformer import causal

if TYPE_CHECKING:
    from gcrl_zoo.methods.dt.policies import DTPolicy


class DTStep(nn.Module):
    """
    Chooses the actions that ``predict(..., deterministic=True)`` chooses. ``predict`` keeps NumPy arrays and, with
    ``attention: banded``, a cache in its memory and branches on them, which cannot be exported; here each step computes
    the whole window, and a mask hides what belongs to no step of the episode.

    :param policy: whose weights, statistics and target are exported
    """

    mask: Tensor

    def __init__(self, policy: DTPolicy) -> None:
        super().__init__()
        self.policy = policy.eval()
        size = TOKENS * policy.context_length - 1
        if policy.band is not None:  # all layers together may see some tokens more
            size = len(policy.transformer.blocks) * policy.band  # type: ignore[arg-type]
        self.register_buffer("mask", causal(size, policy.band).to(policy.device), persistent=False)

    def initial_memory(self, n_envs: int) -> tuple[Tensor, ...]:
        """
        :param n_envs: number E of environments
        :return: memory at the start of an episode: tokens, steps, actions, and what a subclass of the policy adds
        """
        policy = self.policy
        tokens = policy.target_return.new_zeros(n_envs, len(self.mask), policy.tokens.width)
        steps = th.zeros(n_envs, dtype=th.int64, device=policy.device)
        return tokens, steps, policy.no_actions(n_envs), *policy.further_memory(n_envs)

    def forward(
        self, observation: Mapping[str, Tensor], episode_starts: Tensor, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """
        :param observation: (E, ...) by key, images with the channels first
        :param episode_starts: (E,) bool, where an episode begins
        :param memory: as returned by the last call or by :meth:`initial_memory`
        :return: actions, (E, A) float32 or (E,) int64, and the new memory
        """
        policy, (tokens, steps, actions, *further) = self.policy, memory
        steps = th.where(episode_starts, 0, steps)
        inputs = policy.command(policy.roles.inputs(observation))
        tokens = th.cat((tokens, policy.embed(inputs, actions, steps)), dim=1)[:, TOKENS:]
        seen = policy.represent_step(policy.transformer(tokens, self._mask(steps), *policy.newest).squeeze(1))
        params, decided = policy.decide(seen, tuple(further), episode_starts)
        chosen = policy.head.act(params, deterministic=True)
        return chosen, (tokens, steps + 1, chosen, *decided)

    def _mask(self, steps: Tensor) -> Tensor:
        """(E, T, T), -inf where a token (row) must not look at another one, else 0"""
        places = th.arange(len(self.mask), device=steps.device)
        there = TOKENS * steps + TOKENS - 1  # tokens of this episode; nothing comes before the first return-to-go
        missing = places < len(self.mask) - there[:, None]  # (E, T)
        mask = self.mask.masked_fill(missing[:, None, :], -math.inf)
        return mask.masked_fill(places == places[:, None], 0.0)  # what is missing sees itself: softmax needs something
