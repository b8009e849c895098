"""A transformer that is built from the faster parts and acts without the cost of calling its modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.fast.attention import FoldedAttention, attend, fast_attention
from gcrl_zoo.nets.fast.cache import NetworkCache
from gcrl_zoo.nets.fast.direct import can_bypass, exporting, have_hooks, submodules, weights_of
from gcrl_zoo.nets.fast.dropout import ByteDropout
from gcrl_zoo.nets.fast.mlp import FastMLP, feed_forward
from gcrl_zoo.nets.transformer import ALL, Block, Cache, LayerCache, Parts, Transformer

FAST = Parts(fast_attention, FastMLP, ByteDropout)

parts_of_block = submodules("before_attention", "before_mlp", "attention", "mlp", "dropout")
parts_of_transformer = submodules("before", "dropout", "blocks", "after")


class FastTransformer(Transformer):
    """As :class:`~gcrl_zoo.nets.transformer.Transformer`, with the same parameters; for the arguments see there."""

    def __init__(
        self, width: int, n_layers: int, n_heads: int, dropout: float, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__(width, n_layers, n_heads, dropout, activation, FAST)

        self.direct = NetworkCache(DirectTransformer.of)

    def forward(
        self, tokens: Tensor, mask: Tensor, wanted: slice = ALL, early: slice | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Acting bypasses the modules, unless calling one does more than its class says."""
        acting = not (self.training or th.is_grad_enabled() or exporting())
        direct = self.direct(self) if acting else None
        return (direct or super().forward)(tokens, mask, wanted, early, cache)


class DirectTransformer:
    """
    Computes as a transformer in eval mode, with its present weights and without the cost of calling its modules.

    :param before: layer norm
    :param blocks: all of them
    :param after: layer norm
    """

    def __init__(self, before: nn.Module, blocks: Iterable[Block], after: nn.Module) -> None:
        self.before, self.after = norm_arguments(before), norm_arguments(after)
        self.blocks = [DirectBlock(each) for each in blocks]

    @classmethod
    def of(cls, transformer: FastTransformer) -> DirectTransformer | None:
        """Make one; None if calling a module does more than its class says."""
        before, dropout, blocks, after = parts_of_transformer(transformer)
        fits = can_bypass(before, dropout, after) and all(map(DirectBlock.fits, blocks))
        return cls(before, blocks, after) if fits else None

    def __call__(self, tokens: Tensor, mask: Tensor, wanted: slice, early: slice | None, cache: Cache | None) -> Tensor:
        """See :class:`~gcrl_zoo.nets.transformer.Transformer`."""
        *most, last = self.blocks
        caches = cache.layers if cache else [None] * len(self.blocks)
        x = th.layer_norm(tokens, *self.before)
        for block, its_cache in zip(most, caches, strict=False):
            x = block(x, mask, ALL, its_cache)
        y = last(x, mask[..., wanted, :], wanted, caches[-1])
        if early is not None:
            y = th.stack((x[:, early], y), dim=2)
        return th.layer_norm(y, *self.after)


class DirectBlock:
    """
    Computes as a block in eval mode, see :class:`DirectTransformer`.

    :param block: one that :meth:`fits`
    """

    def __init__(self, block: Block) -> None:
        first, second, attention, mlp, _ = parts_of_block(block)
        self.first, self.second = norm_arguments(first), norm_arguments(second)
        self.memory, self.attend, self.feed = attention.memory, attention.forward, mlp.forward
        self.folded = attention.fold() if type(attention) is FoldedAttention else None
        if self.folded is not None:
            self.attend = attend
        self.weights = mlp.weights() if type(mlp) is FastMLP else None
        if self.weights is not None:
            self.feed = feed_forward

    @staticmethod
    def fits(block: nn.Module) -> bool:
        """Whether calling a module of the block computes what its class says."""
        if type(block) is not Block:
            return False
        first, second, attention, mlp, dropout = parts_of_block(block)
        return can_bypass(first, second, dropout) and not have_hooks(block, attention, mlp)

    def __call__(self, x: Tensor, mask: Tensor, wanted: slice, cache: LayerCache | None) -> Tensor:
        """See :class:`~gcrl_zoo.nets.transformer.Block`."""
        normed = th.layer_norm(x, *self.first)
        memory = self.memory(normed)
        if cache is not None:
            memory = cache.write(memory)
        if wanted is not ALL:
            x, normed = x[:, wanted], normed[:, wanted]
        x = x + self.attend(normed, memory, mask, *(self.folded or ()))
        return x + self.feed(th.layer_norm(x, *self.second), *(self.weights or ()))


def norm_arguments(norm: nn.Module) -> tuple[Any, ...]:
    """Arguments of ``torch.layer_norm`` for a layer norm over the last dimension."""
    weight, bias = weights_of(norm)
    return weight.shape, weight, bias
