"""
Which layers can be computed without the cost of calling a module, which on small batches is as high as that of a small
matrix product.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import torch as th
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from gcrl_zoo.nets.fast.dropout import ByteDropout

LAYERS = {nn.Linear, nn.LayerNorm, nn.Embedding, nn.ReLU, nn.Dropout, ByteDropout}


def can_bypass(*layers: nn.Module) -> bool:
    """Whether calling each of these layers computes what its class says: no hook, no parametrization, no subclass."""
    return all(type(layer) in LAYERS for layer in layers) and not have_hooks(*layers)


def have_hooks(*modules: nn.Module) -> bool:
    """Whether calling one of the modules does more than the ``forward`` of its class."""
    for each in modules:
        if "forward" in each.__dict__:
            return True
        if each._forward_hooks or each._forward_pre_hooks or each._backward_hooks or each._backward_pre_hooks:
            return True
    return _has_any_global_hook()


def submodules(*names: str) -> Callable[[nn.Module], tuple[Any, ...]]:
    """
    Return a function that returns some submodules. As an attribute each takes as long as an addition of tensors.

    :param names: of the submodules, at least two
    """
    get = itemgetter(*names)
    return lambda module: get(module._modules)


def weights_of(layer: nn.Module) -> Iterable[Any]:
    """Return the weight and the bias of a linear layer or a layer norm."""
    parameters = layer._parameters
    return parameters["weight"], parameters["bias"]


def exporting() -> bool:
    """Whether ``torch.jit.trace``, ``torch.export`` or ``torch.compile`` records operations now."""
    return th.jit.is_tracing() or th.compiler.is_compiling()
