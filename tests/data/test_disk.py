"""A disk that is full, read-only or forbidden is one sentence that names the file; a kill loses no dataset."""

from __future__ import annotations

import errno
import importlib
import io
import os
import pickle
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from gcrl_zoo import BC
from gcrl_zoo.data import TrajectoryStore, open_store
from gcrl_zoo.data.disk import WriteError, reserve, writing
from gcrl_zoo.data.formats.minari_storage import About
from gcrl_zoo.data.formats.minari_writer import write_minari
from gcrl_zoo.data.whole_file import whole_file
from gcrl_zoo.publish.card import write_benchmark
from gcrl_zoo.record.__main__ import main as record_command
from tests.common.test_bad_input import refusal
from tests.support.envs import PointEnv, make_store
from tests.support.recordings import ID
from tests.support.throw_away import ROOT

#: Number of the error -> words of the sentence.
ERRORS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("quota is used up", "free some space"),
    errno.EFBIG: ("larger than is allowed", "ulimit -f"),
    errno.EROFS: ("is read-only", "another place"),
    errno.EACCES: ("permission is denied", "another place"),
    errno.EIO: ("reports an error", "check the disk"),
    errno.ENODEV: (os.strerror(errno.ENODEV), "another place"),
}


@pytest.fixture(scope="module")
def agent() -> Any:
    agent = BC("MlpPolicy", PointEnv(), dataset=make_store(), batch_size=8, device="cpu", seed=0).learn(2)
    agent.replay_buffer = make_store(n_episodes=30)
    return agent


SAVES: dict[str, Callable[[Any, Any], None]] = {
    "agent": lambda agent, path: agent.save(path),
    "policy": lambda agent, path: agent.policy.save(path),
    "replay buffer": lambda agent, path: agent.save_replay_buffer(path),
    "store": lambda agent, path: agent.replay_buffer.save(path),
}
every_save = pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """A real error of the operating system, wherever code writes: this process may make no larger file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class Full(io.BytesIO):
    """A file object on a disk that has room for some bytes."""

    def __init__(self, n_bytes: int, number: int) -> None:
        super().__init__()
        self.n_bytes, self.number, self.name = n_bytes, number, "theirs.zip"

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.n_bytes:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(data)


# ------------------------------------------------------------------ files


@every_save
@pytest.mark.parametrize("n_bytes", [100, 3000])
def test_a_file_that_grows_too_large_is_named_and_the_old_one_stays(
    agent: Any, save: Any, n_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "saved.zip"
    path.write_bytes(b"old")
    with file_size_limit(n_bytes):
        refusal(WriteError, lambda: save(agent, path), f"Cannot write {path}: ", *ERRORS[errno.EFBIG])
    assert path.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["saved.zip"]


@every_save
@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("n_bytes", [0, 1000, 3000])
def test_every_error_of_the_disk_is_one_sentence(agent: Any, save: Any, n_bytes: int, number: int) -> None:
    """Also where torch makes another error of it, with a file object that is not ours."""
    told = refusal(WriteError, lambda: save(agent, Full(n_bytes, number)), "Cannot write theirs.zip: ", *ERRORS[number])
    assert "Errno" not in told


@every_save
@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("call", ["tempfile.mkstemp", "os.replace", "os.chmod", "pathlib.Path.mkdir"])
def test_every_step_of_saving_is_told_alike(
    agent: Any, save: Any, call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved.zip"
    path.write_bytes(b"old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        refusal(WriteError, lambda: save(agent, path), f"Cannot write {path}: ", *ERRORS[number])
    assert path.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["saved.zip"]


@every_save
def test_places_that_cannot_be(agent: Any, save: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").write_text("")
    for name, words in {
        "folder.zip": ("it is a folder", "name of a file"),
        "file/saved.zip": ("a file, not a folder",),
        "file/more/saved.zip": ("a file, not a folder",),
        "x" * 300 + ".zip": ("name is too long", "shorter"),
        "a\0b.zip": ("not valid",),
    }.items():
        refusal(WriteError, lambda name=name: save(agent, tmp_path / name), f"Cannot write {tmp_path / name}", *words)
    save(agent, tmp_path / ("x" * 251 + ".zip"))  # as long as names may be
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.zip", "x" * 251 + ".zip"]


@every_save
def test_a_file_object_that_is_full(agent: Any, save: Any) -> None:
    with suppress(OSError), open("/dev/full", "wb") as file:  # closing it fails once more, outside of what we do
        refusal(WriteError, lambda: save(agent, file), "Cannot write /dev/full: the disk is full")


def test_the_error_is_one_of_the_operating_system() -> None:
    with pytest.raises(OSError) as caught, writing("here"):
        raise OSError(errno.ENOSPC, "No space left on device")
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, WriteError) and again.errno == errno.ENOSPC and str(again) == str(caught.value)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (RuntimeError("of something else"), ValueError("[Errno 28]"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, whole_file(tmp_path / "file"):
            raise error
        assert caught.value is error


def test_tables_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ``python -m gcrl_zoo.publish`` and of the studies."""
    refusal(WriteError, lambda: write_benchmark(tmp_path, [], [], 1), f"Cannot write {tmp_path}: it is a folder")
    table = tmp_path / "table.md"
    table.write_text("old")
    with file_size_limit(50):
        refusal(WriteError, lambda: write_benchmark(table, [], [], 1), f"Cannot write {table}: ", *ERRORS[errno.EFBIG])
    assert table.read_text() == "old"
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "studies")
    runs = importlib.import_module("runs")
    refusal(WriteError, lambda: runs.add_row(tmp_path, {"a": 1}), f"Cannot write {tmp_path}: it is a folder")
    with file_size_limit(50):
        refusal(WriteError, lambda: runs.add_row(tmp_path / "new.csv", {"a" * 99: 1}), "new.csv", *ERRORS[errno.EFBIG])


