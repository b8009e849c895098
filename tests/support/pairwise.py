"""Chooses from the full product of a test's parameters a part in which each pair of values still occurs together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, groupby

import pytest

SPLIT = ("case", "source")  # a list of pairs that is meant as a product


def pairs_only(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """
    Tests with one or two parameters stay as they are.

    :param items: tests in the order of their collection
    """
    kept = []
    for _, group in groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        same = list(group)
        rows = [parameters(item) for item in same]
        kept += [same[i] for i in covering(rows)] if rows[0] and len(rows[0]) > 2 else same
    return kept


def parameters(item: pytest.Item) -> list[Hashable]:
    """One value for each ``parametrize`` of a test."""
    values: list[Hashable] = []
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        given = [item.callspec.params[name] for name in names]  # type: ignore[attr-defined]
        values += map(str, given) if tuple(names) == SPLIT else [tuple(map(id, given))]
    return values


def covering(rows: Sequence[Sequence[Hashable]]) -> list[int]:
    """
    Take the row with the most pairs of values that no earlier choice has, the first of equals, until none is left.

    :param rows: of one length
    :return: indices of the chosen rows, in order
    """
    open_pairs = [set(combinations(enumerate(row), 2)) for row in rows]
    chosen = []
    while any(open_pairs):
        best = max(range(len(rows)), key=lambda i: len(open_pairs[i]))
        chosen.append(best)
        covered = set(open_pairs[best])
        for pairs in open_pairs:
            pairs -= covered
    return sorted(chosen)
