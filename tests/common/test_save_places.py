"""Saving to a path that is not a regular file: nodes are refused and stay, links are followed and stay."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gcrl_zoo import BC
from gcrl_zoo.data.disk import WriteError
from gcrl_zoo.data.whole_file import whole_file
from gcrl_zoo.publish.card import write_benchmark
from tests.common.test_bad_input import refusal
from tests.support.envs import PointEnv, make_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs, and links need rights")


def write(path: Path, content: bytes = b"whole") -> None:
    with whole_file(path) as file:
        file.write(content)


@pytest.fixture(scope="module")
def agent() -> Any:
    return BC("MlpPolicy", PointEnv(), dataset=make_store(), batch_size=8, device="cpu", seed=0)


SAVES: dict[str, Callable[[Any, Path], None]] = {
    "agent": lambda agent, path: agent.save(path),
    "policy": lambda agent, path: agent.policy.save(path),
    "replay buffer": lambda agent, path: agent.save_replay_buffer(path),
    "store": lambda agent, path: make_store().save(path),
    "table": lambda agent, path: write_benchmark(path, [], [], 1),
    "any": lambda agent, path: write(path),
}
every_save = pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Bound by a relative name, since names of sockets must be short."""
    folder = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(path.name)
    finally:
        os.fchdir(folder)
        os.close(folder)


@every_save
@pytest.mark.parametrize("make", [make_fifo, make_socket])
@pytest.mark.parametrize("linked", [False, True])
def test_a_node_is_refused_and_stays(agent: Any, save: Any, make: Any, linked: bool, tmp_path: Path) -> None:
    node, path = tmp_path / "node.zip", tmp_path / "node.zip"
    make(node)
    if linked:
        path = tmp_path / "link.zip"
        path.symlink_to(node)
    before = os.lstat(node)
    words = f"Cannot write {path}: ", "a device, a pipe or a socket", "name of a file"
    refusal(WriteError, lambda: save(agent, path), *words)
    after = os.lstat(node)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino) and path.is_symlink() == linked
    assert {each.name for each in tmp_path.iterdir()} == {node.name, path.name}


@every_save
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_links_are_followed(agent: Any, save: Any, exists: bool, relative: bool, tmp_path: Path) -> None:
    folder, link, target = tmp_path / "links", tmp_path / "links" / "link.zip", tmp_path / "targets" / "target.zip"
    folder.mkdir()
    target.parent.mkdir()
    if exists:
        target.write_bytes(b"old")
    (folder / "other.zip").symlink_to("../targets/target.zip" if relative else target)
    link.symlink_to("other.zip" if relative else folder / "other.zip")
    save(agent, link)
    assert link.is_symlink() and (folder / "other.zip").is_symlink() and not target.is_symlink()
    assert target.stat().st_size and target.read_bytes() != b"old"
    assert [each.name for each in target.parent.iterdir()] == ["target.zip"] and len(list(folder.iterdir())) == 2


def test_an_error_keeps_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "link") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (tmp_path / "link").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


@every_save
def test_links_that_lead_nowhere(agent: Any, save: Any, tmp_path: Path) -> None:
    path, folder = tmp_path / "a.zip", tmp_path / "folder.zip"
    path.symlink_to(tmp_path / "b.zip")
    (tmp_path / "b.zip").symlink_to(path)
    refusal(WriteError, lambda: save(agent, path), f"Cannot write {path}: ", "links lead in a circle")
    (tmp_path / "folder").mkdir()
    folder.symlink_to(tmp_path / "folder")
    refusal(WriteError, lambda: save(agent, folder), f"Cannot write {folder}: ", "it is a folder")
    assert path.is_symlink() and folder.is_symlink()
