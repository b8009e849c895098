"""HDF5 files from anybody: numbers stored in the file itself are read, all else is refused before it is."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset._storages.hdf5_storage import encode_frame
from PIL import Image

from gcrl_zoo.data import open_store
from gcrl_zoo.data.formats import containers
from gcrl_zoo.data.formats.minari_checks import jpeg_shape
from tests.data.formats.test_d4rl import assert_episodes, columns, episodes

SECRET = np.arange(15.0)
"""What lies in another file of the same machine."""

IMAGE = spaces.Box(0, 255, (40, 36, 3), np.uint8)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that nobody may read, and an empty place for Minari datasets."""
    (tmp_path / "minari").mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    SECRET.tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "secret.hdf5", "w") as file:
        file["rewards"] = SECRET
    return tmp_path


def d4rl(folder: Path, **changes: Any) -> Path:
    """A file of D4RL with its own kinds of groups."""
    path = folder / "data.hdf5"
    with h5py.File(path, "w") as file:
        for key, column in columns(**changes).items():
            file.create_dataset(key, data=column, compression="gzip")
        file["metadata/algorithm"] = "SAC"
        file["metadata/policy/fc0/weight"] = np.zeros((3, 3))
    return path


def recorded(observation_space: spaces.Space | None = None, jpeg: bool = False) -> Path:
    """A Minari dataset with infos, and the file in which it lies."""
    rng = np.random.default_rng(0)
    space = observation_space or spaces.Box(-1, 1, (3,))
    buffers = []
    for i, length in enumerate((15, 4)):
        seen = np.array([space.sample() for _ in range(length + 1)])
        ends = np.arange(length) == length - 1
        infos = {"success": ends, "where": {"x": rng.random(length)}, "word": ["one", "two"] * 2}
        actions = rng.uniform(-1, 1, (length, 2)).astype(np.float32)
        buffers.append(EpisodeBuffer(i, 0, None, seen, actions, rng.random(length), ends, ~ends, infos))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the author, whom we do not give
        dataset = minari.create_dataset_from_buffers(
            "test/infos-v0",
            buffers,
            observation_space=space,
            action_space=spaces.Box(-1, 1, (2,)),
            jpeg_encoding=jpeg,
        )
    return Path(dataset.storage.data_path) / "main_data.hdf5"


def test_d4rls_own_files_are_read(place: Path) -> None:
    store = open_store(d4rl(place))
    assert_episodes(store, episodes())
    assert store.name == str(place / "data.hdf5")
    d4rl(place).rename(place / "other.npz")  # recognised by what it holds
    assert_episodes(open_store(place / "other.npz"), episodes())


@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize("space", [None, IMAGE])
def test_what_minari_writes_is_read(space: spaces.Space | None, jpeg: bool) -> None:
    store = open_store(recorded(space, jpeg).parent)
    assert (store.n_steps, store.n_slots) == (19, 21)
    assert len(store.last) == 1 + store.n_slots  # memory was taken once


def test_arrays_in_hdf5_that_are_neither(place: Path) -> None:
    path = d4rl(place, timeouts=None)
    with pytest.raises(
        ValueError, match=rf"^{path} holds no trajectories .* infos/ \(a group\), metadata/ \(a group\)"
    ):
        open_store(path)
    path = d4rl(place, rewards=columns()["rewards"][:-1])
    with pytest.raises(
        ValueError, match=rf"^{path} has 'rewards' of shape \(14,\), but its longest column has 15 rows"
    ):
        open_store(path)


# ------------------------------------------------------------------------------------------------ hostile files


def external_link(group: h5py.Group, place: Path) -> None:
    group["rewards"] = h5py.ExternalLink(str(place / "secret.hdf5"), "/rewards")


def soft_link(group: h5py.Group, place: Path) -> None:
    group.file["elsewhere"] = SECRET
    group["rewards"] = h5py.SoftLink("/elsewhere")


def dangling_link(group: h5py.Group, place: Path) -> None:
    group["rewards"] = h5py.SoftLink("/nowhere")


def second_link(group: h5py.Group, place: Path) -> None:
    group["rewards"] = group["terminals" if "terminals" in group else "terminations"]


def ring(group: h5py.Group, place: Path) -> None:
    group["rewards"] = group.file["/"]


