"""
Turn the rows of ``benchmarks/runs.py`` into a Markdown table: one line for each variant, over its seeds.

    python benchmarks/summary.py docs/results/cartpole.csv
"""

from __future__ import annotations

import argparse
import re
import statistics
from pathlib import Path

import pandas as pd


def summarise(rows: pd.DataFrame) -> str:
    """
    :param rows: table of ``benchmarks/runs.py``
    :return: Markdown; a score is the mean over seeds of each seed's mean over episodes, with the deviation of the seeds
    """
    lines = ["| variant | environment | each seed | mean | std of seeds | command |", "|---|---|---|---:|---:|---|"]
    for (name, env), group in rows.groupby(["name", "env"], sort=False):
        means = group["mean"].tolist()
        each = " ".join(f"{mean:.0f}" for mean in means)
        spread = f"{statistics.stdev(means):.0f}" if len(means) > 1 else "-"
        command = re.sub(r"--seed \d+", "--seed SEED", group["command"].iloc[0])
        lines.append(f"| {name} | {env} | {each} | {statistics.mean(means):.0f} | {spread} | `python {command}` |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    args = parser.parse_args()
    print(summarise(pd.concat([pd.read_csv(path) for path in args.tables])))


if __name__ == "__main__":
    main()
