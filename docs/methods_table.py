"""
Write the table of methods in ``README.md``, from the pages in ``docs/methods``: `make readme`.

A row holds the first sentence of the page and the action spaces of its table "Can I use?".
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- written by `make readme` -->\n", "<!-- end of what `make readme` writes -->"
CITATION = re.compile(r" \(\[[^\]]*\]\([^)]*\)\)")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


def first_sentence(page: str) -> str:
    """:param page: text that begins with a heading and a paragraph; citations and links are left out"""
    paragraph = " ".join(page.split("\n\n")[1].split())
    return re.split(r"(?<=[.!])\s", LINK.sub(r"\1", CITATION.sub("", paragraph)))[0].rstrip(".")


def actions(page: str) -> str:
    """:param page: with a table "Can I use?": the spaces that the method acts in"""
    return ", ".join(re.findall(r"^\| (\w+) \| ✔", page, re.MULTILINE))


def table() -> str:
    """The table, one row per page."""
    lines = ["| name | what it is | actions | page |", "|---|---|---|---|"]
    for path in sorted((ROOT / "docs" / "methods").glob("*.md")):
        page = path.read_text()
        lines.append(f"| `{path.stem}` | {first_sentence(page)} | {actions(page)} | [docs](docs/methods/{path.name}) |")
    return "\n".join(lines) + "\n"


def readme(text: str) -> str:
    """:param text: of the README: the same, with the table as it should be"""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text()))
