"""
Pickles, read without unpickling: what they name must be on a list, and may be used only as honest agents use it.

No scanner library does this: picklescan looks for what is known to be bad, fickling asks for names only, and neither
finds the pickles in the ``data`` of an agent.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from gcrl_zoo.zoo.trust.refusal import BROKEN, Offence, refuse, shown, told
from gcrl_zoo.zoo.trust.stand_ins import Global, StandIn, Use

# Of all pickles of a file. The largest honest ones describe the weights and optimizer of hundreds of layers.
MAX_OPCODES = 2**20
MAX_TEXT = 2**16  # bytes of a text
MAX_INTEGER = 32  # bytes of an integer; the state of a random generator has 17

# Enough for what Python's pickler writes since protocol 2 of what agents consist of.
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
    Limits the work of checking a file, so that time and memory are bounded by its size.

    :param opcodes: of all pickles in the file
    """

    def __init__(self, opcodes: int = MAX_OPCODES) -> None:
        self.most = self.left = opcodes

    def spend(self) -> None:
        """
        One opcode.

        :raises Offence: there were too many
        """
        self.left -= 1
        if self.left < 0:
            raise Offence(f"brings the opcodes of the file to more than {self.most}")


def check_opcodes(data: bytes, budget: Budget) -> None:
    """
    :param data: a pickle
    :param budget: of the file that it is in
    :raises Offence: it has too many opcodes, or one with an argument that is too large
    :raises pickle.UnpicklingError: it is cut
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
        raise Offence("goes on after its end")


def _argument(data: bytes, at: int, opcode: pickletools.OpcodeInfo) -> tuple[int, int]:
    """Where the argument of an opcode begins and ends, without its length."""
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
        raise Offence(f"has a text of {size} bytes")
    if opcode.name == "LONG1" and size > MAX_INTEGER:
        raise Offence(f"has an integer of {size} bytes")
    if opcode.name == "LONG_BINPUT" and (entries := int.from_bytes(argument, "little")) > MAX_OPCODES:
        raise Offence(f"asks for a memo of {entries} entries")  # C allocates that many at once


# Opcodes that fill a dict, and where they find the keys.
KEYS = {pickle.SETITEM: slice(-2, -1), pickle.SETITEMS: slice(None, None, 2)}


def refused(name: str) -> Callable[[Any], None]:
    """:param name: of an opcode that no honest pickle has; what it does here"""

    def refuse_opcode(reader: Any) -> None:
        raise Offence(f"uses the opcode {name}")

    return refuse_opcode


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
    :param storage: of class and key, how many numbers a storage holds that torch keeps beside the pickle; None for no
        storages
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code[0]: pickle._Unpickler.dispatch[code[0]] if opcode.name in ALLOWED else refused(opcode.name)
        for code, opcode in OPCODES.items()
    }
    dispatch |= {opcode[0]: looked_at(pickle._Unpickler.dispatch[opcode[0]], keys) for opcode, keys in KEYS.items()}

    def __init__(
        self, data: bytes, allowed: Mapping[Global, Use], storage: Callable[[str, str], int | None] | None
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed
        self._storage = storage
        self._classes: dict[Global, type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> type[StandIn]:
        """A stand-in. Names are compared whole: one with dots in it, a way to `os` through anything, is on no list."""
        use = self._allowed.get((module, name))
        if use is None:
            raise Offence(f"asks for {shown(f'{module}.{name}')}")
        known = self._classes.get((module, name))
        if known is None:
            known = type(name, (StandIn,), {"name": f"{module}.{name}", "use": use})
            self._classes[module, name] = known
        return known

    def persistent_load(self, pid: Any) -> int:
        """How many numbers, for those of a tensor; torch looks for them by a key in the same archive."""
        if self._storage is None:
            raise Offence("asks for an object from outside of it")
        if not (isinstance(pid, tuple) and len(pid) == 5 and [*map(type, pid[2:])] == [str, str, int]):
            raise Offence("asks for an object that is no tensor's")
        kind, storage, key, _, length = pid  # a device before the length
        if kind != "storage" or not isinstance(storage, type) or not issubclass(storage, StandIn):
            raise Offence("asks for an object that is no tensor's")
        held = self._storage(storage.__name__, key)
        if held != length:
            raise Offence(f"has a storage of {length} numbers, for which its archive has {held or 0}")
        return length


def check_pickle(
    data: bytes,
    allowed: Mapping[Global, Use],
    where: str,
    budget: Budget | None = None,
    storage: Callable[[str, str], int | None] | None = None,
) -> Any:
    """
    :param data: the pickle
    :param allowed: what it may name, and how it may use it
    :param where: for messages: the file, and the place in it
    :param budget: of the file that it is in; None where it is the file
    :param storage: see :class:`Reader`
    :return: what it holds, with stand-ins
    :raises Untrusted: it does anything else
    """
    try:
        check_opcodes(data, budget or Budget())
        return Reader(data, allowed, storage).load()
    except Offence as offence:
        refuse(where, f"{offence}, which no honest one needs")
    except Exception as error:
        refuse(where, f"is no pickle that can be read ({told(error)})", BROKEN)
