"""The table of a store: all of its columns, and how an episode is laid out in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gcrl_zoo.data.arrays import FLOAT, Array, DType, EpisodeError
from gcrl_zoo.data.columns.array import ArrayColumns
from gcrl_zoo.data.columns.base import RESERVED, Column, Layout
from gcrl_zoo.data.columns.frames import FrameColumn, is_frame
from gcrl_zoo.data.episode import Episode


class Table:
    """Columns that share slot numbers. The first episode decides which there are.

    :param limit: slots beyond which arrays grow only when the live ones would not fit
    :param name: what messages call the data
    """

    def __init__(self, limit: int | None, name: str) -> None:
        self.name = name
        self.arrays = ArrayColumns(limit, name)
        self.frames: dict[str, FrameColumn] = {}
        self.layout: Layout = {}
        self.observation_keys: tuple[str, ...] = ()
        self.extra_keys: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Column[Any]]:
        """All columns."""
        return [self.arrays, *self.frames.values()]

    @property
    def version(self) -> int:
        """Grows with each write."""
        return self.arrays.version

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return sum(column.nbytes for column in self.columns)

    def check_and_layout(self, episode: Episode) -> dict[str, Array]:
        """The columns of one episode. Those of the first decide the layout; those of others must agree with it.

        :raises EpisodeError: they do not, or two columns have the same name
        """
        columns = _columns(episode)
        layout = {key: (column.shape[1:], column.dtype) for key, column in columns.items()}
        if not self.layout:
            self.set_layout(layout, tuple(episode.observations), tuple(episode.extras))
        if layout != self.layout:
            raise EpisodeError(f"has {_differences(layout, self.layout)}; give all episodes the same columns")
        return columns

    def set_layout(self, layout: Layout, observation_keys: tuple[str, ...], extra_keys: tuple[str, ...]) -> None:
        """Create the columns, which is possible only once."""
        images = {key for key, (shape, dtype) in layout.items() if is_frame(shape, dtype)}
        self.arrays.add_columns({key: form for key, form in layout.items() if key not in images})
        self.frames = {key: FrameColumn(layout[key][0], name=self.name) for key in layout if key in images}
        self.layout, self.observation_keys, self.extra_keys = layout, observation_keys, extra_keys

    def reserve(self, n_slots: int) -> int:
        """Make room for more slots, and return by how much the numbers of the others were reduced."""
        moved = self.arrays.reserve(n_slots)
        if moved:
            for column in self.columns:
                column.relocate(moved)
        return moved

    def write(self, columns: Mapping[str, Array], n_slots: int) -> int:
        """Add the slots of one episode, for which there is room, and return the first."""
        for key, column in self.frames.items():  # first, since there may be no memory for them
            column.write(self.arrays.stop, columns[key])
        first = self.arrays.grow(n_slots)
        self.arrays.write(first, {key: column for key, column in columns.items() if key not in self.frames})
        return first

    def fill(self, first: int, columns: Mapping[str, Array]) -> None:
        """Write entries of slots that exist; images come in the order of their slots."""
        for key, values in columns.items():
            if key in self.frames:
                self.frames[key].write(first, values)
        self.arrays.fill(first, {key: values for key, values in columns.items() if key not in self.frames})

    def drop(self, n_slots: int) -> None:
        """Remove the oldest slots."""
        for column in self.columns:
            column.drop(n_slots)


def _columns(episode: Episode) -> dict[str, Array]:
    """Observations, extras and what follows from rewards: (T+1, ...) each, but (T, ...) actions and rewards."""
    given = [*episode.observations, *episode.extras]
    for key in given:
        if key in RESERVED:
            raise EpisodeError(f"calls an observation or extra '{key}', which is the store's own name; choose another")
        if given.count(key) > 1:
            raise EpisodeError(f"has both an observation and an extra '{key}'; choose another name for one of them")
    columns = {**episode.observations, **episode.extras}
    if episode.actions is not None:
        columns["actions"] = episode.actions
    if episode.rewards is not None:
        to_go = np.zeros(episode.length + 1)
        to_go[:-1] = episode.rewards[::-1].cumsum(dtype=np.float64)[::-1]
        columns["rewards"] = episode.rewards
        columns["return_to_go"] = to_go.astype(FLOAT)
        columns["episode_return"] = np.full(episode.length + 1, episode.episode_return, FLOAT)
    return columns


def _differences(layout: Layout, expected: Layout) -> str:
    def describe(form: tuple[tuple[int, ...], DType] | None) -> str:
        return "nothing" if form is None else f"{form[1]} of shape {form[0]}"

    return " and ".join(
        f"'{key}' as {describe(layout.get(key))} where earlier episodes have {describe(expected.get(key))}"
        for key in sorted({*layout, *expected})
        if layout.get(key) != expected.get(key)
    )
