"""The tables of parameters in the docs are those that signatures and docstrings give."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from tests.common.test_arguments import described, told
from tests.support.throw_away import ROOT

SPEC = importlib.util.spec_from_file_location("parameters", ROOT / "docs" / "parameters_table.py")
assert SPEC is not None and SPEC.loader is not None
parameters: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(parameters)


@pytest.mark.parametrize(("page", "text"), [pytest.param(*each, id=each[0].stem) for each in parameters.pages()])
def test_a_page_is_up_to_date(page, text):
    assert parameters.updated(page, text) == page.read_text(), "run `make readme`"


@pytest.mark.parametrize(("cls", "given"), list(described()))
def test_every_argument_has_a_meaning(cls, given):
    assert told(cls, given).keys() <= parameters.described(cls).keys()


def test_a_page_without_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n")
    with pytest.raises(ValueError, match=r"page\.md lacks the lines"):
        parameters.updated(page, "text")


def test_markdown():
    text = "see :class:`~gcrl_zoo.data.samplers.GoalPairs`, ``a | b`` and `here <https://x.org>`_"
    assert parameters.in_markdown(text) == r"see `GoalPairs`, `a \| b` and [here](https://x.org)"
    assert [*map(parameters.as_written, (None, True, (1, 0.5), 10**6, "a"))] == [
        "null", "true", "[1, 0.5]", "1,000,000", "'a'",
    ]  # fmt: skip
