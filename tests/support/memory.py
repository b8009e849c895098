"""Memory, counted instead of measured."""

import tracemalloc
from contextlib import contextmanager

MEGABYTE = 2**20


@contextmanager
def within(most):
    """Python and numpy ask for no more bytes than that at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / MEGABYTE:.0f} MiB"
