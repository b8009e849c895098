"""
A causal transformer over tokens, as GPT-2 is built: normalise, attend, add; normalise, think, add.

Positions are the caller's affair: tokens carry their place in time with them. So keys and values of a token never
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

from gcrl_zoo.nets.dropout import ByteDropout
from gcrl_zoo.nets.feed_forward import feed_forward


@dataclass
class Cache:
    """
    What each layer remembers of the tokens that may still be attended to, in a ring: the newest overwrite the oldest.

    :param memory: (L, B, W, M), for L layers and W places
    :param written: how many tokens were written so far
    """

    memory: Tensor
    written: int = 0


class OneHead(nn.Module):
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
        self._factors = (self.query.weight, self.query.bias, self.key.weight, self.value.weight, self.merge.weight)
        self._made_of: tuple[int, th.device] | None = None
        self._products: tuple[Tensor, Tensor, Tensor]

    def remember(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, M)"""
        return x

    def forward(self, asking: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
        """
        :param asking: (B, Q, D)
        :param memory: (B, T, M) of the tokens that are asked
        :param hidden: (Q, T) or (B, Q, T), -inf where a query must not look, else 0
        :return: (B, Q, D)
        """
        compare, offset, merge = self.products()
        queries = F.linear(asking, compare, offset)
        weights = th.baddbmm(hidden, queries, memory.transpose(1, 2)).softmax(2)
        seen = self.dropout(weights) @ memory
        return F.linear(seen, merge, self.merge.bias)

    def products(self) -> tuple[Tensor, Tensor, Tensor]:
        """(D, D) and (D,) from an asking token to a query, (D, D) from what was seen to the output"""
        if th.is_grad_enabled():
            self._made_of = None  # an update follows, and fused optimizers do not tell a weight's version of it
            return self.multiply()
        versions = sum([weight._version for weight in self._factors])  # they only grow
        where = self._factors[0].device
        if (versions, where) != self._made_of:  # acting multiplies once, not at every step
            self._made_of, self._products = (versions, where), self.multiply()
        return self._products

    def multiply(self) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`products`; anew."""
        key = self.key.weight / math.sqrt(self.memory_width)
        return key.T @ self.query.weight, self.query.bias @ key, self.merge.weight @ self.value.weight


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

    def forward(self, asking: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
        """As in :class:`OneHead`."""
        queries, (keys, values) = self.heads(self.query(asking)), map(self.heads, memory.chunk(2, dim=2))
        scores = queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[3]) + hidden.unsqueeze(-3)
        seen = self.dropout(scores.softmax(3)) @ values
        return self.merge(seen.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """
    :param width: D of a token
    :param n_heads: of its attention
    :param dropout: of attention and of the two layers behind it
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.before_attention, self.before_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = OneHead(width, dropout) if n_heads == 1 else ManyHeads(width, n_heads, dropout)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = ByteDropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor, wanted: slice = slice(None)) -> Tensor:
        """
        :param x: (B, T, D)
        :param hidden: (T, T) or (B, T, T), -inf where a token (row) must not look at another one, else 0
        :param wanted: the tokens whose output is needed
        :return: (B, Q, D)
        """
        normed = self.before_attention(x)
        memory = self.attention.remember(normed)
        return self.think(x[:, wanted], self.attention(normed[:, wanted], memory, hidden[..., wanted, :]))

    def think(self, x: Tensor, seen: Tensor) -> Tensor:
        """(B, T, D) and what attention adds to it, (B, T, D) -> (B, T, D)"""
        x = self.dropout.add(x, seen)
        wide, narrow = self.widen, self.narrow
        added = feed_forward(self.before_feed_forward(x), wide.weight, wide.bias, narrow.weight, narrow.bias)
        return self.dropout.add(x, added)

    def step(self, x: Tensor, memory: Tensor, places: slice, hidden: Tensor) -> Tensor:
        """
        :param x: (B, T, D), new tokens
        :param memory: (B, W, M) of the tokens before; that of the new ones is written into it
        :param places: where
        :param hidden: (T, W) or (B, T, W)
        :return: (B, T, D)
        """
        normed = self.before_attention(x)
        memory[:, places] = self.attention.remember(normed)
        return self.think(x, self.attention(normed, memory, hidden))


class Transformer(nn.Module):
    """
    :param width: D of a token
    :param n_layers: number of blocks
    :param n_heads: of each block
    :param dropout: on tokens, attention and outputs
    """

    def __init__(self, width: int, n_layers: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}; give at least 1.")
        self.before, self.dropout = nn.LayerNorm(width), ByteDropout(dropout)
        self.blocks: Iterable[Any] = nn.ModuleList([Block(width, n_heads, dropout) for _ in range(n_layers)])
        self.after = nn.LayerNorm(width)
        self.apply(initialise)

    def forward(self, tokens: Tensor, hidden: Tensor, wanted: slice = slice(None)) -> Tensor:
        """
        :param tokens: (B, T, D)
        :param hidden: (T, T) or (B, T, T), -inf where a token (row) must not look at another one, else 0
        :param wanted: the tokens whose output is needed; the last block computes no others
        :return: (B, Q, D)
        """
        x = self.dropout(self.before(tokens))
        *most, last = self.blocks
        for block in most:
            x = block(x, hidden)
        return self.after(last(x, hidden, wanted))

    def make_cache(self, n: int, places: int) -> Cache:
        """
        :param n: B, sequences that grow side by side
        :param places: W, tokens to keep of each
        """
        widths = [block.attention.memory_width for block in self.blocks]
        return Cache(self.before.weight.new_zeros(len(widths), n, places, widths[0]))

    def step(self, tokens: Tensor, cache: Cache, hidden: Tensor) -> Tensor:
        """
        Go on where the last call stopped.

        :param tokens: (B, T, D), new ones; as many at each call, and W a multiple of it
        :param cache: of those before; it is written to
        :param hidden: (T, W) or (B, T, W), over the places of the cache once the new ones are in it
        :return: (B, T, D)
        """
        n = tokens.shape[1]
        start = cache.written % cache.memory.shape[2]
        x = self.before(tokens)
        for block, memory in zip(self.blocks, cache.memory, strict=True):
            x = block.step(x, memory, slice(start, start + n), hidden)
        cache.written += n
        return self.after(x)


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


def initialise(module: nn.Module) -> None:
    """:param module: to begin as in GPT-2, if it is a layer of weights"""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
