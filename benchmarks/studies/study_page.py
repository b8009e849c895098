"""Write the page of a study: a table and a panel of a figure for each section (``study.py page`` calls it)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from rliable.library import get_interval_estimates
from rliable.metrics import aggregate_mean, probability_of_improvement
from study_sections import Results, diagnostics_section, own_play_section
from tables import markdown, number, readable

if TYPE_CHECKING:
    from study_file import Row, Section, Study

PAGE = """# {title}

{introduction}## How to read the tables

Each variant was trained with its [command](#commands). The final agent, never the best checkpoint, was evaluated by
`rl_zoo3.enjoy` on {episodes} episodes with deterministic actions from seed {evaluation_seed}. The columns are:

- *each seed*: mean return of the evaluation episodes of one training.
- *mean, 95 % interval*: mean over seeds, with a bootstrap interval over seeds.
- *P(... better)*: probability that a run of the named variant beats a run of the row's variant, over all pairs of seeds
  (a tie counts half), with its interval.
{columns}- *minutes*: mean training time.

Means, probabilities and intervals are computed by [rliable](https://github.com/google-research/rliable)
([Agarwal et al. 2021](https://arxiv.org/abs/2108.13264)). Intervals from three seeds are rough, because the bootstrap
has only 27 combinations: an interval of the mean reaches from the worst seed to the best. If the interval of P has no
width, all pairs of these seeds agree; other seeds may not. `{table}` in this folder contains one line per training,
with the returns of its episodes.

![Mean and 95 % interval of each variant; each dot is a seed]({figure})

{sections}

{further}## Commands

To run the study and write this page:

```bash
python benchmarks/studies/study.py run {study}
python benchmarks/studies/study.py page {study}
```

{commands}
"""

RESAMPLES = 2_000  # a second for each probability of improvement


def interval_of_mean(scores: list[float]) -> tuple[float, float] | None:
    """Return a 95 % bootstrap interval of the mean, or None for a single score."""
    if len(scores) < 2:
        return None
    return _interval(aggregate_mean, _one_task(scores))


def probability_better(reference: list[float], scores: list[float]) -> tuple[float, tuple[float, float] | None]:
    """
    Compute the probability that a run of the reference beats a run of another variant.

    :param reference: score of each seed of the reference
    :param scores: score of each seed of the other variant
    :return: fraction of pairs in which the reference is better (a tie counts half), and its 95 % interval
    """
    pair = _one_task(reference), _one_task(scores)
    point = float(probability_of_improvement(*pair))
    return point, None if min(len(reference), len(scores)) < 2 else _interval(probability_of_improvement, *pair)


def _one_task(scores: list[float]) -> np.ndarray:
    """Shape scores as rliable expects them: runs x tasks."""
    return np.array(scores)[:, None]


def _interval(func: Callable[..., float], *scores: np.ndarray) -> tuple[float, float]:
    """Return rliable's 95 % interval with a fixed seed; each array is resampled independently."""
    state = np.random.get_state()
    np.random.seed(0)  # rliable 1.2 accepts random_state, but draws from the global generator
    try:
        _, intervals = get_interval_estimates({"": list(scores)}, func, reps=RESAMPLES)
    finally:
        np.random.set_state(state)
    low, high = intervals[""].ravel()
    return float(low), float(high)


def scores_of(results: Results, row: Row) -> list[float]:
    """Return the mean return of each finished seed."""
    return [float(had["mean"]) for had in results.get(row.key, [])]


def explain(study: Study, results: Results) -> str:
    """Describe the columns that not every study has, as items of a list."""
    told = ""
    if study.percentile is not None:
        told += f"- *{study.percentile}th percentile*: of the returns of all evaluation episodes of all seeds.\n"
    if any(_decisions(results, row) for row in study.rows):
        told += (
            "- *own decisions (frames)*: steps of online interaction, in steps of the wrapped environment, with\n"
            "  random actions; in brackets the frames that they take, with skipped frames.\n"
        )
    return told


def table_of(study: Study, section: Section, results: Results) -> str:
    """Return a Markdown table with one line per variant, without empty columns."""
    columns = {
        "variant": (":--", [study.label(row) for row in section.shown()]),
        "each seed": (":--", [_each_seed(results, row) for row in section.shown()]),
        "mean, 95 % interval": (":--", [_mean(results, row) for row in section.shown()]),
        f"P({section.against} better)": (":--", [_better(results, section, row) for row in section.shown()]),
        f"{study.percentile}th percentile": ("--:", [_percentile(study, results, row) for row in section.shown()]),
        "own decisions (frames)": ("--:", [_decisions(results, row) for row in section.shown()]),
        "the notes say": (":--", [row.notes for row in section.shown()]),
        "conclusion": (":--", [row.says for row in section.shown()]),
        "minutes": ("--:", [_minutes(results, row) for row in section.shown()]),
    }
    return markdown(columns)


def _each_seed(results: Results, row: Row) -> str:
    scores, had = scores_of(results, row), {int(had["seed"]) for had in results.get(row.key, [])}
    missing = [str(seed) for seed in row.seeds if seed not in had]
    text = " ".join(number(score, sum(scores) / len(scores)) for score in scores)
    if not missing:
        return text
    seeds = f"seed {missing[0]} is missing" if len(missing) == 1 else f"seeds {' '.join(missing)} are missing"
    return f"{text} ({seeds})" if text else f"({seeds})"


def _mean(results: Results, row: Row) -> str:
    scores = scores_of(results, row)
    if not scores:
        return ""
    mean, bounds = sum(scores) / len(scores), interval_of_mean(scores)
    texts = [number(value, mean) for value in (mean, *(bounds or ()))]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if bounds else texts[0]


def _better(results: Results, section: Section, row: Row) -> str:
    reference = section.references.get(row.env)
    if reference is None or reference == row:
        return ""
    pair = scores_of(results, reference), scores_of(results, row)
    if not all(pair):
        return ""
    point, bounds = probability_better(*pair)
    return f"{point:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else f"{point:.2f}"


def _percentile(study: Study, results: Results, row: Row) -> str:
    returns = [float(value) for had in results.get(row.key, []) for value in had["returns"].split()]
    if study.percentile is None or not returns:
        return ""
    return number(float(np.percentile(returns, study.percentile)), sum(returns) / len(returns))


def _decisions(results: Results, row: Row) -> str:
    counted = [had for had in results.get(row.key, []) if had["decisions"]]
    if not counted:
        return ""
    return f"{int(counted[0]['decisions']):,} ({int(counted[0]['frames']):,})"


def _minutes(results: Results, row: Row) -> str:
    minutes = [float(had["minutes"]) for had in results.get(row.key, [])]
    return f"{sum(minutes) / len(minutes):.1f}" if minutes else ""


def commands_of(study: Study, section: Section) -> str:
    """Return the training commands of a section as a code block."""
    lines = [f"# {study.label(row)}\npython {readable(row.command('SEED'))}" for row in section.rows]
    return f"{section.title}:\n\n```bash\n" + "\n".join(lines) + "\n```"


def draw(study: Study, results: Results, path: Path) -> None:
    """Plot mean, interval and seeds of each variant that has results, with one panel per section."""
    panels = [(section, [row for row in section.shown() if results.get(row.key)]) for section in study.sections]
    panels = [(section, rows) for section, rows in panels if rows]
    heights = [len(rows) + 1.5 for _, rows in panels]  # in lines, with room for the title and ticks
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
        ax.set_yticks(range(len(rows)), [study.label(row) for row in rows])
        ax.set_title(section.title, loc="left", fontsize="medium")
        ax.grid(axis="x", alpha=0.3)
    axes[-1, 0].set(xlabel="mean return of an episode")
    figure.savefig(path, dpi=150)


def write_page(study: Study, table: list[dict[str, str]]) -> None:
    """
    Write the page and its figure.

    :param study: the study
    :param table: its rows so far
    """
    results: Results = {}
    for had in sorted(table, key=lambda had: int(had["seed"])):
        results.setdefault((had["name"], had["env"]), []).append(had)
    if not results.keys() & {row.key for row in study.rows}:
        raise ValueError(f"{study.table} has no row of {study.path} yet; run the study first.")
    figure = study.page.with_suffix(".png")
    draw(study, results, figure)
    further = (diagnostics_section(study), own_play_section(study, results))
    parts = [(f"## {each.title}", each.text.strip(), table_of(study, each, results)) for each in study.sections]
    text = PAGE.format(
        title=study.title,
        study=study.path,
        introduction=f"{study.introduction}\n\n" if study.introduction else "",
        episodes=study.episodes,
        evaluation_seed=study.evaluation_seed,
        columns=explain(study, results),
        table=study.table.name,
        figure=figure.name,
        sections="\n\n".join(part for section in parts for part in section if part),
        further="".join(f"{part}\n\n" for part in further if part),
        commands="\n\n".join(commands_of(study, section) for section in study.sections),
    )
    study.page.write_text(text, encoding="utf-8")
