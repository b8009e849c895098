"""Parametrisation of tests over the cases of methods, their sources of data and their variants."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.support.case import Case, TrajectoryCase, all_cases, trajectory_cases

#: Each method, whatever kind of Stable-Baselines3 algorithm it is.
every_case = pytest.mark.parametrize("case", all_cases(), ids=str)
every_trajectory_case = pytest.mark.parametrize("case", trajectory_cases(), ids=str)


def is_child(case: Case) -> bool:
    """Whether the method is a child of another method."""
    return any(base in {each.algorithm for each in all_cases()} for base in case.algorithm.__mro__[1:])


def marks_of_variant(case: TrajectoryCase, variant: str) -> tuple[pytest.MarkDecorator, ...]:
    """Without ``--all``, every second variant of a child stands for the others and for its default, the first one."""
    quick = list(case.variants)[1::2] if is_child(case) and len(case.variants) > 1 else case.variants
    return () if variant in quick else (pytest.mark.thorough,)


variants = [(case, name, variant) for case in trajectory_cases() for name, variant in case.variants.items()]
every_variant = pytest.mark.parametrize(
    ("case", "variant"),
    [
        pytest.param(case, variant, id=f"{case}-{name}", marks=marks_of_variant(case, name))
        for case, name, variant in variants
    ],
)


def algo_of(*quick: str) -> pytest.MarkDecorator:
    """The name of each trajectory method; methods other than these are tested only with ``--all``."""
    return pytest.mark.parametrize(
        "algo",
        [
            pytest.param(case.name, marks=() if case.name in quick else pytest.mark.thorough)
            for case in trajectory_cases()
        ],
    )


def sources_of(*sources: str) -> pytest.MarkDecorator:
    """Each trajectory method with each of these sources (all, if none is named) that it can learn from."""
    return _with_sources(trajectory_cases(), sources)


def sources_of_all(*sources: str) -> pytest.MarkDecorator:
    """Each method with each of these sources (all, if none is named); others than trajectory methods have own play."""
    return _with_sources(all_cases(), sources)


def _with_sources(cases: Iterable[Case], sources: tuple[str, ...]) -> pytest.MarkDecorator:
    """
    A test that names its sources is about data, own play or the training loop. A child of another method shares these,
    and is left to ``--all``. In the other tests, without ``--all``, a method that inherits ``make_samplers`` has one
    source only, and each such method another one. A child that has its own ``make_samplers`` is tested with every
    second source.
    """
    params, turn = [], 0
    for case in cases:
        chosen = [source for source in case.sources if source in (sources or case.sources)]
        inherits = hasattr(case.algorithm, "make_samplers") and "make_samplers" not in vars(case.algorithm)
        quick = [chosen[turn % len(chosen)]] if inherits and chosen else chosen[:: 2 if is_child(case) else 1]
        turn += inherits
        quick = [] if sources and is_child(case) else quick
        for source in chosen:
            marks = () if source in quick else pytest.mark.thorough
            params.append(pytest.param(case, source, id=f"{case}-{source}", marks=marks))
    return pytest.mark.parametrize(("case", "source"), params)
