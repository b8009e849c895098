"""
Write the table of ``benchmarks/studies/runs.py`` as a Markdown page, with one row per variant that summarises its
seeds.

    python benchmarks/studies/summary.py docs/results/own_play.csv --output docs/results/own_play.md
"""

from __future__ import annotations

import argparse
import re
import statistics
import textwrap
from pathlib import Path

import pandas as pd
from tables import readable

PAGE = """# {title}

{caption}

{table}

The `.csv` files in this folder contain one line per training, with the standard deviation over episodes and the
training time. `benchmarks/studies/runs.py` writes them. To write this page:

```bash
{command}
```
"""

CAPTION = """Each row was trained with the command in its last column. The final agent, never the best checkpoint, was
evaluated by `rl_zoo3.enjoy` with deterministic actions from seed 1000. A number under "each seed" is the mean return of
the evaluation episodes of one training ({episodes} episodes); "mean" and "std" are over seeds."""
HOPPER_MIXED = (
    "`gcrl/hopper/mixed-v0` has 777 episodes of six agents and a random policy (return 1,226 ± 1,017, best 3,668)."
)
HOPPER_MEDIUM = "`gcrl/hopper/medium-v0` has 609 episodes (mean return 1,090)."
#: By name of the page: its title, and what its caption adds.
PAGES = {
    "bc": ("Results of bc", f"Data: {HOPPER_MIXED} CartPole-v1 is online."),
    "dt": (
        "Results of dt",
        f"Data: {HOPPER_MEDIUM} CartPole-v1 is online; for `dt`, the YAML block `default` is that of CartPole-v1, "
        "where the online settings were tuned.",
    ),
    "gcsl": (
        "Results of gcsl",
        "All rows are online, without rewards. The success rate is over all episodes that `enjoy` finished.",
    ),
    "own_play": ("Online results", "All rows are online, without a dataset."),
}


def summarise(rows: pd.DataFrame) -> str:
    """
    Aggregate the seeds of each variant.

    :param rows: table of ``benchmarks/studies/runs.py``
    :return: Markdown table of the score of each seed, their mean and their standard deviation
    """
    goals = "success" in rows and bool(rows["success"].notna().any())
    columns = ["variant", "environment", "each seed", "mean", "std of seeds"]
    columns += ["success, each seed"] * goals + ["command"]
    lines = [f"| {' | '.join(columns)} |", f"|---|---|---|---:|---:|{'---|' * goals}---|"]
    for (name, env), group in rows.groupby(["name", "env"], sort=False):
        means = group["mean"].tolist()
        digits = 0 if abs(statistics.mean(means)) > 10 else 1
        each = " ".join(f"{mean:.{digits}f}" for mean in means)
        spread = f"{statistics.stdev(means):.{digits}f}" if len(means) > 1 else "-"
        cells = [name, env, each, f"{statistics.mean(means):.{digits}f}", spread]
        if goals:
            cells.append(" ".join(f"{rate:.2f}" for rate in group["success"].dropna()) or "-")
        command = readable(re.sub(r"--seed \d+", "--seed SEED", group["command"].iloc[0]))
        lines.append(f"| {' | '.join(cells)} | `python {command}` |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, help="page to write; its name selects title and caption")
    args = parser.parse_args()
    rows = pd.concat([pd.read_csv(path) for path in args.tables])
    table = summarise(rows)
    if args.output is None:
        print(table)
        return
    command = f"python benchmarks/studies/summary.py {' '.join(map(str, args.tables))} --output {args.output}"
    title, more = PAGES.get(args.output.stem, (f"Results of {args.output.stem}", ""))
    episodes = " to ".join(str(count) for count in sorted({rows["episodes"].min(), rows["episodes"].max()}))
    caption = f"*{CAPTION.format(episodes=episodes)} {more}".strip() + "*"
    caption = textwrap.fill(caption, 120, break_long_words=False)
    args.output.write_text(PAGE.format(title=title, caption=caption, command=command, table=table))


if __name__ == "__main__":
    main()
