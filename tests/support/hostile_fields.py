"""More kinds for ``tests.support.hostile.KINDS``: harmful plain values, names and numbers, and special files."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
import yaml
from rl_zoo3.utils import get_wrapper_class

from gcrl_zoo.common.roles import Roles
from gcrl_zoo.methods.bc import BC
from tests.support.hostile import (
    AGENT,
    ENV,
    KINDS,
    METRICS,
    SETTINGS,
    Hostile,
    entries_of,
    hostile,
    replace,
    saved,
    write,
)

__all__ = ["KINDS"]
EVIL = "evil_on_import"


def plant(mark: Path) -> None:
    """Write a module beside the run that creates the mark when it is imported."""
    (mark.parent / f"{EVIL}.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nWrapper = None\n")


@contextmanager
def within_reach(path: Path) -> Iterator[Path]:
    """Put the planted module on the path; yields the mark."""
    folder = next(each for each in path.parents if (each / f"{EVIL}.py").is_file() or each == each.parent)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield folder / "mark"
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(EVIL, None)


def load_agent(path: Path) -> None:
    """Load an agent as ``load_from_hub`` and RL Zoo's scripts do."""
    with within_reach(path):
        BC.load(path, device="cpu")


# --- Plain values in the fields of an agent ---------------------------------------------------------------------------


def plain(message: str, load: Callable[[Path], Any] | None = None) -> Callable[[Any], Any]:
    """Register a function that returns fields for an agent's ``data``."""

    def add(make: Callable[[Path], dict[str, Any]]) -> Callable[[Path], dict[str, Any]]:
        def tamper(path: Path, mark: Path) -> None:
            data = json.loads(entries_of(path)["data"])
            for name, value in make(mark).items():
                data[name] = {**data[name], **value} if name == "policy_kwargs" else value
            replace(path, "data", json.dumps(data).encode())

        KINDS.append(Hostile(make.__name__, AGENT, f"data{message}", tamper, load))
        return make

    return add


@plain(" has the field 'env', which agents of this algorithm do not save", load_agent)
def an_environment_to_make(mark):
    plant(mark)
    return {"env": f"{EVIL}:X-v0"}


def load_and_predict(path: Path) -> None:
    """Call a method that an attribute may shadow."""
    try:
        BC.load(path, device="cpu").predict(np.zeros(2))
    except TypeError:
        (path.parent.parent / "mark").mkdir()


@plain(" has the field 'predict', which agents of this algorithm do not save", load_and_predict)
def a_method_in_the_shade(mark):
    return {"predict": 1}


@plain(" has the field '__class__', which agents of this algorithm do not save")
def another_class(mark):
    return {"__class__": "DT"}


@plain(r"\[policy_class\] is 'evil:Policy', but must be a policy of its algorithm")
def a_policy_as_text(mark):
    return {"policy_class": "evil:Policy"}


@plain(r"\[lr_schedule\] is 'lambda: 1', but must be a schedule")
def a_schedule_as_text(mark):
    return {"lr_schedule": "lambda: 1"}


@plain(r"\[policy_kwargs\] has the entry 'features_extractor', which no policy")
def an_extractor_that_is_made(mark):
    return {"policy_kwargs": {"features_extractor": "evil"}}


@plain(r"\[tensorboard_log\] is '//evil/share', but must be")
def another_machine(mark):
    return {"tensorboard_log": "//evil/share"}


@plain(r"\[n_envs\] is 1000000000, but must be a whole number from 1 to 4096")
def a_billion_environments(mark):
    return {"n_envs": 10**9}


@plain(r"\[policy_kwargs\] has \[1000000000\] for net_arch")
def a_layer_of_a_billion(mark):
    return {"policy_kwargs": {"net_arch": [10**9]}}


@plain(" needs networks of 4227858496 numbers")
def layers_that_are_not_there(mark):
    """Each layer is within its range; together they need 16 GiB."""
    return {"policy_kwargs": {"net_arch": [8192] * 64}}


@plain(" has .* values, which exceeds the limit of")
def a_crowd_of_values(mark):
    return {"_left_out": [[]] * 2**17}


