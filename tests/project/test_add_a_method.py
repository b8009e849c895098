"""docs/add_a_method.md keeps its word: its example passes the suite, and it names every hook."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from gcrl_zoo.common.algorithm_setup import AlgorithmSetup
from gcrl_zoo.common.method_hooks import MethodHooks
from gcrl_zoo.common.optimizers import OptimizedPolicy
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.portable_policy import PortablePolicy
from gcrl_zoo.common.saving import SavedAlgorithm
from gcrl_zoo.common.step_policy import StepPolicy
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.common.window_policy import WindowPolicy
from tests.support.throw_away import ROOT, add_method_of_docs, add_method_of_ppo

PAGE = (ROOT / "docs" / "add_a_method.md").read_text()
ALGORITHM = AlgorithmSetup, SavedAlgorithm, MethodHooks, TrajectoryAlgorithm
POLICY = PortablePolicy, OptimizedPolicy, ConditionedPolicy, StepPolicy, WindowPolicy
#: What users and the package call and no method overrides.
CALLED = {
    *("plays", "train", "collect_rollouts", "save_replay_buffer", "load_replay_buffer"),
    *("optimizer_names", "optimizers", "check_optimizers", "set_return_scale", "set_target_return"),
    *("act", "encode_state", "encode_goal", "remember", "no_actions", "exportable_step"),
}
#: Some cheap tests of every kind; all of them pass, too: paste the blocks and run `pytest -k rcbc`.
TESTS = ("house", "conformance", "collector", "docs", "parameters_page", "activations")
#: With the above, the tests of any algorithm of Stable-Baselines3.
TESTS_OF_SB3 = ("saving", "determinism", "set_env", "trust", "trust_fields")
CHEAP = "house cut alias learns_twice says_the_same spaces_are up_to_date activations"


def public(classes: tuple[type, ...], of_sb3: type) -> set[str]:
    """Public names that these classes define and SB3's class does not."""
    return {name for cls in classes for name in vars(cls) if name[0] != "_" and not hasattr(of_sb3, name)}


def section(heading: str) -> str:
    """Of the page."""
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """Of the rows of a table, without its heading."""
    return [cell.strip().strip("`") for cell in re.findall(r"^\|([^|]+)\|", text, re.MULTILINE)][2:]


@pytest.mark.parametrize(
    ("heading", "classes", "of_sb3"),
    [("Hooks of the algorithm", ALGORITHM, BaseAlgorithm), ("Hooks of the policy", POLICY, BasePolicy)],
)
def test_the_page_names_every_hook(heading, classes, of_sb3):
    hooks = first_cells(section(heading))
    assert len(hooks) == len(set(hooks))
    assert set(hooks) == public(classes, of_sb3) - CALLED


def test_what_is_only_called_exists():
    assert public(ALGORITHM, BaseAlgorithm) | public(POLICY, BasePolicy) >= CALLED


def test_the_page_has_few_concepts():
    assert 8 <= len(first_cells(section("Concepts"))) <= 12


@pytest.fixture
def repository(tmp_path):
    """A copy of the repository, to add a method to."""
    for folder in ("gcrl_zoo", "hyperparams", "wrappers", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "_build")
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=ignored)
    for file in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def run_tests(repository, modules, words):
    """After `make readme`; the names of the tests that passed, which must be all."""
    added = {"cwd": repository, "env": {**os.environ, "PYTHONPATH": str(repository)}, "capture_output": True}
    for script in re.findall(r"^\tpython (docs/\w+\.py)$", (ROOT / "Makefile").read_text(), re.MULTILINE):
        subprocess.run([sys.executable, script], check=True, **added)
    tests = [next((ROOT / "tests").rglob(f"test_{name}.py")).relative_to(ROOT) for name in modules]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-rp", *tests, "-k", words], text=True, **added
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return re.findall(r"^PASSED (.+)$", result.stdout, re.MULTILINE)


@pytest.mark.slow
def test_both_methods_pass_the_suite(repository):
    """
    In a copy of the repository, to which nothing but the blocks of the page and a subclass of PPO is added. One process
    runs the tests of both, since most of its time is for imports and collection.
    """
    add_method_of_docs(repository)
    add_method_of_ppo(repository)
    words = f"rcbc and ({' or '.join(CHEAP.split())}) or ppo_inverse or readme_has"
    passed = run_tests(repository, (*TESTS, *TESTS_OF_SB3), words)
    assert sum("rcbc" in name for name in passed) >= 20
    assert sum("ppo_inverse" in name for name in passed) >= 50
