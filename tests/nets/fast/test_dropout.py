"""Dropout that takes one random byte per element."""

import pytest
import torch as th

from gcrl_zoo.nets.fast.dropout import ByteDropout


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropout, x = ByteDropout(0.1), th.ones(200_000)
    y = dropout(x)
    share = 26 / 256
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.004)  # six standard deviations
    assert not th.equal(dropout(x), y)
    th.manual_seed(0)
    first = dropout(x)
    th.manual_seed(0)
    assert th.equal(dropout(3 * x), 3 * first)


def test_no_dropout_when_acting():
    dropout, x = ByteDropout(0.5).eval(), th.randn(100)
    assert dropout(x) is x
