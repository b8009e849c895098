"""
Compare gcsl with sb3-contrib's TQC with hindsight experience replay on a goal-reaching task.

    python benchmarks/peers/fetch_peers.py --seeds 0 1 2 --output docs/results/fetch.csv --figure docs/results/fetch.png

Both are trained by ``rl_zoo3.train`` and evaluated by its callback. TQC uses RL Zoo's hyperparameters for
FetchReach-v1, on the same version of the environment as gcsl. Prints the success rate by environment steps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ENV = "FetchReach-v4"
TQC_BLOCK = "FetchReach-v1"  # RL Zoo has no hyperparameters for later versions


def train(algo: str, seed: int, every: int, episodes: int, folder: Path) -> pd.DataFrame:
    """Train once, and return the success rate at each evaluation."""
    command = [sys.executable, "-m", "rl_zoo3.train", "--algo", algo, "--env", ENV, "--seed", str(seed), "-f", folder]
    command += ["--eval-freq", str(every), "--eval-episodes", str(episodes), "--num-threads", "1", "--verbose", "0"]
    if algo == "tqc":
        tuned = yaml.safe_load((files("rl_zoo3") / "hyperparams" / "tqc.yml").read_text())
        config = folder / "tqc.yml"
        config.write_text(yaml.safe_dump({ENV: tuned[TQC_BLOCK]}))
        command += ["--conf-file", config]
    subprocess.run([*map(str, command)], check=True)
    evaluations = np.load(folder / algo / f"{ENV}_1" / "evaluations.npz")
    success = evaluations["successes"].mean(axis=1)
    return pd.DataFrame({"algo": algo, "seed": seed, "steps": evaluations["timesteps"], "success": success})


def draw(curves: pd.DataFrame, path: Path) -> None:
    """Plot the mean over seeds, and their range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for algo, runs in curves.groupby("algo"):
        by_steps = runs.groupby("steps")["success"]
        axes.plot(by_steps.mean(), label={"tqc": "tqc + HER"}.get(str(algo), str(algo)))
        axes.fill_between(by_steps.mean().index, by_steps.min(), by_steps.max(), alpha=0.2)
    axes.set(xlabel="environment steps", ylabel="success", title=ENV, ylim=(-0.05, 1.05))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", default=["gcsl", "tqc"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--every", type=int, default=1000, help="environment steps between two evaluations")
    parser.add_argument("--episodes", type=int, default=20, help="episodes per evaluation")
    parser.add_argument("--output", type=Path, help="table; its runs are not repeated")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    exists = args.output is not None and args.output.exists()
    columns = {"algo": str, "seed": int, "steps": int, "success": float}
    curves = pd.read_csv(args.output) if exists else pd.DataFrame(columns=list(columns))
    curves = curves.astype(columns)
    for seed in args.seeds:
        for algo in args.algos:
            if ((curves["algo"] == algo) & (curves["seed"] == seed)).any():
                continue
            with tempfile.TemporaryDirectory() as folder:
                curves = pd.concat([curves, train(algo, seed, args.every, args.episodes, Path(folder))])
            if args.output is not None:
                curves.to_csv(args.output, index=False)
    print(curves.pivot_table(index="steps", columns=["algo", "seed"], values="success").round(2).to_string())
    if args.figure is not None:
        draw(curves, args.figure)


if __name__ == "__main__":
    main()
