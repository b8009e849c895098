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


class ExtractingEncoder(nn.Module):
    """
    A user's network after our scaling.

    :param scaler: :class:`VectorEncoder`, :class:`OneHotEncoder` or :class:`~gcrl_zoo.nets.image_encoders.Pixels`
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

        :param observations: (B, ...) by key; further keys do not matter
        :return: (B, O) float32
        """
        if len(self.keys) == 1:  # most environments; saves acting a concatenation
            return self.encoders[0](observations[self.keys[0]])
        if not self.keys:
            first = next(iter(observations.values()))
            return first.new_zeros(len(first), 0, dtype=th.float32)
        return th.cat([encoder(observations[key]) for key, encoder in self.items()], dim=1)
