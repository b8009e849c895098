"""A study is run once, in a fair order, can be stopped at any time, and its page tells what the table has."""

from __future__ import annotations

import csv
import importlib
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.registry import discover
from tests.support.throw_away import ROOT

pytest.importorskip("rliable")
pytest.importorskip("matplotlib")
sys.path.append(str(ROOT / "benchmarks" / "studies"))  # scripts, which import each other by name
study = importlib.import_module("study")
study_page = importlib.import_module("study_page")
study_sections = importlib.import_module("study_sections")
own_play = importlib.import_module("own_play")
tables = importlib.import_module("tables")

YAML = """
title: A study
introduction: Why it was made.
table: out/study.csv
page: out/study.md
env: Hopper-v5
episodes: 2
seeds: [0, 1, 2]
arguments: [--num-threads, 1]
sections:
  - title: First
    text: What it is about.
    against: plain
    rows:
      - name: plain
      - name: no VICReg
        arguments: [-params, "terms:dict(align=1)"]
        notes: not effective | alone
        says: It is worse.
  - title: Second
    against: plain
    rows:
      - name: cloned
        algo: bc
        seeds: [0, 1, 2, 3]
      - name: plain
        env: CartPole-v1
        seeds: [0]
"""
SCORES = {"plain": 100.0, "no VICReg": 50.0, "cloned": 200.0}
EVERY = [("plain", 0), ("no VICReg", 0), ("cloned", 0), ("plain", 0)]
EVERY += [(name, seed) for seed in (1, 2) for name in SCORES] + [("cloned", 3)]


class Trainer:
    """Takes the place of training and playing: fixed scores, and what was asked for."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.broken: set[tuple[str, int]] = set()
        self.agents: list[Path | None] = []
        self.playing: set[str] = set()

    def run(
        self, algo: str, env: str, seed: int, extra: list[str], evaluation: Any, execute: Any, agents: Path | None
    ) -> dict:
        name = "cloned" if algo == "bc" else "no VICReg" if "-params" in extra else "plain"
        self.seen.append((name, seed))
        if (name, seed) in self.broken:
            execute(["-c", "print('what went wrong'); raise SystemExit(3)"], False)
        mean = SCORES[name] + 10 * seed
        command = shlex.join(study.runs.train_words(algo, env, seed, extra))
        returns = f"{mean - 1} {mean + 1}"
        told = {"mean": f"{mean:.1f}", "std": "1.0", "success": "", "minutes": f"{seed + 1}.0"}
        played = {"decisions": "", "frames": "", "own_play": ""}
        if name in self.playing:
            played = {"decisions": "25000", "frames": "100000", "own_play": " ".join(f"{seed + i}" for i in range(25))}
        self.agents.append(agents)
        return {**told, **played, "command": command, "returns": returns, "evaluation_seed": str(evaluation.seed)}


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Nothing is trained, and the folder is empty but for a study."""
    monkeypatch.chdir(tmp_path)
    Path("study.yml").write_text(YAML)
    trainer = Trainer()
    monkeypatch.setattr(study.runs, "run", trainer.run)
    return trainer


def go(jobs: int = 1, **chosen: Any) -> int:
    return study.run(study.read_study(Path("study.yml")), jobs, Path("logs"), **chosen)


