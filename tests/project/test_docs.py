"""README and docs tell the truth: their Python runs, their links lead somewhere, Sphinx has nothing to say."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from gcrl_zoo.registry import HYPERPARAMS, discover
from tests.support.throw_away import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
BUILT_ELSEWHERE = DOCS / "add_a_method.md"  # tests/zoo/test_registration.py trains what it shows

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"^````.*?^````$", re.MULTILINE | re.DOTALL)  # a page as an example on a page
LINK = re.compile(r"\[[^][]*\]\(([^()\s]+)\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks() -> list:
    """Each Python block of each page, numbered."""
    found = []
    for page in PAGES:
        if page != BUILT_ELSEWHERE:
            python = [text for language, text in FENCE.findall(page.read_text()) if language == "python"]
            found += [pytest.param(text, id=f"{name(page)}-{i}") for i, text in enumerate(python, 1)]
    return found


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", PAGE.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """What may stand behind ``#`` in a link to this page: its headings, as GitHub and MyST write them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", PAGE.sub("", page.read_text())), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", blocks())
def test_python_runs_by_itself(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    # The networks of dt are large for a CPU: one round of learning is enough.
    block = block.replace("gradient_steps=10,", "gradient_steps=1,").replace("learn(1_000)", "learn(500)")
    exec(compile(block, "docs", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_local_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue  # another site
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{name(target)} has no heading #{anchor}"


def test_the_documentation_builds(tmp_path):
    for needed in ("sphinx", "myst_parser", "sphinx_copybutton", "sphinxcontrib.mermaid", "furo"):
        pytest.importorskip(needed)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", tmp_path / "cache", DOCS, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_readme_has_the_table_of_methods():
    script = runpy.run_path(str(DOCS / "methods_table.py"))
    text = (ROOT / "README.md").read_text()
    assert script["readme"](text) == text, "run `make readme`"
    rows = re.findall(r"^\| `(\w+)` \| [A-Z].{20,}? \| \w.*? \| \[docs\]", script["table"](), re.MULTILINE)
    assert rows == sorted(name for name, method in discover().items() if method.hyperparams == HYPERPARAMS)


def test_these_tests_see_what_they_should():
    assert len(blocks()) >= 5
    assert "which-hyperparameters-a-run-gets" in anchors(DOCS / "architecture.md")
    assert "docs/quickstart.md" in LINK.findall(prose(ROOT / "README.md"))
