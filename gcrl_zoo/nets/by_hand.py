"""
The two costly parts of a transformer's block, with gradients worked out by hand.

On the CPU, where fresh memory costs as much as the products that are written to it, that saves a tenth of the time of
a training step. Elsewhere, and under autocast, torch computes the same in its own way.
"""

from __future__ import annotations

from typing import Any

import torch as th
from torch import Tensor
from torch.nn import functional as F

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
    if _worthwhile(x):
        y: Tensor = _FeedForward.apply(x.flatten(0, -2), w1, b1, w2, b2)
        return y.view_as(x)
    return F.linear(F.linear(x, w1, b1).relu_(), w2, b2)


def attend(queries: Tensor, tokens: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """
    Softmax attention to tokens that are keys and values themselves.

    :param queries: (B, Q, D)
    :param tokens: (B, T, D)
    :param hidden: (Q, T) or (B, Q, T), -inf where a query must not look, else 0
    :param mask: (B, Q, T), a dropout mask to multiply the weights with
    :return: (B, Q, D)
    """
    if _worthwhile(tokens):
        seen: Tensor = _Attend.apply(queries, tokens, hidden, mask)
        return seen
    weights = th.baddbmm(hidden, queries, tokens.transpose(1, 2)).softmax(2)
    return (weights if mask is None else weights * mask) @ tokens


def _worthwhile(x: Tensor) -> bool:
    return th.is_grad_enabled() and x.device.type == "cpu" and not th.is_autocast_enabled("cpu")


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
            grad_hidden = th.mm(grad_y, w2, out=buffer[: len(active)]).mul_(active.sign())
            grad_w1.addmm_(grad_hidden.T, x[piece])
            grad_w2.addmm_(grad_y.T, active)
            grad_b1 += grad_hidden.sum(0)
            th.mm(grad_hidden, w1, out=grad_x[piece])
        return grad_x, grad_w1, grad_b1, grad_w2, grad.sum(0)


class _Attend(th.autograd.Function):
    """Tokens get gradients as keys and as values; both are summed up in place."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, tokens: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        weights = th.baddbmm(hidden, queries, tokens.transpose(1, 2)).softmax(2)
        kept = weights if mask is None else weights * mask
        ctx.save_for_backward(queries, tokens, weights, kept, mask)
        return kept @ tokens

    @staticmethod
    @th.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        queries, tokens, weights, kept, mask = ctx.saved_tensors
        grad_weights = grad @ tokens.transpose(1, 2)
        if mask is not None:
            grad_weights *= mask
        # The gradient of softmax.
        grad_scores = grad_weights.mul_(weights).sub_(weights * grad_weights.sum(2, keepdim=True))
        grad_tokens = (kept.transpose(1, 2) @ grad).baddbmm_(grad_scores.transpose(1, 2), queries)
        return grad_scores @ tokens, grad_tokens, None, None
