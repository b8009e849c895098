"""Converts arrays to the few dtypes that episodes store, and checks that all numbers are finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

FLOAT: DType = np.dtype(np.float32)
INT: DType = np.dtype(np.int64)
LARGEST = {kept: (np.iinfo if kept == INT else np.finfo)(kept).max for kept in (FLOAT, INT)}


class EpisodeError(ValueError):
    """A fault in one episode. :meth:`at` repeats the message with a more precise name of the episode.

    :param fault: what is wrong and what to do, as a verb phrase ("holds nan in ...")
    :param where: the subject of the sentence
    """

    def __init__(self, fault: str, where: str = "The episode") -> None:
        super().__init__(fault, where)  # both are args, so that the error survives pickling between processes
        self.fault = fault
        self.where = where

    def __str__(self) -> str:
        return f"{self.where} {self.fault}."

    def at(self, where: str) -> EpisodeError:
        """The same fault under a more precise name, such as ``"Episode 7 of gcrl/hopper/mixed-v0"``."""
        return EpisodeError(self.fault, where)


def observation_dtype(dtype: DType) -> DType:
    """The dtype in which facts are kept: float32, int64, bool, or uint8 (images).

    :raises ValueError: for anything that is no number
    """
    if dtype.kind == "f":
        return FLOAT
    if dtype.kind not in "biu":
        raise ValueError(f"dtype {dtype}")
    return dtype if dtype in (np.bool_, np.uint8) else INT


def action_dtype(dtype: DType) -> DType:
    """The dtype in which actions are kept: float32 for boxes, int64 for choices."""
    kept = observation_dtype(dtype)
    return FLOAT if kept == FLOAT else INT


def reward_dtype(dtype: DType) -> DType:
    """The dtype in which rewards are kept: float32."""
    return FLOAT


def checked(value: Any, name: str, dtype_of: Callable[[DType], DType] = observation_dtype) -> Array:
    """Convert a column of an episode to its canonical dtype; an array that already has it is not copied.

    :param value: (T, ...) numbers: an array, or anything that NumPy can make one of
    :param name: of the column, for the message
    :param dtype_of: gives the canonical dtype for a dtype of numbers
    :raises EpisodeError: the value is no numeric array, or holds masked, infinite, nan or too large entries
    """
    array = _as_array(value, name)
    try:
        observation_dtype(array.dtype)  # refuses anything that is no number
        dtype = dtype_of(array.dtype)
    except ValueError as error:
        raise EpisodeError(f"holds {name} values that are not numbers ({error}); give plain numeric arrays") from None
    if array.ndim == 0:
        raise EpisodeError(f"holds a single number as {name}; give one entry per step")
    if dtype == INT and array.dtype.kind == "u" and array.size and array.max() > LARGEST[INT]:
        step = int(np.argwhere(array > LARGEST[INT])[0, 0])
        raise EpisodeError(
            f"holds {array[step].max()} in {name} at step {step}; give integers of at most {LARGEST[INT]} (int64)"
        )
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the next line reports
        kept = array.astype(dtype, copy=False)
    if dtype == FLOAT and not np.isfinite(kept).all():
        step, *place = np.argwhere(~np.isfinite(kept))[0].tolist()
        bad = array[(step, *place)]
        limit = f", beyond {LARGEST[FLOAT]:.3g} (float32)," if np.isfinite(bad) else ""
        raise EpisodeError(
            f"holds {bad}{limit} in {name} at step {step}; repair the recording or leave this episode out"
        )
    return kept


def _as_array(value: Any, name: str) -> Array:
    # Check the elements of a list, too: NumPy silently drops their masks.
    if any(np.ma.is_masked(part) for part in (value if isinstance(value, (list, tuple)) else (value,))):
        raise EpisodeError(f"has masked entries in {name}; fill them with numbers, or leave this episode out")
    try:
        return np.asarray(value)
    except Exception:  # entries of different shapes, a tensor on a GPU: NumPy asks the object, which may raise anything
        raise EpisodeError(
            f"holds {name} values that make no array (of type {type(value).__name__}); "
            f"give a numeric array with one entry of the same shape per step"
        ) from None
