"""A cache of values that are computed from a network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from operator import attrgetter, contains
from typing import Any, Generic, TypeVar

from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

T = TypeVar("T")
version, address = attrgetter("_version"), Tensor.data_ptr
#: Optimizer steps of this process. Fused optimizers change weights without increasing their version.
steps = 0


def _count_step(*_: Any) -> None:
    global steps
    steps += 1


register_optimizer_step_post_hook(_count_step)


class NetworkCache(Generic[T]):
    """
    Caches a value until a weight changes, a module is replaced, changes its class (as a parametrization does) or gets
    another ``forward``, or a hook is registered anywhere. Checking this once is cheaper than checking each module when
    it is used.

    :param compute: from the network to the value; None is not cached
    """

    def __init__(self, compute: Callable[[Any], T | None]) -> None:
        self.compute = compute
        self._value: T | None = None
        self._state: list[Any]
        self._modules: list[dict[str, nn.Module]]
        self._weights: list[dict[str, Tensor | None]]
        self._attributes: list[dict[str, Any]]

    def __call__(self, network: nn.Module) -> T | None:
        """:param network: the same one at each call"""
        if self._value is None or self._state != self._present():
            self._value = self.compute(network)
            self._modules = [each._modules for each in network.modules() if each._modules]  # type: ignore[misc]
            self._weights = [each._parameters for each in network.modules() if each._parameters]  # type: ignore[misc]
            self._attributes = [each.__dict__ for each in network.modules()]
            self._state = self._present()
            # As long as this memory is in use, no other weight gets its address.
            self._memory = [each.detach() for each in network.parameters()]
        return self._value

    def _present(self) -> list[Any]:
        modules = list(chain.from_iterable(map(dict.values, self._modules)))
        weights = [each for each in chain.from_iterable(map(dict.values, self._weights)) if each is not None]
        versions, addresses = map(version, weights), map(address, weights)
        classes, forwards = map(type, modules), map(contains, self._attributes, repeat("forward"))
        return [steps, RemovableHandle.next_id, *modules, *classes, *forwards, *versions, *addresses]

    def __reduce__(self) -> Any:
        """Copies of the network start with an empty cache."""
        return type(self), (self.compute,)
