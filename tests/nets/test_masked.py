"""Masked mean."""

import torch as th

from gcrl_zoo.losses.masked import masked_mean


def test_masked_mean_ignores_masked_values():
    values, mask = th.tensor([1.0, 2.0, 6.0]), th.tensor([True, False, True])
    assert masked_mean(values, mask).item() == 3.5
