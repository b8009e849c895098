"""Read the YAML file of a study: variants in sections, with common settings (``study.py`` runs it)."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import runs
import yaml

ALGO = "gcsl_vicreg"
#: RL Zoo gives the environments of a training the seeds from its own seed on, one each.
MOST_ENVS = 100


@dataclass(frozen=True, eq=False)
class Row:
    """
    One variant, trained over seeds.

    :param arguments: arguments of ``rl_zoo3.train``, including the common ones
    :param max_steps: maximum length of an episode, in steps of the wrapped environment
    :param notes: verdict of the research notes
    :param says: our conclusion from the result
    :param why: our conclusion from the diagnostics
    """

    name: str
    algo: str
    env: str
    arguments: list[str]
    seeds: list[int]
    max_steps: int = 1000
    notes: str = ""
    says: str = ""
    why: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Identify a row of the table, together with a seed."""
        return self.name, self.env

    def command(self, seed: int | str) -> str:
        """Return the training command as the table stores it."""
        return shlex.join(runs.train_words(self.algo, self.env, seed, self.arguments))

    def stem(self, seed: int | str) -> str:
        """Return the name of the files and folders of one run."""
        return re.sub(r"[^\w.=-]+", "_", f"{self.name}-{self.env}-seed{seed}")


@dataclass(frozen=True)
class Section:
    """
    Rows that belong together.

    :param references: by environment, the row that the others are compared with
    """

    title: str
    text: str
    rows: list[Row]
    against: str | None
    references: dict[str, Row]

    def shown(self) -> list[Row]:
        """Return the rows, preceded by their references if these are in another section."""
        envs = {row.env for row in self.rows}
        elsewhere = [row for env, row in self.references.items() if env in envs and row not in self.rows]
        return [*elsewhere, *self.rows]


@dataclass(frozen=True)
class Study:
    """
    The content of the YAML file; paths are relative to the working directory.

    :param evaluation_seed: seed of the evaluation, the same for all rows
    :param percentile: percentile of the returns of single episodes that the page shows; None for none
    :param diagnostics: our text above the table of diagnostics
    :param own_play: our text above the table of online interaction
    """

    path: Path
    title: str
    introduction: str
    table: Path
    page: Path
    env: str
    episodes: int
    evaluation_seed: int
    percentile: int | None
    diagnostics: str
    own_play: str
    sections: list[Section]

    @property
    def rows(self) -> list[Row]:
        return [row for section in self.sections for row in section.rows]

    def label(self, row: Row) -> str:
        """Return the row's name, with its environment if that differs from the study's."""
        return row.name if row.env == self.env else f"{row.name} ({row.env})"


SHARED = {"env", "episodes", "evaluation_seed", "max_steps", "seeds", "arguments"}
OF_SECTION = {"algo", "env", "seeds", "max_steps"}
TEXTS = {"introduction", "diagnostics", "own_play"}
REQUIRED = {"title", "table", "page", "env", "episodes", "seeds", "sections"}


def read_study(path: Path) -> Study:
    """
    Read and check a study.

    :param path: YAML file
    """
    blocks = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    _check_keys(blocks, REQUIRED, {"percentile", *TEXTS, *SHARED}, str(path))
    for block in blocks["sections"]:
        _check_keys(block, {"title", "rows"}, {"text", "against", *OF_SECTION}, f"a section of {path}")
    rows = [
        [_read_row({key: block[key] for key in OF_SECTION & block.keys()} | row, blocks, path) for row in block["rows"]]
        for block in blocks["sections"]
    ]
    every = list(itertools.chain(*rows))
    keys = [row.key for row in every]
    for name, env in keys:
        if keys.count((name, env)) > 1:
            raise ValueError(f"{path} has two rows {name!r} on {env}; give them different names.")
    sections = []
    for block, of_block in zip(blocks["sections"], rows, strict=True):
        title, against = block["title"], block.get("against")
        references = {row.env: row for row in every if row.name == against}
        if against is not None and not references:
            raise ValueError(f"Section {title!r} of {path} is against {against!r}, which is no row.")
        sections.append(Section(title, block.get("text", ""), of_block, against, references))
    return Study(
        path=path,
        title=blocks["title"],
        **{key: blocks.get(key, "").strip() for key in TEXTS},
        table=Path(blocks["table"]),
        page=Path(blocks["page"]),
        env=blocks["env"],
        episodes=blocks["episodes"],
        evaluation_seed=blocks.get("evaluation_seed", runs.Evaluation.seed),
        percentile=blocks.get("percentile"),
        sections=sections,
    )


def _read_row(block: dict[str, Any], shared: dict[str, Any], path: Path) -> Row:
    texts = ("notes", "says", "why")
    _check_keys(block, {"name"}, {"algo", "env", "seeds", "max_steps", "arguments", *texts}, f"a row of {path}")
    arguments = [str(word) for word in [*shared.get("arguments", []), *block.get("arguments", [])]]
    options = [word for word in arguments if re.match(r"-+[a-zA-Z]", word)]
    for option in options:
        if options.count(option) > 1:
            raise ValueError(f"Row {block['name']!r} of {path} has {option} twice, of which the last would win.")
    given = {**shared, **block}
    evaluation_seed = shared.get("evaluation_seed", runs.Evaluation.seed)
    for seed in given["seeds"]:
        if seed <= evaluation_seed < seed + MOST_ENVS:
            raise ValueError(
                f"{path} evaluates from seed {evaluation_seed}, but the environments of row {block['name']!r} have the "
                f"seeds {seed}, {seed + 1}, ... in training; set evaluation_seed to {seed + MOST_ENVS} or more."
            )
    return Row(
        name=str(block["name"]),
        algo=block.get("algo", ALGO),
        env=given["env"],
        arguments=arguments,
        seeds=given["seeds"],
        max_steps=given.get("max_steps", runs.Evaluation.max_steps),
        **{key: str(block.get(key, "")) for key in texts},
    )


def _check_keys(block: dict[str, Any], required: set[str], optional: set[str], where: str) -> None:
    for key in required - block.keys():
        raise ValueError(f"{where} lacks {key!r}.")
    for key in block.keys() - required - optional:
        raise ValueError(f"{where} has {key!r}, which means nothing; choose from {sorted(required | optional)}.")
