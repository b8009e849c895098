"""Expectile regression against what is known of it."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.losses.expectile import expectile_loss


@pytest.mark.parametrize("expectile", [0.05, 0.5, 0.9])
def test_its_minimum_balances_what_lies_above_and_below(expectile):
    targets = th.as_tensor(np.random.default_rng(0).exponential(size=200))
    guess = th.zeros(1, dtype=th.float64, requires_grad=True)
    optimizer = th.optim.LBFGS([guess], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = expectile_loss(targets - guess, expectile).mean()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    error = (targets - guess.detach()).numpy()
    above, below = error[error > 0].sum(), -error[error < 0].sum()
    assert expectile * above == pytest.approx((1 - expectile) * below, rel=1e-5)


def test_half_is_half_the_squared_error():
    error = th.tensor([-2.0, 0.0, 3.0])
    assert expectile_loss(error, 0.5).tolist() == [2.0, 0.0, 4.5]