# --- Names in weights -------------------------------------------------------------------------------------------------


def load_and_look(path: Path) -> None:
    """``recursive_setattr`` of Stable-Baselines3 follows the dots from the agent to a class that all agents share."""
    BC.load(path, device="cpu")
    if hasattr(Roles, "data"):
        del Roles.data
        (path.parent.parent / "mark").mkdir()


@hostile(
    AGENT, "pytorch_variables.pth has the key 'policy.roles.__class__', but the agent declares none", load_and_look
)
def a_variable_outside_of_the_agent(path, mark):
    replace(path, "pytorch_variables.pth", saved({"policy.roles.__class__": th.zeros(1)}, path))


@hostile(AGENT, "policy.pth has the key 'a.__class__', which is not the name of a parameter")
def a_weight_of_a_class(path, mark):
    replace(path, "policy.pth", saved(OrderedDict({"a.__class__": th.zeros(1)}), path))


@hostile(AGENT, "has a member 'policy.roles.pth', which is not expected")
def weights_of_something_else(path, mark):
    replace(path, "policy.roles.pth", saved({}, path))


@hostile(AGENT, "policy.optimizer.pth has the keys .* which are not those of an optimizer")
def an_optimizer_with_hooks(path, mark):
    state = {"state": {}, "param_groups": [], "_optimizer_step_pre_hooks": {}}
    replace(path, "policy.optimizer.pth", saved(state, path))


def respelt(path: Path, old: bytes, new: bytes) -> bytes:
    """Return weights of two numbers, with some bytes of their pickle replaced."""
    scratch = path.parent / "scratch"
    scratch.write_bytes(saved({"a": th.zeros(2)}, path))
    entries = entries_of(scratch)
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    assert entries[name].count(old) == 1
    write(scratch, {**entries, name: entries[name].replace(old, new)})
    content = scratch.read_bytes()
    scratch.unlink()
    return content


SHAPE, LENGTH = b"K\x02\x85q\x08", b"K\x02tq\x07Q"


@hostile(AGENT, r"policy.pth/data.pkl calls torch._utils._rebuild_tensor_v2")
def a_shape_that_is_a_text(path, mark):
    """Multiplied, the shape is a string of three billion letters."""
    huge = b"\x8a\x05" + (3 * 10**9).to_bytes(5, "little")
    replace(path, "policy.pth", respelt(path, SHAPE, b"X\x01\x00\x00\x00a" + huge + b"\x86q\x08"))


@hostile(AGENT, "policy.pth/data.pkl has a storage of 200 numbers, but its archive holds 2")
def a_storage_larger_than_its_record(path, mark):
    replace(path, "policy.pth", respelt(path, LENGTH, b"K\xc8tq\x07Q"))


# --- In settings ------------------------------------------------------------------------------------------------------


def make_inside(path: Path) -> None:
    """Create an environment of gcrl_zoo as ``rl_zoo3.enjoy`` does, with the arguments of the run."""
    settings = yaml.safe_load(path.read_text())
    with within_reach(path):
        gym.make("gcrl_zoo/CartPoleUpright-v1", **settings.get("env_kwargs", settings))


INSIDE = {"inside": f"{EVIL}:CartPole-v1"}


@hostile(SETTINGS / "args.yml", "has 'inside' in env_kwargs, which is not allowed", make_inside)
def another_environment_inside(path, mark):
    plant(mark)
    path.write_text(yaml.dump({"env": ENV, "env_kwargs": INSIDE}))


@hostile(SETTINGS / "config.yml", "has 'inside' in env_kwargs, which is not allowed", make_inside)
def another_environment_inside_by_config(path, mark):
    plant(mark)
    path.write_text(yaml.dump({"policy": "MlpPolicy", "env_kwargs": INSIDE}))


@hostile(SETTINGS / "env_kwargs.yml", "has 'inside' in env_kwargs, which is not allowed", make_inside)
def another_environment_inside_by_itself(path, mark):
    plant(mark)
    path.write_text(yaml.dump(INSIDE))


