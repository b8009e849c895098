"""Calibration: predictions that shrink are corrected by the line that own data shows."""

import numpy as np
import pytest
import torch as th

from gcrl_zoo.nets.calibration import Calibration

SLOPES, INTERCEPTS = th.tensor([0.5, 1.0, 0.3]), th.tensor([0.2, 0.0, -0.4])


def shrunk(n=4000, seed=0):
    """Predictions with a slope below 1 and noise, and the truth."""
    th.manual_seed(seed)
    true = th.randn(n, 3) + th.tensor([0.0, 1.0, -2.0])
    return SLOPES * true + INTERCEPTS + 0.1 * th.randn(n, 3), true


def updated(calibration, predicted, true, mask=None, batch=100):
    mask = th.ones(len(true), dtype=th.bool) if mask is None else mask
    for rows in th.arange(len(true)).split(batch):
        calibration.update(predicted[rows], true[rows], mask[rows])
    return calibration


def slopes(predicted, true):
    return [np.polyfit(true[:, i], predicted[:, i], 1)[0] for i in range(true.shape[1])]


def test_corrected_predictions_have_the_slope_of_the_truth():
    predicted, true = shrunk()
    corrected = updated(Calibration(3), predicted, true)(predicted)
    np.testing.assert_allclose(slopes(predicted, true), SLOPES, atol=0.01)
    np.testing.assert_allclose(slopes(corrected, true), [1, 1, 1], atol=0.03)
    assert (corrected - true).mean(0).abs().max() < 0.05


def test_the_mean_of_other_data_is_right():
    """Without the correction it is drawn to the mean of the data that the calibration knows."""
    predicted, true = shrunk()
    calibration = updated(Calibration(3), predicted, true)
    others = SLOPES * 3 + INTERCEPTS + 0.1 * th.randn(4000, 3)  # the truth is always 3
    assert (others.mean(0) - 3)[[0, 2]].abs().min() > 1
    assert (calibration(others).mean(0) - 3).abs().max() < 0.2


def test_masked_rows_do_not_count():
    predicted, true = shrunk()
    mask = th.arange(len(true)) % 4 > 0
    spoiled = th.where(mask[:, None], predicted, 1e3)
    batches = [(spoiled, true, mask), (predicted, true, mask)]
    first, second = (updated(Calibration(3), *each)(predicted) for each in batches)
    th.testing.assert_close(first, second)


def test_it_changes_nothing_before_the_first_update():
    predicted, _ = shrunk(10)
    assert Calibration(3)(predicted).equal(predicted)


@pytest.mark.parametrize("n_updates", [1, 40])
def test_what_cannot_be_predicted_is_magnified_at_most_by_the_smallest_slope(n_updates):
    _, true = shrunk(100 * n_updates)
    noise = th.randn_like(true)
    corrected = updated(Calibration(3, min_slope=0.25), noise, true)(noise)
    assert slopes(corrected, noise) == pytest.approx([4, 4, 4])


def test_truth_that_is_always_the_same_gives_finite_predictions():
    predicted, true = shrunk()
    corrected = updated(Calibration(3), predicted, th.zeros_like(true))(predicted)
    assert corrected.isfinite().all()


def test_only_chosen_entries_are_corrected():
    predicted, true = shrunk()
    whole, part = (
        updated(Calibration(3, chosen), predicted, true)(predicted) for chosen in (None, [True, False, True])
    )
    assert part[:, 1].equal(predicted[:, 1]) and part[:, ::2].equal(whole[:, ::2])


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_it_is_made_from_an_argument(kind):
    assert Calibration.of(kind([True, False]), 2).chosen.tolist() == [True, False]
    assert Calibration.of(np.True_, 2).chosen.tolist() == Calibration.of(True, 2).chosen.tolist() == [True, True]
    assert Calibration.of(kind([False, False]), 2) is None and Calibration.of(False, 2) is None
    with pytest.raises(
        ValueError, match=r"calibrated_labels is \[True\], but an action has 2 dimensions; give one value"
    ):
        Calibration.of(kind([True]), 2)


def test_its_state_is_saved():
    predicted, true = shrunk()
    calibration, other = updated(Calibration(3), predicted, true), Calibration(3)
    other.load_state_dict(calibration.state_dict())
    assert other(predicted).equal(calibration(predicted))
