"""Checks of the arguments of stores and samplers. Each one raises a single sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def is_integer(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy; booleans are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of Python or NumPy; booleans and text are none."""
    return is_integer(value) or (isinstance(value, (float, np.floating)) and math.isfinite(value))


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number of at least ``least``, such as 3 or 1e3."""
    return is_number(value) and value == int(value) and value >= least


def whole(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Check a whole number.

    :param value: what the user gave; booleans, fractions and text are refused
    :param name: of the argument, for the message
    :param least: the smallest number that is allowed
    :param most: the largest number that is allowed; None for no limit
    :return: the number as an int
    :raises ValueError: the value is no whole number, too small or too large
    """
    if not is_whole(value, least) or (most is not None and value > most):
        limit = "" if most is None else f" and at most {most:,}"
        raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}{limit}.")
    return int(value)


def optional_whole(value: Any, name: str, least: int = 1) -> int | None:
    """Check a whole number that may be None; the parameters are those of :func:`whole`.

    :raises ValueError: the value is neither
    """
    if value is not None and not is_whole(value, least):
        raise ValueError(f"{name} is {value!r}; give a whole number of at least {least}, or None for no limit.")
    return None if value is None else int(value)


def boolean(value: Any, name: str) -> bool:
    """Check True or False; text is refused, since any text that is not empty counts as true in Python.

    :param value: what the user gave
    :param name: of the argument, for the message
    :raises ValueError: the value is neither True nor False
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} is {value!r}; give True or False.")
    return bool(value)
