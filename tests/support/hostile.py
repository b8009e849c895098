"""Functions that tamper with a saved run. Loading the result would create a folder, the mark, or do other harm."""

from __future__ import annotations

import base64
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch as th
import yaml
from rl_zoo3.utils import get_callback_list, get_saved_hyperparams, get_wrapper_class
from stable_baselines3.common.save_util import load_from_zip_file

ENV = "CartPole-v1"
AGENT, SETTINGS = Path(f"{ENV}.zip"), Path(ENV)
METRICS = Path("train_eval_metrics.zip")


@dataclass(frozen=True)
class Hostile:
    """
    :param name: of the kind
    :param file: to tamper with, within the run
    :param message: regular expression for the error
    :param tamper: takes the file and the mark
    :param load: what people would do with the file, and pay for; None where nothing of it runs by itself
    """

    name: str
    file: Path
    message: str
    tamper: Callable[[Path, Path], None]
    load: Callable[[Path], Any] | None = None

    def __str__(self) -> str:
        return self.name


class Payload:
    """Creates the mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f'mkdir "{self.mark}"',)


KINDS: list[Hostile] = []


def hostile(file: Path, message: str, load: Callable[[Path], Any] | None = None) -> Callable[[Any], Any]:
    """Register a function that tampers with a file."""

    def add(tamper: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        KINDS.append(Hostile(tamper.__name__, file, message, tamper, load))
        return tamper

    return add


def entries_of(path: Path) -> dict[str, bytes]:
    """Return the members of an archive by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, entries: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write an archive."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def replace(path: Path, name: str, content: bytes) -> None:
    """Add or replace a member of an archive."""
    write(path, {**entries_of(path), name: content})


# --- In the pickled fields of an agent --------------------------------------------------------------------------------


