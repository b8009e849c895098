"""A store as one file: plain arrays, no pickle, written atomically."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gcrl_zoo.data.episode import Array, Episode
from gcrl_zoo.data.whole_file import whole_file

if TYPE_CHECKING:
    from gcrl_zoo.data.store import TrajectoryStore

FORMAT = "gcrl_zoo trajectories 1"


def write(path: str | Path | IO[bytes], store: TrajectoryStore) -> None:
    """Write a store under exactly this name, where an old file stays whole until the new one is complete; or to a file
    object.
    """
    columns = {f"observations {key}": key for key in store.observation_keys}
    columns |= {f"extras {key}": key for key in store.extra_keys}
    columns |= {key: key for key, known in (("actions", store.has_actions), ("rewards", store.has_rewards)) if known}
    slots = store.slots
    arrays: dict[str, Any] = {entry: store.take(key, slots) for entry, key in columns.items()}
    header = {"format": FORMAT, "name": store.name, "capacity": store.capacity, "n_slots": store.n_slots}

    arrays |= {"header": np.array(json.dumps(header)), "lengths": store.lengths, "terminated": store.terminated}
    target = whole_file(Path(path)) if isinstance(path, (str, Path)) else nullcontext(path)
    with target as file:  # given an open file, numpy does not add ".npz" to the name
        np.savez(file, **arrays)  # nothing in here needs pickle; numpy 2.0 would store `allow_pickle` as an array


def read(path: str | Path | IO[bytes]) -> tuple[dict[str, Any], Iterator[Episode]]:
    """The header and the episodes of a file, or of a file object from where it stands, that :func:`write` wrote.

    :raises ValueError: when there is no such file, or when it is of another kind
    """
    if isinstance(path, (str, Path)) and not Path(path).is_file():
        raise ValueError(f"There is no file {path}; give the path of a file that TrajectoryStore.save wrote.")
    try:
        with np.load(path, allow_pickle=False) as entries:
            header = json.loads(str(entries["header"]))
            if header.pop("format") != FORMAT:
                raise ValueError("another format")
            arrays = {key: entries[key] for key in entries if key != "header"}
    except (AttributeError, EOFError, KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile):
        raise ValueError(f"{path} holds no trajectories; give a file that TrajectoryStore.save wrote.") from None
    return header, _episodes(arrays)


def _episodes(arrays: dict[str, Array]) -> Iterator[Episode]:
    """Cut the columns into episodes."""
    stop = 0
    for length, terminated in zip(arrays["lengths"], arrays["terminated"], strict=True):
        start, stop = stop, stop + int(length) + 1
        parts = {key: array[start:stop] for key, array in arrays.items()}
        yield Episode(
            observations={key.split(" ", 1)[1]: part for key, part in parts.items() if key.startswith("observations ")},
            actions=parts["actions"][:-1] if "actions" in parts else None,
            rewards=parts["rewards"][:-1] if "rewards" in parts else None,
            terminated=bool(terminated),
            extras={key.split(" ", 1)[1]: part for key, part in parts.items() if key.startswith("extras ")},
        )
