"""
Run a study of many variants over seeds, and write a page with its results.

    python benchmarks/studies/study.py run benchmarks/studies/exp6.yml --jobs 2
    python benchmarks/studies/study.py page benchmarks/studies/exp6.yml

A study is a YAML file with variants in sections. Common settings are at the top or in a section. ``run`` trains and
evaluates the variants that the study's table lacks, and writes each row when it is finished, so it can be stopped at
any time and resumed. With ``--agents`` it keeps the log folders of the trainings. ``page`` needs the extra ``study``.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import functools
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import runs
import yaml
from study_file import Row, Study, read_study

from gcrl_zoo.data.disk import writing

FIELDS = [*runs.FIELDS, "returns", "evaluation_seed", "decisions", "frames", "own_play"]
# ----------------------------------------------------------------------------------------------------------- the table


def read_table(study: Study) -> list[dict[str, str]]:
    """Read the rows so far. Refuses rows made by another command than the study's, since a table must not mix them."""
    if not study.table.exists():
        return []
    with study.table.open(newline="") as file:
        table = list(csv.DictReader(file))
    wanted = {row.key: row for row in study.rows}
    for had in table:
        row = wanted.get((had["name"], had["env"]))
        if row is None:
            continue
        before = had["command"], had["episodes"], had["evaluation_seed"]
        now = row.command(had["seed"]), str(study.episodes), str(study.evaluation_seed)
        if before != now:
            told = "`{}` and {} episodes from seed {}"
            raise ValueError(
                f"{study.table} has {had['name']!r} on {had['env']}, seed {had['seed']}, made by "
                f"{told.format(*before)}, but {study.path} says {told.format(*now)} now; delete that row from the "
                "table, or rename the variant."
            )
    return table


