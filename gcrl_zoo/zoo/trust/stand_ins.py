"""Objects that take the place of others while a pickle is read. They keep what they are given and do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gcrl_zoo.zoo.trust.refusal import Offence

Global = tuple[str, str]


@dataclass(frozen=True)
class Use:
    """
    What a pickle may do with something that it names. By default nothing.

    :param call: of the arguments, whether it may be called with them
    :param state: of a state, whether that may be given to what the call makes
    :param filled: whether what the call makes may be filled with values, as a list or a dict is
    """

    call: Callable[[tuple[Any, ...]], bool] = lambda args: False
    state: Callable[[Any], bool] = lambda state: False
    filled: bool = False


class StandIn:
    """
    Its classes, one for each global, stand for what a pickle names; its objects for what the pickle makes of that.
    The attributes are what was given by a call, by a state, and as values.
    """

    name = ""
    use = Use()
    args: tuple[Any, ...]
    state: Any
    values: list[Any]
    entries: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        if kwargs or not cls.use.call(args):
            raise Offence(f"calls {cls.name} in a way that no honest agent does")
        made = super().__new__(cls)
        made.args, made.state, made.values, made.entries = args, None, [], {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __setstate__(self, state: Any) -> None:
        if self.state is not None or state is None or not self.use.state(state):
            raise Offence(f"gives {self.name} a state that no honest agent does")
        self.state = dict(state) if type(state) is dict else state  # as it is now: it may be filled further

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_filled()
        self.entries[key] = value

    def append(self, value: Any) -> None:
        """As of a list."""
        self._check_filled()
        self.values.append(value)

    def extend(self, values: Any) -> None:
        """As of a list."""
        self._check_filled()
        self.values.extend(values)

    def _check_filled(self) -> None:
        if not self.use.filled:
            raise Offence(f"fills {self.name} with values, which no honest agent does")


def is_a(value: Any, *names: str) -> bool:
    """
    :param value: read from a pickle
    :param names: of classes, with their modules
    :return: whether it stands for an object of one of these classes
    """
    return isinstance(value, StandIn) and value.name in names


def names_class(value: Any) -> bool:
    """:param value: read from a pickle; whether it stands for a class itself"""
    return isinstance(value, type) and issubclass(value, StandIn)


def parts_of(value: Any, stand_ins: bool = True) -> Iterator[Any]:
    """
    Each different object once: values that hold others many times over take no longer for it.

    :param value: read from a pickle, JSON or YAML
    :param stand_ins: whether to look into stand-ins
    :return: the value and all that is in it
    """
    todo, seen = [value], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, dict):
            todo += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            todo += each
        elif stand_ins and isinstance(each, StandIn):
            todo += [*each.args, each.state, *each.values, *each.entries, *each.entries.values()]
