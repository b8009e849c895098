"""Choice of the CPU backend for matrix products."""

import pytest
import torch as th

from gcrl_zoo.nets.fast import matmul


def test_a_faster_backend_is_taken_only_if_it_is_as_exact(monkeypatch):
    def of(stock, other):
        measured = iter((stock, other))
        monkeypatch.setattr(matmul, "_measure", lambda *_: next(measured))
        return matmul.faster_precision.__wrapped__()

    before = th.get_float32_matmul_precision()
    assert of((1e-5, 2.0), (1.1e-5, 1.0)) == "medium"
    assert of((1e-5, 1.0), (1e-5, 2.0)) is None  # slower
    assert of((1e-5, 2.0), (1e-1, 1.0)) is None  # bfloat16
    assert th.get_float32_matmul_precision() == before


@pytest.mark.parametrize("found", ["medium", None])
def test_the_backend_is_lent(monkeypatch, found):
    monkeypatch.setattr(matmul, "faster_precision", lambda: found)
    before = th.get_float32_matmul_precision()
    with pytest.raises(KeyError), matmul.fast_matmul(th.device("cpu")):
        assert th.get_float32_matmul_precision() == (found or before)
        raise KeyError
    assert th.get_float32_matmul_precision() == before
