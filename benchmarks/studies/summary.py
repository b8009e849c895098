"""
Turn the rows of ``benchmarks/studies/runs.py`` into a Markdown table: one line for each variant, over its seeds.

    python benchmarks/studies/summary.py docs/results/own_play.csv --output docs/results/own_play.md
"""

from __future__ import annotations

import argparse
import re
import shlex
import statistics
from pathlib import Path

import pandas as pd

PAGE = """# Results of {title}

Each row was trained by the command beside it and played from its final zip by `rl_zoo3.enjoy` (deterministic, seed
1000). *Each seed* is the mean over its episodes, whose number the tables name; the last score, never the best. The rows
of single runs, with their spread over episodes and their time, are in the `.csv` files beside this page;
`benchmarks/studies/runs.py` makes them.
Written by

```bash
{command}
```

{table}
"""


def summarise(rows: pd.DataFrame) -> str:
    """
    :param rows: table of ``benchmarks/studies/runs.py``
    :return: Markdown; a score is the mean over seeds of each seed's mean over episodes, with the deviation of the seeds
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


def readable(command: str) -> str:
    """The same command, quoted as a person would."""
    return " ".join(f'"{word}"' if re.search(r"[^\w./:=,-]", word) else word for word in shlex.split(command))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, help="page to write, titled by its name")
    args = parser.parse_args()
    table = summarise(pd.concat([pd.read_csv(path) for path in args.tables]))
    if args.output is None:
        print(table)
        return
    command = f"python benchmarks/studies/summary.py {' '.join(map(str, args.tables))} --output {args.output}"
    args.output.write_text(PAGE.format(title=args.output.stem, command=command, table=table))


if __name__ == "__main__":
    main()
