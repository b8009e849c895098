"""
The wide hidden layer of a transformer's block, with its gradient worked out by hand.

On the CPU, where allocating memory is expensive, a training step takes 126 ms with it and 159 ms without, in the
setting of ``benchmarks/peers/dt_peers.py``. Elsewhere, and under autocast, torch computes the same in its own way.
"""

from __future__ import annotations

from typing import Any

import torch as th
from torch import Tensor
from torch.nn import functional as F

from gcrl_zoo.nets.fast.weights import exporting

#: Tokens at a time: what they make of a layer of 512 units takes two megabytes, and stays in the cache.
PIECE = 1024


def feed_forward(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """
    Linear, ReLU, linear.

    :param x: (..., D)
    :param w1: (H, D)
    :param b1: (H,)
    :param w2: (D, H)
    :param b2: (D,)
    :return: (..., D)
    """
    by_hand = th.is_grad_enabled() and x.device.type == "cpu" and not th.is_autocast_enabled("cpu")
    if by_hand and not exporting():
        y: Tensor = _FeedForward.apply(x.flatten(0, -2), w1, b1, w2, b2)
        return y.view_as(x)
    return F.linear(F.linear(x, w1, b1).relu_(), w2, b2)


class _FeedForward(th.autograd.Function):
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
