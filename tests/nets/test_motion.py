"""Motion: differences of consecutive frames, in every layout of images."""

from itertools import pairwise

import pytest
import torch as th

from gcrl_zoo.nets.image_encoders import CompactEncoder
from gcrl_zoo.nets.motion import Motion

#: Shape of one observation -> place of the frames of two stacks in an image of all channels.
SHAPES = {"image": (3, 40, 48), "grey": (1, 40, 48), "stack": (4, 3, 40, 48), "channels last": (4, 40, 48, 1)}


def frames_of(images: th.Tensor) -> list[th.Tensor]:
    """The frames of one observation, oldest first, as (C, H, W)."""
    if images.dim() == 3:
        return [images]
    return [frame.movedim(-1, 0) if images.shape[-1] < images.shape[1] else frame for frame in images]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_encodes_differences_of_consecutive_frames(shape):
    th.manual_seed(0)
    motion = Motion({"camera": shape}, CompactEncoder, 8)
    states, goals = (th.randint(0, 256, (5, *shape), dtype=th.uint8) for _ in range(2))
    encoded = motion({"camera": states, "other": th.zeros(5, 2)}, {"camera": goals})
    assert encoded.shape == (5, motion.features_dim) == (5, 8)
    for index in range(5):
        frames = [frame.float() for frame in [frames_of(states[index])[-1], *frames_of(goals[index])]]
        differences = th.cat([later - earlier for earlier, later in pairwise(frames)])
        th.testing.assert_close(motion.encoder.encoders[0](differences[None])[0], encoded[index])


def test_surroundings_that_stay_are_invisible():
    th.manual_seed(0)
    motion = Motion({"camera": (4, 1, 40, 40)}, CompactEncoder, 8)
    moving, still = th.randint(0, 100, (2, 3, 4, 1, 40, 40), dtype=th.uint8)
    still = still[:, :1].expand_as(still)
    both = motion({"camera": moving}, {"camera": moving})
    th.testing.assert_close(motion({"camera": moving + still}, {"camera": moving + still}), both)
