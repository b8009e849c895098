"""Caches of weights and of values computed from them, since acting takes only microseconds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Generic, Self, TypeVar

import torch as th
from torch import Tensor, nn

T = TypeVar("T")
version = attrgetter("_version")


def exporting() -> bool:
    """Whether ``torch.jit.trace``, ``torch.export`` or ``torch.compile`` records operations now."""
    return th.jit.is_tracing() or th.compiler.is_compiling()


class CachedWeights(nn.Module):
    """Caches its parameters: looking one up by name costs as much as a small matrix product."""

    @abstractmethod
    def cache_weights(self) -> None:
        """Look the parameters up. Call it when all of them exist."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.cache_weights()  # a move to some devices makes new ones
        return self


class WeightCache(Generic[T]):
    """
    :param make: what is to be kept, made of weights
    :param weights: all of them; when one has changed, ``make`` is called again
    """

    def __init__(self, make: Callable[[], T], weights: Sequence[Tensor]) -> None:
        self.make, self.weights = make, tuple(weights)
        self._made_of: int | None = None
        self._value: T

    def __call__(self) -> T:
        """In training and in exported graphs made anew each time, so that they depend on the weights."""
        if th.is_grad_enabled() or exporting():
            self._made_of = None  # an update follows, and fused optimizers do not tell a weight's version of it
            return self.make()
        versions = sum(map(version, self.weights))  # they only grow
        if versions != self._made_of:
            self._made_of, self._value = versions, self.make()
        return self._value
