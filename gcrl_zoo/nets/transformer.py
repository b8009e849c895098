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

from gcrl_zoo.nets.dropout import ByteDropout


@dataclass
class Cache:
    """
    Keys and values of the tokens that may still be attended to, of each layer, in a ring: the newest overwrite the
    oldest.

    :param keys: (L, B, H, W, C), for L layers, H heads, W places and C channels a head
    :param values: (L, B, H, W, C)
    :param written: how many tokens were written so far
    """

    keys: Tensor
    values: Tensor
    written: int = 0

    def places(self, n: int) -> Tensor:
        """(n,) where the next n tokens go"""
        return th.arange(self.written, self.written + n, device=self.keys.device) % self.keys.shape[3]


class Attention(nn.Module):
    """
    Softmax attention of several heads.

    :param width: D of a token
    :param n_heads: that share the width
    :param dropout: on weights and output
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        if width % n_heads:
            raise ValueError(f"{n_heads} heads cannot share a width of {width}; give a divisor of it.")
        self.n_heads = n_heads
        # Apart: what one layer made for all three would have to be copied into place, and its gradients back.
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.merge = nn.Linear(width, width)
        self.weight_dropout, self.dropout = ByteDropout(dropout), ByteDropout(dropout)

    def heads(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, C)"""
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, asking: Tensor, asked: Tensor, hidden: Tensor) -> Tensor:
        """
        :param asking: (B, Q, D)
        :param asked: (B, T, D)
        :param hidden: see :meth:`attend`
        :return: (B, Q, D)
        """
        queries, keys, values = self.query(asking), self.key(asked), self.value(asked)
        return self.attend(self.heads(queries), self.heads(keys), self.heads(values), hidden)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
        """
        :param queries: (B, H, Q, C)
        :param keys: (B, H, T, C)
        :param values: (B, H, T, C)
        :param hidden: (Q, T) or (B, 1, Q, T), -inf where a query must not look, else 0
        :return: (B, Q, D)
        """
        scores = (queries @ keys.transpose(2, 3)).mul_(1 / math.sqrt(keys.shape[3])) + hidden
        seen = self.weight_dropout(scores.softmax(3)) @ values
        return self.dropout(self.merge(seen.transpose(1, 2).flatten(2)))


class Block(nn.Module):
    """
    :param width: D of a token
    :param n_heads: of its attention
    :param dropout: of attention and of the two layers behind it
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, n_heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(inplace=True), nn.Linear(4 * width, width), ByteDropout(dropout)
        )

    def forward(self, x: Tensor, hidden: Tensor, wanted: slice = slice(None)) -> Tensor:
        """
        :param x: (B, T, D)
        :param hidden: (T, T) or (B, 1, T, T), see :meth:`Attention.attend`
        :param wanted: the tokens whose output is needed
        :return: (B, Q, D)
        """
        normed = self.before_attention(x)
        asking = normed if wanted == slice(None) else normed[:, wanted]
        x = x[:, wanted] + self.attention(asking, normed, hidden[..., wanted, :])
        return x + self.mlp(self.before_mlp(x))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, places: Tensor, hidden: Tensor) -> Tensor:
        """
        :param x: (B, T, D), new tokens
        :param keys: (B, H, W, C) of the tokens before; those of the new ones are written into it
        :param values: (B, H, W, C), likewise
        :param places: (T,) where
        :param hidden: (B, 1, T, W)
        :return: (B, T, D)
        """
        attention, normed = self.attention, self.before_attention(x)
        keys.index_copy_(2, places, attention.heads(attention.key(normed)))
        values.index_copy_(2, places, attention.heads(attention.value(normed)))
        x = x + attention.attend(attention.heads(attention.query(normed)), keys, values, hidden)
        return x + self.mlp(self.before_mlp(x))


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
        self.n_heads = n_heads
        self.blocks: Iterable[Any] = nn.ModuleList([Block(width, n_heads, dropout) for _ in range(n_layers)])
        self.after = nn.LayerNorm(width)
        self.apply(initialise)

    def forward(self, tokens: Tensor, hidden: Tensor, wanted: slice = slice(None)) -> Tensor:
        """
        :param tokens: (B, T, D)
        :param hidden: (T, T) or (B, 1, T, T), -inf where a token (row) must not look at another one, else 0
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
        n_layers, width = sum(1 for _ in self.blocks), len(self.before.weight)
        empty = self.before.weight.new_zeros(n_layers, n, self.n_heads, places, width // self.n_heads)
        return Cache(empty, th.zeros_like(empty))

    def step(self, tokens: Tensor, cache: Cache, hidden: Tensor) -> Tensor:
        """
        Go on where the last call stopped.

        :param tokens: (B, T, D), new ones
        :param cache: of those before; it is written to
        :param hidden: (B, 1, T, W), over the places of the cache once the new ones are in it
        :return: (B, T, D)
        """
        places = cache.places(tokens.shape[1])
        x = self.before(tokens)
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            x = block.step(x, keys, values, places, hidden)
        cache.written += tokens.shape[1]
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
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
