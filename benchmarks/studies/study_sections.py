"""Write the sections of a study's page on diagnostics and on online interaction (``study.py page`` calls it)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from own_play import PORTION, WINDOW, first_and_last, quarters
from tables import markdown, number

if TYPE_CHECKING:
    from study_file import Row, Study

Results = dict[tuple[str, str], list[dict[str, str]]]  # by name and environment; a row of the table for each seed

DIAGNOSTICS = """## Diagnostics

{text}`benchmarks/studies/video_diagnostics.py` loads each trained agent and shows it episodes of the data that it
learned from ({datasets}), evenly spaced from the first to the last. It is the only place where the actions of that data
are read: training from a stream does not see them. Each number is the mean over the seeds.

- *dimensions*, *rank* and *spread*: of the representations that the action head reads, and of those that the VICReg
  loss reads. The rank is the effective rank, the exponential of the entropy of the normalised singular values. The
  spread is the standard deviation of a dimension, smallest and mean. A rank near 1 or a spread near 0 means collapse.
- *action, achieved return* and *action, target return*: correlation between the true action and the agent's action on
  the same frames, for each dimension of the action ({actions}). The agent is asked for the return that the episode
  achieved, or for its own target.
- *slope*: of the linear regression of the agent's action on the true action, asked for the target return. Below 1 the
  agent does too little, above 1 too much.
- *inverse model*: correlation between the true action and the label that the policy imitates, and the slope of this
  label.

{table}"""

#: By title of a column: the columns of the CSV file that are in it.
MEASURED = {
    "dimensions": ("dimensions",),
    "rank": ("effective_rank",),
    "spread": ("spread_min", "spread_mean"),
    "rank, VICReg": ("vicreg_rank",),
    "spread, VICReg": ("vicreg_spread_min", "vicreg_spread_mean"),
    "action, achieved return": ("achieved",),
    "action, target return": ("target",),
    "slope": ("slope",),
    "inverse model": ("inverse",),
    "inverse model, slope": ("inverse_slope",),
}

OWN_PLAY = """## Online interaction

{text}Mean return of the training episodes that ended in the first and in the last {window:,} own decisions, with random
actions and exploration noise, and in each quarter of all own decisions, as a mean over seeds. Each number is a mean
over portions of {portion:,} decisions.

{table}

