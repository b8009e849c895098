"""
Reverts past fixes one at a time, and reports which test of ``make test`` fails for each.

``python tests/project/revert_fixes.py [WORDS ...]`` works in a copy of the project. Words choose fixes by subject.
A fix that no test misses is an error. A substitution that no longer fits the code needs an update here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("gcrl_zoo", "wrappers", "hyperparams", "tests", "docs", "benchmarks", "README.md", "pyproject.toml")


@dataclass(frozen=True)
class Fix:
    """
    :param commit: that made it
    :param subject: what it fixed
    :param path: of the file to change
    :param now: text of today
    :param before: text that has the fault
    :param tests: arguments of pytest, with which a test must fail
    """

    commit: str
    subject: str
    path: str
    now: str
    before: str
    tests: tuple[str, ...]


FIXES = (
    Fix(
        "cc45c4e",
        "windows end at a uniform step, so that the first steps of an episode are sampled",
        "gcrl_zoo/data/samplers.py",
        "begin = np.maximum(newest - (self.length - 1), store.first.take(newest))",
        "begin = newest",
        ("tests/data/test_samplers.py",),
    ),
    Fix(
        "c9e8740",
        "JPEG frames of Minari datasets are checked before they are decoded",
        "gcrl_zoo/data/formats/minari_checks.py",
        "if jpeg_shape(frame.tobytes()) != shape:",
        "if False:",
        ("tests/data/formats/test_hdf5.py", "-k", "frames or jpeg"),
    ),
    Fix(
        "12af988",
        "saving over a device, a FIFO or a socket is refused",
        "gcrl_zoo/data/whole_file.py",
        "if not stat.S_ISREG(mode):",
        "if False:",
        ("tests/common/test_save_places.py",),
    ),
    Fix(
        "bbbaaf3",
        "a dataset is dropped once own play has copied it",
        "gcrl_zoo/common/data_source.py",
        "            self.dataset = None  # two copies of images may not fit into memory\n"
        '            del self._opened["dataset"]\n',
        "",
        ("tests/data/test_data_memory.py",),
    ),
    Fix(
        "8c27fa9",
        "actions are clipped to the action space in its own dtype",
        "gcrl_zoo/common/actions.py",
        "actions = np.minimum(np.maximum(actions, low), high)",
        "actions = np.clip(actions, low.astype(np.float32), high.astype(np.float32))",
        ("tests/common/test_action_bounds.py",),
    ),
    Fix(
        "f2033f8",
        "the learning rate follows its schedule within a round of own play",
        "gcrl_zoo/common/trajectory_algorithm.py",
        "began = self.num_timesteps if since is None else since",
        "began = self.num_timesteps",
        ("tests/common/test_conformance.py", "-k", "learning_rate"),
    ),
    Fix(
        "52c9908",
        "held random actions end with their episode",
        "gcrl_zoo/common/explorers.py",
        "random = (held != none) & (self._level > 0)",
        "random = held != none",
        ("tests/common/test_explorers.py",),
    ),
    Fix(
        "326f2c4",
        "environments with spaces of other dtypes are accepted by load and set_env",
        "gcrl_zoo/common/environments.py",
        "return InSpaces(env, observation_space, action_space)",
        "return env",
        ("tests/common/test_environments.py",),
    ),
    Fix(
        "c6a17b5",
        "an interrupt waits for the end of an update",
        "gcrl_zoo/common/interrupts.py",
        "elif not _state.depth or (_state.since is not None and time.monotonic() - _state.since > PATIENCE):",
        "elif True:",
        ("tests/common/test_interrupts.py",),
    ),
    Fix(
        "d9eff48",
        "a dimension that never moved keeps its units",
        "gcrl_zoo/nets/encoders.py",
        "th.where(moved, std.clamp(min=self.MIN_STD), 1.0)",
        "std.clamp(min=self.MIN_STD)",
        ("tests/nets/test_encoders.py",),
    ),
    Fix(
        "5f80659",
        "with bf16 the actions of dt are predicted in full precision",
        "gcrl_zoo/methods/dt/dt.py",
        "params = head(self.represent(batch))  # (B, K, P)",
        "with th.autocast(self.device.type, th.bfloat16, enabled=self.bf16):\n"
        "            params = head(self.policy.represent_windows(batch)).float()",
        ("tests/methods/test_dt.py",),
    ),
    Fix(
        "cc7abc5",
        "a detour penalty beside a horizon input is refused",
        "gcrl_zoo/methods/gcsl/gcsl.py",
        "if self.detour_penalty and self.policy.horizon:",
        "if False:",
        ("tests/methods/test_gcsl.py",),
    ),
    Fix(
        "ff0fb6c",
        "an id with a wrapper takes the hyperparameters of the environment inside",
        "gcrl_zoo/zoo/hyperparams.py",
        "return (env_id, WRAPPED[env_id].inside) if env_id in WRAPPED else (env_id,)",
        "return (env_id,)",
        ("tests/zoo/test_hyperparams.py", "tests/zoo/test_blocks.py", "tests/zoo/test_wrapped_ids.py"),
    ),
    Fix(
        "b134464",
        "agents saved by Python 3.11.0 to 3.11.3, whose enums are pickled by name, are trusted",
        "gcrl_zoo/zoo/trust/allowed.py",
        'and args[1] in ("STEP", "EPISODE")',
        "and False",
        ("tests/zoo/test_trust.py",),
    ),
    Fix(
        "b67b837",
        "an agent from the Hub acts in its own environment only",
        "gcrl_zoo/zoo/download.py",
        "if EnvironmentName(env_id) != env_name:",
        "if False:",
        ("tests/zoo/test_hub.py", "-k", "environment_is_the_agents"),
    ),
    Fix(
        "eb4f8a4",
        "goals that are not finite are refused",
        "wrappers/goal.py",
        "if not np.isfinite(goal).all():",
        "if False:",
        ("tests/wrappers/test_goal.py",),
    ),
    Fix(
        "c7f78a1",
        "an episode's seed is that of NumPy's global generator, too",
        "gcrl_zoo/data/recorder.py",
        "np.random.seed(self._seed)",
        "pass",
        ("tests/commands/test_record.py",),
    ),
    Fix(
        "173d0e5",
        "the address of the study's storage, with its password, is not published",
        "gcrl_zoo/publish/trainings.py",
        'PRIVATE = ("storage", "wandb_entity")',
        "PRIVATE = ()",
        ("tests/commands/test_publish.py", "-k", "passwords"),
    ),
)


def failures(tree: Path, *arguments: str) -> list[str]:
    """Run pytest in the copy of the project, and return the ids of the first tests that fail."""
    command = [sys.executable, "-m", "pytest", "-q", "--maxfail=3", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1):
        raise SystemExit(f"{shlex.join(command)} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", result.stdout, re.MULTILINE)


def noticed_by(fix: Fix, tree: Path) -> str | None:
    """
    :param fix: to revert
    :param tree: the copy of the project
    :return: a test that fails without the fix, and passes with it; None if there is none
    """
    path = tree / fix.path
    text = path.read_text()
    if text.count(fix.now) != 1:
        raise SystemExit(f"{fix.commit}: {fix.path} has {text.count(fix.now)} times: {fix.now}")
    path.write_text(text.replace(fix.now, fix.before))
    try:
        without = failures(tree, *fix.tests)
    finally:
        path.write_text(text)
    still = failures(tree, *without) if without else []
    return next((test for test in without if test not in still), None)


def main(words: list[str]) -> None:
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            if (ROOT / name).is_dir():
                skipped = shutil.ignore_patterns("__pycache__", "_build")
                shutil.copytree(ROOT / name, Path(folder, name), symlinks=True, ignore=skipped)
            else:
                shutil.copy(ROOT / name, Path(folder, name))
        for fix in FIXES:
            if not words or any(word in f"{fix.commit} {fix.subject}" for word in words):
                failed = noticed_by(fix, Path(folder))
                unnoticed += failed is None
                print(f"| {fix.commit} | {fix.subject} | {failed or 'NO TEST FAILS'} |", flush=True)
    sys.exit(unnoticed)


if __name__ == "__main__":
    main(sys.argv[1:])
