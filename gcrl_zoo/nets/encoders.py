"""Encoders turn one entry of an observation into a flat, well-scaled float32 vector."""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch as th
from torch import Tensor, nn


class VectorEncoder(nn.Module):
    """
    Flattens and standardises. The statistics are buffers, so they are saved with the weights and an agent needs no data
    to act.

    :param shape: shape of one observation, without the batch
    """

    mean: Tensor
    std: Tensor
    #: Standard deviations below this (relative to the mean, where that is large) are rounding errors.
    STILL = 1e-6
    #: Lower bound of the divisor.
    MIN_STD = 1e-3

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.features_dim = int(th.Size(shape).numel())
        self.register_buffer("mean", th.zeros(self.features_dim))
        self.register_buffer("std", th.ones(self.features_dim))

    @th.no_grad()
    def fit(self, mean: Tensor, std: Tensor) -> None:
        """
        Set mean and standard deviation. A dimension that is constant in the data keeps its own units: divided by almost
        zero it would dominate all others when it changes later. It is not clipped, which would hide by how much it
        changed.

        :param mean: (O,) mean of the data, any device
        :param std: (O,) standard deviation of the data
        """
        mean, std = mean.flatten(), std.flatten()
        self.mean.copy_(mean)
        moved = std >= self.STILL * mean.abs().clamp(min=1)
        self.std.copy_(th.where(moved, std.clamp(min=self.MIN_STD), 1.0))

    def forward(self, observation: Tensor) -> Tensor:
        """
        Standardise vectors.

        :param observation: (B, ...) any number type
        :return: (B, O) float32
        """
        return (observation.flatten(1).float() - self.mean) / self.std


