"""Where data comes from."""

from __future__ import annotations

from pathlib import Path

from gcrl_zoo.data.store import TrajectoryStore


def open_store(dataset: str | Path | TrajectoryStore) -> TrajectoryStore:
    """The episodes of a dataset, read-only."""
    return dataset if isinstance(dataset, TrajectoryStore) else TrajectoryStore.load(dataset).freeze()
