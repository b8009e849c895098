"""Write Markdown tables and commands of pages (the scripts beside this file import it)."""

from __future__ import annotations

import re
import shlex

#: By title of a column: its alignment in Markdown, and its cells.
Columns = dict[str, tuple[str, list[str]]]


def markdown(columns: Columns) -> str:
    """
    Return a Markdown table without the columns that are empty.

    :param columns: of equal length
    """
    columns = {title: column for title, column in columns.items() if any(column[1])}
    rules, cells = zip(*columns.values(), strict=True)
    lines = [columns, rules, *zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float, like: float) -> str:
    """Write a number without decimals, or with one if it is like a small number."""
    return f"{value:.{0 if abs(like) > 10 else 1}f}"


def readable(command: str) -> str:
    """Quote a command with double quotes, and only where necessary."""
    return " ".join(f'"{word}"' if re.search(r"[^\w./:=,-]", word) else word for word in shlex.split(command))