def table() -> list[dict[str, str]]:
    with Path("out/study.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def edit(before: str, after: str) -> None:
    text = Path("study.yml").read_text()
    assert before in text
    Path("study.yml").write_text(text.replace(before, after))


def test_the_first_seed_of_every_row_comes_before_the_second_of_any(trainer):
    assert go() == 0
    assert trainer.seen == EVERY
    assert [(row["name"], int(row["seed"])) for row in table()] == EVERY
    assert table()[0]["command"] == "-m rl_zoo3.train --algo gcsl_vicreg --env Hopper-v5 --seed 0 --num-threads 1"
    assert table()[0]["returns"] == "99.0 101.0"


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_the_table_has_is_not_run_again(trainer, jobs):
    go(jobs, only="VICReg|cloned", seeds=[0, 2])
    assert sorted(trainer.seen) == [("cloned", 0), ("cloned", 2), ("no VICReg", 0), ("no VICReg", 2)]
    go(jobs)
    assert sorted(trainer.seen) == sorted(EVERY)
    before = table()
    go(jobs)
    assert table() == before and len(trainer.seen) == len(EVERY)
    with pytest.raises(ValueError, match="no row with this name and seed"):
        go(only="VICreg")


def test_one_that_fails_does_not_stop_the_others(trainer, capsys):
    trainer.broken = {("no VICReg", 1)}
    assert go(jobs=2) == 1
    assert len(table()) == len(EVERY) - 1
    told = capsys.readouterr().out
    assert re.search(r"FAILED: no VICReg, Hopper-v5, seed 1: exit code 3", told) and "what went wrong" in told
    trainer.broken = set()
    trainer.seen.clear()
    assert go() == 0 and trainer.seen == [("no VICReg", 1)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("align=1", "align=2"),
        ("episodes: 2", "episodes: 3"),
        ("seeds: [0, 1, 2]\n", "seeds: [0, 1, 2]\nevaluation_seed: 7000\n"),
    ],
)
def test_a_table_never_mixes_commands(trainer, before, after):
    go(seeds=[1])
    edit(before, after)
    for act in (go, write_page):
        with pytest.raises(ValueError, match=r"has '.*' on Hopper-v5, seed 1, made by .*delete that row.*or rename"):
            act()
    assert len(table()) == 3


def test_a_changed_variant_of_another_name_is_another_row(trainer):
    go()
    edit("align=1", "align=2")
    edit("no VICReg", "less VICReg")
    assert go() == 0
    assert len(table()) == len(EVERY) + 3


@pytest.mark.parametrize(
    ("before", "after", "error"),
    [
        ("says:", "say:", "'say', which means nothing"),
        ("title: A study\n", "", "lacks 'title'"),
        ("against: plain", "against: nothing", "against 'nothing', which is no row"),
        ("name: cloned", "name: plain", "two rows 'plain' on Hopper-v5"),
        ("-params,", "--num-threads, 2, -params,", "--num-threads twice"),
        ("episodes: 2\n", "episodes: 2\nevaluation_seed: 7\n", "from seed 7, but .* 'plain' have the seeds 0, 1, "),
    ],
)
def test_a_study_that_means_nothing_is_refused(trainer, before, after, error):
    edit(before, after)
    with pytest.raises(ValueError, match=error):
        go()


DRIVER = """
import os, sys
from pathlib import Path

sys.path.append(sys.argv.pop(1))
import study

def run(algo, env, seed, extra, evaluation, execute, agents):
    if seed > 0:
        tell = f"import os, time; open('pid-{os.urandom(4).hex()}', 'w').write(str(os.getpid()))"
        execute(["-c", f"{tell}; time.sleep(60)"], False)
    command = study.shlex.join(study.runs.train_words(algo, env, seed, extra))
    row = dict.fromkeys(study.FIELDS[4:], "")
    return row | {"mean": "1.0", "command": command, "returns": "1.0 1.0", "evaluation_seed": evaluation.seed}

study.runs.run = run
study.main()
"""


def wait_for(condition: Any, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_stopped_loses_what_was_running_and_no_more(trainer, tmp_path, number):
    """By a signal to the study alone, while the second seeds run: their processes end, the first seeds are kept."""
    command = [sys.executable, "-c", DRIVER, str(ROOT / "benchmarks" / "studies"), "run", "study.yml", "--jobs", "2"]
    # As in a terminal: a shell that runs this in the background may have had SIGINT ignored.
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=restore)
    wait_for(lambda: len([path for path in tmp_path.glob("pid-*") if path.read_text()]) == 2, process)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130 and error.startswith("Stopped."), error
    assert not any(is_running(int(path.read_text())) for path in tmp_path.glob("pid-*"))
    assert sorted((row["name"], int(row["seed"])) for row in table()) == sorted(EVERY[:4])
    assert not list(tmp_path.glob("out/*.tmp"))
    assert go() == 0
    assert trainer.seen == EVERY[4:]


