"""Write the page of a study: a table and a panel of a figure for each section (``study.py page`` calls it)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from rliable.library import get_interval_estimates
from rliable.metrics import aggregate_mean, probability_of_improvement
from summary import readable

if TYPE_CHECKING:
    from study import Row, Section, Study

PAGE = """# {title}

Made by

```bash
python benchmarks/studies/study.py run {study}
python benchmarks/studies/study.py page {study}
```

{introduction}## How to read the tables

Each variant was trained by its [command](#commands) and played from its final zip by `rl_zoo3.enjoy` ({episodes}
episodes, deterministic, seed 1000). *Each seed* is the mean over those episodes; the last score, never the best.
*Mean* is that of the seeds, with a 95 % interval: a bootstrap over seeds. *P(... better)* is the probability that a
run of the variant named there beats a run of the variant in the row, over all pairs of their seeds, where a tie
counts half; with its interval. Both are computed by [rliable](https://github.com/google-research/rliable)
([Agarwal et al. 2021](https://arxiv.org/abs/2108.13264)). Intervals from three seeds are rough: the bootstrap
resamples only 27 combinations of them, so that an interval of the mean reaches from the worst seed to the best, and an
interval of P without width says that all pairs agree, not that others would. *Minutes* are those of training, on
average. The single runs, with the returns of their episodes, are in `{table}` beside this page.

![mean and 95 % interval of each variant; a dot is a seed]({figure})

{sections}

## Commands

{commands}
"""

RESAMPLES = 2_000  # a second for each probability of improvement
Results = dict[tuple[str, str], list[dict[str, str]]]  # by name and environment; a row of the table for each seed


def interval_of_mean(scores: list[float]) -> tuple[float, float] | None:
    """A 95 % interval by bootstrap; none of a single score."""
    if len(scores) < 2:
        return None
    return _interval(aggregate_mean, _one_task(scores))


def probability_better(reference: list[float], scores: list[float]) -> tuple[float, tuple[float, float] | None]:
    """
    :param reference: score of each seed
    :param scores: the same of another variant
    :return: share of pairs in which the reference is better, a tie counting half; and its 95 % interval
    """
    pair = _one_task(reference), _one_task(scores)
    point = float(probability_of_improvement(*pair))
    return point, None if min(len(reference), len(scores)) < 2 else _interval(probability_of_improvement, *pair)


def _one_task(scores: list[float]) -> np.ndarray:
    """As rliable takes them: runs x tasks."""
    return np.array(scores)[:, None]


def _interval(func: Callable[..., float], *scores: np.ndarray) -> tuple[float, float]:
    """A 95 % interval by rliable, the same at each call; each of the arrays is resampled by itself."""
    state = np.random.get_state()
    np.random.seed(0)  # rliable 1.2 has an argument random_state, but draws from the global generator all the same
    try:
        _, intervals = get_interval_estimates({"": list(scores)}, func, reps=RESAMPLES)
    finally:
        np.random.set_state(state)
    low, high = intervals[""].ravel()
    return float(low), float(high)


def scores_of(results: Results, row: Row) -> list[float]:
    """Mean return of each seed that there is."""
    return [float(had["mean"]) for had in results.get(row.key, [])]


def label_of(study: Study, row: Row) -> str:
    """Its name, and its environment where it is not the study's."""
    return row.name if row.env == study.env else f"{row.name} ({row.env})"


def table_of(study: Study, section: Section, results: Results) -> str:
    """One line for each variant, as Markdown; columns that would be empty are left out."""
    columns = {
        "variant": (":--", [label_of(study, row) for row in section.shown()]),
        "each seed": (":--", [_each_seed(results, row) for row in section.shown()]),
        "mean, 95 % interval": (":--", [_mean(results, row) for row in section.shown()]),
        f"P({section.against} better)": (":--", [_better(results, section, row) for row in section.shown()]),
        "the notes say": (":--", [row.notes for row in section.shown()]),
        "what we read from it": (":--", [row.says for row in section.shown()]),
        "minutes": ("--:", [_minutes(results, row) for row in section.shown()]),
    }
    columns = {name: column for name, column in columns.items() if any(column[1])}
    rules, cells = zip(*columns.values(), strict=True)
    lines = [columns, rules, *zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _number(value: float, like: float) -> str:
    return f"{value:.{0 if abs(like) > 10 else 1}f}"


def _each_seed(results: Results, row: Row) -> str:
    scores, had = scores_of(results, row), {int(had["seed"]) for had in results.get(row.key, [])}
    missing = [str(seed) for seed in row.seeds if seed not in had]
    told = " ".join(_number(score, sum(scores) / len(scores)) for score in scores)
    if not missing:
        return told
    seeds = f"seed {missing[0]} is missing" if len(missing) == 1 else f"seeds {' '.join(missing)} are missing"
    return f"{told} ({seeds})" if told else f"({seeds})"


def _mean(results: Results, row: Row) -> str:
    scores = scores_of(results, row)
    if not scores:
        return ""
    mean, bounds = sum(scores) / len(scores), interval_of_mean(scores)
    told = [_number(value, mean) for value in (mean, *(bounds or ()))]
    return f"{told[0]} [{told[1]}, {told[2]}]" if bounds else told[0]


def _better(results: Results, section: Section, row: Row) -> str:
    reference = section.references.get(row.env)
    if reference is None or reference == row:
        return ""
    pair = scores_of(results, reference), scores_of(results, row)
    if not all(pair):
        return ""
    point, bounds = probability_better(*pair)
    return f"{point:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else f"{point:.2f}"


def _minutes(results: Results, row: Row) -> str:
    minutes = [float(had["minutes"]) for had in results.get(row.key, [])]
    return f"{sum(minutes) / len(minutes):.1f}" if minutes else ""


def commands_of(study: Study, section: Section) -> str:
    """What trained each row of a section, to be copied."""
    lines = [f"# {label_of(study, row)}\npython {readable(row.command('SEED'))}" for row in section.rows]
    return f"{section.title}:\n\n```bash\n" + "\n".join(lines) + "\n```"


def draw(study: Study, results: Results, path: Path) -> None:
    """Mean, interval and seeds of each variant that has any; a panel for each section."""
    panels = [(section, [row for row in section.shown() if results.get(row.key)]) for section in study.sections]
    panels = [(section, rows) for section, rows in panels if rows]
    heights = [len(rows) + 1.5 for _, rows in panels]  # in lines; a panel's title and ticks take some, too
    figure = Figure(figsize=(8, 0.6 + 0.32 * sum(heights)), layout="constrained")
    one_env = len({row.env for row in study.rows}) == 1
    axes = figure.subplots(len(panels), squeeze=False, sharex=one_env, gridspec_kw={"height_ratios": heights})
    for (section, rows), ax in zip(panels, axes[:, 0], strict=True):
        for y, row in enumerate(rows):
            scores = scores_of(results, row)
            color = "C1" if row in section.references.values() else "C0"
            bounds = interval_of_mean(scores) or (scores[0], scores[0])
            ax.plot(bounds, (y, y), color=color, linewidth=6, alpha=0.35, solid_capstyle="butt")
            ax.plot(scores, [y] * len(scores), ".", color=color, markersize=5)
            ax.plot(sum(scores) / len(scores), y, "|", color=color, markersize=14, markeredgewidth=2)
            if color == "C1":
                ax.axvline(sum(scores) / len(scores), color=color, linewidth=0.8, linestyle=":")
        ax.set(ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(range(len(rows)), [label_of(study, row) for row in rows])
        ax.set_title(section.title, loc="left", fontsize="medium")
        ax.grid(axis="x", alpha=0.3)
    axes[-1, 0].set(xlabel="mean return of an episode")
    figure.savefig(path, dpi=150)


def write_page(study: Study, table: list[dict[str, str]]) -> None:
    """
    Write the page and its figure.

    :param study: what should be there
    :param table: its rows so far
    """
    results: Results = {}
    for had in sorted(table, key=lambda had: int(had["seed"])):
        results.setdefault((had["name"], had["env"]), []).append(had)
    if not results.keys() & {row.key for row in study.rows}:
        raise ValueError(f"{study.table} has no row of {study.path} yet; run the study first.")
    figure = study.page.with_suffix(".png")
    draw(study, results, figure)
    parts = [(f"## {each.title}", each.text.strip(), table_of(study, each, results)) for each in study.sections]
    text = PAGE.format(
        title=study.title,
        study=study.path,
        introduction=f"{study.introduction}\n\n" if study.introduction else "",
        episodes=study.episodes,
        table=study.table.name,
        figure=figure.name,
        sections="\n\n".join(part for section in parts for part in section if part),
        commands="\n\n".join(commands_of(study, section) for section in study.sections),
    )
    study.page.write_text(text, encoding="utf-8")
