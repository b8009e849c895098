"""Check spaces of Gymnasium that were read from pickles, and measure them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from gcrl_zoo.zoo.trust.pickled_arrays import ARRAY, DTYPE, are_sizes, numbers_of, shape_of
from gcrl_zoo.zoo.trust.stand_ins import StandIn, is_a
from gcrl_zoo.zoo.trust.values import FLAG, TEXT, Kind, plain_number

MODULE = "gymnasium.spaces"
MAX_CHOICES = 2**20  # of a discrete space, which is one-hot encoded
MAX_ENTRIES = 256  # of a Dict
MAX_DEPTH = 4
GENERATOR = "numpy.random._pickle.__generator_ctor"
COMMON = {"_shape", "dtype", "_np_random"}
BOX = {"low", "high", "bounded_below", "bounded_above"}
#: Attributes that only some versions of Gymnasium save.
OPTIONAL = {"low_repr", "high_repr", "sort_keys", "_np_random_seed"}


def size_of(value: Any, depth: int = MAX_DEPTH) -> int | None:
    """
    Return how many numbers an encoder receives from an observation or action in this space.

    :param value: read from a pickle
    :return: the size; None if this is not a space as Gymnasium saves it
    """
    kind = value.name.removeprefix(MODULE) if isinstance(value, StandIn) and value.state else ""
    if kind not in SPACES or not depth:
        return None
    attributes, measure = SPACES[kind]
    if not attributes <= value.state.keys() <= attributes | OPTIONAL:
        return None
    state = value.state
    if not (is_a(state["_np_random"], GENERATOR) or state["_np_random"] is None):
        return None
    optional = (state[name] for name in OPTIONAL & state.keys())
    if not all(each is None or FLAG.holds(each) or TEXT.holds(each) or type(each) is int for each in optional):
        return None
    if kind == ".dict.Dict":
        return _size_of_dict(state, depth)
    return measure(state) if are_sizes(state["_shape"]) and is_a(state["dtype"], DTYPE) else None


def _size_of_dict(state: Mapping[str, Any], depth: int) -> int | None:
    inner = state["spaces"]
    inner = inner.entries if is_a(inner, "collections.OrderedDict") else inner
    if not isinstance(inner, dict) or len(inner) > MAX_ENTRIES or (state["_shape"], state["dtype"]) != (None, None):
        return None
    if not all(map(TEXT.holds, inner)):
        return None
    total = 0
    for space in inner.values():
        size = size_of(space, depth - 1)
        if size is None:
            return None
        total += size
    return total


def _size_of_box(state: Mapping[str, Any]) -> int | None:
    """Size of a Box. Its bounds must have its shape, so it cannot be larger than the file."""
    fits = all(shape_of(state[name]) == state["_shape"] for name in BOX)
    return math.prod(state["_shape"]) if fits else None


def _size_of_discrete(state: Mapping[str, Any]) -> int | None:
    n, start = plain_number(state["n"]), plain_number(state["start"])
    return int(n) if n is not None and start is not None and 1 <= n <= MAX_CHOICES and not state["_shape"] else None


def _size_of_multi_discrete(state: Mapping[str, Any]) -> int | None:
    numbers = numbers_of(state["nvec"]) if is_a(state["nvec"], *ARRAY) else None
    if numbers is None or not (shape_of(state["nvec"]) == shape_of(state["start"]) == state["_shape"]):
        return None
    total = sum(int(number) for number in numbers if 1 <= number <= MAX_CHOICES)
    return total if numbers.dtype.kind in "iu" and numbers.min(initial=1) >= 1 and total <= MAX_CHOICES else None


def _size_of_multi_binary(state: Mapping[str, Any]) -> int | None:
    size = math.prod(state["_shape"])
    n = state["n"] if are_sizes(state["n"]) else (plain_number(state["n"]),)
    return size if tuple(n) == state["_shape"] and size <= MAX_CHOICES else None


SPACES: dict[str, tuple[set[str], Callable[[Mapping[str, Any]], int | None]]] = {
    ".box.Box": (COMMON | BOX, _size_of_box),
    ".dict.Dict": (COMMON | {"spaces"}, lambda state: None),
    ".discrete.Discrete": (COMMON | {"n", "start"}, _size_of_discrete),
    ".multi_discrete.MultiDiscrete": (COMMON | {"nvec", "start"}, _size_of_multi_discrete),
    ".multi_binary.MultiBinary": (COMMON | {"n"}, _size_of_multi_binary),
}
SPACE = Kind("a space of numbers", lambda value: size_of(value) is not None)