def test_a_table_is_whole_when_writing_is_cut_short(trainer, monkeypatch):
    go(seeds=[0])
    before = Path("out/study.csv").read_bytes()

    def cut_short(*arguments: object) -> None:
        raise OSError("no power")

    monkeypatch.setattr(study.os, "replace", cut_short)
    assert go(seeds=[1]) == 3
    assert Path("out/study.csv").read_bytes() == before


# ---------------------------------------------------------------------------------------------------------- statistics


def test_the_interval_of_few_seeds_is_that_of_all_their_resamples():
    scores = [10.0, 13.0, 19.0, 20.0, 31.0]
    every = [np.mean(sample) for sample in itertools.product(scores, repeat=5)]
    assert study_page.interval_of_mean(scores) == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.5)
    assert study_page.interval_of_mean(scores) == study_page.interval_of_mean(scores)
    assert study_page.interval_of_mean([7.0, 5.0, 9.0]) == (5, 9)  # as the page says: from the worst to the best
    assert study_page.interval_of_mean([5.0, 5.0, 5.0]) == (5, 5)
    assert study_page.interval_of_mean([5.0]) is None


def test_the_probability_to_be_better_counts_pairs():
    x, y = [1.0, 4.0, 4.0], [1.0, 2.0, 5.0]

    def share(x: Any, y: Any) -> float:
        return float(np.mean([(a > b) + 0.5 * (a == b) for a, b in itertools.product(x, y)]))

    every = [share(a, b) for a, b in itertools.product(itertools.product(x, repeat=3), itertools.product(y, repeat=3))]
    point, bounds = study_page.probability_better(x, y)
    assert point == pytest.approx(share(x, y)) == pytest.approx(4.5 / 9)
    assert bounds == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.03)
    assert study_page.probability_better([2.0, 3.0], [1.0, 0.0]) == (1, (1, 1))
    assert study_page.probability_better([2.0], [1.0, 0.0]) == (1, None)


# ------------------------------------------------------------------------------------------------------------ the page


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_page, "RESAMPLES", 500)


def write_page() -> str:
    of = study.read_study(Path("study.yml"))
    study_page.write_page(of, study.read_table(of))
    return of.page.read_text()


def test_the_page_tells_what_the_table_has(trainer, few_resamples):
    go()
    page = write_page()
    first, second = (part.split("\n\n## ")[0] for part in page.split("\n\n## ")[2:4])
    assert "What it is about." in first
    header = ["variant", "each seed", "mean, 95 % interval", "P(plain better)", "the notes say"]
    assert cells(first)[0] == [*header, "conclusion", "minutes"]
    assert cells(first)[2] == ["plain", "100 110 120", "110 [100, 120]", "", "", "", "2.0"]
    rest = ["1.00 [1.00, 1.00]", "not effective \\| alone", "It is worse.", "2.0"]
    assert cells(first)[3] == ["no VICReg", "50 60 70", "60 [50, 70]", *rest]
    # The reference of the second section stands in the first, and holds for its own environment only.
    assert [line[0] for line in cells(second)[2:]] == ["plain", "cloned", "plain (CartPole-v1)"]
    mean, low, high = map(float, re.findall(r"\d+", cells(second)[3][2]))
    assert 200 < low < mean == 215 < high < 230
    assert cells(second)[4] == ["plain (CartPole-v1)", "100", "100", "", "1.0"]
    assert "python benchmarks/studies/study.py run study.yml" in page and "only 27 combinations" in page
    command = 'python -m rl_zoo3.train --algo gcsl_vicreg --env Hopper-v5 --seed SEED --num-threads 1 -params "terms:'
    assert f"# no VICReg\n{command}" in page
    assert Path("out/study.png").read_bytes().startswith(b"\x89PNG")
    assert write_page() == page


def test_the_page_names_the_seeds_that_are_missing(trainer, few_resamples):
    with pytest.raises(ValueError, match="run the study first"):
        write_page()
    go(only="plain")
    go(only="VICReg", seeds=[0, 2])
    page = write_page()
    assert "| no VICReg | 50 70 (seed 1 is missing) | 60 [50, 70] |" in page
    assert "| cloned | (seeds 0 1 2 3 are missing) |  |" in page


