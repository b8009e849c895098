"""
A causal transformer over tokens, as GPT-2 is built: normalise, attend, add; normalise, feed forward, add.

The caller adds positions to the tokens, which carry their place in time with them. So keys and values of a token never
change, and acting can keep them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.fast.dropout import ByteDropout
from gcrl_zoo.nets.fast.feed_forward import feed_forward
from gcrl_zoo.nets.fast.weights import CachedWeights, WeightCache

ALL = slice(None)


@dataclass
class Cache:
    """
    What each layer remembers of the tokens that may still be attended to, in a ring: the newest overwrite the oldest.

    :param memory: of each layer, (B, W, M) for W places
    :param written: how many tokens were written so far
    """

    memory: list[Tensor]
    written: int = 0


class OneHead(CachedWeights):
    """
    Softmax attention of one head, which compares and sums up the tokens themselves.

    That is what attention with keys and values computes: a query times a key is a token times ``query.T @ key`` times a
    token, and a weighted mean of values the value of a weighted mean. Half of the products are saved, and in the last
    layer all that concern tokens whose output is not wanted. The biases of key and value are left out; softmax cancels
    the one, and that of the output makes up for the other.

    :param width: D of a token
    :param dropout: on weights
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.memory_width = width
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.merge = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.dropout = ByteDropout(dropout)
        self.cache_weights()

    def cache_weights(self) -> None:
        weights = self.query.weight, self.query.bias, self.key.weight, self.value.weight, self.merge.weight
        self.products = WeightCache(self.multiply, weights)

    def remember(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, M)"""
        return x

    def forward(self, asking: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """
        :param asking: (B, Q, D)
        :param memory: (B, T, M) of the tokens that are asked
        :param mask: (Q, T) or (B, Q, T), -inf where a query must not look, else 0
        :return: (B, Q, D)
        """
        compare, offset, merge, bias = self.products()
        queries = F.linear(asking, compare, offset)
        weights = th.baddbmm(mask, queries, memory.transpose(1, 2)).softmax(2)
        if self.training:
            weights = self.dropout(weights)
        return F.linear(weights @ memory, merge, bias)

    def multiply(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(D, D) and (D,) from an asking token to a query, (D, D) and (D,) from what was seen to the output"""
        query, merge, key = self.query, self.merge, self.key.weight / math.sqrt(self.memory_width)
        return key.T @ query.weight, query.bias @ key, merge.weight @ self.value.weight, merge.bias


