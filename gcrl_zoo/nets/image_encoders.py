"""Encoders of images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch as th
from torch import Tensor, nn

#: Smallest height and width of images that have convolutions, which leave nothing of smaller ones.
MIN_SIDE = 36


def is_channels_last(shape: Sequence[int]) -> bool:
    """
    Return whether the channels of an image are its last axis. Only stacks may have this layout: SB3 turns other images.

    :param shape: (C, H, W), (S, C, H, W) or (S, H, W, C), where channels are fewer than pixels
    """
    return len(shape) == 4 and shape[3] < shape[1]


def image_size(shape: Sequence[int]) -> tuple[int, int]:
    """
    Return height and width of an image in pixels.

    :param shape: as for :func:`is_channels_last`
    """
    *_, height, width = shape[:-1] if is_channels_last(shape) else shape
    return height, width


def folded_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """
    Return channels, height and width of a stack as one image.

    :param shape: as for :func:`is_channels_last`
    """
    channels = shape[-1] if is_channels_last(shape) else shape[-3]
    return channels * (shape[0] if len(shape) == 4 else 1), *image_size(shape)


def fold_stack(images: Tensor, shape: Sequence[int]) -> Tensor:
    """
    Turn stacks into images of more channels.

    :param images: (B, *shape)
    :param shape: as for :func:`is_channels_last`
    :return: (B, C, H, W), or (B, S * C, H, W) for stacks
    """
    if is_channels_last(shape):
        images = images.movedim(-1, 2)
    return images.flatten(1, 2) if images.dim() == 5 else images


def fits(shape: Sequence[int]) -> bool:
    """
    Return whether an image is large enough for convolutions; :class:`SmallImageEncoder` is for others.

    :param shape: as for :func:`is_channels_last`
    """
    return min(image_size(shape)) >= MIN_SIDE


class ImageEncoder(nn.Module, ABC):
    """
    Base class of encoders of large images: convolutions, a linear layer, LayerNorm and tanh. They read channel-first
    uint8 images, or stacks of S images of either layout, whose frames become further channels.

    :param shape: (C, H, W), (S, C, H, W) or (S, H, W, C), where channels are fewer than pixels; see :func:`fits`
    :param features_dim: width of the output
    """

    def __init__(self, shape: Sequence[int], features_dim: int = 256) -> None:
        super().__init__()
        self.shape = tuple(shape)
        folded = folded_shape(shape)
        self.features_dim = features_dim
        self.convolutions = nn.Sequential(*self.make_layers(folded[0]), nn.ReLU(), nn.Flatten())
        with th.no_grad():
            width = self.convolutions(th.zeros(1, *folded)).shape[1]
        self.project = nn.Sequential(nn.Linear(width, features_dim), nn.LayerNorm(features_dim), nn.Tanh())

    @abstractmethod
    def make_layers(self, n_channels: int) -> list[nn.Module]:
        """
        Make the convolutions, without the last activation.

        :param n_channels: of an image or a whole stack
        """

    def forward(self, image: Tensor) -> Tensor:
        """
        Encode images.

        :param image: (B, C, H, W), (B, S, C, H, W) or (B, S, H, W, C) uint8
        :return: (B, O) float32
        """
        return self.project(self.convolutions(self._folded(image).float() / 255.0))

    def _folded(self, image: Tensor) -> Tensor:
        """A stack as one image of S * C channels."""
        return fold_stack(image, self.shape)


class NatureEncoder(ImageEncoder):
    """The three convolutions of Mnih et al. (2015)."""

    #: Channels of the three layers.
    WIDTHS = 32, 64, 64

    def make_layers(self, n_channels: int) -> list[nn.Module]:
        first, second, third = self.WIDTHS
        return [
            nn.Conv2d(n_channels, first, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(first, second, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(second, third, kernel_size=3, stride=1),
        ]


class CompactEncoder(NatureEncoder):
    """The same convolutions with half as many channels, for training on a CPU."""

    WIDTHS = 16, 32, 32


class ResidualUnit(nn.Module):
    """
    Two convolutions, added to their input.

    :param n_channels: of input and output
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, kernel_size=3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """
        Process images.

        :param image: (B, C, H, W)
        :return: of the same shape
        """
        return image + self.layers(image)


class ResidualEncoder(ImageEncoder):
    """
    The small residual network of IMPALA (Espeholt et al. 2018): three blocks of a convolution, a max-pooling and two
    residual units. The first convolution has a stride of 2, which the original has not, to save time.
    """

    WIDTHS = 16, 32, 32

    def make_layers(self, n_channels: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for before, width in pairwise((n_channels, *self.WIDTHS)):
            layers += [
                nn.Conv2d(before, width, kernel_size=3, stride=1 if layers else 2, padding=1),
                nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
                ResidualUnit(width),
                ResidualUnit(width),
            ]
        return layers

    def _folded(self, image: Tensor) -> Tensor:
        # In this memory format, convolutions of few channels take two thirds of the time.
        return super()._folded(image).contiguous(memory_format=th.channels_last)


#: Encoders of large images by name.
IMAGE_ENCODERS: dict[str, type[ImageEncoder]] = {
    "nature": NatureEncoder,
    "compact": CompactEncoder,
    "residual": ResidualEncoder,
}


class SmallImageEncoder(nn.Module):
    """
    Flattens images that are too small for :class:`ImageEncoder` (see :func:`fits`), such as the 7 x 7 x 3 symbols of
    MiniGrid, and scales all pixels by one mean and one standard deviation. So pixels that rarely change are not
    magnified, and symbols (0 to 10) become as large as grey levels (0 to 255).

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


class Pixels(nn.Module):
    """From 0 ... 255 to 0 ... 1, float32."""

    def forward(self, image: Tensor) -> Tensor:
        """
        Scale images to 0 ... 1.

        :param image: (B, ...) uint8
        """
        return image.float() / 255.0
