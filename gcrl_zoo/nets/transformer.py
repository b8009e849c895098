"""
A causal transformer (GPT-2's pre-norm layout) over tokens that already contain their positions.

This is the reference: plain layers, one head or many. :mod:`gcrl_zoo.nets.fast` has faster parts with the same
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch as th
from torch import Tensor, nn

ALL = slice(None)


class CausalSelfAttention(nn.Module):
    """
    Softmax attention. The mask says which tokens are attended to.

    :param width: D of a token
    :param n_heads: number H of heads, which share the width
    :param dropout: module applied to the attention weights
    """

    def __init__(self, width: int, n_heads: int, dropout: nn.Module) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(f"n_heads is {n_heads}, which does not divide the width {width}; give a divisor.")
        self.n_heads = n_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width, bias=n_heads > 1)  # without bias, one head folds to two products
        self.merge = nn.Linear(width, width)
        self.dropout = dropout

    def memory(self, x: Tensor) -> Tensor:
        """
        Compute what later tokens need of these tokens: keys and values.

        :param x: (B, T, D)
        :return: (B, T, M)
        """
        return self.key_value(x)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """
        Attend to tokens.

        :param x: (B, Q, D), tokens whose output is computed
        :param memory: (B, T, M) of the tokens that they attend to
        :param mask: (Q, T) or (B, Q, T), 0 where a token (row) attends to another one, -inf elsewhere
        :return: (B, Q, D)
        """
        keys, values = memory.chunk(2, dim=2)
        q, k, v = self._split(self.query(x)), self._split(keys), self._split(values)  # (B, H, ., D / H)
        weights = (q @ k.transpose(2, 3) / math.sqrt(k.shape[3]) + mask.unsqueeze(-3)).softmax(3)  # (B, H, Q, T)
        y = self.dropout(weights) @ v
        return self.merge(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """Split tokens into heads, (B, T, D) -> (B, H, T, D / H)."""
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)


class MLP(nn.Module):
    """
    Two layers, applied to each token.

    :param width: D of a token
    :param activation: between the layers
    """

    def __init__(self, width: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Apply both layers, (..., D) -> (..., D)."""
        return self.narrow(self.activation(self.widen(x)))


class Block(nn.Module):
    """
    Attention, then an MLP, each after layer normalisation and with a residual connection.

    :param width: D of a token
    :param n_heads: of the attention
    :param dropout: probability, for attention weights and for both outputs
    :param activation: of the MLP
    :param parts: classes to build it from
    """

    def __init__(self, width: int, n_heads: int, dropout: float, activation: type[nn.Module], parts: Parts) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = parts.attention(width, n_heads, parts.dropout(dropout))
        self.mlp = parts.mlp(width, activation)
        self.dropout = parts.dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, wanted: slice = ALL, cache: LayerCache | None = None) -> Tensor:
        """
        Compute the outputs of the wanted tokens.

        :param x: (B, T, D)
        :param mask: (Q, T) or (B, Q, T), with W instead of T if there is a cache
        :param wanted: the Q tokens whose output is computed
        :param cache: memory of earlier tokens, to which these tokens are added
        :return: (B, Q, D)
        """
        normed = self.before_attention(x)
        memory = self.attention.memory(normed)
        if cache is not None:
            memory = cache.write(memory)
        if wanted is not ALL:
            x, normed = x[:, wanted], normed[:, wanted]
        x = x + self.dropout(self.attention(normed, memory, mask))
        return x + self.dropout(self.mlp(self.before_mlp(x)))


class Parts(NamedTuple):
    """Classes that a transformer is built from."""

    attention: Callable[[int, int, nn.Module], CausalSelfAttention] = CausalSelfAttention
    mlp: type[MLP] = MLP
    dropout: Callable[[float], nn.Module] = nn.Dropout


PLAIN = Parts()


class Transformer(nn.Module):
    """
    Blocks of attention between two layer normalisations.

    :param width: D of a token
    :param n_layers: number of blocks
    :param n_heads: of each block
    :param dropout: probability, for tokens, attention weights and outputs of a block's layers
    :param activation: of the MLPs
    :param parts: classes to build it from; :class:`~gcrl_zoo.nets.fast.transformer.FastTransformer` has faster ones
    """

    def __init__(
        self,
        width: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        activation: type[nn.Module] = nn.ReLU,
        parts: Parts = PLAIN,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}; give at least 1.")
        self.before, self.dropout = nn.LayerNorm(width), parts.dropout(dropout)
        self.blocks: Iterable[Any] = nn.ModuleList(
            [Block(width, n_heads, dropout, activation, parts) for _ in range(n_layers)]
        )
        self.after = nn.LayerNorm(width)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        wanted: slice = ALL,
        early: slice | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """
        Compute the outputs of the wanted tokens.

        :param tokens: (B, T, D)
        :param mask: (T, T) or (B, T, T), 0 where a token (row) attends to another one, -inf elsewhere; with a cache
            (T, W) or (B, T, W), over its places after the tokens are written to it
        :param wanted: the Q tokens whose output is needed; the last block computes no others
        :param early: Q other tokens, whose output before the last block is needed as well
        :param cache: memory of earlier tokens, to which these tokens are added
        :return: (B, Q, D), or (B, Q, 2, D) with the early ones first
        """
        x = self.dropout(self.before(tokens))
        caches = cache.layers if cache else [None] * len(self.blocks)  # type: ignore[arg-type]
        *most, last = self.blocks
        for block, its_cache in zip(most, caches, strict=False):
            x = block(x, mask, cache=its_cache)
        y = last(x, mask[..., wanted, :], wanted, caches[-1])
        if early is not None:
            y = th.stack((x[:, early], y), dim=2)
        return self.after(y)

    def make_cache(self, places: int) -> Cache:
        """
        Make an empty cache.

        :param places: W, tokens to keep; a multiple of the number of tokens of a call
        """
        return Cache([LayerCache(places) for _ in self.blocks])


class Cache(NamedTuple):
    """Memory of the newest tokens, for each block."""

    layers: list[LayerCache]

    @property
    def written(self) -> int:
        """How many tokens were written so far."""
        return self.layers[0].written


class LayerCache:
    """
    Memory of the newest tokens for one block. New tokens overwrite the oldest.

    :param places: W
    """

    memory: Tensor

    def __init__(self, places: int) -> None:
        self.places, self.written = places, 0

    def write(self, new: Tensor) -> Tensor:
        """
        Add the memory of new tokens.

        :param new: (B, T, M), W a multiple of T
        :return: (B, W, M), with the new ones
        """
        if not self.written:
            self.memory = new.new_zeros(new.shape[0], self.places, new.shape[2])
        start = self.written % self.places
        self.memory[:, start : start + new.shape[1]] = new
        self.written += new.shape[1]
        return self.memory


def causal(n: int, band: int | None = None) -> Tensor:
    """
    Make a causal mask.

    :param n: T tokens
    :param band: a token attends to itself and the band - 1 ones before it; None for all before it
    :return: (T, T), 0 where a token (row) attends to another one, -inf elsewhere
    """
    ahead = th.arange(n)[None, :] - th.arange(n)[:, None]
    visible = ahead <= 0
    if band is not None:
        visible &= ahead > -band
    return th.where(visible, 0.0, -math.inf)