def cells(section: str) -> list[list[str]]:
    """The cells of the table of one section."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.yml")), ids=lambda path: path.stem)
def test_our_studies_can_be_read(path):
    of = study.read_study(path)
    assert {row.algo for row in of.rows} <= set(discover())
    study.read_table(of)  # refuses what the study would make in another way now


# -------------------------------------------------------------------------------- online interaction and diagnostics


def test_the_page_has_online_interaction_and_diagnostics(trainer, monkeypatch):
    monkeypatch.setattr(study_page, "RESAMPLES", 10)
    edit("episodes: 2\n", "episodes: 2\npercentile: 10\nown_play: It improves.\ndiagnostics: They collapse.\n")
    edit("says: It is worse.", "says: It is worse.\n        why: rank 1")
    trainer.playing = {"no VICReg"}
    go(only="plain|VICReg", agents=Path("agents"))
    assert trainer.agents[:2] == [Path("agents/plain-Hopper-v5-seed0"), Path("agents/no_VICReg-Hopper-v5-seed0")]
    assert study_sections.diagnostics_section(study.read_study(Path("study.yml"))) == ""
    row = {"dataset": "a/b-v0", "actions": "hip, knee", "dimensions": "8", "spread_min": "0.5", "spread_mean": "1"}
    row |= dict.fromkeys(("vicreg_rank", "vicreg_spread_min", "vicreg_spread_mean", "inverse", "inverse_slope"), "")
    with Path("out/study_diagnostics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["agent", *row, "effective_rank", "achieved", "target", "slope"])
        writer.writeheader()
        for seed in (0, 2):
            numbers = {"effective_rank": seed, "achieved": f"0.1 0.{seed}", "target": "0 0", "slope": "1 0.5"}
            writer.writerow({"agent": f"no_VICReg-Hopper-v5-seed{seed}", **row, **numbers})
    page = write_page()
    assert "- *10th percentile*: of" in page and "| no VICReg | 50 60 70 |" in page
    assert "| 50 | 25,000 (100,000) |" in page  # of 49, 51, 59, 61, 69, 71
    diagnostics, play = (
        part.split("\n\n## ")[0] for part in re.split("## (?:Diagnostics|Online interaction)", page)[1:]
    )
    assert diagnostics.startswith("\n\nThey collapse.\n\n`benchmarks") and "(hip, knee)" in diagnostics
    assert cells(diagnostics)[2:] == [["no VICReg", "8", "1", "0.50 1", "0.10 0.10", "0.00 0.00", "1 0.50", "rank 1"]]
    assert play.startswith("\n\nIt improves.\n\nMean return")
    assert cells(play)[2:] == [["no VICReg", "4.5 → 20, 5.5 → 20, 6.5 → 22", "3 of 3 seeds", "4.0 → 10 → 16 → 22"]]
    assert Path("out/study_own_play.png").read_bytes().startswith(b"\x89PNG")


def test_portions_of_own_play_are_counted_in_decisions():
    # Episodes of 100, 950, 950 and 900 decisions: the second and third portions contain an end each, the fourth none.
    play = own_play.OwnPlay(np.array([1.0, 2, 3, 4]), np.array([100, 1050, 2000, 3900]), 4100, 4)
    np.testing.assert_array_equal(play.portions(), [1, 2.5, np.nan, 4, np.nan])
    assert own_play.first_and_last(play.portions()) is None
    assert own_play.first_and_last([*[1.0] * 9, np.nan, *[3.0] * 11]) == (1, 3)
    assert own_play.quarters([1.0, 2, 3]) == []
    np.testing.assert_array_equal(own_play.quarters([1.0, 2, np.nan, 4, 5]), [1.5, np.nan, 4, 5])


def test_a_table_has_no_empty_columns():
    assert tables.markdown({"a": (":--", ["x|y"]), "b": ("--:", [""])}) == "| a |\n| :-- |\n| x\\|y |"
