"""Without ``--all``, each pair of values of a test's parameters is still tested."""

from itertools import combinations, product

import pytest

from tests.support.pairwise import covering


@pytest.mark.parametrize("sizes", [(7, 3, 2), (2, 2, 2, 2), (5, 4, 3)])
def test_every_pair_of_values_is_kept_and_not_much_more(sizes):
    rows = list(product(*(range(size) for size in sizes)))
    rows.remove(rows[3])  # a grid may have holes
    chosen = [rows[i] for i in covering(rows)]
    pairs, kept = ({pair for row in some for pair in combinations(enumerate(row), 2)} for some in (rows, chosen))
    assert kept == pairs
    least = sorted(sizes)[-1] * sorted(sizes)[-2]
    assert len(chosen) <= 1.5 * least < len(rows)