![Mean return of training episodes over own decisions; thick: mean over seeds, thin: each seed]({figure})"""


def diagnostics_file(study: Study) -> Path:
    """Return the path of the CSV file that ``video_diagnostics.py`` writes for a study."""
    return study.table.with_name(f"{study.table.stem}_diagnostics.csv")


def diagnostics_section(study: Study) -> str:
    """Return the section on diagnostics; empty if no agent of the study was diagnosed."""
    path = diagnostics_file(study)
    if not path.exists():
        return ""
    with path.open(newline="") as file:
        measured = {had["agent"]: had for had in csv.DictReader(file)}
    of_rows = {
        row: [measured[row.stem(seed)] for seed in row.seeds if row.stem(seed) in measured] for row in study.rows
    }
    of_rows = {row: had for row, had in of_rows.items() if had}
    if not of_rows:
        return ""
    every = list(of_rows.values())
    table = markdown(
        {
            "variant": (":--", [study.label(row) for row in of_rows]),
            **{title: (":--", [_means(had, columns) for had in every]) for title, columns in MEASURED.items()},
            "conclusion": (":--", [row.why for row in of_rows]),
        }
    )
    return DIAGNOSTICS.format(
        text=_paragraph(study.diagnostics),
        datasets=", ".join(dict.fromkeys(f"`{had[0]['dataset']}`" for had in every)),
        actions="; ".join(dict.fromkeys(had[0]["actions"] for had in every)),
        table=table,
    )


def _means(seeds: list[dict[str, str]], columns: tuple[str, ...]) -> str:
    """Average columns over seeds. A cell has no number, one, or one for each dimension of the action."""
    values = np.array([[float(value) for column in columns for value in had[column].split()] for had in seeds])
    means = np.round(values.mean(0), 2) + 0.0  # -0.0 becomes 0.0
    return " ".join(f"{mean:.3g}" if abs(mean) >= 1 else f"{mean:.2f}" for mean in means)


def own_play_section(study: Study, results: Results) -> str:
    """Return the section on online interaction, and draw its figure; empty if the study is offline."""
    curves = {row: [portions_of(had) for had in results.get(row.key, []) if had["own_play"]] for row in study.rows}
    curves = {row: of_seeds for row, of_seeds in curves.items() if of_seeds}
    if not curves:
        return ""
    pairs = {row: [first_and_last(portions) for portions in of_seeds] for row, of_seeds in curves.items()}
    known = {row: [pair for pair in of_seeds if pair] for row, of_seeds in pairs.items()}
    table = markdown(
        {
            "variant": (":--", [study.label(row) for row in known]),
            "first → last, each seed": (":--", [", ".join(map(_arrow, each)) for each in known.values()]),
            "higher at the end": (":--", [_improved(each) for each in known.values()]),
            "quarters": (":--", [_quarters(of_seeds) for of_seeds in curves.values()]),
        }
    )
    figure = study.page.with_name(f"{study.page.stem}_own_play.png")
    draw_own_play(study, curves, figure)
    return OWN_PLAY.format(
        text=_paragraph(study.own_play), window=WINDOW * PORTION, portion=PORTION, table=table, figure=figure.name
    )


def portions_of(had: dict[str, str]) -> np.ndarray:
    """Return the mean returns of the portions of a run, (P,)."""
    return np.array(had["own_play"].split(), float)


def _arrow(pair: tuple[float, float]) -> str:
    return f"{number(pair[0], pair[0])} → {number(pair[1], pair[1])}"


def _improved(pairs: list[tuple[float, float]]) -> str:
    return f"{sum(last > first for first, last in pairs)} of {len(pairs)} seeds" if pairs else ""


def _quarters(of_seeds: list[np.ndarray]) -> str:
    """Return the mean of each quarter over seeds."""
    means = [quarters(portions) for portions in of_seeds]
    if not all(means):
        return ""
    return " → ".join("?" if np.isnan(mean) else number(mean, mean) for mean in np.mean(means, axis=0))


def _paragraph(text: str) -> str:
    return f"{text}\n\n" if text else ""


def draw_own_play(study: Study, curves: dict[Row, list[np.ndarray]], path: Path) -> None:
    """
    Plot online interaction, with one panel for each section and environment.

    :param curves: by row, the portions of each seed
    :param path: PNG to write
    """
    panels = [
        (section, [row for row in section.rows if row in curves and row.env == env])
        for section in study.sections
        for env in dict.fromkeys(row.env for row in section.rows)
    ]
    panels = [(section, rows) for section, rows in panels if rows]
    figure = Figure(figsize=(8, 3 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)
    for (section, rows), ax in zip(panels, axes[:, 0], strict=True):
        for i, row in enumerate(rows):
            color = f"C{i % 10}"
            longest = max(map(len, curves[row]))
            every = np.full((len(curves[row]), longest), np.nan)
            for line, portions in zip(every, curves[row], strict=True):
                line[: len(portions)] = portions
            decisions = PORTION * np.arange(1, longest + 1)
            if len(every) > 1:
                ax.plot(decisions, every.T, color=color, linewidth=0.6, alpha=0.5)
            count = np.isfinite(every).sum(0)
            mean = np.divide(np.nansum(every, 0), count, out=np.full(longest, np.nan), where=count > 0)
            ax.plot(decisions[count > 0], mean[count > 0], color=color, linewidth=1.8, label=study.label(row))
        ax.set_title(section.title, loc="left", fontsize="medium")
        ax.set(ylabel="mean return")
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small")
    axes[-1, 0].set_xlabel("own decisions")
    figure.savefig(path, dpi=120)
