"""VICReg against a plain NumPy version, and what it is for: representations that agree and do not collapse."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.losses.vicreg import Expander, VICRegLoss, effective_rank, spread


def reference(x, y, invariance=25.0, variance=25.0, covariance=1.0, gamma=1.0):
    """The formulas of the paper, in loops."""
    (rows, dims), parts = x.shape, {}
    parts["invariance"] = np.mean([(x[b, d] - y[b, d]) ** 2 for b in range(rows) for d in range(dims)])
    hinges, crosses = [], []
    for z in (x, y):
        centered = z - z.mean(0)
        hinges.append(np.mean([max(0, gamma - np.sqrt(np.var(z[:, d], ddof=1) + 1e-4)) for d in range(dims)]))
        crosses.append(
            sum(
                (np.sum(centered[:, i] * centered[:, j]) / (rows - 1)) ** 2
                for i in range(dims)
                for j in range(dims)
                if i != j
            )
            / dims
        )
    parts["variance"], parts["covariance"] = np.mean(hinges), np.sum(crosses)
    total = invariance * parts["invariance"] + variance * parts["variance"] + covariance * parts["covariance"]
    return total, parts


def two(rows, dims, scale=0.6, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((dims, dims))
    return tuple(scale * rng.standard_normal((rows, dims)) @ mix for _ in range(2))


@pytest.mark.parametrize("settings", [{}, {"invariance": 2.0, "variance": 0.5, "covariance": 7.0, "gamma": 3.0}])
@pytest.mark.parametrize(("rows", "dims"), [(2, 3), (5, 1), (16, 4), (7, 9)])
def test_agrees_with_numpy(rows, dims, settings):
    x, y = two(rows, dims)
    loss, parts = VICRegLoss(**settings)(th.tensor(x), th.tensor(y))
    expected, expected_parts = reference(x, y, **settings)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected_parts, rel=1e-9)


def test_rows_behind_a_mask_do_not_count():
    x, y = (th.tensor(z) for z in two(16, 4))
    mask = th.arange(16) % 3 > 0
    whole, parts = VICRegLoss()(x[mask], y[mask])
    masked, masked_parts = VICRegLoss()(x, y, mask)
    th.testing.assert_close(masked, whole)
    th.testing.assert_close(masked_parts, parts)


def test_divides_by_the_batch_that_came():
    """Not by a configured size: twice the same rows are the same data."""
    x, y = two(64, 3)
    once, _ = VICRegLoss()(th.tensor(x), th.tensor(y))
    twice, _ = VICRegLoss()(th.tensor(np.tile(x, (2, 1))), th.tensor(np.tile(y, (2, 1))))
    assert twice.item() == pytest.approx(once.item(), rel=0.05)


@pytest.mark.parametrize("term", ["invariance", "variance", "covariance"])
def test_each_term_pulls_at_both_sides(term):
    x, y = (th.tensor(z, requires_grad=True) for z in two(8, 3, scale=0.1))
    VICRegLoss()(x, y)[1][term].backward()
    assert x.grad.abs().sum() > 0 and y.grad.abs().sum() > 0


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_a_prediction_is_compared_and_the_rest_is_of_the_representations(stop_gradient):
    x, y = (th.tensor(z, requires_grad=True) for z in two(8, 3, scale=0.1))
    predicted = (2 * x.detach()).requires_grad_()
    _, terms = VICRegLoss(stop_gradient=stop_gradient)(x, y, predicted=predicted)
    _, plain = VICRegLoss()(x, y)
    assert terms["variance"] == plain["variance"] and terms["covariance"] == plain["covariance"]
    assert terms["invariance"].item() == pytest.approx((predicted - y).square().mean().item())
    terms["invariance"].backward(retain_graph=True)
    assert x.grad is None and predicted.grad.abs().sum() > 0 and (y.grad is None) == stop_gradient
    terms["variance"].backward()
    assert y.grad.abs().sum() > 0, "it is the target of the prediction that has no gradient"


def test_gradients_are_right():
    x, y = (th.tensor(z, requires_grad=True) for z in two(5, 3, scale=0.1))
    assert th.autograd.gradcheck(lambda a, b: VICRegLoss()(a, b)[0], (x, y))


def test_collapse_is_punished_and_left():
    """Where all rows are one point, agreement is perfect and the loss is high; descending leads out of there."""
    rng = th.Generator().manual_seed(0)
    x, y = (1e-3 * th.randn(32, 4, generator=rng) for _ in range(2))
    loss = VICRegLoss()
    collapsed = loss(x, y)
    assert collapsed[1]["invariance"] < 1e-4 and collapsed[1]["variance"] > 0.9
    same = th.randn(32, 4, generator=rng)
    assert loss(2 * same, 2 * same)[0] < collapsed[0] / 2
    x.requires_grad_()
    y.requires_grad_()
    optimizer = th.optim.Adam([x, y], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(x, y)[0].backward()
        optimizer.step()
    assert spread(x).min() > 0.5 and spread(y).min() > 0.5
    assert (x - y).square().mean() < 0.1


def test_without_the_hinge_it_stays_collapsed():
    x = th.zeros(8, 3, requires_grad=True)
    VICRegLoss(variance=0.0)(x, th.zeros(8, 3))[0].backward()
    assert x.grad.abs().max() == 0


def test_a_collapsed_batch_has_finite_gradients():
    x = th.zeros(8, 3, requires_grad=True)
    VICRegLoss()(x, th.zeros(8, 3))[0].backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_effective_rank_of_equal_directions_is_their_number(rank):
    z = th.zeros(10, 5)
    z[:rank, :rank] = th.eye(rank)
    z[rank : 2 * rank, :rank] = -th.eye(rank)
    assert effective_rank(z) == pytest.approx(rank, rel=1e-4)


def test_effective_rank_lies_between():
    """Singular values 3 and 1: the exponential of the entropy of (3/4, 1/4)."""
    z = th.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(z) == pytest.approx(expected, rel=1e-4)
    assert effective_rank(10 * z + 5) == pytest.approx(expected, rel=1e-4)


def test_effective_rank_of_one_point_is_finite():
    assert effective_rank(th.ones(6, 3)).isfinite()


def test_spread_is_that_of_each_dimension():
    z = th.tensor([[0.0, 5.0], [2.0, 5.0]])
    np.testing.assert_allclose(spread(z), [np.sqrt(2), 0], atol=1e-6)


def test_expander_widens():
    assert Expander(3, 8)(th.zeros(4, 3)).shape == (4, 8)
