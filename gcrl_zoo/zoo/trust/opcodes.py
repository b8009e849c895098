"""What a pickle consists of, counted and measured before any of it is interpreted."""

from __future__ import annotations

import pickle
import pickletools

from gcrl_zoo.zoo.trust.refusal import Offence

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
