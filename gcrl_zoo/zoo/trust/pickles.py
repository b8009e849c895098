"""
Pickles, read without unpickling: what they name must be on a list, and may be used only as honest agents use it.

No scanner library does this: picklescan looks for what is known to be bad, fickling asks for names only, and neither
finds the pickles in the ``data`` of an agent.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch as th

from gcrl_zoo.zoo.trust.allowed import FREE, WEIGHTS, Global, Use
from gcrl_zoo.zoo.trust.archives import members
from gcrl_zoo.zoo.trust.refusal import BROKEN, Offence, refuse, shown, told

# Extensions name things by number, the others take objects from outside of the file or hash what is in it.
REFUSED = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID", "EMPTY_SET", "ADDITEMS", "FROZENSET"}
# Opcodes that fill a dict, and where they find the keys.
KEYS = {pickle.SETITEM: slice(-2, -1), pickle.SETITEMS: slice(None, None, 2), pickle.DICT: slice(None, None, 2)}
TORCH_MEMBERS = re.compile(
    r"(\w+)/(data\.pkl|data/\d+|byteorder|version|\.data/serialization_id|\.format_version|\.storage_alignment)"
)


class StandIn:
    """Takes the place of whatever a pickle names, and of what the pickle makes of it: takes all in and does nothing."""

    name = ""
    use = FREE

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        if kwargs or not cls.use.call(args):
            raise Offence(f"calls {cls.name} in a way that no honest agent does")
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if not self.use.state(state):
            raise Offence(f"gives {self.name} a state that no honest agent does")

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As of a list."""

    def extend(self, values: Any) -> None:
        """As of a list."""


def looked_at(load: Callable[[Any], None], keys: slice) -> Callable[[Any], None]:
    """
    Tuples in tuples are quickly written, and may take forever to hash.

    :param load: what an opcode does
    :param keys: where on the stack the keys are
    :return: the same, but for keys that are neither texts nor numbers
    """

    def look(reader: Any) -> None:
        if any(not isinstance(key, str | int | float) for key in reader.stack[keys]):
            raise Offence("has a key that is neither a text nor a number")
        load(reader)

    return look


class Reader(pickle._Unpickler):
    """
    Python's own reader of pickles, the one that is written in Python, with stand-ins for all that a pickle names. So
    it knows each opcode and the memo as loading will, and yet the only classes that it can call are stand-ins.

    :param data: the pickle
    :param allowed: what it may name
    :param weights: whether it is one of torch, which keeps its numbers beside it
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        **{opcode[0]: looked_at(pickle._Unpickler.dispatch[opcode[0]], keys) for opcode, keys in KEYS.items()},
    }

    def __init__(self, data: bytes, allowed: Mapping[Global, Use], weights: bool) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed
        self._weights = weights

    def find_class(self, module: str, name: str) -> type[StandIn]:
        """A stand-in. Names are compared whole: one with dots in it, a way to `os` through anything, is on no list."""
        use = self._allowed.get((module, name))
        if use is None:
            raise Offence(f"asks for {shown(f'{module}.{name}')}")
        return type(name, (StandIn,), {"name": f"{module}.{name}", "use": use})

    def persistent_load(self, pid: Any) -> int:
        """How many numbers, for those of a tensor; torch looks for them by a key in the same archive."""
        if not self._weights:
            raise Offence("asks for an object from outside of it")
        kind, storage, *rest = pid  # a key, a device and a length
        if kind != "storage" or not issubclass(storage, StandIn) or [*map(type, rest)] != [str, str, int]:
            raise Offence("asks for an object that is no tensor's")
        return int(rest[2])


def check_pickle(data: bytes, allowed: Mapping[Global, Use], where: str, weights: bool = False) -> None:
    """
    :param data: the pickle
    :param allowed: what it may name, and how it may use it
    :param where: for messages: the file, and the place in it
    :param weights: whether it is one of torch, which keeps its numbers beside it
    :raises Untrusted: it does anything else
    """
    try:
        # Lengths first: what is announced must be there, before anybody makes room for it.
        stream = io.BytesIO(data)
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in REFUSED:
                raise Offence(f"uses the opcode {opcode.name}")
            if isinstance(argument, int) and opcode.name.endswith("PUT") and argument > len(data):
                raise Offence(f"asks for a memo of {argument} entries")
        if stream.read(1):
            raise Offence("goes on after its end")
        Reader(data, allowed, weights).load()
    except Offence as offence:
        refuse(where, f"{offence}, which no honest one needs")
    except Exception as error:
        refuse(where, f"is no pickle that can be read ({told(error)})", BROKEN)


def check_torch(data: bytes, where: str) -> None:
    """
    Stable-Baselines3 loads weights with ``weights_only=True``, so torch guards them itself; this is a second look, at
    what torch's own reader finds in the archive, for the day when somebody loads them in another way.

    :param data: of a ``.pth`` file
    :param where: for messages: the file, and the place in it
    :raises Untrusted: it is no archive of tensors, or holds something else, too
    """
    if not data.startswith(b"PK\x03\x04"):
        refuse(where, "is none of torch's archives, but a bare pickle or something else")
    folders = set()
    for name, _ in members(data, where, TORCH_MEMBERS, packed=False):
        folders.add(name.partition("/")[0])
    try:
        pickled = th._C.PyTorchFileReader(io.BytesIO(data)).get_record("data.pkl")
    except RuntimeError as error:
        refuse(where, f"cannot be read by torch ({told(error)})", BROKEN)
    if len(folders) > 1:
        refuse(where, f"holds {len(folders)} archives in one")
    check_pickle(pickled, WEIGHTS, f"{where}/data.pkl", weights=True)