def external_storage(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", (15,), "f8", external=[(str(place / "secret.bin"), 0, 120)])


def virtual(group: h5py.Group, place: Path) -> None:
    layout = h5py.VirtualLayout((15,), "f8")
    layout[:] = h5py.VirtualSource(str(place / "secret.hdf5"), "rewards", (15,))
    group.create_virtual_dataset("rewards", layout)


def virtual_of_itself(group: h5py.Group, place: Path) -> None:
    layout = h5py.VirtualLayout((15,), "f8")
    layout[:] = h5py.VirtualSource(".", "/other", (15,))
    group.file["other"] = SECRET
    group.create_virtual_dataset("rewards", layout)


def nothing_stored(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", (10**12,), "f8", chunks=(1000,), fillvalue=1.0)


def nothing_stored_in_one_piece(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", (2**33,), "f8")


def large_chunk(group: h5py.Group, place: Path) -> None:
    rewards = group.create_dataset("rewards", (15,), "f8", chunks=(2**28,), maxshape=(None,), compression="gzip")
    assert rewards.shape == (15,)


def compressed_zeros(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", data=np.zeros(2**20), chunks=(2**20,), compression="gzip", compression_opts=9)


def unknown_filter(group: h5py.Group, place: Path) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((15,))
    created.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (1,))  # LZ4, from a shared library
    space = h5py.h5s.create_simple((15,))
    h5py.h5d.create(group.id, b"rewards", h5py.h5t.NATIVE_DOUBLE, space, created)


def references(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", data=np.array([group.ref] * 15, dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)


def records(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", data=np.zeros(15, [("a", "f8")]))


def opaque(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", data=np.zeros(15, "V8"))


def empty(group: h5py.Group, place: Path) -> None:
    group.create_dataset("rewards", data=h5py.Empty("f8"))


def named_type(group: h5py.Group, place: Path) -> None:
    group["rewards"] = np.dtype("f8")


def lists(group: h5py.Group, place: Path) -> None:
    rewards = group.create_dataset("rewards", (15,), h5py.vlen_dtype(np.float64))
    rewards[0] = SECRET


FORGED = [value for value in globals().values() if getattr(value, "__annotations__", {}).get("group") == "h5py.Group"]
MEMORY = 2**25


def refusal(path: Path, where: Path, forge: Callable[..., None] | None = None) -> None:
    """Refused in one sentence with the name of the file and the array, before anything large is loaded."""
    reason = r".*'\S*rewards' .*"
    if forge is compressed_zeros:
        reason = r"it declares arrays of 8\.\d MiB, which is more than 64 times its own size"
    if forge in (second_link, ring):
        reason = r"'\S+' is not a separate array or group"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"^{where} cannot be read \({reason}\); download") as caught:
            open_store(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("forge", FORGED)
def test_hostile_files_of_d4rls_layout(
    forge: Callable[[h5py.Group, Path], None], place: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(containers, "HARMLESS", 2**20)
    monkeypatch.setattr(containers, "EXPANSION", 64)
    path = d4rl(place)
    with h5py.File(path, "a") as file:
        del file["rewards"]
        forge(file, place)
    refusal(path, path, forge)


@pytest.mark.parametrize("at", ["", "infos", "infos/where"])
@pytest.mark.parametrize("forge", FORGED)
def test_hostile_datasets_of_minari(forge: Callable[..., None], at: str, place: Path, monkeypatch: Any) -> None:
    """Minari reads infos, too."""
    monkeypatch.setattr(containers, "HARMLESS", 2**20)
    monkeypatch.setattr(containers, "EXPANSION", 64)
    path = recorded()
    with h5py.File(path, "a") as file:
        group = file[f"episode_0/{at}"]
        if not at:
            del group["rewards"]
        elif forge is second_link:
            group["terminals"] = SECRET
        forge(group, place)
    refusal(path.parent, path, forge)


def test_entries_of_any_length_that_lie_in_the_same_place(place: Path) -> None:
    """A hundred thousand strings that are one: 1.6 MB in the file, 100 GB when loaded."""
    path = recorded()
    with h5py.File(path, "a") as file:
        words = file["episode_0/infos"].create_dataset("rewards", (1000,), h5py.string_dtype(), chunks=(1000,))
        words[:] = ["x" * 1000] + [""] * 999
        info = words.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    entry = content[info.byte_offset : info.byte_offset + 16]
    content[info.byte_offset : info.byte_offset + 16_000] = entry * 1000
    path.write_bytes(content)
    refusal(path.parent, path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "twice", "nothing"])
def test_frames_that_declare_a_huge_image(file_format: str, place: Path) -> None:
    """Uniform images of a hundred megapixels compress to little, and Minari makes room for the first one's shape."""
    path = recorded(IMAGE, jpeg=True)
    file = io.BytesIO()
    if file_format == "twice":
        whole = encode_frame(np.zeros(IMAGE.shape, np.uint8)).tobytes()
        start = whole.index(b"\xff\xc0")
        header = whole[start : start + 19]
        file.write(whole[:start] + header[:5] + b"\x27\x10\x27\x10" + header[9:] + whole[start:])
    elif file_format != "nothing":
        Image.new("RGB", (900, 1000)).save(file, file_format)
    with h5py.File(path, "a") as opened:
        frames = opened["episode_0/observations"]
        assert h5py.check_vlen_dtype(frames.dtype) == np.uint8
        frames[7] = np.frombuffer(file.getvalue(), np.uint8)
    reason = r"'episode_0/observations' is not a JPEG of shape \(40, 36, 3\) at step 7"
    with pytest.raises(ValueError, match=rf"^{path} cannot be read \({reason}\); download or save it again\.$"):
        open_store(path.parent)


@pytest.mark.parametrize("shape", [(40, 36), (36, 40, 3), (300, 33, 3)])
def test_the_shape_that_a_jpeg_declares(shape: tuple[int, ...]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert jpeg_shape(encode_frame(frame).tobytes()) == shape
    assert jpeg_shape(encode_frame(frame).tobytes()[:100]) is None


def test_metadata_without_spaces_do_not_make_an_environment(place: Path) -> None:
    """Minari would: and Gymnasium imports the module that the file names."""
    (place / "harmful.py").write_text("raise AssertionError('imported')")
    folder = recorded().parent
    metadata = json.loads((folder / "metadata.json").read_text())
    spec = EnvSpec("X-v0", entry_point="harmful:X").to_json()
    for key in ("observation_space", "action_space"):
        for value in (None, 3, ""):
            changed = {**metadata, key: value, "env_spec": spec}
            (folder / "metadata.json").write_text(json.dumps({k: v for k, v in changed.items() if v is not None}))
            with pytest.raises(ValueError, match=r"metadata\.json cannot be read \("):
                open_store(folder)


def test_metadata_that_declare_a_huge_space(place: Path) -> None:
    folder = recorded().parent
    metadata = json.loads((folder / "metadata.json").read_text())
    box = {"type": "Box", "dtype": "float32", "shape": [10**6, 10**6], "low": 0.0, "high": 1.0}
    for space in (box, {"type": "Dict", "subspaces": {"a": {"type": "Tuple", "subspaces": [box]}}}):
        (folder / "metadata.json").write_text(json.dumps({**metadata, "observation_space": json.dumps(space)}))
        with pytest.raises(ValueError, match=r"its 'observation_space' has a part of shape \[1000000, 1000000\]"):
            open_store(folder)


def test_files_that_are_none(place: Path) -> None:
    path = recorded()
    path.unlink()
    os.mkfifo(path)  # opening it would wait forever
    with pytest.raises(ValueError, match=rf"^{path} cannot be read \(it is not a regular file\)"):
        open_store(path.parent)
    path = d4rl(place)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(
        ValueError, match=rf"^{path} cannot be read \(Unable to .*truncated.*\); download or save it again"
    ):
        open_store(path)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_of_hdf5_are_refused_in_one_sentence(seed: int, place: Path) -> None:
    rng, path = np.random.default_rng(seed), d4rl(place)
    whole = path.read_bytes()
    for i in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if i % 6 == 0 else whole)
        for at in rng.integers(len(damaged), size=rng.choice([1, 2, 8])):
            damaged[at] ^= rng.integers(1, 256)
        other = place / f"{i}"
        other.write_bytes(damaged)
        try:
            open_store(other)
        except ValueError as error:
            assert str(other) in str(error) and "\n" not in str(error) and str(error).endswith(".")