class SmallImageEncoder(nn.Module):
    """
    Flattens images that are too small for :class:`ImageEncoder`, such as the 7 x 7 x 3 symbols of MiniGrid, and scales
    all pixels by one mean and one standard deviation. So pixels that rarely change are not magnified, and symbols
    (0 to 10) become as large as grey levels (0 to 255).

    :param shape: of one image or of a stack of them, any layout
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.features_dim = int(th.Size(shape).numel())
        self.register_buffer("mean", th.zeros(1))
        self.register_buffer("std", th.ones(1))

    @th.no_grad()
    def fit(self, images: Tensor) -> None:
        """
        Compute the mean and the standard deviation of all pixels.

        :param images: (N, ...) uint8 of the data, any device
        """
        std, mean = th.std_mean(images.float(), correction=0)
        self.mean.fill_(mean)
        self.std.fill_(std if std > 0 else 1)

    def forward(self, image: Tensor) -> Tensor:
        """
        Flatten and standardise images.

        :param image: (B, ...) uint8
        :return: (B, O) float32
        """
        return (image.flatten(1).float() - self.mean) / self.std


class OneHotEncoder(nn.Module):
    """
    One-hot vectors of a ``Discrete`` (one category) or ``MultiDiscrete`` (several) observation.

    :param sizes: number of values of each category
    :param starts: smallest value of each category
    """

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], starts: Sequence[int]) -> None:
        super().__init__()
        self.features_dim = sum(sizes)
        ends = th.tensor([0, *sizes]).cumsum(0)
        self.register_buffer("offsets", ends[:-1] - th.tensor(list(starts)))

    def forward(self, observation: Tensor) -> Tensor:
        """
        Encode each number as a one-hot vector.

        :param observation: (B,), (B, 1) or (B, C) integers
        :return: (B, O) float32
        """
        hot = observation.reshape(observation.shape[0], -1).long() + self.offsets  # (B, C)
        blank = observation.new_zeros((observation.shape[0], self.features_dim), dtype=th.float32)
        return blank.scatter(1, hot, 1.0)


class ImageEncoder(nn.Module):
    """
    The three convolutions of Mnih et al. (2015) on channel-first uint8 images, or on stacks of S images of either
    layout, whose frames become further channels.

    :param shape: (C, H, W), (S, C, H, W) or (S, H, W, C), where channels are fewer than pixels; see :meth:`fits`
    :param features_dim: width of the output
    """

    MIN_SIDE = 36  # the convolutions leave nothing of smaller images

    @classmethod
    def fits(cls, shape: Sequence[int]) -> bool:
        """
        Return whether images are large enough; :class:`SmallImageEncoder` is for others.

        :param shape: as for the constructor
        """
        return min(shape[1:3] if cls._is_channels_last(shape) else shape[-2:]) >= cls.MIN_SIDE

    @staticmethod
    def _is_channels_last(shape: Sequence[int]) -> bool:
        return len(shape) == 4 and shape[3] < shape[1]

    def __init__(self, shape: Sequence[int], features_dim: int = 256) -> None:
        super().__init__()
        self.channels_last = self._is_channels_last(shape)
        shape = self._folded(th.empty(1, *shape, device="meta")).shape[1:]
        self.features_dim = features_dim
        self.convolutions = nn.Sequential(
            nn.Conv2d(shape[0], 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with th.no_grad():
            width = self.convolutions(th.zeros(1, *shape)).shape[1]
        self.project = nn.Sequential(nn.Linear(width, features_dim), nn.LayerNorm(features_dim), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        """
        Encode images.

        :param image: (B, C, H, W), (B, S, C, H, W) or (B, S, H, W, C) uint8
        :return: (B, O) float32
        """
        return self.project(self.convolutions(self._folded(image).float() / 255.0))

    def _folded(self, image: Tensor) -> Tensor:
        """A stack as one image of S * C channels."""
        if self.channels_last:
            image = image.movedim(-1, 2)
        return image.flatten(1, 2) if image.dim() == 5 else image


class Pixels(nn.Module):
    """From 0 ... 255 to 0 ... 1, float32."""

    def forward(self, image: Tensor) -> Tensor:
        """
        Scale images to 0 ... 1.

        :param image: (B, ...) uint8
        """
        return image.float() / 255.0


class ExtractingEncoder(nn.Module):
    """
    A user's network after our scaling.

    :param scaler: :class:`VectorEncoder`, :class:`OneHotEncoder` or :class:`Pixels`
    :param extractor: module from (B, *shape) float32 to (B, O)
    :param shape: of one scaled observation
    :param features_dim: O
    """

    def __init__(self, scaler: nn.Module, extractor: nn.Module, shape: Sequence[int], features_dim: int) -> None:
        super().__init__()
        self.scaler, self.extractor = scaler, extractor
        self.shape, self.features_dim = tuple(shape), features_dim

    def forward(self, observation: Tensor) -> Tensor:
        """
        Encode observations.

        :param observation: (B, ...) any number type
        :return: (B, O)
        """
        return self.extractor(self.scaler(observation).view(-1, *self.shape))


def scaler_of(encoder: nn.Module) -> nn.Module:
    """
    Return the part of an encoder that holds statistics and no weights; the encoder itself if it has no such part.

    :param encoder: of one entry of the observation
    """
    return encoder.scaler if isinstance(encoder, ExtractingEncoder) else encoder


def with_own_weights(encoder: nn.Module) -> nn.Module:
    """
    Copy an encoder, so that it shares no weights; an encoder without weights is returned itself.

    :param encoder: of one entry of the observation; the copy has the same statistics
    """
    if not [*encoder.parameters()]:
        return encoder
    scaler = scaler_of(encoder)
    return copy.deepcopy(encoder, {} if scaler is encoder else {id(scaler): scaler})


class DictEncoder(nn.Module):
    """
    Encodes each entry of a Dict observation with its own encoder and puts the results side by side.

    :param encoders: encoder by observation key
    """

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        # ModuleDict refuses keys with dots or of its own attributes, which an environment may well use.
        self.keys = tuple(encoders)
        self.encoders = nn.ModuleList(encoders.values())
        self.features_dim: int = sum(encoder.features_dim for encoder in encoders.values())  # type: ignore[misc]

    def items(self) -> Iterator[tuple[str, nn.Module]]:
        """Key and encoder of each entry."""
        return zip(self.keys, self.encoders, strict=True)

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """
        Encode all entries.

        :param observations: (B, ...) by key
        :return: (B, O) float32
        """
        if len(self.keys) == 1:  # most environments; saves acting a concatenation
            return self.encoders[0](observations[self.keys[0]])
        return th.cat([encoder(observations[key]) for key, encoder in self.items()], dim=1)
