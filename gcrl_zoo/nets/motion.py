"""What moves between two states that are images."""

from collections.abc import Mapping, Sequence

import torch as th
from torch import Tensor, nn

from gcrl_zoo.nets.encoders import DictEncoder
from gcrl_zoo.nets.image_encoders import ImageEncoder, fold_stack, folded_shape


class Motion(nn.Module):
    """
    Encodes the differences of consecutive frames in two stacks of frames, an earlier and a later one, by convolutions.

    An inverse model that sees the frames themselves can tell from the surroundings which actions usually led there.
    That is wrong in the data of another policy. Differences show the movement, and little of the surroundings.

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
            channels, height, width = folded_shape(shape)
            encoders[key] = encoder_class((2 * channels - self._per_frame(key), height, width), features_dim)
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
        frames = th.cat([fold_stack(each, self.shapes[key]) for each in (state, goal)], dim=1).float()
        n = self._per_frame(key)
        return frames[:, n:] - frames[:, :-n]

    def _per_frame(self, key: str) -> int:
        """Return the number of channels of one frame."""
        shape = self.shapes[key]
        return folded_shape(shape)[0] // (shape[0] if len(shape) == 4 else 1)
