"""Makes the encoders of an observation space, and fits their statistics to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from gcrl_zoo.common.wording import cause_of
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.nets.encoders import DictEncoder, ExtractingEncoder, OneHotEncoder, VectorEncoder, scaler_of
from gcrl_zoo.nets.image_encoders import IMAGE_ENCODERS, MIN_SIDE, Pixels, SmallImageEncoder, fits
from gcrl_zoo.nets.motion import Motion

#: Names of :data:`~gcrl_zoo.nets.image_encoders.IMAGE_ENCODERS`.
ImageEncoderName = Literal["nature", "compact", "residual"]
#: Small images whose mean and standard deviation are computed; all of a large dataset would take gigabytes.
MANY_IMAGES = 10_000


def is_image_stack(space: spaces.Space) -> bool:
    """
    Whether an entry is a stack of images, such as ``FrameStackObservation`` makes of colour images.

    :param space: one entry of the observation space
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 4:
        return False
    return is_image_space(spaces.Box(space.low[0], space.high[0], dtype=space.dtype.type))


def is_image(space: spaces.Space) -> bool:
    """
    Whether an entry is an image or a stack of images.

    :param space: one entry of the observation space
    """
    return is_image_space(space) or is_image_stack(space)


def is_large_image(space: spaces.Space) -> bool:
    """
    Whether an entry is an image or a stack of images of at least 36 x 36 pixels, which convolutions encode.

    :param space: one entry of the observation space
    """
    return is_image(space) and fits(space.shape or ())


def large_images(facts: spaces.Dict, given: str, advice: str) -> dict[str, tuple[int, ...]]:
    """
    Return the shape of each entry that is a large image, see :func:`is_large_image`.

    :param facts: entries of the observation
    :param given: the argument that needs them, for the message
    :param advice: what to do without them, for the message
    :raises ValueError: there is none
    """
    shapes = {key: tuple(space.shape or ()) for key, space in facts.items() if is_large_image(space)}
    if not shapes:
        seen = ", ".join(f"'{key}' is {space}" for key, space in facts.items())
        raise ValueError(
            f"{given}, but the observation has no image of at least {MIN_SIDE} x {MIN_SIDE} pixels ({seen}); {advice}."
        )
    return shapes


def make_encoder(space: spaces.Space, image_features: int, image_encoder: ImageEncoderName = "nature") -> nn.Module:
    """
    Make the encoder of one entry of the observation.

    :param space: one entry of the observation space
    :param image_features: width of an image's encoding
    :param image_encoder: kind of convolutions, for images that are large enough
    """
    if isinstance(space, spaces.Discrete):
        return OneHotEncoder([int(space.n)], [int(space.start)])
    if isinstance(space, spaces.MultiDiscrete):
        return OneHotEncoder(space.nvec.flatten().tolist(), space.start.flatten().tolist())
    assert space.shape is not None
    if is_large_image(space):
        return IMAGE_ENCODERS[image_encoder](space.shape, image_features)
    return SmallImageEncoder(space.shape) if is_image(space) else VectorEncoder(space.shape)


def make_encoders(
    facts: spaces.Dict,
    image_features: int,
    image_encoder: ImageEncoderName,
    extractor_class: type[BaseFeaturesExtractor] | None,
    extractor_kwargs: Mapping[str, Any] | None,
) -> dict[str, nn.Module]:
    """
    Make an encoder for each entry of the observation.

    :param facts: the entries to encode
    :param image_features: width of an image's encoding
    :param image_encoder: kind of convolutions, for images that are large enough
    :param extractor_class: a ``BaseFeaturesExtractor`` that replaces the encoders; None for those of this package
    :param extractor_kwargs: its options
    :raises ValueError: options without a class, a class besides an image encoder, or one that cannot be made for an
        entry
    """
    if extractor_class is not None:
        if image_encoder != "nature":
            raise ValueError(
                f"image_encoder is '{image_encoder}', but the features_extractor_class {extractor_class.__name__} "
                "replaces all encoders; leave out one of the two."
            )
        return {key: make_extractor(key, each, extractor_class, extractor_kwargs or {}) for key, each in facts.items()}
    if extractor_kwargs:
        raise ValueError(
            "features_extractor_kwargs are given without a features_extractor_class; give both, or leave both out "
            "and set the width of the image encoder by image_features."
        )
    return {key: make_encoder(space, image_features, image_encoder) for key, space in facts.items()}


def make_motion(facts: spaces.Dict, image_features: int, image_encoder: ImageEncoderName) -> Motion:
    """
    Make the encoder of the movement of all large images.

    :param facts: entries of the observation
    :param image_features: width of the encoding of each image
    :param image_encoder: kind of convolutions
    :raises ValueError: no entry is a large image
    """
    shapes = large_images(facts, "inverse_input is 'motion'", "use 'frames'")
    return Motion(shapes, IMAGE_ENCODERS[image_encoder], image_features)


def make_extractor(
    key: str, space: spaces.Space, extractor_class: type[BaseFeaturesExtractor], kwargs: Mapping[str, Any]
) -> ExtractingEncoder:
    """
    Make an encoder from a user's ``BaseFeaturesExtractor``.

    :param key: of the entry, for messages
    :param space: one entry of the observation space
    :param extractor_class: its inputs are those that it has in SB3, except that vectors are standardised
    :param kwargs: options of the class
    :raises ValueError: the class cannot be made for this entry, or does not return what it says
    """
    assert space.shape is not None
    one_hot = isinstance(space, (spaces.Discrete, spaces.MultiDiscrete))
    shape = (get_flattened_obs_dim(space),) if one_hot else space.shape
    scaler = Pixels() if is_image(space) else make_encoder(space, 0)
    try:
        extractor = extractor_class(space, **kwargs)
        encoder = ExtractingEncoder(scaler, extractor, shape, extractor.features_dim)
        with th.no_grad():
            found = tuple(extractor(th.zeros(2, *shape)).shape)
        assert found == (2, encoder.features_dim), f"(2, {encoder.features_dim}) features expected, but found {found}"
    except Exception as error:  # any error of a user's class
        raise ValueError(
            f"features_extractor_class: {extractor_class.__name__} fails for observation '{key}', {space} "
            f"({cause_of(error)}); it is made once for each entry of the observation, with the space of the entry and "
            "features_extractor_kwargs."
        ) from error
    return encoder


def fit_encoders(encoder: DictEncoder, store: TrajectoryStore) -> None:
    """
    Scale vectors and small images by the moments of the data.

    :param encoder: of whole observations
    :param store: trajectories, of which only observations are read
    """
    for key, each in encoder.items():
        fit_encoder(each, store, key)


def fit_encoder(encoder: nn.Module, store: TrajectoryStore, key: str) -> None:
    """
    Fit the statistics of one encoder.

    :param encoder: of one entry of the observation
    :param store: trajectories, of which only this entry is read
    :param key: of the entry
    """
    scaler = scaler_of(encoder)
    if isinstance(scaler, VectorEncoder):
        mean, std = store.moments(key)
        scaler.fit(th.as_tensor(mean), th.as_tensor(std))
    elif isinstance(scaler, SmallImageEncoder):
        slots = store.slots[:: 1 + len(store.slots) // MANY_IMAGES]
        scaler.fit(th.as_tensor(store.take(key, slots)))
