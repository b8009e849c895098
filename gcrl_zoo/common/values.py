"""Checks values against annotations, see :mod:`~gcrl_zoo.common.annotations`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, get_args, get_origin

import annotated_types as at
import numpy as np

from gcrl_zoo.common.annotations import (
    Allowed,
    Nested,
    WholeFloats,
    is_mapping_type,
    is_pair_type,
    is_sequence_type,
    is_union,
    takes,
    unfold,
)
from gcrl_zoo.common.wording import in_words, shown
from gcrl_zoo.data.arrays import FLOAT, LARGEST
from gcrl_zoo.data.checks import is_integer, is_number

#: Networks compute in float32; a larger number is infinite there.
LARGEST_FLOAT = float(LARGEST[FLOAT])


def check(name: str, value: Any, annotation: Any) -> None:
    """
    Check a value against its annotation.

    :param name: what a message calls the value
    :param value: whatever was given
    :param annotation: what is allowed
    :raises ValueError: the value does not fit, in one sentence
    """
    base, metadata = unfold(annotation)
    if is_union(base):
        _check_union(name, value, annotation)
    elif is_sequence_type(base):
        _check_sequence(name, value, annotation)
    elif is_mapping_type(base):
        _check_mapping(name, value, annotation)
    elif not (_is(value, base, metadata) and _in_range(value, metadata)):
        refuse(name, value, annotation)
    for each in metadata:
        if isinstance(each, Allowed) and each.test is not None and value is not None and not each.test(value):
            refuse(name, value, annotation)


def fits(value: Any, annotation: Any) -> bool:
    """
    Whether a value fits its annotation.

    :param value: whatever was given
    :param annotation: what is allowed
    """
    try:
        check("", value, annotation)
    except (TypeError, ValueError):
        return False
    return True


def refuse(name: str, value: Any, annotation: Any) -> NoReturn:
    """
    Raise the error for a value that does not fit.

    :param name: what the message calls the value
    :param value: what was given
    :param annotation: what is allowed
    :raises ValueError: always
    """
    hint = ""
    if value is None:
        hint = ", or leave it out for its default"
    elif takes(annotation, int) and is_number(value) and not is_integer(value) and fits(int(value), annotation):
        hint = f", such as {int(value)}"
    allowed = in_words(annotation)
    if "such as" in allowed and "such as" in hint:  # one example is enough
        hint = ""
    raise ValueError(f"{name} is {shown(value, annotation)}; give {allowed}{hint}.")


def _check_union(name: str, value: Any, annotation: Any) -> None:
    choices = get_args(unfold(annotation)[0])
    if any(fits(value, choice) for choice in choices):
        return
    for choice in choices:  # a fault inside of a list or mapping says more than "is no list"
        base, _ = unfold(choice)
        many = is_sequence_type(base) and not is_pair_type(base)
        if (many and is_sequence(value)) or (is_mapping_type(base) and isinstance(value, Mapping)):
            check(name, value, choice)
    refuse(name, value, annotation)


def _check_sequence(name: str, value: Any, annotation: Any) -> None:
    base, metadata = unfold(annotation)
    elements = get_args(base)
    pair = is_pair_type(base)
    if not is_sequence(value) or not _in_range(len(value), metadata) or (pair and len(value) != len(elements)):
        refuse(name, value, annotation)
    for index, each in enumerate(value):
        check(f"{name}[{index}]", each, elements[index if pair else 0])


def _check_mapping(name: str, value: Any, annotation: Any) -> None:
    base, metadata = unfold(annotation)
    if not isinstance(value, Mapping):
        refuse(name, value, annotation)
    key_type, value_type = get_args(base)
    for key, each in value.items():
        check(f"A name in {name}", key, key_type)
        check(f"{name}: {shown(key)}", each, value_type)
    for nested in metadata:
        if isinstance(nested, Nested):
            nested.check(name, value)


def is_sequence(value: Any) -> bool:
    """
    Return whether a value is a list, a tuple or a vector; False for text.

    :param value: any value
    """
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def plain(value: Any) -> Any:
    """
    Convert numbers of NumPy to numbers of Python, which torch, SB3 and JSON accept everywhere, and whole numbers beyond
    64 bits to floats, since torch takes no others.

    :param value: checked before
    :return: the same in value; containers are copied
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if type(value) is int and abs(value) >= 2**63:
        return float(value)
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return value


def _is(value: Any, base: Any, metadata: Sequence[Any]) -> bool:
    """Whether a value is of a type that is no union, no sequence and no mapping."""
    kind, arguments = get_origin(base), get_args(base)
    if base is int:
        floats = any(isinstance(each, WholeFloats) for each in metadata)
        return is_integer(value) or (floats and is_number(value) and value == math.floor(value))
    if base is float:
        return is_number(value) and abs(value) <= LARGEST_FLOAT
    if base is bool:
        return isinstance(value, (bool, np.bool_))
    if kind is Literal:
        return any(type(choice) is type(value) and choice == value for choice in arguments)
    if kind is type:
        return isinstance(value, type) and _test(issubclass, value, arguments[0])
    if kind is Callable:
        return callable(value) and not isinstance(value, type)
    return _test(isinstance, value, kind or base)


def _test(test: Callable[[Any, Any], bool], value: Any, base: Any) -> bool:
    try:
        return test(value, base)
    except TypeError:  # no class: Any, a type variable, a protocol that cannot be tested
        return True


def _in_range(value: Any, metadata: Sequence[Any]) -> bool:
    """Return whether a number or a length is in the allowed range."""
    tests: dict[type, Callable[[Any], bool]] = {
        at.Ge: lambda limit: value >= limit.ge,
        at.Gt: lambda limit: value > limit.gt,
        at.Le: lambda limit: value <= limit.le,
        at.Lt: lambda limit: value < limit.lt,
        at.MinLen: lambda limit: value >= limit.min_length,
        at.MaxLen: lambda limit: value <= limit.max_length,
    }
    return all(tests[type(each)](each) for each in metadata if type(each) in tests)
