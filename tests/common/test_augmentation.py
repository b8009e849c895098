"""Random shifts of images: the same for all images of a row, with repeated edges, and part of a run that resumes."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from gcrl_zoo import BC
from gcrl_zoo.common.augmentation import RandomShift, shift
from gcrl_zoo.data.samplers import GoalBatch, StepBatch
from gcrl_zoo.data.transitions import TransitionBatch
from gcrl_zoo.data.windows import WindowBatch
from tests.support.case import differing, weights_of
from tests.support.envs import make_env, make_store
from tests.support.matrix import every_trajectory_case

PIXELS = 3
SHIFTED = {"random_shift": 4}
FIRST, LAST = (3, 36, 40), (2, 40, 36, 3)


def box(shape):
    return spaces.Box(0, 255, shape, np.uint8)


def random_images(*shape):
    return th.randint(0, 256, shape, dtype=th.uint8)


def by_hand(image, down, right, channels_last):
    """One image, pixel by pixel."""
    out, (height, width) = image.clone(), image.shape[-3:-1] if channels_last else image.shape[-2:]
    for y in range(height):
        for x in range(width):
            source = min(max(y - down, 0), height - 1), min(max(x - right, 0), width - 1)
            if channels_last:
                out[..., y, x, :] = image[..., source[0], source[1], :]
            else:
                out[..., y, x] = image[..., source[0], source[1]]
    return out


def offsets_of(before, after, channels_last):
    """The offset of each row, found by comparison with all possible ones."""
    reach, found = range(-PIXELS, PIXELS + 1), []
    every = [(down, right) for down in reach for right in reach]
    candidates = [shift(before, th.tensor([each] * len(before)).T, PIXELS, channels_last) for each in every]
    for row in range(len(before)):
        (offset,) = [each for each, shifted in zip(every, candidates, strict=True) if shifted[row].equal(after[row])]
        found.append(offset)
    return found


@pytest.mark.parametrize(
    ("shape", "channels_last"), [((5, 6), False), ((2, 6, 5), False), ((2, 4, 5, 3), True), ((2, 3, 2, 5, 4), False)]
)
def test_pixels_are_those_of_the_definition(shape, channels_last):
    images = random_images(5, *shape)
    offsets = th.tensor([[0, 3, -3, 1, -2], [0, -3, 3, 2, -1]])
    expected = th.stack(
        [by_hand(image, *offset, channels_last) for image, offset in zip(images, offsets.T.tolist(), strict=True)]
    )
    shifted = shift(images, offsets, PIXELS, channels_last)
    assert shifted.dtype == th.uint8 and shifted.equal(expected)
    turned = images.transpose(-1, -2).contiguous().transpose(-1, -2)  # another order in memory
    assert shift(turned, offsets, PIXELS, channels_last).equal(expected)


ENTRIES = spaces.Dict(
    {"image": box(FIRST), "stack": box(LAST), "symbols": box((7, 7, 3)), "vector": spaces.Box(-1, 1, (4,))}
)


def entries(*axes, keys=tuple(ENTRIES)):
    return {key: random_images(*axes, *ENTRIES[key].shape) for key in keys}


def batch_of(kind):
    """A batch of each kind that samplers make, 8 rows."""
    if kind is WindowBatch:
        return WindowBatch(entries(8, 5), None, th.ones(8, 5), None, None, th.zeros(8, 5))
    if kind is GoalBatch:
        goal = ("stack",)
        return GoalBatch(entries(8), None, entries(8, keys=goal), None, None, None, None, entries(8, keys=goal))
    if kind is TransitionBatch:
        return TransitionBatch(entries(8), None, None, entries(8), th.zeros(8))
    return StepBatch(entries(8), th.zeros(8))


@pytest.mark.parametrize("kind", [StepBatch, GoalBatch, WindowBatch, TransitionBatch])
def test_all_images_of_a_row_have_the_same_offset(kind):
    th.manual_seed(0)
    batch = batch_of(kind)
    shifted = RandomShift(ENTRIES, PIXELS)(batch)
    assert type(shifted) is kind
    found = []
    for before, after in zip(batch, shifted, strict=True):
        if not isinstance(before, dict):
            assert after is before
            continue
        assert before.keys() == after.keys()
        for key in before:
            if key in ("image", "stack"):
                found.append(offsets_of(before[key], after[key], channels_last=key == "stack"))
            else:
                assert after[key] is before[key]
    assert len(found) >= 2 and all(each == found[0] for each in found)
    assert len(set(found[0])) > 4  # the rows differ
    assert all(other != again for other, again in zip(found[0], reversed(found[0]), strict=True))


def test_all_offsets_are_equally_likely():
    th.manual_seed(0)
    ramp = 10 * th.arange(36)[:, None] + th.arange(36)  # a pixel tells where it was
    batch = StepBatch({"image": ramp.expand(3000, 1, 36, 36)}, None)
    moved = 11 * 18 - RandomShift(spaces.Dict(image=box((1, 36, 36))), 2)(batch).observations["image"][:, 0, 18, 18]
    offsets, counts = moved.unique(return_counts=True)
    assert offsets.tolist() == sorted(10 * down + right for down in range(-2, 3) for right in range(-2, 3))
    assert counts.min() > 80 and counts.max() < 170  # of 120


@pytest.mark.parametrize(
    ("space", "pixels", "fault"),
    [
        (spaces.Dict(vector=spaces.Box(-1, 1, (4,))), 4, "has no image of at least 36 x 36 pixels"),
        (spaces.Dict(symbols=box((7, 7, 3))), 4, "has no image of at least 36 x 36 pixels"),
        (spaces.Dict(image=box((3, 50, 40))), 40, "'image' have 50 x 40 pixels"),
    ],
)
def test_what_cannot_be_shifted_is_refused(space, pixels, fault):
    with pytest.raises(ValueError, match=f"random_shift is {pixels}, .*{fault}.*; ") as caught:
        RandomShift(space, pixels)
    assert "\n" not in str(caught.value)


def test_the_constructor_refuses_it():
    with pytest.raises(ValueError, match=r"random_shift is 4, but the observation has no image"):
        BC("MlpPolicy", "CartPole-v1", random_shift=4)


@every_trajectory_case
def test_training_shifts_each_batch_and_acting_shifts_nothing(case):
    """Own play, in which held-out metrics are computed, too."""
    with mock.patch.object(RandomShift, "__call__", autospec=True, side_effect=RandomShift.__call__) as shifts:
        model = case.make(
            case.env("image"), random_shift=4, learning_starts=10, train_freq=10, gradient_steps=1, batch_size=4
        ).learn(30)
    assert model._n_updates and set(model._learner.last_batches) == set(model._learner.samplers)
    assert shifts.call_count == model._n_updates * len(model._learner.samplers)


def bc(**kwargs):
    settings = {"dataset": make_store("image"), "batch_size": 8, "seed": 0, "device": "cpu"}
    return BC(
        "CnnPolicy", make_env("image"), policy_kwargs={"net_arch": [8], "image_features": 8}, **settings, **kwargs
    )


def test_a_shift_of_zero_is_no_shift():
    without, off, shifted = (weights_of(bc(**kwargs).learn(4)) for kwargs in ({}, {"random_shift": 0}, SHIFTED))
    assert not differing(without, off) and differing(without, shifted)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    whole, half = bc(**SHIFTED).learn(8), bc(**SHIFTED)
    half.learn(8, lambda local, _: local["self"].num_timesteps < 4)
    half.save(tmp_path / "half")
    resumed = BC.load(tmp_path / "half", make_env("image"), dataset=make_store("image"), resume=True)
    assert resumed.random_shift == 4
    assert not differing(weights_of(whole), weights_of(resumed.learn(8)))
