"""
The MLP of a transformer's block with a gradient written by hand.

Allocating memory is expensive on the CPU. So the hidden layer is computed in pieces that stay in the processor's cache,
and its gradient is never stored as a whole.
"""

from __future__ import annotations

from typing import Any

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

from gcrl_zoo.nets.fast.direct import can_bypass, exporting, submodules, weights_of
from gcrl_zoo.nets.transformer import MLP

#: Tokens of a piece; their hidden layer of 512 units takes two megabytes.
PIECE = 1024

layers_of = submodules("widen", "narrow", "activation")


class FastMLP(MLP):
    """Uses the gradient by hand on the CPU, for ReLU and full precision; otherwise computes as the plain one."""

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights()
        if weights is None:
            return super().forward(x)
        by_hand = th.is_grad_enabled() and x.device.type == "cpu" and not th.is_autocast_enabled("cpu")
        if not by_hand or exporting():
            return feed_forward(x, *weights)
        y: Tensor = _MLP.apply(x.flatten(0, -2), *weights)
        return y.view_as(x)

    def weights(self) -> tuple[Tensor, ...] | None:
        """Arguments of :func:`feed_forward`; None if it does not compute what calling the layers would."""
        widen, narrow, activation = layers = layers_of(self)
        if type(activation) is not nn.ReLU or not can_bypass(*layers):
            return None
        return *weights_of(widen), *weights_of(narrow)


def feed_forward(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """As the plain MLP with ReLU."""
    return F.linear(F.linear(x, w1, b1).relu_(), w2, b2)


class _MLP(th.autograd.Function):
    """A piece of the tokens at a time. The gradient of the hidden layer is never written to memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden, y = x.new_empty(len(x), len(w1)), th.empty_like(x)
        for i in range(0, len(x), PIECE):
            piece = slice(i, i + PIECE)
            active = th.mm(x[piece], w1.T, out=hidden[piece]).add_(b1).relu_()
            th.mm(active, w2.T, out=y[piece]).add_(b2)
        ctx.save_for_backward(x, hidden, w1, w2)
        return y

    @staticmethod
    @th.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, hidden, w1, w2 = ctx.saved_tensors
        grad_w1, grad_b1, grad_w2 = th.zeros_like(w1), w1.new_zeros(len(w1)), th.zeros_like(w2)
        grad_x, buffer = th.empty_like(x), hidden.new_empty(min(PIECE, len(x)), len(w1))
        for i in range(0, len(x), PIECE):
            piece = slice(i, i + PIECE)
            active, grad_y = hidden[piece], grad[piece]
            grad_hidden = th.mm(grad_y, w2, out=buffer[: len(active)])
            th.ops.aten.threshold_backward.grad_input(grad_hidden, active, 0, grad_input=grad_hidden)
            grad_w1.addmm_(grad_hidden.T, x[piece])
            grad_w2.addmm_(grad_y.T, active)
            grad_b1 += grad_hidden.sum(0)
            th.mm(grad_hidden, w1, out=grad_x[piece])
        return grad_x, grad_w1, grad_b1, grad_w2, grad.sum(0)
