"""Spaces, compared by the values that they hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space, spaces

from gcrl_zoo.data.episode import FLOAT, Array

ROUNDING = 1e-5
"""Bounds that differ by less, relative to the larger one, are equal."""


class Bounds(NamedTuple):
    """
    The values of a space of numbers: all from ``low`` to ``high``.

    :param low: of the shape of the space
    :param high: of the shape of the space
    :param rounding: relative error of the bounds; 0 for a space of whole numbers
    """

    low: Array
    high: Array
    rounding: float


def bounds(space: Space[Any]) -> Bounds | None:
    """
    :param space: any space
    :return: None for a space that holds something else than arrays of numbers
    """
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Bounds(np.array(start), np.array(start + int(space.n) - 1), 0.0)
    if isinstance(space, spaces.MultiDiscrete):
        low = np.asarray(space.start, np.int64)  # small types could overflow
        return Bounds(low, low + np.asarray(space.nvec, np.int64) - 1, 0.0)
    if isinstance(space, spaces.MultiBinary):
        return Bounds(np.zeros(space.shape, np.int64), np.ones(space.shape, np.int64), 0.0)
    if not isinstance(space, spaces.Box):
        return None
    if space.dtype.kind != "f":
        return Bounds(space.low, space.high, 0.0)
    rounding = max(ROUNDING, float(np.finfo(space.dtype).eps))
    return Bounds(_as_stored(space.low), _as_stored(space.high), rounding)


def same_values(a: Space[Any], b: Space[Any]) -> bool:
    """
    Compares spaces by the values that they hold: the dtype, the seed, the order of a Dict's keys and rounding of bounds
    do not matter, but floats are no whole numbers. A bound that float32 cannot hold counts as infinite.

    :param a: any space
    :param b: any space
    """
    if isinstance(a, spaces.Dict) and isinstance(b, spaces.Dict):
        return a.spaces.keys() == b.spaces.keys() and all(same_values(a[key], b[key]) for key in a.spaces)
    if isinstance(a, spaces.Tuple) and isinstance(b, spaces.Tuple):
        return len(a) == len(b) and all(map(same_values, a.spaces, b.spaces))
    one, other = bounds(a), bounds(b)
    if one is None or other is None:
        return bool(a == b)
    if one.low.shape != other.low.shape or bool(one.rounding) != bool(other.rounding):
        return False
    if not one.rounding:
        return np.array_equal(one.low, other.low) and np.array_equal(one.high, other.high)
    return _close(one, other)


def _as_stored(bound: Array) -> Array:
    """In float64, infinite where float32, in which episodes are kept, would be."""
    wide = np.asarray(bound, np.float64)
    return np.where(np.abs(wide) >= np.finfo(FLOAT).max, np.copysign(np.inf, wide), wide)


def _close(a: Bounds, b: Bounds) -> bool:
    """Relative to the largest bound of each dimension, since one bound may be zero but for rounding."""
    sizes = np.abs(np.stack([*a[:2], *b[:2]]))
    scale = np.where(np.isfinite(sizes), sizes, 0).max(axis=0)
    tolerance = max(a.rounding, b.rounding) * scale
    with np.errstate(invalid="ignore"):  # inf - inf
        pairs = (a.low, b.low), (a.high, b.high)
        return all(bool(np.all((x == y) | (np.abs(x - y) <= tolerance))) for x, y in pairs)
