"""Losses that are weighted sums of named terms, each on one kind of data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, TypeVar

TermT = TypeVar("TermT")
#: Weight and function of each term that is computed, by kind of data and name.
WeightedTerms: TypeAlias = dict[str, dict[str, tuple[float, TermT]]]


def weighted_terms(known: Mapping[str, Mapping[str, TermT]], weights: Mapping[Any, float]) -> WeightedTerms[TermT]:
    """
    Select the terms that have a weight.

    :param known: function of each term, by kind of data and name
    :param weights: weight of each term
    :raises ValueError: every weight is 0
    """
    if not any(weights.values()):
        raise ValueError("terms: every weight is 0, so there is nothing to learn; leave `terms` out.")
    return {
        source: {name: (float(weights[name]), term) for name, term in terms.items() if weights[name]}
        for source, terms in known.items()
    }


def check_sources(sources: Collection[str], terms: WeightedTerms[Any], used_by: str) -> None:
    """
    Check that there is something to learn from each kind of data that is used.

    :param sources: kinds of data
    :param terms: as returned by :func:`weighted_terms`
    :param used_by: arguments that use the data, for the message
    :raises ValueError: no term of a kind of data has a weight
    """
    for source in sources:
        if not terms[source]:
            raise ValueError(
                f"terms: no term of the {source} data has a weight, but {used_by} that data; give one of them a weight."
            )
