"""The available memory, and the error for data that do not fit into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL = 2**26  # allocations below 64 MiB are made without asking

# Limit, use, and the file and entry with the part of the use that the system can free: control groups 2 and 1.
GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


class NotEnoughMemory(ValueError):
    """Raised for data that do not fit into memory."""


@contextmanager
def memory_for(needed: int, what: str) -> Iterator[None]:
    """Refuse an allocation that does not fit before it is made: Linux would allow it and kill the process later.

    :param needed: bytes that are allocated in this block
    :param what: the subject of the message, such as the name of a dataset
    :raises NotEnoughMemory: a sentence with what is needed and what is available
    """
    available = available_memory() if needed >= SMALL else None
    if available is not None and needed > available:
        raise not_enough(what, readable_size(needed), available)
    try:
        yield
    except MemoryError:
        raise not_enough(what, readable_size(needed), available_memory()) from None


def not_enough(what: str, needed: str, available: int | None) -> NotEnoughMemory:
    """The error for data that do not fit into memory.

    :param what: the subject of the message
    :param needed: how much that needs
    :param available: bytes; None if unknown
    """
    there = "less is" if available is None else f"{readable_size(available)} are"
    return NotEnoughMemory(
        f"{what} needs {needed} of memory, but {there} available; "
        f"use fewer or smaller episodes (or a smaller buffer_size), or a machine with more memory."
    )


def readable_size(size: int) -> str:
    """Format a number of bytes, such as ``1.50 GiB``."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**27 else f"{size / 2**20:,.1f} MiB"


def available_memory() -> int | None:
    """Bytes that this process can still allocate, limited by the machine, its container and ulimit. None if unknown."""
    known = [each for each in (_of_machine(), _of_group(), _of_process()) if each is not None]
    return max(0, min(known)) if known else None


def _of_machine() -> int | None:
    try:
        return 1024 * _entry(Path("/proc/meminfo"), "MemAvailable:")
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_group() -> int | None:
    root = Path("/sys/fs/cgroup")
    for limit, use, statistics, reclaimable in GROUPS:
        try:  # "max" is no number: there is no limit
            return (
                int((root / limit).read_text()) - int((root / use).read_text()) + _entry(root / statistics, reclaimable)
            )
        except (OSError, ValueError):
            continue
    return None


def _of_process() -> int | None:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        return limit - 1024 * _entry(Path("/proc/self/status"), "VmSize:")
    except (ImportError, OSError, ValueError):
        return None


def _entry(file: Path, name: str) -> int:
    """Read the number that follows a name in a file of the system."""
    for line in file.read_text().splitlines():
        words = line.split()
        if words and words[0] == name:
            return int(words[1])
    raise ValueError(name)