def make_named(path: Path) -> None:
    """Create the environment of a run as RL Zoo's scripts do."""
    with within_reach(path):
        gym.make(yaml.safe_load(path.read_text())["env"])


@hostile(SETTINGS / "args.yml", f"has the environment '{EVIL}:X-v0', which is not a plain id", make_named)
def an_id_with_a_module(path, mark):
    plant(mark)
    path.write_text(yaml.dump({"env": f"{EVIL}:X-v0"}))


@hostile(SETTINGS / "config.yml", "has 'evil.vehicles.Car' for kind in env_kwargs, which is not a plain word or number")
def a_class_for_an_environment(path, mark):
    """Some environments import the names in their arguments."""
    path.write_text(yaml.dump({"env_kwargs": {"kind": "evil.vehicles.Car"}}))


def train_by_config(path: Path) -> None:
    """Import the wrappers of a block as ``rl_zoo3.train -conf config.yml`` does."""
    with within_reach(path):
        get_wrapper_class(yaml.safe_load(path.read_text())[ENV])


@hostile(SETTINGS / "config.yml", f"has the key '{ENV}', which is not a hyperparameter", train_by_config)
def a_block_within(path, mark):
    plant(mark)
    path.write_text(yaml.dump({"policy": "MlpPolicy", ENV: {"env_wrapper": f"{EVIL}.Wrapper"}}))


@hostile(Path("more.yml"), f"more.yml.{ENV}. makes RL Zoo import '{EVIL}.Wrapper'", train_by_config)
def a_block_elsewhere(path, mark):
    plant(mark)
    path.write_text(yaml.dump({ENV: {"env_wrapper": f"{EVIL}.Wrapper"}}))


@hostile(SETTINGS / "config.yml", "has wrappers whose numbers multiply to 1000000000")
def a_stack_without_end(path, mark):
    path.write_text(yaml.dump({"env_wrapper": [{"gymnasium.wrappers.FrameStackObservation": {"stack_size": 10**9}}]}))


@hostile(SETTINGS / "config.yml", "has wrappers whose numbers multiply to 1000000000")
def a_skip_without_end(path, mark):
    path.write_text(yaml.dump({"env_wrapper": [{"gcrl_zoo.wrappers.FrameSkip": {"skip": 10**9}}]}))


@hostile(SETTINGS / "config.yml", "has wrappers whose numbers multiply to")
def stacks_of_stacks(path, mark):
    stack = {"gymnasium.wrappers.FrameStackObservation": {"stack_size": 1000}}
    path.write_text(yaml.dump({"env_wrapper": [stack] * 4}, Dumper=yaml.SafeDumper).replace("*id001", str(stack)))


@hostile(SETTINGS / "args.yml", "has the key 'callback', which is not an option of rl_zoo3.train")
def an_option_that_is_none(path, mark):
    path.write_text(yaml.dump({"callback": "evil.Callback"}))


@hostile(SETTINGS / "args.yml", "has more than 10000 values")
def a_crowd_of_settings(path, mark):
    path.write_text(f"env: [{'0,' * 20_000}]")


# --- Files that are none, or larger than they are ---------------------------------------------------------------------


@hostile(SETTINGS / "env_kwargs.yml", "is a FIFO, not a file")
def a_fifo(path, mark):
    path.unlink()
    os.mkfifo(path)


@hostile(SETTINGS / "vecnormalize.pkl", "is a device, not a file")
def a_device(path, mark):
    path.unlink()
    path.symlink_to("/dev/zero")


@hostile(METRICS, "is a directory, not a file")
def a_directory(path, mark):
    path.unlink()
    path.mkdir()


@hostile(SETTINGS / "env_kwargs.yml", "is a socket, not a file")
def a_socket(path, mark):
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # an address has at most 100 letters
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


@hostile(Path("evaluations.npz"), "results.npy has 0 bytes for an array of 8796093022208")
def results_without_end(path, mark):
    """numpy would allocate the array before it reads."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("results.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        np.lib.format.write_array_header_1_0(member, header)


@hostile(Path("hook.py"), "has a file type that runs do not contain")
def a_program(path, mark):
    path.write_text("")
