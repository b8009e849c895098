"""Dropout whose masks are cheap where they are dear: on the CPU."""

import torch as th
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 256  # a byte per element


class ByteDropout(nn.Module):
    """
    Dropout that on the CPU takes one random byte per element, eight of them from each random number; torch takes a
    whole number for each. The probability is rounded to 1/256 there.

    :param p: probability of an element to become zero
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"The dropout probability is {p}; give a number in [0, 1).")
        self.p = p
        self.threshold = round(p * LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """:param x: (...)"""
        if not self.training or not self.threshold:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        return x * self.mask(x)

    def mask(self, x: Tensor) -> Tensor:
        """(...) of 0 and 1 / (1 - p)"""
        words = th.empty(-(-x.numel() // 8), dtype=th.int64).random_(-(2**63), None)
        kept = words.view(th.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return kept.to(x.dtype).mul_(LEVELS / (LEVELS - self.threshold))
