"""Files are complete or absent, and killed runs leave nothing that stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gcrl_zoo.data.whole_file import SUFFIX, whole_file
from tests.support.envs import make_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")

WRITER = """
import sys
from pathlib import Path
from gcrl_zoo.data.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""


def start_writer(path: Path) -> subprocess.Popen:
    """A process that has written half of a file and waits for a line."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"writing\n"
    return writer


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("save", [lambda path: make_store().save(path), lambda path: write(path)], ids=["store", "any"])
def test_the_next_save_in_a_folder_removes_what_a_killed_one_left(tmp_path, save):
    killed = start_writer(tmp_path / "one.zip")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(names(tmp_path)) == 1
    save(tmp_path / "another.npz")
    assert names(tmp_path) == {"another.npz"}


def write(path: Path, content: bytes = b"whole") -> None:
    with whole_file(path) as file:
        file.write(content)


def test_what_a_live_process_writes_stays(tmp_path):
    with start_writer(tmp_path / "one.zip") as alive:
        write(tmp_path / "another.zip")
        write(tmp_path / "one.zip")
        assert len(names(tmp_path)) == 3
        alive.communicate(b"go on\n")
    assert names(tmp_path) == {"one.zip", "another.zip"}
    assert (tmp_path / "one.zip").read_bytes() == b"half"  # the last one to finish


def test_within_one_process_too(tmp_path):
    with whole_file(tmp_path / "outer") as outer:
        outer.write(b"1")
        write(tmp_path / "inner")
    assert names(tmp_path) == {"outer", "inner"}


@pytest.mark.parametrize("name", [".rl_model.zip.1a2b3c4d", "rl_model" + SUFFIX, ".ours" + SUFFIX + ".txt"])
def test_files_of_others_stay(tmp_path, name):
    (tmp_path / name).write_text("mine")
    write(tmp_path / "new")
    assert names(tmp_path) == {name, "new"}


def test_links_and_pipes_with_such_a_name_are_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".link{SUFFIX}").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / f".pipe{SUFFIX}")
    write(tmp_path / "new")
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / "new").read_bytes() == b"whole"


def test_a_file_system_without_locks_keeps_everything(tmp_path, monkeypatch):
    (tmp_path / f".old.zip.12345678{SUFFIX}").write_text("half")

    def unsupported(*_args):
        raise OSError("Function not implemented")

    monkeypatch.setattr("fcntl.flock", unsupported)
    write(tmp_path / "new")
    assert names(tmp_path) == {"new", f".old.zip.12345678{SUFFIX}"}


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    write(tmp_path / "file", b"old")
    with pytest.raises(type(error)), whole_file(tmp_path / "file") as file:
        file.write(b"new")
        raise error
    assert names(tmp_path) == {"file"} and (tmp_path / "file").read_bytes() == b"old"
