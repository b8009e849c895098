"""A transformer that is built from the faster parts and acts without the cost of calling its modules."""

from __future__ import annotations

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.fast.attention import fast_attention
from gcrl_zoo.nets.fast.direct import can_bypass, have_hooks, layer_norm, submodules
from gcrl_zoo.nets.fast.dropout import ByteDropout
from gcrl_zoo.nets.fast.mlp import FastMLP
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

    def forward(
        self, tokens: Tensor, mask: Tensor, wanted: slice = ALL, early: slice | None = None, cache: Cache | None = None
    ) -> Tensor:
        """In eval mode modules without hooks are bypassed."""
        before, dropout, blocks, after = parts_of_transformer(self)
        *most, last = blocks._modules.values()
        if self.training or not can_bypass(before, dropout, after) or not all(map(can_act, (*most, last))):
            return super().forward(tokens, mask, wanted, early, cache)
        caches = cache.layers if cache else [None] * (len(most) + 1)
        x = layer_norm(before, tokens)
        for block, its_cache in zip(most, caches, strict=False):
            x = act(block, x, mask, ALL, its_cache)
        y = act(last, x, mask[..., wanted, :], wanted, caches[-1])
        if early is not None:
            y = th.stack((x[:, early], y), dim=2)
        return layer_norm(after, y)


def can_act(block: nn.Module) -> bool:
    """Whether :func:`act` computes what calling the block would."""
    if type(block) is not Block:
        return False
    first, second, attention, mlp, dropout = parts_of_block(block)
    return can_bypass(first, second, dropout) and not have_hooks(block, attention, mlp)


def act(block: Block, x: Tensor, mask: Tensor, wanted: slice, cache: LayerCache | None) -> Tensor:
    """As ``block(x, mask, wanted, cache)`` in eval mode."""
    first, second, attention, mlp, _ = parts_of_block(block)
    normed = layer_norm(first, x)
    memory = attention.memory(normed)
    if cache is not None:
        memory = cache.write(memory)
    if wanted is not ALL:
        x, normed = x[:, wanted], normed[:, wanted]
    x = x + attention.forward(normed, memory, mask)
    return x + mlp.forward(layer_norm(second, x))