def add_row(study: Study, logs: Path, row: dict[str, object]) -> None:
    """Add a row to the table. The file is replaced atomically."""
    # Read again under the lock: another job, or another process that runs the study too, may have written.
    with writing(study.table), (logs / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        table = read_table(study)
        if any((had["name"], had["env"], had["seed"]) == (row["name"], row["env"], str(row["seed"])) for had in table):
            return
        temporary = study.table.with_name(f"{study.table.name}.tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows([*table, row])
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, study.table)


# ------------------------------------------------------------------------------------------------------------- running


class Children:
    """The running child processes, which are ended when the study is stopped."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def execute(self, log: Path, words: list[str], capture: bool) -> str | None:
        """Run Python as in ``runs.py``, with the output in a file."""
        with log.open("a") as file:
            with self._lock:
                if self._stopped:
                    raise RuntimeError("the study was stopped")
                # In a separate session: Ctrl-C must not reach RL Zoo, which would save a half-trained agent and exit
                # without an error.
                child = subprocess.Popen(
                    [sys.executable, *words],
                    stdout=subprocess.PIPE if capture else file,
                    stderr=file,
                    text=True,
                    start_new_session=True,
                )
                self._running.add(child)
            printed, _ = child.communicate()
            with self._lock:
                self._running.discard(child)
            file.write(printed or "")
        if child.returncode:
            raise RuntimeError(f"exit code {child.returncode} of python {shlex.join(words[:2])}")
        return printed

    def stop(self) -> None:
        """End the running processes and start no others."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.terminate()


def pending(study: Study, only: str | None = None, seeds: list[int] | None = None) -> list[tuple[Row, int]]:
    """
    List the missing runs: first the first seed of every row, then the second, and so on.

    :param only: regular expression; only rows whose names match
    :param seeds: only these seeds
    :return: rows and seeds, in the order in which to run them
    """
    wanted = [row for row in study.rows if only is None or re.search(only, row.name)]
    by_turn = itertools.zip_longest(*([(row, seed) for seed in row.seeds] for row in wanted))
    chosen = [each for turn in by_turn for each in turn if each and (seeds is None or each[1] in seeds)]
    if not chosen:
        raise ValueError(f"{study.path} has no row with this name and seed; look at --only and --seeds.")
    done = {(had["name"], had["env"], int(had["seed"])) for had in read_table(study)}
    return [(row, seed) for row, seed in chosen if (*row.key, seed) not in done]


def run_one(
    study: Study, logs: Path, agents: Path | None, children: Children, row: Row, seed: int
) -> dict[str, object]:
    """Train and evaluate one seed of a row, and add it to the table."""
    log = log_of(logs, row, seed)
    log.unlink(missing_ok=True)
    if agents is not None:
        agents = agents / row.stem(seed)
        shutil.rmtree(agents, ignore_errors=True)  # of a run that was stopped
    execute = functools.partial(children.execute, log)
    evaluation = runs.Evaluation(study.episodes, row.max_steps, study.evaluation_seed)
    result = runs.run(row.algo, row.env, seed, row.arguments, evaluation, execute, agents)
    result = {"name": row.name, "env": row.env, "seed": seed, "episodes": study.episodes, **result}
    add_row(study, logs, result)
    return result


def log_of(logs: Path, row: Row, seed: int) -> Path:
    """Return the path of the output of one run."""
    return logs / f"{row.stem(seed)}.log"


def run(
    study: Study,
    jobs: int,
    logs: Path,
    only: str | None = None,
    seeds: list[int] | None = None,
    agents: Path | None = None,
) -> int:
    """
    Run what is missing.

    :param jobs: number of parallel runs
    :param logs: folder for the output of trainings
    :param only: see ``pending``
    :param seeds: see ``pending``
    :param agents: folder in which to keep the log folders of the trainings; None deletes them
    :return: number of failed runs
    """
    todo = pending(study, only, seeds)
    print(f"{len(todo)} runs to do, {jobs} at a time; their output goes to {logs}", flush=True)
    logs.mkdir(parents=True, exist_ok=True)
    study.table.parent.mkdir(parents=True, exist_ok=True)
    children, executor, failed, start = Children(), ThreadPoolExecutor(jobs), 0, time.monotonic()
    try:
        submit = functools.partial(executor.submit, run_one, study, logs, agents, children)
        futures = {submit(row, seed): (row, seed) for row, seed in todo}
        for finished, future in enumerate(as_completed(futures), start=1):
            row, seed = futures[future]
            left = len(todo) - finished
            hours = (time.monotonic() - start) / finished * left / 3600
            progress = f"{left} of {len(todo)} left, about {hours:.1f} hours"
            if error := future.exception():
                failed += 1
                log = log_of(logs, row, seed)
                print(f"FAILED: {row.name}, {row.env}, seed {seed}: {error}; {progress}. The end of {log}:")
                print(*(log.read_text().splitlines()[-10:] if log.exists() else []), sep="\n", flush=True)
            else:
                got = future.result()
                told = f"{got['mean']} ± {got['std']} after {got['minutes']} minutes of training"
                print(f"{row.name}, {row.env}, seed {seed}: {told}; {progress}", flush=True)
    finally:
        children.stop()  # none are left unless the study was stopped
        executor.shutdown(cancel_futures=True)
    return failed


def heed_signals() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt, unless they are ignored, as by nohup."""

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second signal would interrupt the clean-up
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="train and evaluate what the table lacks")
    runner.add_argument("study", type=Path)
    runner.add_argument("--jobs", type=int, default=1, help="number of parallel runs")
    runner.add_argument("--only", metavar="REGEX", help="only rows whose names match")
    runner.add_argument("--seeds", type=int, nargs="+", help="only these seeds")
    runner.add_argument("--logs", type=Path, help="folder for the output of trainings (default: logs/study/NAME)")
    runner.add_argument("--agents", type=Path, help="folder in which to keep the agents (default: delete them)")
    commands.add_parser("page", help="write the page and its figure").add_argument("study", type=Path)
    args = parser.parse_args()
    try:
        study = read_study(args.study)
        if args.command == "page":
            from study_page import write_page  # imported late: running needs neither rliable nor Matplotlib

            write_page(study, read_table(study))
            print(f"Page: {study.page}")
            return
        heed_signals()
        logs = args.logs or Path("logs", "study", args.study.stem)
        sys.exit(1 if run(study, args.jobs, logs, args.only, args.seeds, args.agents) else 0)
    except (ValueError, OSError, re.error, yaml.YAMLError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("Stopped. The table contains all finished runs; run the same command to resume.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
