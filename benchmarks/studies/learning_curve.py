"""
Plot the learning curve of one run of RL Zoo, or the online interaction of several runs in one figure.

    python benchmarks/studies/learning_curve.py logs/gcsl_vicreg/CartPole-v1_1 --output logs/learning_curve.png
    python benchmarks/studies/learning_curve.py logs/bco/CartPole-v1_* --output logs/own_play.png

For several runs, the command also prints the mean return of the first and of the last 10,000 decisions of each run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from own_play import PORTION, WINDOW, first_and_last, read_own_play
from run_folder import find_run, name_of


def draw(folder: Path, output: Path) -> None:
    """
    Plot training episodes (``*.monitor.csv``) and evaluations (``evaluations.npz``), if there are any.

    :param folder: folder of the run
    :param output: PNG to write
    """
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    play = read_own_play(folder)
    if len(play.ends):
        window = max(1, len(play.ends) // 50)
        mean = pd.Series(play.returns).rolling(window, min_periods=1).mean()
        axes.plot(play.ends, play.returns, ".", color="0.8", markersize=3, label="training, each episode")
        axes.plot(play.ends, mean, color="C0", label=f"mean of {window}")
    if (folder / "evaluations.npz").exists():
        evaluations = np.load(folder / "evaluations.npz")
        mean, spread = evaluations["results"].mean(1), evaluations["results"].std(1)
        axes.errorbar(evaluations["timesteps"], mean, spread, color="C1", marker="o", label="evaluation, mean and std")
    axes.set(xlabel="timesteps", ylabel="return of an episode", title=f"{folder.parent.name} on {folder.name}")
    axes.legend()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=150)


def draw_several(folders: Sequence[Path], output: Path) -> str:
    """
    Plot the mean return of each portion of the online interaction, with one curve per run.

    :param folders: of the runs, or parents of them
    :param output: PNG to write
    :return: Markdown table with the means of the first and of the last portions
    """
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    lines = [f"| run | first {WINDOW * PORTION:,} | last {WINDOW * PORTION:,} |", "|---|---:|---:|"]
    for folder in folders:
        portions = read_own_play(find_run(folder)).portions()
        axes.plot(PORTION * np.arange(1, len(portions) + 1), portions, label=name_of(folder))
        pair = first_and_last(portions)
        lines.append(f"| {name_of(folder)} | {pair[0]:.0f} | {pair[1]:.0f} |" if pair else f"| {name_of(folder)} | | |")
    axes.set(xlabel="decisions", ylabel=f"mean return of episodes in {PORTION:,} decisions")
    axes.legend(fontsize="small")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=150)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of runs, e.g. logs/gcsl_vicreg/CartPole-v1_1")
    parser.add_argument("--output", type=Path, default=Path("learning_curve.png"))
    args = parser.parse_args()
    for folder in args.folders:
        if not folder.is_dir():
            parser.error(f"There is no folder {folder}; train first, or pass the folder of a run.")
    try:
        if len(args.folders) > 1:
            print(draw_several(args.folders, args.output))
        else:
            draw(args.folders[0], args.output)
    except ValueError as error:
        parser.error(str(error))
    print(f"Learning curve: {args.output}")


if __name__ == "__main__":
    main()
