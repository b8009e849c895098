"""Augmentation of training batches: random shifts of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from torch import Tensor

from gcrl_zoo.common.encoders import large_images
from gcrl_zoo.nets.image_encoders import image_size, is_channels_last


class RandomShift:
    """
    Shifts the images of each row of a batch by a random number of pixels, the augmentation of DrQ (Kostrikov et al.
    2021). Observations, goals and successors of a row, all frames of a stack and all steps of a window have the same
    offset, so that the movement between them stays as it was. The pixels of an edge fill the place that a shift leaves.

    Images of fewer than 36 x 36 pixels, which are often symbols, are not shifted.

    :param facts: entries of the observation
    :param pixels: largest shift, in each direction; at least 1
    :raises ValueError: no entry is an image that can be shifted so far
    """

    def __init__(self, facts: spaces.Dict, pixels: int) -> None:
        self.pixels = pixels
        #: Shape of one observation, for each key whose images are shifted.
        self.shapes = large_images(facts, f"random_shift is {pixels}", "leave random_shift out")
        for key, shape in self.shapes.items():
            if pixels >= min(image_size(shape)):
                height, width = image_size(shape)
                raise ValueError(
                    f"random_shift is {pixels}, but the images of observation '{key}' have {height} x {width} pixels; "
                    "give a small part of that, such as 4."
                )

    def __call__(self, batch: Any) -> Any:
        """
        Shift the images of a batch, with random numbers of torch's global generator.

        :param batch: NamedTuple of tensors (B, ...), None, and dicts of observations: (B, ...) by key, where the
            entries of windows have further axes behind the first
        :return: the same with other images
        """
        entries = [
            entry for part in batch if isinstance(part, Mapping) for key, entry in part.items() if self.moves(key)
        ]
        if not entries:
            return batch
        size = 2, len(entries[0])
        offsets = th.randint(-self.pixels, self.pixels + 1, size, device=entries[0].device)
        return type(batch)(*(self._shifted(part, offsets) if isinstance(part, Mapping) else part for part in batch))

    def moves(self, key: str) -> bool:
        """
        Return whether the images of an entry are shifted.

        :param key: of the entry
        """
        return key in self.shapes

    def _shifted(self, entries: Mapping[str, Tensor], offsets: Tensor) -> dict[str, Tensor]:
        last = {key: is_channels_last(shape) for key, shape in self.shapes.items()}
        return {
            key: shift(entry, offsets, self.pixels, last[key]) if self.moves(key) else entry
            for key, entry in entries.items()
        }


def shift(images: Tensor, offsets: Tensor, margin: int, channels_last: bool) -> Tensor:
    """
    Shift images and repeat the pixels of their edges. Copies whole lines of pixels; does not wait for the device.

    :param images: (B, ..., H, W), or (B, ..., H, W, C) if ``channels_last``; any number type
    :param offsets: (2, B) pixels by which the images of a row move down and to the right; negative for up and left
    :param margin: largest size of an offset
    :param channels_last: whether the last axis holds channels
    :return: of the same shape
    """
    height, width, channels = images.shape[-3:] if channels_last else (*images.shape[-2:], 1)
    lines = images.reshape(len(images), -1, height, width, channels)  # (B, N, H, W, C)
    wide = lines.new_empty(*lines.shape[:3], width + 2 * margin, channels)
    wide[..., :margin, :] = lines[..., :1, :]
    wide[..., margin : margin + width, :] = lines
    wide[..., margin + width :, :] = lines[..., -1:, :]

    down, right = offsets[:, :, None, None]  # (B, 1, 1)
    sources = (th.arange(height, device=images.device) - down).clamp(0, height - 1)  # (B, 1, H) line to copy
    first = th.arange(0, lines.shape[:3].numel(), height, device=images.device).view(*lines.shape[:2], 1)  # (B, N, 1)
    begins = (first + sources) * wide.stride(2) + (margin - right) * channels  # (B, N, H) where its pixels begin
    spans = wide.flatten().unfold(0, width * channels, 1)  # all spans of a line's length, without a copy
    return spans.index_select(0, begins.flatten()).view(images.shape)
