"""Fixtures that more than one test file uses."""

import functools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gcrl_zoo import registry
from tests.support.pairwise import pairs_only
from tests.support.scripts import script
from tests.support.throw_away import ROOT, YAML

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run all combinations of parameters, and tests marked thorough")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--all``, drop tests marked thorough, and of three or more parameters keep all pairs of values."""
    if config.getoption("--all"):
        return
    kept = pairs_only([item for item in items if item.get_closest_marker("thorough") is None])
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files of Stable-Baselines3's logger, of MuJoCo's mazes and the like go where pytest deletes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr("tempfile.tempdir", None)
        yield


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a Python module in an empty folder, as a user would."""

    return functools.partial(script, folder=tmp_path)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for Minari datasets, in an empty folder to work in."""
    place = tmp_path / "minari"
    place.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(place))
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, to add to and to break; used by putting it on PYTHONPATH."""
    copy = tmp_path_factory.mktemp("house")
    for folder in ("gcrl_zoo", "hyperparams", "wrappers"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def ninth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A registered method ``ninth`` with a preset ``wide``, in this process, without touching the package."""
    from stable_baselines3 import PPO

    folder = tmp_path / "hyperparams"
    (folder / "presets" / "ninth").mkdir(parents=True)
    (folder / "ninth.yml").write_text(YAML)
    (folder / "presets" / "ninth" / "wide.yml").write_text("default: {policy_kwargs: {net_arch: [64]}, n_epochs: 2}")
    method = registry.Method("ninth", type("Ninth", (PPO,), {}), lambda trial: {}, folder)
    for module in ("gcrl_zoo.zoo.experiment", "gcrl_zoo.zoo.register"):
        monkeypatch.setattr(f"{module}.discover", lambda: {"ninth": method})
    yield method


@pytest.fixture(scope="module")
def hub() -> Iterator[Any]:
    """A Hub on loopback, where people are called tester, and belong to zoo."""
    from tests.support.hub_server import loopback_hub

    with loopback_hub(name="tester", organizations=("zoo",)) as hub:
        yield hub
