"""Dropout with masks that are cheap to draw on the CPU, where those of torch are expensive."""

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
        """
        Drop elements in training mode.

        :param x: (...)
        """
        mask = self.mask(x)
        return x if mask is None else x * mask

    def mask(self, x: Tensor) -> Tensor | None:
        """
        Draw the factors of all elements.

        :param x: (...)
        :return: (...), zeros, and 1 / (1 - p) elsewhere; None where nothing is dropped
        """
        if not self.training or not self.threshold:
            return None
        if x.device.type != "cpu":
            return F.dropout(th.ones_like(x), self.p)
        words = th.empty(-(-x.numel() // 8), dtype=th.int64).random_(-(2**63), None)
        levels = words.view(th.uint8)[: x.numel()].view(x.shape)
        # Clamped to threshold - 1 and threshold: torch compares bytes, and converts what comes of it, ten times slower.
        kept = levels.clamp_(self.threshold - 1, self.threshold).sub_(self.threshold - 1).to(x.dtype)
        return kept.mul_(LEVELS / (LEVELS - self.threshold))
