"""
Read pickles without unpickling them. They may only import names on an allow-list, and use these only in allowed ways.

No scanner library does this: picklescan searches for known malicious names, fickling checks names only, and neither
finds the pickles in the ``data`` of an agent.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gcrl_zoo.zoo.trust.refusal import BROKEN, Offence, described, refuse, shown
from gcrl_zoo.zoo.trust.stand_ins import Global, StandIn, Use

# In all pickles of a file. The largest pickles describe the weights and optimizers of hundreds of layers.
MAX_OPCODES = 2**20
MAX_TEXT = 2**16  # bytes of a text
MAX_INTEGER = 32  # bytes of an integer; the state of a random generator has 17

# What Python's pickler writes for the parts of an agent since protocol 2.
ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "BINPERSID"),
}
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
LENGTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4}
LENGTHS |= {pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}


class Budget:
    """
    Limits the number of opcodes in a file, which bounds the time and memory of checking it.

    :param opcodes: of all pickles in the file
    """

    def __init__(self, opcodes: int = MAX_OPCODES) -> None:
        self.most = self.left = opcodes

    def spend(self) -> None:
        """
        Count one opcode.

        :raises Offence: there are too many
        """
        self.left -= 1
        if self.left < 0:
            raise Offence(f"brings the file to more than {self.most} opcodes")


def check_opcodes(data: bytes, budget: Budget) -> None:
    """
    Check the opcodes of a pickle and the size of their arguments, before any of it is interpreted.

    :param data: a pickle
    :param budget: of the file that holds it
    :raises Offence: it has too many opcodes, or one with an argument that is too large
    :raises pickle.UnpicklingError: it is truncated
    """
    at = 0
    while at < len(data):
        budget.spend()
        opcode = OPCODES.get(data[at : at + 1])
        if opcode is None:
            raise pickle.UnpicklingError(f"there is no opcode {data[at]:#x}")
        start, at = _argument(data, at + 1, opcode)
        if at > len(data):
            raise pickle.UnpicklingError(f"{opcode.name} is longer than the file")
        _check_size(opcode, at - start, data[start:at] if at - start <= MAX_INTEGER else b"")
        if opcode.name == "STOP":
            break
    if at < len(data):
        raise Offence("has data after its end")


def _argument(data: bytes, at: int, opcode: pickletools.OpcodeInfo) -> tuple[int, int]:
    """Return where the argument of an opcode begins and ends, without its length prefix."""
    if opcode.arg is None:
        return at, at
    if opcode.arg.n == pickletools.UP_TO_NEWLINE:
        end = at
        for _ in range(2 if opcode.name in ("GLOBAL", "INST") else 1):  # a line for the module, and one for the name
            end = data.find(b"\n", end, end + MAX_TEXT) + 1
            if not end:
                raise pickle.UnpicklingError(f"{opcode.name} has no end")
        return at, end
    if opcode.arg.n >= 0:
        return at, at + opcode.arg.n
    size = LENGTHS[opcode.arg.n]
    return at + size, at + size + int.from_bytes(data[at : at + size], "little")


def _check_size(opcode: pickletools.OpcodeInfo, size: int, argument: bytes) -> None:
    if opcode.name.endswith("UNICODE") and size > MAX_TEXT:
        raise Offence(f"has a string of {size} bytes (at most {MAX_TEXT})")
    if opcode.name == "LONG1" and size > MAX_INTEGER:
        raise Offence(f"has an integer of {size} bytes (at most {MAX_INTEGER})")
    if opcode.name == "LONG_BINPUT" and (entries := int.from_bytes(argument, "little")) > MAX_OPCODES:
        raise Offence(f"reserves a memo of {entries} entries")  # C allocates that many at once


# Opcodes that fill a dict, and where they find the keys.
KEYS = {pickle.SETITEM: slice(-2, -1), pickle.SETITEMS: slice(None, None, 2)}


def refused(name: str) -> Callable[[Any], None]:
    """Return what the reader does at an opcode that is not allowed."""

    def refuse_opcode(reader: Any) -> None:
        raise Offence(f"uses the opcode {name}")

    return refuse_opcode


def with_plain_keys(load: Callable[[Any], None], keys: slice) -> Callable[[Any], None]:
    """
    Refuse keys of dicts that are neither strings nor numbers: nested tuples are short to write and slow to hash.

    :param load: what an opcode does
    :param keys: where on the stack the keys are
    :return: the same, with the check
    """

    def load_checked(reader: Any) -> None:
        if any(not isinstance(key, str | int | float) for key in reader.stack[keys]):
            raise Offence("has a key that is neither a string nor a number")
        load(reader)

    return load_checked


class Reader(pickle._Unpickler):
    """
    The unpickler of Python's standard library, in its Python version, with a stand-in for each name in the pickle.

    It interprets opcodes and the memo exactly as loading does, but it can call stand-ins only.

    :param data: the pickle
    :param allowed: names that it may import
    :param storage: returns how many numbers a storage of torch holds, given its class and key; None if there are none
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] if opcode.name in ALLOWED else refused(opcode.name)
        for code, opcode in OPCODES.items()
    }
    dispatch |= {
        opcode[0]: with_plain_keys(pickle._Unpickler.dispatch[opcode[0]], keys) for opcode, keys in KEYS.items()
    }

    def __init__(
        self, data: bytes, allowed: Mapping[Global, Use], storage: Callable[[str, str], int | None] | None
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed
        self._storage = storage
        self._classes: dict[Global, type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> type[StandIn]:
        """Return a stand-in. A name with dots, which could reach `os` through any module, is on no list."""
        use = self._allowed.get((module, name))
        if use is None:
            raise Offence(f"imports {shown(f'{module}.{name}')}")
        known = self._classes.get((module, name))
        if known is None:
            known = type(name, (StandIn,), {"name": f"{module}.{name}", "use": use})
            self._classes[module, name] = known
        return known

    def persistent_load(self, pid: Any) -> int:
        """Return the size of the storage of a tensor, which torch finds by its key in the same archive."""
        if self._storage is None:
            raise Offence("refers to an object outside of it")
        if not (isinstance(pid, tuple) and len(pid) == 5 and [*map(type, pid[2:])] == [str, str, int]):
            raise Offence("refers to an object that is not the storage of a tensor")
        kind, storage, key, _, length = pid  # the device comes before the length
        if kind != "storage" or not isinstance(storage, type) or not issubclass(storage, StandIn):
            raise Offence("refers to an object that is not the storage of a tensor")
        held = self._storage(storage.__name__, key)
        if held != length:
            raise Offence(f"has a storage of {length} numbers, but its archive holds {held or 0}")
        return length


def check_pickle(
    data: bytes,
    allowed: Mapping[Global, Use],
    where: str,
    budget: Budget | None = None,
    storage: Callable[[str, str], int | None] | None = None,
) -> Any:
    """
    Read a pickle without running any of it.

    :param data: the pickle
    :param allowed: names that it may import, and how it may use them
    :param where: for messages: the file, and the place in it
    :param budget: of the file that holds it; None if it is the file
    :param storage: see :class:`Reader`
    :return: its value, with stand-ins
    :raises Untrusted: it imports another name, or uses one in another way
    """
    try:
        check_opcodes(data, budget or Budget())
        return Reader(data, allowed, storage).load()
    except Offence as offence:
        refuse(where, f"{offence}, which is not allowed")
    except Exception as error:
        refuse(where, f"is not a readable pickle ({described(error)})", BROKEN)
