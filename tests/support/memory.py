"""Limits on memory, counted by Python's allocator."""

import tracemalloc
from contextlib import contextmanager

MEGABYTE = 2**20


@contextmanager
def within(most):
    """Assert that Python and numpy never allocate more bytes than that at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / MEGABYTE:.0f} MiB"
