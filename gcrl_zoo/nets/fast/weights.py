"""A cache of values that are computed from weights."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar

import torch as th
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from gcrl_zoo.nets.fast.direct import exporting

T = TypeVar("T")
version, address = attrgetter("_version"), Tensor.data_ptr
#: Optimizer steps of this process. Fused optimizers change weights without increasing their version.
steps = 0


def _count_step(*_: Any) -> None:
    global steps
    steps += 1


register_optimizer_step_post_hook(_count_step)


class WeightCache(Generic[T]):
    """
    Caches a value until a weight changes or is replaced. With gradients enabled and in exported graphs the value is
    computed at each call, since it must depend on the weights.

    :param compute: from weights to the value; None stands for a missing bias
    """

    def __init__(self, compute: Callable[..., T]) -> None:
        self.compute = compute
        self._state: Any = None
        self._value: T

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies empty: their weights have other addresses."""
        return type(self), (self.compute,)

    def __call__(self, *weights: Tensor | None) -> T:
        if th.is_grad_enabled() or exporting():
            return self.compute(*weights)
        present = [each for each in weights if each is not None]
        state = [steps, *map(version, present), *map(address, present)]
        if state != self._state:
            self._state, self._value = state, self.compute(*weights)
            # As long as their memory is in use, no other weights get their addresses.
            self._memory = [each.detach() for each in present]
        return self._value
