"""Action heads: the right likelihood, and actions inside the space."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from torch.distributions import Categorical, Normal, kl_divergence

from gcrl_zoo.common.actions import BOX_HEADS, make_action_head
from gcrl_zoo.nets.heads import kl_of_logits, sample_categorical
from tests.support.envs import ACTION_SPACES

BOX, DISCRETE = ACTION_SPACES["box"], ACTION_SPACES["discrete"]
MATRIX = spaces.Box(np.float32(-3), np.float32(0.5), (2, 3))
FIXED = spaces.Box(np.array([-1, 0.3], np.float32), np.array([3, 0.3], np.float32))  # the second one is always 0.3
ROWS, WIDTH = 64, 6
UNIT = spaces.Box(-1, 1, (2,), np.float32)  # needs no scaling
HEADS = [("auto", DISCRETE), *((kind, space) for kind in BOX_HEADS for space in (BOX, UNIT, MATRIX, FIXED))]
every_head = pytest.mark.parametrize(("kind", "space"), HEADS)


def make(kind, space, seed=0, **kwargs):
    th.manual_seed(seed)
    head = make_action_head(space, WIDTH, kind, **kwargs)
    return head, head(3 * th.randn(ROWS, WIDTH)).detach()


def draw(space, n=ROWS):
    space.seed(0)
    return th.as_tensor(np.stack([space.sample() for _ in range(n)]))


@every_head
@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_lie_inside_the_space(kind, space, deterministic):
    head, params = make(kind, space)
    for scale in (1, 1000):
        actions = head.act(scale * params, deterministic)
        assert actions.shape == (ROWS, *space.shape)
        for action in actions.detach().numpy():
            assert space.contains(action.astype(space.dtype)) and action.dtype == space.dtype


@every_head
def test_shapes_and_gradients(kind, space):
    head, _ = make(kind, space)
    params = head(th.randn(ROWS, WIDTH))
    assert head.nll(params, draw(space)).shape == head.imitate(params, params + 1).shape == (ROWS,)
    head.nll(params, draw(space)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@every_head
def test_imitation_is_zero_where_both_agree_and_only_there(kind, space):
    head, params = make(kind, space)
    params = params.clamp(-1, 1)  # a teacher outside the bounds is taken to mean the bound
    th.testing.assert_close(head.imitate(params, params), th.zeros(ROWS))
    assert (head.imitate(params, params.flip(1) * 0.5 + 0.1) > 0).all()


@every_head
def test_the_expected_action_is_the_mean_of_what_is_played(kind, space):
    """As another network reads it; the mean over many samples where the head is random."""
    head, params = make(kind, space)
    many = params[:4].repeat(4000, 1)
    played = head.encode(head.act(many)).unflatten(0, (4000, 4)).mean(0)
    expected = head.expected(params[:4])
    assert expected.shape == (4, head.encoding_dim) == played.shape
    if kind == "gaussian":  # samples are clipped, the mean is not drawn inwards by that
        played = head.encode(head.act(params[:4], deterministic=True))
    fixed = th.as_tensor(head.half_range == 0) if isinstance(space, spaces.Box) else th.zeros(head.encoding_dim) > 0
    th.testing.assert_close(played[:, ~fixed], expected[:, ~fixed], atol=0.05, rtol=0)


@every_head
def test_gradients_reach_an_expected_action(kind, space):
    head, params = make(kind, space)
    params = (params / 10).requires_grad_()
    head.expected(params).square().sum().backward()
    assert params.grad.abs().sum() > 0


@every_head
def test_distance_is_a_fraction_of_the_range(kind, space):
    head, params = make(kind, space)
    assert (head.distance(params, params) == 0).all()
    apart = head.distance(params, -params)
    assert apart.shape == (ROWS,) and ((apart >= 0) & (apart <= 1)).all() and apart.mean() > 0.05


@every_head
def test_imitation_does_not_move_the_teacher(kind, space):
    head, params = make(kind, space)
    student, teacher = params.clone().requires_grad_(), (params + 1).requires_grad_()
    head.imitate(student, teacher).sum().backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None


@every_head
def test_the_likeliest_action_has_the_best_likelihood(kind, space):
    head, params = make(kind, space)
    if kind == "deterministic":
        params = params.clamp(-1, 1)
    best = head.nll(params, head.act(params, deterministic=True))
    assert (best <= head.nll(params, draw(space)) + 1e-6).all()


@every_head
def test_learns_one_action(kind, space):
    """Descending on nll leads to the action, asymmetric bounds, start and all."""
    head, _ = make(kind, space)
    wanted = draw(space, 1)
    z = th.ones(1, WIDTH)
    optimizer = th.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        head.nll(head(z), wanted).sum().backward()
        optimizer.step()
    tolerance = (space.high - space.low).max() / 30 + 1e-3 if kind == "bins" else 0.05  # half a bin
    assert (head.act(head(z), deterministic=True) - wanted).abs().max() <= tolerance


@pytest.mark.parametrize("kind", BOX_HEADS)
def test_a_dimension_that_allows_one_value_has_it(kind):
    head, params = make(kind, FIXED)
    for deterministic in (True, False):
        assert (head.act(params, deterministic)[:, 1] == FIXED.low[1]).all()
    assert head.nll(params, draw(FIXED)).isfinite().all()


def test_categorical_likelihood():
    head, params = make("auto", DISCRETE)
    actions = draw(DISCRETE)
    assert actions.min() == DISCRETE.start == 2
    th.testing.assert_close(head.nll(params, actions), -Categorical(logits=params).log_prob(actions - 2))
    other = params.flip(1)
    expected = kl_divergence(Categorical(logits=other), Categorical(logits=params))
    th.testing.assert_close(head.imitate(params, other), expected)


@pytest.mark.parametrize("space", [BOX, MATRIX])
def test_gaussian_likelihood(space):
    head, params = make("gaussian", space, log_std_init=-1.3)
    unit = head.encode(draw(space))
    assert unit.min() >= -1 and unit.max() <= 1
    normal = Normal(params, th.full_like(params, np.exp(-1.3)))
    th.testing.assert_close(head.nll(params, draw(space)), -normal.log_prob(unit).sum(-1))
    teacher = Normal(params.flip(1).clamp(-1, 1), normal.scale)
    th.testing.assert_close(head.imitate(params, params.flip(1)), kl_divergence(teacher, normal).sum(-1))


def test_gaussian_spread_stays_in_bounds():
    head, params = make("gaussian", BOX)
    for log_std in (-100.0, 100.0):
        th.nn.init.constant_(head.log_std, log_std)
        assert head.nll(params, draw(BOX)).isfinite().all()


@pytest.mark.parametrize("space", [BOX, MATRIX])
def test_deterministic_error_is_that_of_the_unit_action(space):
    head, params = make("deterministic", space)
    low, high = (th.as_tensor(bound).flatten() for bound in (space.low, space.high))
    unit = 2 * (draw(space).flatten(1) - low) / (high - low) - 1
    th.testing.assert_close(head.nll(params, draw(space)), (params - unit).square().mean(-1))


def test_absolute_error_sides_with_the_majority():
    """Two of three controllers do one thing, the third another: the median is the one, the mean is neither."""
    done = th.tensor([[-2.0, -1.0], [1.0, 3.0], [1.0, 3.0]])
    found = {}
    for loss in ("l1", "l2"):
        head, _ = make("deterministic", BOX, loss=loss)
        optimizer = th.optim.Adam(head.parameters(), lr=0.02)
        for _ in range(400):
            optimizer.zero_grad()
            head.nll(head(th.ones(3, WIDTH)), done).mean().backward()
            optimizer.step()
        found[loss] = head.act(head(th.ones(1, WIDTH)), deterministic=True)[0]
    th.testing.assert_close(found["l1"], done[1], atol=0.1, rtol=0)
    th.testing.assert_close(found["l2"], done.mean(0), atol=0.1, rtol=0)


def test_absolute_error_is_that_of_the_unit_action():
    head, params = make("deterministic", BOX, loss="l1")
    th.testing.assert_close(head.nll(params, draw(BOX)), (params - head.encode(draw(BOX))).abs().mean(-1))
    with pytest.raises(ValueError, match=r"loss is 'l3'; give 'l2' or 'l1'\.$"):
        make("deterministic", BOX, loss="l3")


def test_squashed_actions_are_those_of_a_tanh():
    head, _ = make("deterministic", BOX, squash=True)
    plain, _ = make("deterministic", BOX)
    plain.load_state_dict(head.state_dict())
    z = 30 * th.randn(50, WIDTH)
    th.testing.assert_close(head(z), plain(z).tanh())
    assert (plain(z).abs() > 1).any()  # so that it makes a difference
    th.testing.assert_close(head.encode(head.act(head(z))), head(z))


@pytest.mark.parametrize("space", [BOX, MATRIX])
def test_bins_likelihood(space):
    head, params = make("bins", space, n_bins=7)
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    bins = np.floor((draw(space).flatten(1).numpy() - low) / (high - low) * 7).astype(int)
    logits = params.unflatten(-1, (-1, 7))
    expected = -Categorical(logits=logits).log_prob(th.as_tensor(bins)).sum(-1)
    th.testing.assert_close(head.nll(params, draw(space)), expected)


@pytest.mark.parametrize("space", [BOX, MATRIX])
def test_bins_come_back_as_their_centres(space):
    head, _ = make("bins", space, n_bins=7)
    numbers = np.random.default_rng(0).integers(0, 7, (ROWS, int(np.prod(space.shape))))
    params = th.nn.functional.one_hot(th.as_tensor(numbers), 7).flatten(1) * 100.0
    actions = head.act(params, deterministic=True)
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    np.testing.assert_allclose(actions.flatten(1), low + (numbers + 0.5) / 7 * (high - low), rtol=1e-5, atol=1e-5)
    assert head.nll(params, actions).abs().max() < 1e-4


def test_the_bounds_themselves_have_bins():
    head, params = make("bins", BOX, n_bins=7)
    for bound in (BOX.low, BOX.high):
        assert head.nll(params, th.as_tensor(bound).expand(ROWS, -1)).isfinite().all()


CAR = spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32))  # steering, gas and brake


@pytest.mark.parametrize("space", [CAR, BOX, MATRIX])
@pytest.mark.parametrize("n_bins", [2, 15])
def test_bins_can_include_the_bounds(space, n_bins):
    """To the bit, and of an odd number also the middle."""
    head, _ = make("bins", space, n_bins=n_bins, include_bounds=True)
    low, high = (th.as_tensor(bound).flatten() for bound in (space.low, space.high))
    numbers = th.arange(n_bins)[:, None].expand(-1, len(low))
    params = th.nn.functional.one_hot(numbers, n_bins).flatten(1) * 100.0
    actions = head.act(params, deterministic=True)
    flat = actions.flatten(1)
    assert flat[0].equal(low) and flat[-1].equal(high)
    assert n_bins % 2 == 0 or flat[n_bins // 2].equal((low + high) / 2)
    th.testing.assert_close(flat, low + numbers / (n_bins - 1) * (high - low))
    assert head.nll(params, actions).abs().max() < 1e-4
    nearest = (flat - draw(space)[:, None].flatten(2)).abs().argmin(1)  # (ROWS, A)
    assert head.bins_of(draw(space)).equal(nearest)


def test_samples_are_as_frequent_as_they_should_be():
    th.manual_seed(0)
    logits = th.tensor([0.0, 1.0, -1.0, 2.0])
    counts = th.bincount(sample_categorical(logits.expand(100_000, 4)), minlength=4)
    np.testing.assert_allclose(counts / 100_000, logits.softmax(0), atol=0.006)


def test_gaussian_samples_spread_as_told():
    head, _ = make("gaussian", spaces.Box(-100, 100, (1,)), log_std_init=-4.0)
    actions = head.act(th.full((50_000, 1), 0.5)).detach()
    assert actions.mean() == pytest.approx(50, abs=0.05)
    assert actions.std() == pytest.approx(100 * np.exp(-4), rel=0.02)


def test_divergence_of_logits():
    p, q = th.randn(9, 2, 5), th.randn(9, 2, 5)
    th.testing.assert_close(kl_of_logits(p, q), kl_divergence(Categorical(logits=p), Categorical(logits=q)))


@pytest.mark.parametrize("kind", BOX_HEADS)
@pytest.mark.parametrize(
    ("space", "limits"),
    [
        (UNIT, (-0.5, 0.25)),
        (BOX, ([-0.5, 0.0], [0.0, 1.0])),
        (MATRIX, (-2, 0)),
        (MATRIX, ([-3, -2, -1, -3, -2, -1], [0.5, 0.25, 0, -1, -1, -1])),
        (FIXED, ([0, 0.3], [1, 0.3])),
        (UNIT, ([-1, 0], [0.5, 0])),  # one dimension is fixed by the limits
    ],
    ids=["number", "list", "matrix", "flat list", "fixed", "fixed by limits"],
)
def test_a_head_with_limits_neither_chooses_nor_tells_actions_beyond_them(kind, space, limits):
    head, params = make(kind, space, limits=limits)
    low, high = (th.as_tensor(each, dtype=th.float32).expand(np.prod(space.shape)).view(space.shape) for each in limits)
    for deterministic in (True, False):
        actions = head.act(100 * params, deterministic)
        assert (actions >= low - 1e-6).all() and (actions <= high + 1e-6).all()
    drawn = draw(space)
    inside = drawn.clamp(low, high)
    assert (drawn != inside).any() or space is FIXED
    th.testing.assert_close(head.encode(drawn), head.encode(inside))
    th.testing.assert_close(head.nll(params, drawn), head.nll(params, inside))
    moves = head.half_range > 0
    assert head.encode(inside)[:, moves].abs().max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ([-2, 1], r"limits is \[-2, 1\], but the first must not be above the second, and both must be in the action"),
        ([1, -1], r"limits is \[1, -1\], but the first must not be above the second"),
        ([[0, 0, 0], 1], r"limits is \[\[0, 0, 0\], 1\], but an action has 2 numbers; give two lists of"),
        ([0], r"limits is \[0\]; give a list with a length of 2, each a finite number or a list"),
        ([float("nan"), 1], r"limits\[0\] is nan; give a finite number"),
    ],
)
def test_limits_that_do_not_fit_are_refused(limits, message):
    with pytest.raises(ValueError, match=message):
        make_action_head(UNIT, WIDTH, "deterministic", limits=limits)


@pytest.mark.parametrize("kind", ["deterministic", "gaussian"])
def test_a_teacher_beyond_the_bounds_means_the_bounds_unless_told_otherwise(kind):
    head, params = make(kind, UNIT)
    params = params.clamp(-1, 1)
    beyond = params.sign() * 3
    th.testing.assert_close(head.imitate(params, beyond), head.imitate(params, params.sign()))
    assert (head.imitate(params, beyond, bounded=False) > head.imitate(params, beyond)).all()
