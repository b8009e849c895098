"""Phases: updates with unlabelled and with labelled data, alternately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le, Unit

Updates = Annotated[int, Ge(0), Le(1_000_000), Unit("updates")]
#: Number of updates with each kind of data in a cycle.
Phases = Mapping[Literal["unlabelled", "labelled"], Updates]


def phase_cycle(phases: Phases | None) -> list[str]:
    """
    Return the kind of data of each update of a cycle.

    :param phases: number of updates with each kind of data; None if each update uses both
    :return: ``"unlabelled"`` or ``"labelled"`` for each update; empty without phases
    :raises ValueError: no kind of data has any updates
    """
    cycle: list[str] = [source for source, updates in (phases or {}).items() for _ in range(updates)]
    if phases is not None and not cycle:
        raise ValueError("phases: no source has any updates; leave `phases` out to learn from both in each update.")
    return cycle
