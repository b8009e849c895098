"""What moves between two states that are images."""

from collections.abc import Mapping, Sequence

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.encoders import DictEncoder
from gcrl_zoo.nets.image_encoders import ImageEncoder, fold_stack, folded_shape


class Motion(nn.Module):
    """
    Encodes what moves from one stack of frames to a later one: the differences of consecutive frames, from the newest
    frame of the earlier stack to the newest of the later one, by convolutions.

    An inverse model that sees the frames themselves can tell from the surroundings which actions usually led there.
    That is wrong in the data of another policy. Differences show the movement, and little of the surroundings. The
    movement before the earlier state is left out for the same reason: it reveals the previous action, which random play
    often repeats. So the later stack must be all after the earlier one: ``n_frames`` steps or more.

    :param shapes: shape of one observation by key of each image or stack of images, as for
        :class:`~gcrl_zoo.nets.image_encoders.ImageEncoder`
    :param encoder_class: encoder of the differences
    :param features_dim: width of the encoding of each entry
    """

    def __init__(
        self, shapes: Mapping[str, Sequence[int]], encoder_class: type[ImageEncoder], features_dim: int
    ) -> None:
        super().__init__()
        self.shapes = {key: tuple(shape) for key, shape in shapes.items()}
        encoders = {}
        for key, shape in self.shapes.items():
            encoders[key] = encoder_class(folded_shape(shape), features_dim)
        #: Frames of the largest stack.
        self.n_frames = max(shape[0] if len(shape) == 4 else 1 for shape in self.shapes.values())
        self.encoder = DictEncoder(encoders)
        self.features_dim = self.encoder.features_dim

    def forward(self, states: Mapping[str, Tensor], goals: Mapping[str, Tensor]) -> Tensor:
        """
        Encode what moves from states to goals.

        :param states: (B, ...) uint8 by key; further keys do not matter
        :param goals: (B, ...) uint8 by key, some steps later
        :return: (B, F) float32, F being ``features_dim``
        """
        return self.encoder({key: self._differences(key, states[key], goals[key]) for key in self.shapes})

    def _differences(self, key: str, state: Tensor, goal: Tensor) -> Tensor:
        """Return the differences of consecutive frames, (B, C, H, W) float32."""
        shape = self.shapes[key]
        before, after = (fold_stack(each, shape) for each in (state, goal))
        n = after.shape[1] // (shape[0] if len(shape) == 4 else 1)  # channels of one frame
        frames = th.cat([before[:, -n:], after], dim=1).float()
        return frames[:, n:] - frames[:, :-n]
