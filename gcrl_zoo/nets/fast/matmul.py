"""Use the faster of torch's CPU backends for matrix products, if it is as exact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch as th
from torch import Tensor

#: As a transformer multiplies: tokens of a batch, and the widths of a layer.
SHAPE = (2048, 128, 512)
#: Rounding errors may be larger by this factor; that of bfloat16 would be larger by thousands.
TOLERANCE = 2.0


@cache
def faster_precision() -> str | None:
    """
    Measure the precision ``"medium"``, once per process. With it torch multiplies float32 matrices by oneDNN, which on
    some CPUs is faster and as exact, on others computes in bfloat16.

    :return: ``"medium"`` where it is faster and as exact; None where the setting should stay as it is
    """
    rng = th.Generator().manual_seed(0)
    rows, inner, columns = SHAPE
    a, b = th.randn(rows, inner, generator=rng), th.randn(inner, columns, generator=rng)
    exact = a.double() @ b.double()
    before = th.get_float32_matmul_precision()
    try:
        stock_error, stock_time = _measure(a, b, exact)
        th.set_float32_matmul_precision("medium")
        error, seconds = _measure(a, b, exact)
    finally:
        th.set_float32_matmul_precision(before)
    return "medium" if error <= TOLERANCE * stock_error and seconds < stock_time else None


def _measure(a: Tensor, b: Tensor, exact: Tensor) -> tuple[float, float]:
    """Largest error, and the fastest of some runs in seconds of this process."""
    error, seconds = float((a @ b - exact).abs().max()), []
    for _ in range(5):
        start = time.process_time()
        a @ b
        seconds.append(time.process_time() - start)
    return error, min(seconds)


@contextmanager
def fast_matmul(device: th.device) -> Iterator[None]:
    """
    Set the precision and restore it afterwards, since the setting holds for the whole process.

    :param device: of the matrices; on a GPU nothing is changed
    """
    precision = faster_precision() if device.type == "cpu" else None
    if precision is None:
        yield
        return
    before = th.get_float32_matmul_precision()
    th.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        th.set_float32_matmul_precision(before)