class ManyHeads(nn.Module):
    """
    Softmax attention of several heads.

    :param width: D of a token
    :param n_heads: that share the width
    :param dropout: on weights
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(f"{n_heads} heads cannot share a width of {width}; give a divisor of it.")
        self.n_heads, self.memory_width = n_heads, 2 * width
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.dropout = ByteDropout(dropout)

    def remember(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, M), keys and values"""
        return self.key_value(x)

    def heads(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, C)"""
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, asking: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """As in :class:`OneHead`."""
        queries, (keys, values) = self.heads(self.query(asking)), map(self.heads, memory.chunk(2, dim=2))
        scores = queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[3]) + mask.unsqueeze(-3)
        seen = self.dropout(scores.softmax(3)) @ values
        return self.merge(seen.transpose(1, 2).flatten(2))


class Block(CachedWeights):
    """
    :param width: D of a token
    :param n_heads: of its attention
    :param dropout: of attention and of the two layers behind it
    :param activation: between these two layers
    """

    def __init__(self, width: int, n_heads: int, dropout: float, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.before_attention, self.before_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = OneHead(width, dropout) if n_heads == 1 else ManyHeads(width, n_heads, dropout)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = None if activation is nn.ReLU else activation()  # `feed_forward` is for ReLU
        self.dropout = ByteDropout(dropout)
        self.cache_weights()

    def cache_weights(self) -> None:
        first, second, widen, narrow = self.before_attention, self.before_feed_forward, self.widen, self.narrow
        self._norms = (first.weight, first.bias), (second.weight, second.bias)
        self._layers = widen.weight, widen.bias, narrow.weight, narrow.bias
        self._remember, self._attend = self.attention.remember, self.attention.forward

    def forward(self, x: Tensor, mask: Tensor, wanted: slice = ALL) -> Tensor:
        """
        :param x: (B, T, D)
        :param mask: (T, T) or (B, T, T), -inf where a token (row) must not look at another one, else 0
        :param wanted: the tokens whose output is needed
        :return: (B, Q, D)
        """
        normed = normalise(x, *self._norms[0])
        return self._attend_and_feed(x, normed, self._remember(normed), mask, wanted)

    def step(self, x: Tensor, memory: Tensor, places: slice, mask: Tensor, wanted: slice = ALL) -> Tensor:
        """
        :param x: (B, T, D), new tokens
        :param memory: (B, W, M) of the tokens before; that of the new ones is written into it
        :param places: where
        :param mask: (T, W) or (B, T, W)
        :param wanted: the new tokens whose output is needed
        :return: (B, Q, D)
        """
        normed = normalise(x, *self._norms[0])
        memory[:, places] = self._remember(normed)
        return self._attend_and_feed(x, normed, memory, mask, wanted)

    def _attend_and_feed(self, x: Tensor, normed: Tensor, memory: Tensor, mask: Tensor, wanted: slice) -> Tensor:
        """Ask the memory, and work on the answer."""
        if wanted is not ALL:
            x, normed, mask = x[:, wanted], normed[:, wanted], mask[..., wanted, :]
        x = self.add(x, self._attend(normed, memory, mask))
        normed = normalise(x, *self._norms[1])
        if self.activation is None:
            return self.add(x, feed_forward(normed, *self._layers))
        return self.add(x, self.narrow(self.activation(self.widen(normed))))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """With dropout of y."""
        return self.dropout.add(x, y) if self.training else x + y


class Transformer(CachedWeights):
    """
    :param width: D of a token
    :param n_layers: number of blocks
    :param n_heads: of each block
    :param dropout: on tokens, attention and outputs
    :param activation: of the two layers behind attention
    """

    def __init__(
        self, width: int, n_layers: int, n_heads: int, dropout: float, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}; give at least 1.")
        self.before, self.dropout = nn.LayerNorm(width), ByteDropout(dropout)
        self.blocks: Iterable[Any] = nn.ModuleList(
            [Block(width, n_heads, dropout, activation) for _ in range(n_layers)]
        )
        self.after = nn.LayerNorm(width)
        self.cache_weights()

    def cache_weights(self) -> None:
        self._norms = (self.before.weight, self.before.bias), (self.after.weight, self.after.bias)
        self._blocks = list(self.blocks)

    def forward(self, tokens: Tensor, mask: Tensor, wanted: slice = ALL, early: slice | None = None) -> Tensor:
        """
        :param tokens: (B, T, D)
        :param mask: (T, T) or (B, T, T), -inf where a token (row) must not look at another one, else 0
        :param wanted: the tokens whose output is needed; the last block computes no others
        :param early: others whose output before the last block is needed as well, Q of them
        :return: (B, Q, D), or (B, Q, 2, D) with the early ones first
        """
        x = self.dropout(normalise(tokens, *self._norms[0]))
        *most, last = self._blocks
        for block in most:
            x = block(x, mask)
        return self.finish(last(x, mask, wanted), x, early)

    def finish(self, x: Tensor, before: Tensor, early: slice | None) -> Tensor:
        """Put what is needed together, from behind the last block and from before it."""
        if early is not None:
            x = th.stack((before[:, early], x), dim=2)
        return normalise(x, *self._norms[1])

    def make_cache(self, n: int, places: int) -> Cache:
        """
        :param n: B, sequences that grow side by side
        :param places: W, tokens to keep of each
        """
        widths = [block.attention.memory_width for block in self.blocks]
        return Cache([self.before.weight.new_zeros(n, places, width) for width in widths])

    def step(
        self, tokens: Tensor, cache: Cache, mask: Tensor, wanted: slice = ALL, early: slice | None = None
    ) -> Tensor:
        """
        Go on where the last call stopped.

        :param tokens: (B, T, D), new ones; as many at each call, and W a multiple of it
        :param cache: of those before; it is written to
        :param mask: (T, W) or (B, T, W), over the places of the cache once the new ones are in it
        :param wanted: the new tokens whose output is needed
        :param early: as for ``forward``
        :return: (B, Q, D), or (B, Q, 2, D)
        """
        x, memory, n = normalise(tokens, *self._norms[0]), cache.memory, tokens.shape[1]
        start = cache.written % memory[0].shape[1]
        places = slice(start, start + n)
        *most, last = self._blocks
        for block, its_memory in zip(most, memory, strict=False):
            x = block.step(x, its_memory, places, mask)
        cache.written += n
        return self.finish(last.step(x, memory[-1], places, mask, wanted), x, early)


def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What :class:`torch.nn.LayerNorm` computes, (..., D) -> (..., D)."""
    return th.layer_norm(x, weight.shape, weight, bias)


def causal(n: int, band: int | None = None) -> Tensor:
    """
    :param n: T tokens
    :param band: a token sees itself and the band - 1 ones before it; None for all before it
    :return: (T, T), -inf where a token (row) must not look, else 0
    """
    ahead = th.arange(n)[None, :] - th.arange(n)[:, None]
    seen = ahead <= 0
    if band is not None:
        seen &= ahead > -band
    return th.where(seen, 0.0, -math.inf)