def field(message: str, fires: bool = True) -> Callable[[Any], Any]:
    """Register a function that returns a pickle for a field of an agent's ``data``."""

    def add(make: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
        def tamper(path: Path, mark: Path) -> None:
            data = json.loads(entries_of(path)["data"])
            data["lr_schedule"][":serialized:"] = base64.b64encode(make(mark)).decode()
            replace(path, "data", json.dumps(data).encode())

        load = load_from_zip_file if fires else None
        KINDS.append(Hostile(make.__name__, AGENT, rf"data\[lr_schedule\] {message}", tamper, load))
        return make

    return add


def text(value: object) -> bytes:
    """Return the opcodes of a short string."""
    encoded = str(value).encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


SYSTEM = f"imports '{os.system.__module__}.system'"


@field(SYSTEM)
def a_call(mark):
    return cloudpickle.dumps(Payload(mark))


@field(SYSTEM)
def a_call_in_the_first_protocol(mark):
    return pickle.dumps(Payload(mark), protocol=0)


@field("uses the opcode INST")
def an_old_instance(mark):
    return b"(" + text(mark) + b"ios\nmkdir\n."


@field("imports 'pathlib.os.mkdir'")
def a_name_with_dots(mark):
    return b"\x80\x04" + text("pathlib") + text("os.mkdir") + b"\x93" + text(mark) + b"\x85R."


@field("imports 'collections._sys.modules'", fires=False)
def all_modules(mark):
    return b"\x80\x04" + text("collections") + text("_sys.modules") + b"\x93."


@field("imports 'os.mkdir'")
def names_from_the_memo(mark):
    """Store names in the memo, with an allowed name between them and their use."""
    memo = text("mkdir") + b"q\x05" + text("os") + b"q\x06" + text("collections") + b"q\x07"
    return b"\x80\x04](" + memo + b"eh\x06h\x05\x93" + text(mark) + b"\x85R."


@field("is not a readable pickle")
def a_call_before_an_error(mark):
    return b"\x80\x04" + text("os") + text("mkdir") + b"\x93" + text(mark) + b"\x85R0cno such thing"


@field("imports 'cloudpickle.cloudpickle._make_function'", fires=False)
def code_by_value(mark):
    return cloudpickle.dumps(lambda progress: mark.mkdir())


@field("imports '_?pickle.loads'")
def a_pickle_in_a_pickle(mark):
    class Nested:
        def __reduce__(self):
            return pickle.loads, (pickle.dumps(Payload(mark)),)

    return cloudpickle.dumps(Nested())


@field("uses the opcode EXT1", fires=False)
def an_extension(mark):
    return b"\x80\x04\x82\x01" + text(mark) + b"\x85R."


@field("has data after its end", fires=False)
def a_second_pickle(mark):
    return pickle.dumps(1.0) + pickle.dumps(Payload(mark))


@field("refers to an object outside", fires=False)
def a_persistent_id(mark):
    return b"\x80\x04" + text("storage") + b"Q."


@field("is not a readable pickle .*__setstate__", fires=False)
def a_state_for_a_class(mark):
    """Would change the class in the whole process."""
    name = text("stable_baselines3.common.utils") + text("FloatSchedule") + b"\x93"
    return b"\x80\x04" + name + b"N}" + text("__call__") + name + b"s\x86b."


@field("calls gcrl_zoo.methods.bc.policies.BCPolicy", fires=False)
def a_constructor(mark):
    return b"\x80\x04" + text("gcrl_zoo.methods.bc.policies") + text("BCPolicy") + b"\x93)R."


@field("calls numpy.dtype", fires=False)
def an_array_of_objects(mark):
    """Bytes of the file would become pointers."""
    return cloudpickle.dumps(np.array([{}], dtype=object))


@field("gives numpy.dtype an unexpected state", fires=False)
def a_dtype_with_fields(mark):
    plain, state = np.dtype("f8"), (3, "<", None, ("a",), {"a": (np.dtype("f4"), 0)}, 8, 1, 0)
    return b"\x80\x04" + pickle.dumps(plain, 4)[2:].split(b"K\x03")[0] + pickle.dumps(state, 4)[11:-1] + b"b."


@field("gives gymnasium.spaces.box.Box an unexpected state", fires=False)
def a_state_of_slots(mark):
    """Could set any attribute, ``__class__`` too."""
    return b"\x80\x04" + text("gymnasium.spaces.box") + text("Box") + b"\x93)RN}" + text("seed") + b"Ns\x86b."


@field("has a key that is neither a string nor a number", fires=False)
def a_key_that_takes_forever(mark):
    return b"\x80\x04)q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}h\x00Ns."


@field("is not a readable pickle", fires=False)
def room_for_nothing(mark):
    return b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"."


@field("has a key that is neither a string nor a number", fires=False)
def a_named_key_that_takes_forever(mark):
    made = b"\x80\x04" + text("collections") + text("OrderedDict") + b"\x93)R"
    return b"\x80\x04}" + made[2:] + b"Ns."


# --- In its weights ---------------------------------------------------------------------------------------------------


def load_weights(path: Path) -> None:
    """Load weights with the old default of torch."""
    with zipfile.ZipFile(path) as archive, archive.open("policy.pth") as weights:
        th.load(weights, weights_only=False)


def saved(value: object, path: Path, **kwargs: Any) -> bytes:
    """Return the bytes that torch saves."""
    th.save(value, path.parent / "scratch", **kwargs)
    content = (path.parent / "scratch").read_bytes()
    (path.parent / "scratch").unlink()
    return content


@hostile(AGENT, "policy.pth/data.pkl calls torch._utils._rebuild_tensor_v2")
def weights_larger_than_they_are(path, mark):
    """One number that expands to half a billion."""
    replace(path, "policy.pth", saved({"a": th.zeros(1).expand(2**29)}, path))


@hostile(AGENT, rf"policy.pth/data.pkl {SYSTEM}", load_weights)
def weights_with_a_call(path, mark):
    replace(path, "policy.pth", saved({"weight": Payload(mark)}, path))


@hostile(AGENT, "policy.pth is not an archive of torch.save", load_weights)
def weights_in_the_old_format(path, mark):
    replace(path, "policy.pth", saved({"weight": Payload(mark)}, path, _use_new_zipfile_serialization=False))


@hostile(AGENT, "policy.optimizer.pth has a member 'archive/constants.pkl'")
def weights_that_are_a_script(path, mark):
    inner = path.parent / "scratch"
    inner.write_bytes(entries_of(path)["policy.optimizer.pth"])
    replace(inner, "archive/constants.pkl", b"")
    content = inner.read_bytes()
    inner.unlink()
    replace(path, "policy.optimizer.pth", content)


@hostile(AGENT, "has a member 'policy.pkl', which is not expected")
def a_pickle_beside_the_weights(path, mark):
    replace(path, "policy.pkl", pickle.dumps(Payload(mark)))


# --- In statistics and metrics ----------------------------------------------------------------------------------------


@hostile(SETTINGS / "vecnormalize.pkl", SYSTEM, lambda path: pickle.loads(path.read_bytes()))
def statistics_with_a_call(path, mark):
    path.write_bytes(pickle.dumps(Payload(mark)))


@hostile(Path("replay_buffer.pkl"), "may be any pickle", lambda path: pickle.loads(path.read_bytes()))
def a_replay_buffer(path, mark):
    path.write_bytes(pickle.dumps(Payload(mark)))


def load_results(path: Path) -> None:
    """Load all arrays of a file, pickled ones too."""
    with np.load(path, allow_pickle=True) as arrays:
        dict(arrays)


@hostile(Path("evaluations.npz"), "results.npy is not an array of plain numbers", load_results)
def results_that_are_objects(path, mark):
    np.savez(path, results=np.array([Payload(mark)], dtype=object))


@hostile(METRICS, "evaluations.npz/results.npy is not an array of plain numbers")
def metrics_that_are_objects(path, mark):
    inner = path.parent / "scratch.npz"
    results_that_are_objects(inner, mark)
    write(path, {"evaluations.npz": inner.read_bytes()})
    inner.unlink()


@hostile(METRICS, "has a member 'CartPole-v1/config.yml', which is not expected", None)
def metrics_over_what_was_checked(path, mark):
    replace(path, f"{ENV}/config.yml", f"!!python/object/apply:os.mkdir ['{mark}']".encode())


@hostile(METRICS, r"has a member '../../0.monitor.csv', which would be written outside")
def a_way_up(path, mark):
    replace(path, "../../0.monitor.csv", b"")


@hostile(METRICS, r"has a member '/.*, which would be written outside")
def a_path_from_the_root(path, mark):
    replace(path, f"{path.parent.as_posix()}/0.monitor.csv".replace("C:", ""), b"")


# --- In archives as such ----------------------------------------------------------------------------------------------


@hostile(METRICS, "has a member '0.monitor.csv', which is a link")
def a_link(path, mark):
    link = zipfile.ZipInfo("0.monitor.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    write(path, {link: b"/etc/passwd"})


@hostile(METRICS, "has a member '0.MONITOR.csv', which appears twice")
def a_name_twice(path, mark):
    write(path, {"0.monitor.csv": b"", "0.MONITOR.csv": b""})


@hostile(METRICS, "has a member '0.monitor.csv', which is encrypted")
def a_secret(path, mark):
    write(path, {"0.monitor.csv": b"secret"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)


@hostile(METRICS, "has a member '0.monitor.csv', which uses a compression")
def an_odd_compression(path, mark):
    write(path, {"0.monitor.csv": b"r,l,t"}, zipfile.ZIP_BZIP2)


@hostile(AGENT, "has .* bytes and would unpack to")
def a_bomb(path, mark):
    write(path, {**entries_of(path), "policy.pth": bytes(2**26)}, zipfile.ZIP_DEFLATED)


@hostile(METRICS, "is not a complete zip archive .*Bad CRC-32")
def a_bomb_that_tells_less(path, mark):
    """Announce one byte."""
    size = 0x1234567
    write(path, {"0.monitor.csv": bytes(size)}, zipfile.ZIP_DEFLATED)
    content, announced = path.read_bytes(), size.to_bytes(4, "little")
    assert content.count(announced) == 2
    path.write_bytes(content.replace(announced, (1).to_bytes(4, "little")))


@hostile(METRICS, "has 10001 members")
def a_crowd(path, mark):
    write(path, {f"{number}.csv": b"" for number in range(10_001)})


@hostile(AGENT, "is not a complete zip archive|has other data before its zip archive")
def a_cut(path, mark):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@hostile(METRICS, "is not a complete zip archive")
def a_cut_log(path, mark):
    path.write_bytes(path.read_bytes()[:-8])


@hostile(AGENT, "is not a complete zip archive .*Bad CRC-32")
def a_changed_byte(path, mark):
    content = bytearray(path.read_bytes())
    content[content.index(b"learning_rate")] ^= 1
    path.write_bytes(content)


# --- In settings ------------------------------------------------------------------------------------------------------


def load_yaml(path: Path) -> None:
    """Load YAML as RL Zoo does."""
    yaml.load(path.read_text(), Loader=yaml.UnsafeLoader)


@hostile(SETTINGS / "config.yml", "has the tag '!!python/object/apply:os.mkdir' in line 1", load_yaml)
def a_config_that_calls(path, mark):
    path.write_text(f"!!python/object/apply:os.mkdir ['{mark}']")


@hostile(SETTINGS / "args.yml", "has the tag '!!python/object/new:os.mkdir' in line 2", load_yaml)
def arguments_that_call(path, mark):
    """With a tag prefix that the file defines."""
    path.write_text(f"%TAG !x! tag:yaml.org,2002:python/object/\n--- {{env_kwargs: !x!new:os.mkdir ['{mark}']}}")


@hostile(SETTINGS / "env_kwargs.yml", "has the tag '!!python/object/apply:collections.OrderedDict'")
def a_dict_with_a_state(path, mark):
    path.write_text("!!python/object/apply:collections.OrderedDict {state: {keys: 1}}")


@hostile(SETTINGS / "args.yml", "has more than 8 aliases")
def aliases_of_aliases(path, mark):
    layers = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    path.write_text(f"a0: &a0 [lol]\n{layers}")


def setting(message: str, load: Callable[[Path], Any] | None = None) -> Callable[[Any], Any]:
    """Register a function that returns further hyperparameters."""

    def add(make: Callable[[Path], dict[str, Any]]) -> Callable[[Path], dict[str, Any]]:
        def tamper(path: Path, mark: Path) -> None:
            path.write_text(yaml.dump({"policy": "MlpPolicy", **make(mark)}))

        KINDS.append(Hostile(make.__name__, SETTINGS / "config.yml", message, tamper, load))
        return make

    return add


def load_settings(path: Path) -> dict[str, Any]:
    """Load settings as ``rl_zoo3.enjoy`` does."""
    return get_saved_hyperparams(str(path.parent))[0]


@setting("has the tag '!!binary'")
def a_path_of_bytes(mark):
    return {"env_wrapper": [{"gymnasium.wrappers.RecordVideo": {"video_folder": str(mark).encode()}}]}


@setting("makes RL Zoo import 'stable_baselines3.common.monitor.Monitor' for env_wrapper, which writes files")
def a_log_over_another(mark):
    return {"env_wrapper": [{"stable_baselines3.common.monitor.Monitor": {"filename": "logs/0.monitor.csv"}}]}


@setting("has 100000000 for frame_stack")
def frames_without_end(mark):
    return {"frame_stack": 10**8}


def load_latin(path: Path) -> None:
    """Load YAML as on a machine whose encoding is not UTF-8."""
    yaml.load(path.read_bytes().decode("latin-1"), Loader=yaml.UnsafeLoader)


@hostile(SETTINGS / "config.yml", "UnicodeDecodeError", load_latin)
def a_comment_that_ends_elsewhere(path, mark):
    """UTF-8 encodes the letter as two bytes; in Latin-1 the second one ends the line."""
    path.write_text(f"x: 1  # \u00c5y: !!python/object/apply:os.mkdir [{mark}]\n", encoding="utf-8")


@setting("makes RL Zoo evaluate .* for normalize", load_settings)
def statistics_that_are_evaluated(mark):
    return {"normalize": f"dict(norm_obs=__import__('os').mkdir({str(mark)!r}))"}


@setting("makes RL Zoo evaluate .* for policy_kwargs")
def a_class_that_is_none(mark):
    return {"policy_kwargs": "dict(activation_fn=nn.modules.module.os.abort)"}


def import_wrapper(path: Path) -> None:
    """Import the wrapper as ``rl_zoo3.enjoy`` does, with the folder of the settings on the path."""
    import sys

    sys.path.insert(0, str(path.parent))
    try:
        get_wrapper_class(load_settings(path))
    finally:
        sys.path.remove(str(path.parent))
        sys.modules.pop("evil", None)


@hostile(SETTINGS / "config.yml", r"makes RL Zoo import 'evil.Wrapper' for env_wrapper", import_wrapper)
def a_wrapper_of_its_own(path, mark):
    (path.parent / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nWrapper = None\n")
    path.write_text("env_wrapper:\n- gcrl_zoo.wrappers.Upright\n- evil.Wrapper: {strength: 3}")


def call_back(path: Path) -> None:
    """Create callbacks as ``rl_zoo3.train -conf FILE`` does."""
    get_callback_list(load_settings(path))


@hostile(SETTINGS / "config.yml", "load_from_pkl' for callback, which is not a BaseCallback", call_back)
def a_function_for_a_callback(path, mark):
    (path.parent / "more.txt").write_bytes(pickle.dumps(Payload(mark)))
    kwargs = {"path": str(path.parent / "more.txt")}
    path.write_text(yaml.dump({"callback": [{"stable_baselines3.common.save_util.load_from_pkl": kwargs}]}))


@setting("passes the path '/tmp/evil' to gymnasium.wrappers.TransformObservation")
def a_path_elsewhere(mark):
    return {"env_wrapper": [{"gymnasium.wrappers.TransformObservation": {"folder": "/tmp/evil"}}]}


@setting("makes RL Zoo import 'gymnasium.wrappers.RecordVideo' for env_wrapper, which writes files")
def a_video(mark):
    return {"env_wrapper": [{"gymnasium.wrappers.RecordVideo": {"video_folder": "."}}]}
