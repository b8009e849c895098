"""What the newest step attends to when acting: the whole window again, or a cache of earlier steps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch as th
from torch import Tensor, nn

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.methods.dt.tokens import TOKENS
from gcrl_zoo.nets.transformer import Cache, Transformer, causal


class WindowAttention(nn.Module):
    """
    Computes the whole window at each step.

    :param size: number T of tokens in the window
    :param band: a token sees itself and the band - 1 ones before it; None for all before it
    """

    mask: Tensor

    def __init__(self, size: int, band: int | None) -> None:
        super().__init__()
        self.register_buffer("mask", causal(size, band), persistent=False)

    def attend(
        self,
        transformer: Transformer,
        tokens: Tensor,
        past: Tensor,
        steps: np.ndarray | Tensor,
        newest: tuple[slice, slice | None],
    ) -> tuple[Tensor, Tensor]:
        """
        Compute the output of the newest step from the whole window.

        :param transformer: over the tokens
        :param tokens: (E, 3, D) of the newest step
        :param past: (E, T, D) tokens before it, the newest last
        :param steps: (E,) before it in the episode; a tensor when exported, and then no branch depends on values
        :param newest: the tokens whose output is needed, see :class:`~gcrl_zoo.nets.transformer.Transformer`
        :return: (E, 1, D) or (E, 1, 2, D), and the new past
        """
        window = th.cat((past, tokens), dim=1)[:, TOKENS:]
        size = window.shape[1]
        there = TOKENS * steps + TOKENS - 1  # (E,) tokens of this episode; none comes before the first return-to-go
        missing: Tensor | np.ndarray | None  # (E, T)
        if isinstance(there, Tensor):
            missing = th.arange(size, device=there.device) < size - there[:, None]
        else:
            size = min(size, int(there.max()))  # the longest episode
            missing = np.arange(size) < size - there[:, None] if there.min() < size else None
        mask = self.mask[:size, :size]
        if missing is not None:
            mask = hide(mask, missing)
            mask.diagonal(dim1=1, dim2=2).zero_()  # a missing token sees itself: softmax needs a finite entry
        return transformer(window[:, -size:], mask, *newest), window


class Ring(NamedTuple):
    """
    The past of :class:`RingAttention`.

    :param cache: what the layers keep of the last tokens; each step overwrites the oldest
    :param written: number of tokens that were written, by which an outdated past is recognised
    """

    cache: Cache
    written: int


class RingAttention(nn.Module):
    """
    Computes the newest step only; a cache holds what the layers computed for S steps before it, in a ring of W tokens.

    :param band: number of tokens that each token of the newest step sees, its own included
    """

    mask: Tensor

    def __init__(self, band: int) -> None:
        super().__init__()
        self.size = band + TOKENS  # the first of the new tokens sees a whole band, too
        newest = np.arange(0, self.size, TOKENS)[:, None] + TOKENS - 1  # (S, 1) places of the newest token
        #: (S, W) for each place of the newest step, how many tokens before the newest one each was written
        self.distance = (newest - np.arange(self.size)) % self.size
        own = np.arange(TOKENS)[::-1, None]  # (3, 1) distance of the new tokens
        visible = (self.distance[:, None] >= own) & (self.distance[:, None] < own + band)
        # (S, 3, W), -inf where a new token must not look, else 0
        self.register_buffer("mask", th.where(th.from_numpy(visible), 0.0, -math.inf), persistent=False)

    def attend(
        self,
        transformer: Transformer,
        tokens: Tensor,
        past: Ring,
        steps: np.ndarray,
        newest: tuple[slice, slice | None],
    ) -> tuple[Tensor, Ring]:
        """
        Arguments and results are those of :meth:`WindowAttention.attend`; the cache of the past is written to.

        :raises ValueError: the past was continued before
        """
        cache = past.cache
        if cache.written != past.written:
            raise ValueError(
                "With `attention: banded` a state can be continued only once, and this one was: keep the newest state."
            )
        place = past.written // TOKENS % len(self.distance)
        mask = self.mask[place]  # (3, W)
        if TOKENS * (steps.min() + 1) <= self.size:
            missing = self.distance[place] >= (TOKENS * steps + TOKENS - 1)[:, None]  # (E, W), not of this episode
            mask = hide(mask, missing)
            mask[:, 0, TOKENS * place] = 0  # no action came before the first state, but softmax needs a finite entry
        return transformer(tokens, mask, *newest, cache=cache), Ring(cache, cache.written)


def hide(mask: Tensor, missing: np.ndarray | Tensor) -> Tensor:
    """
    Add missing tokens to a mask.

    :param mask: (Q, T)
    :param missing: (E, T) True where no query may look
    :return: (E, Q, T) a new mask
    """
    return mask.masked_fill(to_tensors(missing, mask.device)[:, None, :], -math.inf)
