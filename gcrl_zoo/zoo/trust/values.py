"""Kinds of allowed values: a test and words for messages. Values come from JSON, YAML or pickles."""

from __future__ import annotations

import collections.abc
import math
import re
import types
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gcrl_zoo.common.arguments import constructors, resolved
from gcrl_zoo.common.values import fits
from gcrl_zoo.common.wording import in_words
from gcrl_zoo.zoo.trust.allowed import AGENT_NAMES, SCHEDULES
from gcrl_zoo.zoo.trust.pickled_arrays import ARRAY, NAMED, SCALAR, numbers_of
from gcrl_zoo.zoo.trust.stand_ins import StandIn, is_a, names_class, parts_of

MAX_WHOLE = 2**63 - 1
MAX_TEXT = 1000
MAX_PARTS = 10_000
#: Keys of mappings; names that begin with two underscores belong to Python.
KEY = re.compile(r"(?!__)[\w. -]{1,100}")
# Control characters, and `//` and `\\`, by which paths name other machines.
ODD_TEXT = re.compile(r"[\x00-\x1f\x7f]|^(//|\\\\)|://")
CLASS_NAMES = {".".join(name) for uses in AGENT_NAMES.values() for name, use in uses.items() if use is NAMED}
SCHEDULE_NAMES = tuple(map(".".join, SCHEDULES))
SCHEDULE_ATTRIBUTES = {"initial_value", "val", "value_schedule", "start", "end", "end_fraction"}


@dataclass(frozen=True)
class Kind:
    """
    A set of values that a field may hold.

    :param words: what is allowed, as an object of a sentence
    :param holds: whether a value is of this kind
    """

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


def whole(least: int = -MAX_WHOLE, most: int = MAX_WHOLE) -> Kind:
    """Whole numbers within bounds, of Python or numpy."""

    def holds(value: Any) -> bool:
        number = plain_number(value)
        return number is not None and number == int(number) and least <= number <= most

    return Kind("a whole number" if least == -most else f"a whole number from {least} to {most}", holds)


def unpickled(value: Any) -> Any:
    """Convert a pickled number of numpy to one of Python; return any other value as it is."""
    numbers = numbers_of(value) if is_a(value, SCALAR) else None
    return value if numbers is None else numbers.item()


def plain_number(value: Any) -> float | None:
    """Return a value as a finite number, None if it is not one."""
    value = unpickled(value)
    if type(value) is int:
        return value if abs(value) <= MAX_WHOLE else None
    return value if type(value) is float and math.isfinite(value) else None


def is_text(value: Any) -> bool:
    """Whether this is a short string without control characters and addresses."""
    return type(value) is str and len(value) <= MAX_TEXT and not ODD_TEXT.search(value)


NONE = Kind("null", lambda value: value is None)
FLAG = Kind("true or false", lambda value: type(unpickled(value)) is bool)
WHOLE = whole()
NUMBER = Kind("a number", lambda value: plain_number(value) is not None)
TEXT = Kind("a plain string", is_text)
SCHEDULE = Kind("a schedule of numbers", lambda value: _is_schedule(value))
CLASS = Kind("a class of torch or Stable-Baselines3", lambda value: names_class(value) and value.name in CLASS_NAMES)


def _is_schedule(value: Any, depth: int = 4) -> bool:
    """Whether this is a schedule; its attributes are numbers or schedules."""
    return (
        depth > 0
        and is_a(value, *SCHEDULE_NAMES)
        and value.state is not None
        and value.state.keys() <= SCHEDULE_ATTRIBUTES
        and all(plain_number(each) is not None or _is_schedule(each, depth - 1) for each in value.state.values())
    )


def choice(*values: Any) -> Kind:
    """One of these."""
    return Kind(
        " or ".join(map(repr, values)), lambda value: any(type(value) is type(v) and value == v for v in values)
    )


