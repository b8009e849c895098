"""
Train with RL Zoo over seeds, evaluate the final agents with ``enjoy``, and add a row per seed to a table.

    python benchmarks/studies/runs.py --algo gcsl_vicreg --env CartPole-v1 --seeds 0 1 2 3 4 --episodes 20 \\
        --name gcsl_vicreg --output docs/results/own_play.csv -- --num-threads 1 --eval-freq -1

Arguments after ``--`` are passed to ``rl_zoo3.train``. Rows that exist in the table are skipped, so a stopped run can
be resumed.
"""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own_play import read_own_play
from run_folder import find_run, read_counts

from gcrl_zoo.data.disk import writing

FIELDS = ["name", "env", "seed", "episodes", "mean", "std", "success", "minutes", "command"]


@dataclass(frozen=True)
class Evaluation:
    """
    How ``enjoy`` evaluates the final agent.

    :param episodes: number of episodes
    :param max_steps: maximum length of an episode, in steps of the wrapped environment
    :param seed: seed of the environment, which must differ from the seeds of the trainings and their environments
    """

    episodes: int = 20
    max_steps: int = 1000
    seed: int = 1000


def train_words(algo: str, env: str, seed: int | str, extra: list[str]) -> list[str]:
    """Return the arguments of Python that train one seed, without the log folder."""
    return ["-m", "rl_zoo3.train", "--algo", algo, "--env", env, "--seed", str(seed), *extra]


def execute(words: list[str], capture: bool) -> str | None:
    """Run Python with these arguments, and return its output if ``capture`` is set."""
    output = subprocess.PIPE if capture else None
    return subprocess.run([sys.executable, *words], check=True, stdout=output, stderr=output, text=True).stdout


def run(
    algo: str,
    env: str,
    seed: int,
    extra: list[str],
    evaluation: Evaluation,
    execute: Callable[[list[str], bool], str | None] = execute,
    agents: Path | None = None,
) -> dict[str, str]:
    """
    Train and evaluate one seed.

    :param extra: further arguments of ``rl_zoo3.train``
    :param agents: log folder in which to keep the agent; None deletes the agent
    :return: the columns of a row. ``returns`` are those of the single episodes; ``own_play`` has the mean return of
        the online interaction, see ``own_play.py``
    :raises RuntimeError: training was stopped, or ``enjoy`` finished fewer episodes
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(agents or temporary)
        train = train_words(algo, env, seed, extra)
        start = time.monotonic()
        execute([*train, "-f", folder], False)
        minutes = (time.monotonic() - start) / 60
        trained = find_run(Path(folder))
        done, asked = read_counts(trained)
        if done < asked:  # RL Zoo saves the agent and exits without an error
            raise RuntimeError(f"training was stopped by a signal after {done:,} of {asked:,} steps.")
        # enjoy counts steps, not episodes: run enough steps for all of them, then use the first ones.
        steps = str(evaluation.episodes * evaluation.max_steps)
        enjoy = ["-m", "rl_zoo3.enjoy", "--algo", algo, "--env", env, "-f", folder, "--no-render", "--num-threads", "1"]
        played = execute([*enjoy, "-n", steps, "--seed", str(evaluation.seed)], True) or ""
        own_play = read_own_play(trained)
    episodes = evaluation.episodes
    returns = [float(value) for value in re.findall(r"Episode Reward: (-?[\d.]+)", played)][:episodes]
    if len(returns) < episodes:
        raise RuntimeError(f"enjoy finished {len(returns)} episodes, not {episodes}; raise --max-steps.")
    mean = sum(returns) / episodes
    std = (sum((value - mean) ** 2 for value in returns) / episodes) ** 0.5
    success = re.search(r"Success rate: ([\d.]+)%", played)  # of all episodes played
    return {
        "mean": f"{mean:.1f}",
        "std": f"{std:.1f}",
        "success": f"{float(success[1]) / 100:.3f}" if success else "",
        "minutes": f"{minutes:.1f}",
        "command": shlex.join(train),
        "returns": " ".join(map(str, returns)),
        "evaluation_seed": str(evaluation.seed),
        "decisions": str(own_play.decisions),
        "frames": str(own_play.decisions * own_play.skip),
        "own_play": " ".join(f"{mean:.1f}" for mean in own_play.portions()),
    }


def add_row(table: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV file, with a header if the file is new."""
    with writing(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", required=True)
    parser.add_argument("--env", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--max-steps", type=int, default=1000, help="maximum length of an episode")
    parser.add_argument("--evaluation-seed", type=int, default=1000, help="seed of the evaluation")
    parser.add_argument("--name", required=True, help="name of the variant, the first column of the table")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("extra", nargs="*", help="arguments of rl_zoo3.train, after --")
    args = parser.parse_args()
    rows = csv.DictReader(args.output.open()) if args.output.exists() else []
    done = {(row["name"], row["env"], int(row["seed"])) for row in rows}
    for seed in args.seeds:
        if (args.name, args.env, seed) in done:
            continue
        evaluation = Evaluation(args.episodes, args.max_steps, args.evaluation_seed)
        result = run(args.algo, args.env, seed, args.extra, evaluation)
        row = {"name": args.name, "env": args.env, "seed": seed, "episodes": args.episodes, **result}
        row = {field: row[field] for field in FIELDS}  # benchmarks/studies/study.py keeps the others
        add_row(args.output, row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
