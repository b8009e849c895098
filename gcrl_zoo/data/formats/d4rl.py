"""Reads D4RL's layout: one row per step; ``terminals`` and ``timeouts`` mark the last row of each episode."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator

import numpy as np

from gcrl_zoo.data.arrays import Array
from gcrl_zoo.data.episode import Episode
from gcrl_zoo.data.formats.containers import Container, check_numbers, read_flags
from gcrl_zoo.data.store import TrajectoryStore

COLUMNS = ("observations", "actions", "rewards", "terminals", "timeouts")
NEXT = "next_observations"
UNREAD = ("infos/", "metadata/")  # prefixes
LAYOUT = f"D4RL: {', '.join(COLUMNS)} (and {NEXT}, {'..., '.join(UNREAD)}...)"
TOLERANCE = 1e-3  # next_observations are stored in another precision here and there


def is_d4rl(keys: Collection[str]) -> bool:
    """Whether a file has all arrays of this layout, and no others."""
    read = {key for key in keys if not key.startswith(UNREAD)}
    return read - {NEXT} == {*COLUMNS}


def read_d4rl(arrays: Container) -> TrajectoryStore:
    """All episodes.

    The final observation of an episode is the last entry of ``next_observations``. Without that column, the last row
    of an episode gives the final observation only: where its action led is not known. The episode then counts as cut
    one step before its end, and a warning says so where rewards are lost. Rows behind the last mark are an episode
    that was cut, too. A warning says so where no row has a mark.

    :param arrays: with ``observations`` (N, ...), ``actions`` (N, ...), ``rewards`` (N,), ``terminals`` (N,),
        ``timeouts`` (N,) and perhaps ``next_observations`` (N, ...); others are not read
    :raises ValueError: one sentence that names the file and what is wrong with it
    """
    followed = NEXT in arrays.forms
    n_rows = check_numbers(arrays, [*COLUMNS, *([NEXT] if followed else [])])
    if followed and arrays.forms[NEXT].shape != arrays.forms["observations"].shape:
        raise ValueError(
            f"{arrays.name} has '{NEXT}' of shape {arrays.forms[NEXT].shape}, "
            f"but 'observations' of shape {arrays.forms['observations'].shape}; give one of each per row."
        )
    if arrays.forms["rewards"].shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(
            f"{arrays.name} has 'rewards' of shape {arrays.forms['rewards'].shape}; give one number per row."
        )
    terminals = read_flags(arrays, "terminals")
    ends = terminals | read_flags(arrays, "timeouts")
    _check_ends(arrays.name, ends, followed)
    ends[-1] = True
    lasts = np.flatnonzero(ends)
    lost: list[float] = []
    episodes = _followed(arrays, lasts, terminals) if followed else _cut(arrays, lasts, lost)
    n_slots = n_rows + followed * len(lasts)
    store = TrajectoryStore.from_episodes(episodes, name=arrays.name, n_slots=n_slots)
    if any(lost):
        warnings.warn(
            f"{arrays.name} has no '{NEXT}', so the last action and reward of each episode are left out "
            f"({np.count_nonzero(lost)} of {len(lasts)} such rewards are not 0); add that column to keep them.",
            stacklevel=2,
        )
    return store


def _check_ends(name: str, ends: Array, followed: bool) -> None:
    """Report marks that are all equal, which is probably a mistake."""
    if not ends.any() and len(ends) > 1:
        warnings.warn(
            f"{name} marks no row as the end of an episode, so its {len(ends)} rows are read as one episode; "
            "mark the last row of each episode in 'terminals' or 'timeouts'.",
            stacklevel=3,
        )
    if ends.all() and not followed:
        raise ValueError(
            f"{name} marks each of its {len(ends)} rows as the end of an episode, which leaves no step without "
            f"'{NEXT}'; mark only the last row of each episode in 'terminals' or 'timeouts'."
        )


def _followed(arrays: Container, lasts: Array, terminals: Array) -> Iterator[Episode]:
    """Episodes whose final observation is known."""
    observations, following = arrays.rows("observations"), arrays.rows(NEXT)
    actions, rewards = arrays.rows("actions"), arrays.rows("rewards")
    start = 0
    for last in lasts.tolist():
        n = last + 1 - start
        seen, then = observations(n), following(n)
        jumps = _different(seen[1:], then[:-1])
        if jumps.any():
            row = start + int(np.argwhere(jumps)[0, 0])
            raise ValueError(
                f"{arrays.name} has '{NEXT}' in row {row} that are not the 'observations' of row {row + 1}, though no "
                f"episode ends there; mark each end in 'terminals' or 'timeouts', and keep rows in their order."
            )
        yield Episode(
            {"observation": np.concatenate([seen, then[-1:]])},
            actions(n),
            rewards(n).reshape(n),
            terminated=bool(terminals[last]),
        )
        start = last + 1


def _different(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return ~np.isclose(a, b, TOLERANCE, TOLERANCE, equal_nan=True)
    return a != b


def _cut(arrays: Container, lasts: Array, lost: list[float]) -> Iterator[Episode]:
    """Episodes without their last step, whose final observation is not known.

    :param lost: gets the reward of each of those
    """
    observations, actions, rewards = (arrays.rows(key) for key in COLUMNS[:3])
    start = 0
    for last in lasts.tolist():
        n = last + 1 - start
        seen, done, given = observations(n), actions(n), rewards(n).reshape(n)
        lost.append(float(given[-1]))
        if n > 1:
            yield Episode({"observation": seen}, done[:-1], given[:-1])
        start = last + 1
