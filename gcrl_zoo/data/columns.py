"""From an episode to the columns of a store, and the check that all episodes have the same ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gcrl_zoo.data.episode import FLOAT, Array, DType, Episode, EpisodeError
from gcrl_zoo.data.tape import Layout

BOUNDS = ("first", "last")
RESERVED = frozenset({*BOUNDS, "actions", "rewards", "return_to_go", "episode_return"})


def columns_of(episode: Episode) -> dict[str, Array]:
    """Observations, extras and what follows from the rewards: (T+1, ...) each, but (T, ...) actions and rewards."""
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


def layout_of(columns: Mapping[str, Array]) -> Layout:
    """Shape and dtype of one entry of each column, bounds of episodes left out."""
    return {key: (column.shape[1:], column.dtype) for key, column in columns.items() if key not in BOUNDS}


def check_layout(layout: Layout, expected: Layout) -> None:
    """Raise an error that names every column in which this episode differs from the earlier ones."""
    if layout == expected:
        return
    faults = " and ".join(
        f"'{key}' as {_told(layout.get(key))} where earlier episodes have {_told(expected.get(key))}"
        for key in sorted({*layout, *expected})
        if layout.get(key) != expected.get(key)
    )
    raise EpisodeError(f"has {faults}; give all episodes the same columns")


def _told(form: tuple[tuple[int, ...], DType] | None) -> str:
    return "nothing" if form is None else f"{form[1]} of shape {form[0]}"
