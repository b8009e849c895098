"""
Layers without the cost of calling a module, which on small batches is as high as that of a small matrix product.

Weights are looked up at each call, so they may be replaced at any time.
"""

from collections.abc import Iterable
from typing import Any

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

from gcrl_zoo.nets.fast.dropout import ByteDropout

LAYERS = {nn.Linear, nn.LayerNorm, nn.Embedding, nn.ReLU, nn.Dropout, ByteDropout}


def can_bypass(*layers: nn.Module) -> bool:
    """Whether calling each of these layers computes what its class says: no hook, no parametrization, no subclass."""
    return all(type(layer) in LAYERS for layer in layers) and not have_hooks(*layers)


def have_hooks(*modules: nn.Module) -> bool:
    """Whether calling one of the modules does more than its ``forward``."""
    for each in modules:
        if each._forward_hooks or each._forward_pre_hooks or each._backward_hooks or each._backward_pre_hooks:
            return True
    return _has_any_global_hook()


def modules_of(module: nn.Module) -> Iterable[Any]:
    """Submodules in the order in which they were assigned; by name each takes as long as an addition of tensors."""
    return module._modules.values()


def weights_of(layer: nn.Module) -> Iterable[Any]:
    """Weight and bias."""
    return layer._parameters.values()


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """As ``layer(x)`` of a :class:`torch.nn.Linear`."""
    return F.linear(x, *weights_of(layer))


def layer_norm(layer: nn.Module, x: Tensor) -> Tensor:
    """As ``layer(x)`` of a :class:`torch.nn.LayerNorm` over the last dimension."""
    weight, bias = weights_of(layer)
    return th.layer_norm(x, weight.shape, weight, bias)


def embedding(layer: nn.Module, indices: Tensor) -> Tensor:
    """As ``layer(indices)`` of a :class:`torch.nn.Embedding`."""
    return F.embedding(indices, *weights_of(layer))


def exporting() -> bool:
    """Whether ``torch.jit.trace``, ``torch.export`` or ``torch.compile`` records operations now."""
    return th.jit.is_tracing() or th.compiler.is_compiling()
