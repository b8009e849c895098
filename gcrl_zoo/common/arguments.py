"""A mistyped hyperparameter must be named, with what was probably meant; one of the wrong kind is refused at once."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


def accepted_arguments(cls: type) -> set[str]:
    """
    Names that a constructor takes by keyword, when each class of the hierarchy names only its own arguments and
    hands the rest on as ``**kwargs``.

    :param cls: class to construct
    """
    names: set[str] = set()
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        parameters = inspect.signature(vars(ancestor)["__init__"]).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


def refuse_unknown(names: Iterable[str], cls: type, what: str) -> None:
    """
    :param names: arguments given
    :param cls: class that should take them
    :param what: how a person calls such an argument, e.g. "hyperparameter of gcsl_vicreg"
    :raises TypeError: the class takes no such argument
    """
    accepted = {name for name in accepted_arguments(cls) if not name.startswith("_")}
    for name in names:
        if name in accepted or name.startswith("_"):
            continue
        close = difflib.get_close_matches(name, accepted, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(sorted(accepted))}."
        raise TypeError(f"'{name}' is no {what}; {hint}")


def is_number(value: Any) -> bool:
    """:param value: whatever was given; True for a finite number, which neither text nor a truth value is"""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def shown(value: Any) -> str:
    """:param value: for a message; text that looks like a number is told apart, since YAML makes it of 1e-3"""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return repr(value)
        if math.isfinite(number):
            plain = np.format_float_positional(number, trim="-")
            return f"the text {value!r} (YAML reads 1e3 and 1e-3 as text: write {plain})"
    return repr(value)


def refuse_none(owner: Any, *names: str) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments for which None says nothing
    :raises ValueError: an argument is None
    """
    for name in names:
        if getattr(owner, name) is None:
            raise ValueError(f"{name} is None; give a number, or leave it out for its default.")


def refuse_no_number(owner: Any, *names: str) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments; None is let through, as "not set"
    :raises ValueError: an argument is no finite number
    """
    for name in names:
        value = getattr(owner, name)
        if value is not None and not is_number(value):
            raise ValueError(f"{name} is {shown(value)}; give a number.")


def refuse_below(owner: Any, **minimum: float) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param minimum: smallest value of each; None is let through, as "not limited"
    :raises ValueError: an argument is smaller, or no finite number
    """
    for name, least in minimum.items():
        value = getattr(owner, name)
        if value is not None and not (is_number(value) and value >= least):
            raise ValueError(f"{name} is {shown(value)}; give at least {least}.")


def refuse_not_positive(owner: Any, *names: str) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments; None is let through, as "not set"
    :raises ValueError: an argument is zero, negative, or no finite number
    """
    for name in names:
        value = getattr(owner, name)
        if value is not None and not (is_number(value) and value > 0):
            raise ValueError(f"{name} is {shown(value)}; give a number above 0.")


def refuse_no_fraction(owner: Any, *names: str) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments that say how much of a whole
    :raises ValueError: an argument is no number above 0 and up to 1
    """
    for name in names:
        value = getattr(owner, name)
        if not is_number(value) or not 0 < value <= 1:
            raise ValueError(f"{name} is {shown(value)}; give a number in (0, 1].")


def refuse_not_whole(owner: Any, *names: str, float_too: bool = False) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments that count something; None is let through
    :param float_too: take 1e6, which YAML makes a float, for 1000000; whoever uses it converts it
    :raises ValueError: an argument is no whole number
    """
    for name in names:
        value = getattr(owner, name)
        if value is None or (is_number(value) and (isinstance(value, Integral) or (float_too and value == int(value)))):
            continue
        example = f", such as {int(value)}" if is_number(value) else ""
        raise ValueError(f"{name} is {shown(value)}; give a whole number{example}.")