# ------------------------------------------------------------------ datasets


def play(number: int, length: int = 5) -> EpisodeBuffer:
    rng = np.random.default_rng(number)
    ends = np.zeros(length, dtype=bool)
    return EpisodeBuffer(
        seed=number,
        observations=rng.uniform(-1, 1, (length + 1, 2)),
        actions=rng.integers(2, 7, length),
        rewards=np.ones(length),
        terminations=ends,
        truncations=ends,
        infos={},
    )


def write(numbers: range, **mode: bool) -> None:
    env = PointEnv()
    with write_minari(ID, env.observation_space, env.action_space, About(), **mode) as writer:
        for number in numbers:
            writer.add(play(number))


def seeds() -> list[int]:
    """Of the episodes that the dataset has, each of them read."""
    dataset = minari.load_dataset(ID)
    assert open_store(ID).n_episodes == len(list(dataset.iterate_episodes())) == dataset.total_episodes
    return [each["seed"] for each in dataset.storage.get_episode_metadata(dataset.episode_indices)]


def tree(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


MODES: dict[str, dict[str, bool]] = {"new": {}, "append": {"append": True}, "force": {"force": True}}
every_mode = pytest.mark.parametrize("mode", MODES)


@every_mode
def test_no_room_for_episodes(datasets: Path, mode: str) -> None:
    """Found before HDF5 writes, which may crash the process where it cannot."""
    if mode != "new":
        write(range(3))
    before = tree(datasets)
    with file_size_limit(1_000_000):
        words = f"Cannot write {datasets / 'test' / 'play-v0'}: ", *ERRORS[errno.EFBIG]
        refusal(WriteError, lambda: write(range(3, 40), **MODES[mode]), *words)
    assert tree(datasets) == before and not [each for each in datasets.iterdir() if each.name.startswith(".")]


@every_mode
@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("call", ["os.posix_fallocate", "os.replace", "tempfile.mkdtemp", "shutil.copytree"])
def test_every_step_of_recording_is_told_alike(
    datasets: Path, mode: str, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode != "new":
        write(range(3))
    before = tree(datasets)

    def fail(*args: Any, **kwargs: Any) -> None:
        error = OSError(number, os.strerror(number))
        raise shutil.Error([("a", "b", str(error))]) if call == "shutil.copytree" else error

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        if call == "shutil.copytree" and mode != "append":
            write(range(3, 5), **MODES[mode])
            return
        refusal(WriteError, lambda: write(range(3, 5), **MODES[mode]), "test/play-v0: ", *ERRORS[number])
    kept = {path: content for path, content in tree(datasets).items() if path.name != "namespace_metadata.json"}
    assert kept == {path: content for path, content in before.items() if path.name != "namespace_metadata.json"}
    assert not [each for each in datasets.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize("number", [None, errno.EINVAL, errno.EOPNOTSUPP])
def test_no_room_where_nothing_can_be_reserved(
    number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On other systems, and on file systems that cannot."""

    def fail(*args: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.delattr("os.posix_fallocate")
    if number is not None:
        monkeypatch.setattr("os.posix_fallocate", fail, raising=False)
    reserve(tmp_path / "file", 1000)
    with pytest.raises(OSError, match="No space left"):
        reserve(tmp_path / "file", 2**60)


def test_the_command_says_it_in_one_line(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (datasets / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(datasets / "file"))
    arguments = ["--random", "--env", "CartPole-v1", "--dataset-id", ID, "--n-episodes", "1"]
    with pytest.raises(SystemExit) as caught:
        record_command(arguments)
    told = capsys.readouterr().err
    assert caught.value.code == 2 and told.count("\n") == 1
    assert f"error: Cannot write {datasets / 'file'}: a part of the path is a file, not a folder" in told


# ------------------------------------------------------------------ kills


def killed(step: int, action: Callable[[], None]) -> bool:
    """Run in a child that dies right before its rename number ``step``; whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    replace, calls = os.replace, 0

    def dying(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        if calls == step:
            os._exit(9)
        calls += 1
        replace(*args, **kwargs)

    os.replace = dying  # type: ignore[assignment]
    try:
        action()
        if calls == step:  # after the last rename, before the temporary folder is gone
            os._exit(9)
        os._exit(0)
    except BaseException:
        os._exit(1)


@every_mode
@pytest.mark.parametrize("step", range(4))
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The last recording")
def test_a_kill_at_any_rename_leaves_a_whole_dataset_that_goes_on(datasets: Path, mode: str, step: int) -> None:
    old = [] if mode == "new" else [0, 1, 2]
    if old:
        write(range(3))
    new = [0, 1, 2, 3, 4] if mode == "append" else [3, 4]
    steps = 2 if mode == "new" else 3
    assert killed(step, lambda: write(range(3, 5), **MODES[mode])) == (step <= steps)
    if not old and step == 0:
        with pytest.raises(ValueError, match="There is no dataset"):
            open_store(ID)
        now = []
    else:
        open_store(ID)  # which finds what lies beside its place
        now = seeds()
    assert now in (old, new)
    write(range(7, 9), append=True)
    assert seeds() in ([*old, 7, 8], [*new, 7, 8])
    if step:
        assert seeds() == [*new, 7, 8]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_was_recovered_is_said(datasets: Path) -> None:
    write(range(3))
    assert killed(2, lambda: write(range(3, 5), append=True))
    assert not (datasets / "test" / "play-v0").exists()
    with pytest.warns(UserWarning, match=r"^The last recording of 'test/play-v0' was stopped .* it is now\.$"):
        write(range(5, 6), append=True)
    assert seeds() == [0, 1, 2, 3, 4, 5]
    assert not list(datasets.glob(".ready-*"))


@every_mode
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("step", range(3))
def test_an_error_at_any_rename_leaves_everything_as_it_was(
    datasets: Path, mode: str, error: type[BaseException], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: what puts things back works."""
    old = [] if mode == "new" else [0, 1, 2]
    if old:
        write(range(3))
    replace, calls = os.replace, 0

    def failing(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == step + 1:
            raise error(errno.EIO, "stop")
        replace(*args)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", failing)
        if mode == "new" and step == 2:  # there are two renames only
            write(range(3, 5))
            return
        with pytest.raises(WriteError if error is OSError else error):
            write(range(3, 5), **MODES[mode])
    assert not [each for each in datasets.iterdir() if each.name.startswith(".")]
    if old:
        assert seeds() == old
    else:
        assert not (datasets / "test" / "play-v0").exists()


def test_a_store_is_whole_after_all_this(agent: Any, tmp_path: Path) -> None:
    agent.save_replay_buffer(tmp_path / "buffer")
    assert TrajectoryStore.load(tmp_path / "buffer").n_episodes == 30
