"""Stand-ins for the objects in a pickle: they store their arguments and states and do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gcrl_zoo.zoo.trust.refusal import Offence

Global = tuple[str, str]


@dataclass(frozen=True)
class Use:
    """
    What a pickle may do with a name that it imports; by default nothing.

    :param call: whether it may be called with these arguments
    :param state: whether the object that the call returns may get this state
    :param filled: whether items may be added to this object, as to a list or a dict
    """

    call: Callable[[tuple[Any, ...]], bool] = lambda args: False
    state: Callable[[Any], bool] = lambda state: False
    filled: bool = False


class StandIn:
    """
    A subclass stands for each imported name, and its instances for the objects that the pickle creates from it. The
    attributes store the arguments of the call, the state, and the items that were added.
    """

    name = ""
    use = Use()
    args: tuple[Any, ...]
    state: Any
    values: list[Any]
    entries: dict[Any, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        if kwargs or not cls.use.call(args):
            raise Offence(f"calls {cls.name} with unexpected arguments")
        made = super().__new__(cls)
        made.args, made.state, made.values, made.entries = args, None, [], {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __setstate__(self, state: Any) -> None:
        if self.state is not None or state is None or not self.use.state(state):
            raise Offence(f"gives {self.name} an unexpected state")
        self.state = dict(state) if type(state) is dict else state  # a copy: the pickle may go on to fill it

    def __setitem__(self, key: Any, value: Any) -> None:
        self._check_filled()
        self.entries[key] = value

    def append(self, value: Any) -> None:
        """As ``list`` does."""
        self._check_filled()
        self.values.append(value)

    def extend(self, values: Any) -> None:
        """As ``list`` does."""
        self._check_filled()
        self.values.extend(values)

    def _check_filled(self) -> None:
        if not self.use.filled:
            raise Offence(f"adds items to {self.name}")


def is_a(value: Any, *names: str) -> bool:
    """
    Whether a value stands for an object of one of some classes.

    :param value: read from a pickle
    :param names: of classes, with their modules
    """
    return isinstance(value, StandIn) and value.name in names


def names_class(value: Any) -> bool:
    """Whether a value that was read from a pickle stands for a class itself."""
    return isinstance(value, type) and issubclass(value, StandIn)


def parts_of(value: Any, stand_ins: bool = True) -> Iterator[Any]:
    """
    Yield a value and all values inside it, each object once: an object that occurs many times costs no more.

    :param value: read from a pickle, JSON or YAML
    :param stand_ins: whether to include the contents of stand-ins
    """
    todo, visited = [value], set()
    while todo:
        each = todo.pop()
        if id(each) in visited:
            continue
        visited.add(id(each))
        yield each
        if isinstance(each, dict):
            todo += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            todo += each
        elif stand_ins and isinstance(each, StandIn):
            todo += [*each.args, each.state, *each.values, *each.entries, *each.entries.values()]
