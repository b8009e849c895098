"""Wrapper that crops images."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from gcrl_zoo.wrappers.goal import Array, plain


class CropObservation(gym.ObservationWrapper[Array, Any, Array], gym.utils.RecordConstructorArgs):
    """
    Crops images to a range of rows and a range of columns. Gymnasium has no such wrapper.

    Both ranges are ``[start, stop]``: the pixels from ``start`` up to, but not including, ``stop``.

    :param env: an environment whose observations are images (H, W, C) or (H, W)
    :param rows: rows to keep; None for all
    :param columns: columns to keep; None for all
    :raises ValueError: the observations are no images, or a range is not inside them

    >>> import gymnasium as gym
    >>> from gcrl_zoo.wrappers import CropObservation
    >>> env = gym.make("CartPole-v1", render_mode="rgb_array")
    >>> env = gym.wrappers.AddRenderObservation(env)  # images of 400 rows and 600 columns
    >>> env = CropObservation(env, rows=[150, 350], columns=[100, 500])
    >>> env.observation_space.shape
    (200, 400, 3)
    """

    def __init__(
        self, env: gym.Env[Any, Any], rows: Sequence[int] | None = None, columns: Sequence[int] | None = None
    ) -> None:
        rows, columns = (plain(bounds) for bounds in (rows, columns))
        gym.utils.RecordConstructorArgs.__init__(self, rows=rows, columns=columns)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
            raise ValueError(
                f"CropObservation crops images of shape (H, W, C) or (H, W), but the observations of {env} are "
                f"{space}; list it before wrappers that stack frames or add keys."
            )
        height, width = space.shape[:2]
        self._crop = _range("rows", rows, height, space.shape), _range("columns", columns, width, space.shape)
        self.observation_space = spaces.Box(space.low[self._crop], space.high[self._crop], dtype=space.dtype.type)

    def observation(self, observation: Array) -> Array:
        """
        Crop an image.

        :param observation: (H, W, ...)
        :return: (h, w, ...), which shares memory with the observation
        """
        return observation[self._crop]


def _range(name: str, bounds: Any, size: int, shape: tuple[int, ...]) -> slice:
    """Check a range of rows or columns."""
    if bounds is None:
        return slice(0, size)
    whole = isinstance(bounds, list) and [type(bound) for bound in bounds] == [int, int]
    if not whole or not 0 <= bounds[0] < bounds[1] <= size:
        raise ValueError(
            f"CropObservation got the {name} {bounds!r}, but images of shape {shape} have the {name} 0 to {size - 1}; "
            f"give [start, stop] with 0 <= start < stop <= {size}."
        )
    return slice(*bounds)
