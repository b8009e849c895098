"""Commands that the pages print can be run: their options exist, their values are read, their files are there."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import gymnasium as gym
import pytest
from rl_zoo3.utils import ALGOS

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.hyperparams import accepted_keys
from tests.project.test_docs import FENCE, PAGES, name
from tests.support.throw_away import ROOT

COMMAND = re.compile(r"(?<![\w/])(?:\S+/)?python (-m (?:rl_zoo3|gcrl_zoo)[\w.]*|benchmarks/[\w/]+\.py)(?: |$)")
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py"))
#: What stands for a value of the reader's own.
PLACEHOLDERS = {"ALGO": "gcsl", "NAME": "gcsl", "SEED": "0", "$seed": "0", "N": "0"}
#: Extras that are not always installed register these.
ELSEWHERE = re.compile(r"pointmaze-|antmaze-|Fetch|PointMaze|AntMaze|gcrl_zoo/")


class Parsed(Exception):
    """Ends a script where it has its parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@cache
def parser_of(script: str) -> argparse.ArgumentParser:
    """
    The parser of a module (``-m NAME``) or of a file, which is run until it wants to read its arguments.
    """

    def stop(self, *_, **__):
        raise Parsed(self)

    before = sys.path[:], argparse.ArgumentParser.parse_args
    try:
        argparse.ArgumentParser.parse_args = stop
        if script.startswith("-m "):
            runpy.run_module(script[3:], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str((ROOT / script).parent))
            importlib.import_module(Path(script).stem).main()
    except Parsed as parsed:
        return parsed.parser
    finally:
        sys.path[:], argparse.ArgumentParser.parse_args = before
    raise AssertionError(f"{script} reads no arguments")


def printed(text: str) -> list[str]:
    """Commands in fenced and indented code and in backticks; a backslash at the end of a line continues it."""
    joined = re.sub(r"\\+\n\s*", " ", text)
    code = [line for _, block in FENCE.findall(joined) for line in block.splitlines()]
    rest = FENCE.sub("", joined)
    code += [line.strip() for line in rest.splitlines() if line.startswith("    ")]
    code += re.findall(r"`([^`]+)`", rest)
    return [
        line[line.index("python ") :]
        for line in code
        if COMMAND.search(line) and not re.search(r"\.\.\.|\bCOMMAND\b", line)
    ]


def commands() -> list:
    """Each command once, with the page that prints it."""
    found: dict[str, str] = {}
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", *SCRIPTS):
        if page.name == "add_a_method.md":
            continue  # trains a method that is not there; tests/zoo/test_registration.py does so
        text = page.read_text()
        if page.suffix == ".py":
            text = text.split('"""')[1]
        for command in printed(text):
            found.setdefault(command, name(page))
    return [pytest.param(command, id=f"{page}-{i}") for i, (command, page) in enumerate(found.items())]


def split(command: str) -> tuple[str, list[str]]:
    """Which script, and its arguments without comments, redirections and further commands."""
    words = shlex.split(command, comments=True)
    words = [PLACEHOLDERS.get(word, word) for word in words]
    for end in ("&&", "|", ">", "&", ";", "done"):
        words = words[: words.index(end)] if end in words else words
    if words[1:3] == ["-m", "gcrl_zoo.zoo"]:
        return f"-m rl_zoo3.{words[3]}", words[4:]
    return (f"-m {words[2]}", words[3:]) if words[1] == "-m" else (words[1], words[2:])


@pytest.mark.parametrize("command", commands())
def test_a_printed_command_can_be_run(command, capsys):
    script, words = split(command)
    if not script.startswith("-m "):
        assert (ROOT / script).is_file()
        if script.endswith(("dt_peers.py", "dt_peer_score.py")):
            pytest.importorskip("d3rlpy")
        if "ogbench" in script:
            pytest.importorskip("ogbench")
    parser = parser_of(script)
    if not words or "--import" in words:
        return  # the script is only named, or the option runs at once
    try:
        arguments = parser.parse_args(words)
    except SystemExit:
        pytest.fail(f"{command}\n{capsys.readouterr().err}")
    check(arguments)
    for word in words:
        if word.startswith(("benchmarks/", "docs/results/")) and word not in (getattr(arguments, "figure", None),):
            assert (ROOT / word).exists() or "--output" in words, f"{word} is not there"


def check(arguments: argparse.Namespace) -> None:
    """Values that the parser does not check: the environment, the preset and the hyperparameters."""
    given = vars(arguments)
    method = discover().get(given.get("algo") or "")
    env_id = getattr(given.get("env"), "gym_id", given.get("env"))
    if isinstance(env_id, str) and not ELSEWHERE.match(env_id):
        assert env_id in gym.registry
    if given.get("algo"):
        assert given["algo"] in ALGOS
    if method and given.get("conf_file"):
        assert given["conf_file"] in method.presets or given["conf_file"].endswith(".yml")
    if method and given.get("hyperparams"):
        assert given["hyperparams"].keys() <= accepted_keys(method.algorithm)


def test_these_tests_see_what_they_should():
    found = [param.values[0] for param in commands()]
    assert sum("rl_zoo3.train" in command for command in found) > 50
    for script in ("rl_zoo3.enjoy", "gcrl_zoo.record", "benchmarks/studies/study.py", "benchmarks/studies/summary.py"):
        assert any(script in command for command in found)
    assert "--output" in next(c for c in found if "ogbench_tasks.py --algo gcsl_vicreg" in c), "lines are joined"
    with pytest.raises(SystemExit):
        parser_of("-m rl_zoo3.train").parse_args(["--algorithm", "bc"])
