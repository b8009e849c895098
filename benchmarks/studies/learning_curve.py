"""
Plot the learning curve of one run of RL Zoo.

    python benchmarks/studies/learning_curve.py logs/gcsl_vicreg/CartPole-v1_1 --output logs/learning_curve.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from stable_baselines3.common.monitor import load_results


def draw(folder: Path, output: Path) -> None:
    """
    Plot training episodes (``*.monitor.csv``) and evaluations (``evaluations.npz``), if there are any.

    :param folder: folder of the run
    :param output: PNG to write
    """
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    if list(folder.glob("*monitor.csv")):
        play = load_results(str(folder))
        steps = play["l"].cumsum()
        window = max(1, len(play) // 50)
        axes.plot(steps, play["r"], ".", color="0.8", markersize=3, label="training, each episode")
        axes.plot(steps, play["r"].rolling(window, min_periods=1).mean(), color="C0", label=f"mean of {window}")
    if (folder / "evaluations.npz").exists():
        evaluations = np.load(folder / "evaluations.npz")
        mean, spread = evaluations["results"].mean(1), evaluations["results"].std(1)
        axes.errorbar(evaluations["timesteps"], mean, spread, color="C1", marker="o", label="evaluation, mean and std")
    axes.set(xlabel="timesteps", ylabel="return of an episode", title=f"{folder.parent.name} on {folder.name}")
    axes.legend()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the run, e.g. logs/gcsl_vicreg/CartPole-v1_1")
    parser.add_argument("--output", type=Path, default=Path("learning_curve.png"))
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f"There is no folder {args.folder}; train first, or pass the folder of a run.")
    draw(args.folder, args.output)
    print(f"Learning curve: {args.output}")


if __name__ == "__main__":
    main()
