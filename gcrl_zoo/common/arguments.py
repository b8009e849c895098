"""A mistyped hyperparameter must be named, with what was probably meant."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from typing import Any


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


def refuse_below(owner: Any, **minimum: float) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param minimum: smallest value of each; None is let through, as "not limited"
    :raises ValueError: an argument is smaller, or no number
    """
    for name, least in minimum.items():
        value = getattr(owner, name)
        if value is not None and not (isinstance(value, (int, float)) and value >= least):
            raise ValueError(f"{name} is {value!r}; give at least {least}.")


def refuse_not_positive(owner: Any, *names: str) -> None:
    """
    :param owner: object that keeps its arguments under their own names
    :param names: arguments; None is let through, as "not set"
    :raises ValueError: an argument is zero, negative, or no number
    """
    for name in names:
        value = getattr(owner, name)
        if value is not None and not (isinstance(value, (int, float)) and value > 0):
            raise ValueError(f"{name} is {value!r}; give a number above 0.")
