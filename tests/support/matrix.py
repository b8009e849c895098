"""Which tests run for which methods: parametrisation over all cases."""

from __future__ import annotations

import pytest

from tests.support.case import all_cases

every_case = pytest.mark.parametrize("case", all_cases(), ids=str)
variants = [(case, name, variant) for case in all_cases() for name, variant in case.variants.items()]
every_variant = pytest.mark.parametrize(
    ("case", "variant"), [pytest.param(case, variant, id=f"{case}-{name}") for case, name, variant in variants]
)


def sources_of(*sources: str) -> pytest.MarkDecorator:
    """Each case with each of these sources (all, if none is named) that it can learn from."""
    return pytest.mark.parametrize(
        ("case", "source"),
        [
            pytest.param(case, source, id=f"{case}-{source}")
            for case in all_cases()
            for source in case.sources
            if source in (sources or case.sources)
        ],
    )
