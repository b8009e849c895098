"""Files that hold no agent or no policy are refused in one sentence that names them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch as th

from gcrl_zoo import BC, DT
from gcrl_zoo.common.saved_files import UnfitWeights
from gcrl_zoo.wrappers import ReturnToGo
from tests.common.test_bad_input import refusal
from tests.support.case import differing
from tests.support.envs import PointEnv, make_store


def make(algorithm: Any = BC) -> Any:
    env = ReturnToGo(PointEnv()) if algorithm is DT else PointEnv()
    return algorithm("MlpPolicy", env, dataset=make_store(), batch_size=8, device="cpu", seed=0)


@pytest.fixture(scope="module")
def agent() -> Any:
    return make()


def change_zip(path: Path, changes: dict[str, Callable[[bytes], bytes | None]]) -> None:
    """Change entries of a zip: a function gets the old content, empty for a new entry; None leaves the entry out."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name in {**entries, **changes}:
            content = changes.get(name, lambda old: old)(entries.get(name, b""))
            if content is not None:
                archive.writestr(name, content)


def change_weights(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def changed(old: bytes) -> bytes:
        weights = th.load(io.BytesIO(old), weights_only=True) if old else {}
        change(weights)
        file = io.BytesIO()
        th.save(weights, file)
        return file.getvalue()

    return changed


def drop(weights: dict[str, Any]) -> None:
    del weights[next(iter(weights))]


def reshape(weights: dict[str, Any]) -> None:
    name = next(each for each, value in weights.items() if value.ndim)
    weights[name] = th.zeros(99, 99)


def add(weights: dict[str, Any]) -> None:
    weights.update({f"extra.{i}": th.zeros(1) for i in range(50)})


WEIGHTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "extra": (add, "Unexpected key"),
    "missing": (drop, "Missing key"),
    "other shape": (reshape, "size mismatch"),
}

ZIPS: dict[str, tuple[dict[str, Callable[[bytes], bytes | None]], str]] = {
    "no policy": ({"policy.pth": lambda old: None}, "no policy.pth"),
    "no data": ({"data": lambda old: None}, "no data"),
    "no optimizer": ({"policy.optimizer.pth": lambda old: None}, "optimizer"),
    "another network": ({"critic.pth": change_weights(lambda weights: None)}, "critic"),
    "pickle": ({"policy.pth": lambda old: pickle.dumps(print, protocol=2)}, "give a file that `model.save` wrote"),
    **{name: ({"policy.pth": change_weights(change)}, word) for name, (change, word) in WEIGHTS.items()},
}


@pytest.mark.parametrize("name", ["none", "none.zip", "folder/none.zip", "none.pth"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_that_is_missing(agent: Any, name: str, as_text: bool, tmp_path: Path) -> None:
    path: Any = str(tmp_path / name) if as_text else tmp_path / name
    told = refusal(FileNotFoundError, lambda: BC.load(path), f"There is no file {path}", "model.save")
    assert "Errno" not in told and ".zip.zip" not in told
    refusal(FileNotFoundError, lambda: agent.set_parameters(path), f"There is no file {path}", "model.save")
    told = refusal(FileNotFoundError, lambda: type(agent.policy).load(path), f"no file {path};", "model.policy.save")
    assert "Errno" not in told


def test_a_folder(agent: Any, tmp_path: Path) -> None:
    for load in (BC.load, type(agent.policy).load, agent.set_parameters):
        told = refusal(IsADirectoryError, lambda load=load: load(tmp_path), f"{tmp_path} is a folder; give a file")
        assert "Errno" not in told


@pytest.mark.parametrize("algorithm", [BC, DT])
@pytest.mark.parametrize("fault", ZIPS)
def test_a_zip_that_holds_something_else(algorithm: Any, fault: str, tmp_path: Path) -> None:
    path, (changes, word) = tmp_path / "agent.zip", ZIPS[fault]
    make(algorithm).save(path)
    change_zip(path, changes)
    refusal(ValueError, lambda: algorithm.load(path), f"{path} ", word)
    refusal(ValueError, lambda: algorithm.load(tmp_path / "agent"), str(tmp_path / "agent"), word)
    with path.open("rb") as file:
        refusal(ValueError, lambda: algorithm.load(file), word)


def test_no_zip_at_all(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    for content in (b"", b"text", pickle.dumps({})):
        path.write_bytes(content)
        refusal(ValueError, lambda: BC.load(path), f"{path} is not a zip file", "model.save")


@pytest.mark.parametrize("algorithm", [BC, DT])
@pytest.mark.parametrize("fault", WEIGHTS)
def test_a_policy_with_other_weights(algorithm: Any, fault: str, tmp_path: Path) -> None:
    policy, path, (change, word) = make(algorithm).policy, tmp_path / "policy.pt", WEIGHTS[fault]
    policy.save(path)
    saved = th.load(path, weights_only=False)
    change(saved["state_dict"])
    th.save(saved, path)
    refusal(ValueError, lambda: type(policy).load(path), f"{path} holds other weights", word)


def test_parameters_of_another_agent(agent: Any) -> None:
    for given in ({}, {"critic": {}}, make(DT).get_parameters()):
        for error in (RuntimeError, ValueError):
            refusal(error, lambda given=given: agent.set_parameters(given), "The dict of parameters holds other")
    error = UnfitWeights("no entry", "agent.zip")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_loads_still_does(agent: Any, tmp_path: Path) -> None:
    agent.save(tmp_path / "v1.2")
    agent.save(tmp_path / "agent")
    file = io.BytesIO()
    agent.save(file)
    for given in (tmp_path / "v1.2", tmp_path / "agent", str(tmp_path / "agent.zip"), file):
        loaded = BC.load(given, device="cpu")
        assert not differing(agent.policy.state_dict(), loaded.policy.state_dict())
        loaded.set_parameters(given)
