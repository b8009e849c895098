"""What pickles may do with arrays, numbers and random generators of numpy."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from gcrl_zoo.zoo.trust.stand_ins import Global, Use, is_a, names_class

DTYPE, SCALAR = "numpy.dtype", "numpy._core.multiarray.scalar"
ARRAY = ("numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer")
NAMED = Use()  # a class that is passed on and never called
MAX_DIMENSIONS = 32
PCG64_STATE = {"bit_generator", "state", "has_uint32", "uinteger"}


def are_sizes(values: Any) -> bool:
    """Whether these are a shape or strides: a tuple of whole numbers of at least 0."""
    return (
        type(values) is tuple
        and len(values) <= MAX_DIMENSIONS
        and all(type(value) is int and 0 <= value < 2**63 for value in values)
    )


def is_dtype(args: tuple[Any, ...]) -> bool:
    """Whether a dtype has neither objects nor fields, whose bytes numpy would use as pointers, and is a copy."""
    return (
        len(args) == 3
        and type(args[0]) is str
        and re.fullmatch(r"b1|[iu][1248]|f2|f4|f8|f16|c8|c16", args[0]) is not None
        and args[1] is False
        and args[2] is True
    )


def is_dtype_state(state: Any) -> bool:
    """Whether a state of a dtype is version 3 and a byte order, and nothing else."""
    return (
        type(state) is tuple
        and len(state) == 8
        and state[1] in ("<", ">", "|")
        and all(type(each) is int for each in (state[0], *state[5:]))
        and (state[0], *state[2:]) == (3, None, None, None, -1, -1, 0)
    )


def has_size(shape: Any, dtype: Any, content: Any) -> bool:
    """Whether an array of this shape and dtype has as many bytes as the content."""
    return (
        are_sizes(shape)
        and is_a(dtype, DTYPE)
        and type(content) in (bytes, bytearray)
        and math.prod(shape) * int(dtype.args[0][1:]) == len(content)
    )


def is_bit_generator_state(state: Any) -> bool:
    """Whether this is the state of a PCG64, without its seed."""
    if type(state) is not dict or state.keys() != PCG64_STATE or type(state["state"]) is not dict:
        return False
    numbers = [state["has_uint32"], state["uinteger"], *state["state"].values()]
    return (
        state["bit_generator"] == "PCG64"
        and state["state"].keys() == {"state", "inc"}
        and all(type(number) is int and 0 <= number < 2**128 for number in numbers)
    )


def is_seed_state(state: Any) -> bool:
    """Whether this is the state of a SeedSequence: entropy, number of children, pool, size of the pool, spawn key."""
    return (
        type(state) is tuple
        and len(state) == 5
        and (state[0] is None or type(state[0]) is int)
        and type(state[1]) is int
        and is_a(state[2], *ARRAY)
        and state[3] == 4
        and are_sizes(state[4])
    )


# numpy does not check these arguments. An array that gets a second state leaves views on freed memory.
ARRAYS: dict[Global, Use] = {
    ("numpy", "dtype"): Use(call=is_dtype, state=is_dtype_state),
    ("numpy", "ndarray"): NAMED,
    ("numpy._core.multiarray", "_reconstruct"): Use(
        call=lambda args: len(args) == 3 and names_class(args[0]) and args[1:] == ((0,), b"b"),
        state=lambda state: (
            type(state) is tuple
            and len(state) == 5
            and state[0] == 1
            and type(state[3]) is bool
            and has_size(state[1], state[2], state[4])
        ),
    ),
    ("numpy._core.multiarray", "scalar"): Use(call=lambda args: len(args) == 2 and has_size((), *args)),
    ("numpy._core.numeric", "_frombuffer"): Use(
        call=lambda args: len(args) == 4 and args[3] in ("C", "F") and has_size(args[2], args[1], args[0])
    ),
}
# The random generator of a space.
GENERATORS: dict[Global, Use] = {
    ("numpy.random._pickle", "__generator_ctor"): Use(
        call=lambda args: len(args) == 1 and is_a(args[0], "numpy.random._pickle.__bit_generator_ctor"),
        state=is_bit_generator_state,
    ),
    ("numpy.random._pickle", "__bit_generator_ctor"): Use(
        call=lambda args: len(args) == 1 and names_class(args[0]) and args[0].name == "numpy.random._pcg64.PCG64",
        state=lambda state: (
            is_bit_generator_state(state)
            or (
                type(state) is tuple
                and len(state) == 2
                and is_bit_generator_state(state[0])
                and is_a(state[1], "numpy.random.bit_generator.__pyx_unpickle_SeedSequence")
            )
        ),
    ),
    ("numpy.random._pcg64", "PCG64"): NAMED,
    ("numpy.random.bit_generator", "SeedSequence"): NAMED,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): Use(
        call=lambda args: len(args) == 3 and names_class(args[0]) and type(args[1]) is int and args[2] is None,
        state=is_seed_state,
    ),
}


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array that was read from a pickle, None for any other value."""
    if not is_a(value, *ARRAY):
        return None
    if value.name == ARRAY[1]:
        return tuple(value.args[2])
    return tuple(value.state[1]) if value.state else (0,)


def numbers_of(value: Any) -> np.ndarray | None:
    """Return the numbers of an array or scalar that was read from a pickle, None for any other value."""
    if is_a(value, SCALAR):
        dtype, content = value.args
    elif is_a(value, ARRAY[0]) and value.state:
        dtype, content = value.state[2], value.state[4]
    elif is_a(value, ARRAY[1]):
        content, dtype = value.args[:2]
    else:
        return None
    order = dtype.state[1].replace("|", "=") if dtype.state else "="
    return np.frombuffer(content, np.dtype(order + dtype.args[0]))