def sequence(kind: Kind, most: int = MAX_PARTS) -> Kind:
    """Several of a kind."""
    return Kind(
        f"a list of {kind.words}",
        lambda value: isinstance(value, list | tuple) and len(value) <= most and all(map(kind.holds, value)),
    )


def _is_plain(value: Any, arrays: bool = False) -> bool:
    parts = list(islice(parts_of(value, stand_ins=False), MAX_PARTS + 1))
    return len(parts) <= MAX_PARTS and all(_is_plain_part(part) or (arrays and is_a(part, *ARRAY)) for part in parts)


def _are_arrays(value: Any) -> bool:
    entries = value.entries if is_a(value, "collections.OrderedDict") else value
    return is_a(value, *ARRAY) or (isinstance(entries, dict) and all(is_a(each, *ARRAY) for each in entries.values()))


def _is_plain_part(part: Any) -> bool:
    if isinstance(part, dict):
        return all(isinstance(key, str) and KEY.fullmatch(key) for key in part)
    if part is None or isinstance(part, list | tuple) or is_text(part) or CLASS.holds(part) or FLAG.holds(part):
        return True
    return plain_number(part) is not None or (type(part) is float and math.isinf(part))


PLAIN = Kind("plain numbers, texts, lists and mappings", _is_plain)
ARRAYS = Kind("arrays", lambda value: _are_arrays(value))
INFOS = Kind("plain values and arrays", lambda value: _is_plain(value, arrays=True))
MAPPING = Kind("a mapping of plain values", lambda value: isinstance(value, dict) and _is_plain(value))


def kind_of(annotation: Any) -> Kind | None:
    """
    Return the kind of value that an annotation allows.

    :param annotation: of an argument
    :return: what may be saved of it; None if it cannot be saved, such as an environment
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(args[0])
    if origin is None:
        return SIMPLE.get(annotation) if isinstance(annotation, Hashable) else None
    if origin in (Union, types.UnionType):
        return _either(args)
    if origin is Literal:
        return choice(*args)
    if origin is type:
        return CLASS
    if origin is collections.abc.Callable:
        return SCHEDULE
    if not isinstance(origin, type):
        return None  # ClassVar, Final
    if issubclass(origin, Mapping):
        return MAPPING
    return sequence(_either(args) or NONE) if issubclass(origin, Sequence) else None


def _either(annotations: Sequence[Any]) -> Kind | None:
    """Return the kinds of all members of a union that can be saved."""
    kinds = [kind for each in annotations if (kind := kind_of(each)) is not None]
    return reduce(or_, kinds) if kinds else None


SIMPLE: dict[Any, Kind] = {
    type(None): NONE,
    None: NONE,
    bool: FLAG,
    int: WHOLE,
    float: NUMBER,
    str: TEXT,
    dict: MAPPING,
    type: CLASS,
    Path: TEXT,
}


def kinds_of(cls: type) -> dict[str, Kind]:
    """
    The kinds of the arguments of a constructor, from its annotations.

    :param cls: an algorithm or a policy; each class of its hierarchy may pass arguments on to the next
    :return: by name, what may be saved of the argument, within the range that its annotation declares
    """
    annotations: dict[str, Any] = {}
    for _, constructor in constructors(cls):
        annotations = resolved(constructor.__annotations__, constructor.__globals__) | annotations
    return {name: kind for name, each in annotations.items() if name != "return" and (kind := declared_kind(each))}


def declared_kind(annotation: Any) -> Kind | None:
    """As ``kind_of``, within the range that the annotation declares."""
    kind = kind_of(annotation)
    if kind is None:
        return None
    words = in_words(annotation) if get_origin(annotation) is Annotated else kind.words
    return Kind(words, lambda value: kind.holds(value) and (_is_made(value) or fits(value, annotation)))


def _is_made(value: Any) -> bool:
    """Whether the value contains stand-ins, which ``fits`` cannot check."""
    return any(isinstance(part, StandIn) or names_class(part) for part in parts_of(value, stand_ins=False))
