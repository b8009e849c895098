"""Attention of one head with half of the matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.fast.direct import can_bypass, submodules, weights_of
from gcrl_zoo.nets.transformer import CausalSelfAttention

layers_of = submodules("query", "key_value", "merge", "dropout")


def fast_attention(width: int, n_heads: int, dropout: nn.Module) -> CausalSelfAttention:
    """The faster attention for one head, the plain one for several; for the arguments see there."""
    return (FoldedAttention if n_heads == 1 else CausalSelfAttention)(width, n_heads, dropout)


class FoldedAttention(CausalSelfAttention):
    """
    Attention of one head that compares and averages the tokens themselves instead of keys and values.

    A query times a key is a token times ``query.T @ key`` times a token, and a weighted mean of values is the value of
    a weighted mean of tokens. This saves the products for keys and values, and in the last block all those for
    tokens whose output is not wanted. Acting caches the products of weights.
    """

    def memory(self, x: Tensor) -> Tensor:
        """Tokens are compared themselves: (B, T, D) -> (B, T, D)."""
        return x

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        folded = self.fold()
        if folded is None:
            return super().forward(x, super().memory(memory), mask)
        return attend(x, memory, mask, *folded, self.dropout)

    def fold(self) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """Products of the weights, see :func:`fold`; None if calling a layer does more than its class says."""
        query, key_value, merge, _ = layers = layers_of(self)
        if not can_bypass(*layers):
            return None
        return fold(*weights_of(query), *weights_of(key_value), *weights_of(merge))


def attend(
    x: Tensor,
    memory: Tensor,
    mask: Tensor,
    compare: Tensor,
    offset: Tensor,
    project: Tensor,
    bias: Tensor,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Attention with the products that :func:`fold` returns; for the other arguments see the plain one."""
    weights = th.baddbmm(mask, F.linear(x, compare, offset), memory.transpose(1, 2)).softmax(2)
    if dropout is not None:
        weights = dropout(weights)
    return F.linear(weights @ memory, project, bias)


def fold(
    query: Tensor, query_bias: Tensor, key_value: Tensor, no_bias: None, merge: Tensor, merge_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    Multiply the weights.

    :param query: (D, D), and (D,)
    :param key_value: (2D, D), and None
    :param merge: (D, D), and (D,)
    :return: (D, D) and (D,) from a token to what other tokens are compared with, (D, D) and (D,) from a mean of tokens
        to the output
    """
    key, value = key_value.chunk(2)
    key = key / math.sqrt(key.shape[1])
    return key.T @ query, query_bias @ key, merge @ value, merge_bias
