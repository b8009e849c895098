"""Agents, and whole folders of RL Zoo: its log folder, and what its scripts push to the Hub."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path

from rl_zoo3.utils import ALGOS

from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust.allowed import AGENT, NAMED, STATISTICS, STOCK, Global, Use
from gcrl_zoo.zoo.trust.archives import check_arrays, check_metrics, members
from gcrl_zoo.zoo.trust.pickles import check_pickle, check_torch
from gcrl_zoo.zoo.trust.refusal import BROKEN, read, refuse, told
from gcrl_zoo.zoo.trust.settings import check_config, check_yaml

AGENT_MEMBERS = re.compile(r"data|[a-z_.]+\.pth|_stable_baselines3_version|system_info\.txt")
SERIALIZED = ":serialized:"
# Kinds that somebody might unpickle; RL Zoo reads none of these but those that are checked by their names.
PICKLES = {".pkl", ".pickle", ".p", ".pt", ".bin", ".ckpt", ".joblib", ".dill", ".npy"}


def allowed_in(algorithm: str) -> Mapping[Global, Use]:
    """
    What the pickled fields of an agent may name.

    :param algorithm: as ``--algo`` takes it
    :raises ValueError: there is no such algorithm
    """
    methods = discover()
    if algorithm not in methods and algorithm not in ALGOS:
        raise ValueError(f"There is no algorithm '{algorithm}'; choose from {', '.join(sorted({*methods, *ALGOS}))}.")
    cls = methods[algorithm].algorithm if algorithm in methods else ALGOS[algorithm]
    policies = {(each.__module__, each.__qualname__): NAMED for each in cls.policy_aliases.values()}
    return {**AGENT, **policies, **({} if algorithm in methods else STOCK)}


def check_agent(path: Path, algorithm: str) -> None:
    """
    :param path: of a zip that Stable-Baselines3 saved
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading it would do more than to fill an agent of this algorithm
    """
    allowed = allowed_in(algorithm)
    for name, content in members(path, str(path), AGENT_MEMBERS, packed=False):
        if name == "data":
            check_data(content, allowed, f"{path}/{name}")
        elif name.endswith(".pth"):
            check_torch(content, f"{path}/{name}")


def check_data(data: bytes, allowed: Mapping[Global, Use], where: str) -> None:
    """
    :param data: JSON, of which some values are pickled
    :param allowed: what those may name
    :param where: for messages: the file, and the place in it
    :raises Untrusted: one names something else
    """
    try:
        fields = json.loads(data.decode())
        pickled = {
            name: base64.b64decode(value[SERIALIZED].encode())  # as Stable-Baselines3 reads them
            for name, value in fields.items()
            if isinstance(value, dict) and SERIALIZED in value
        }
    except Exception as error:
        refuse(where, f"holds no arguments of an agent ({told(error)})", BROKEN)
    for name, each in pickled.items():
        check_pickle(each, allowed, f"{where}[{name}]")


def check_statistics(path: Path) -> None:
    """
    :param path: of a ``vecnormalize.pkl``
    :raises Untrusted: loading it would do more than to fill a ``VecNormalize``
    """
    check_pickle(read(path), STATISTICS, str(path))


def check_file(path: Path, algorithm: str) -> None:
    """
    The check for a file, by its name; none for what is read as text, or by nobody.

    :param path: of a file of RL Zoo
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading it would run what no honest one needs
    """
    match path.name.lower():
        case "train_eval_metrics.zip":
            check_metrics(path)
        case "config.yml":
            check_config(path)
        case "vecnormalize.pkl" | "vec_normalize.pkl":  # in a log folder, and on the Hub
            check_statistics(path)
        case "replay_buffer.pkl" if read(path).startswith(b"PK\x03\x04"):  # ours are arrays
            check_arrays(path, str(path))
        case "data":  # of an agent that is unpacked
            check_data(read(path), allowed_in(algorithm), str(path))
        case name if name.endswith(".zip"):
            check_agent(path, algorithm)
        case name if name.endswith((".yml", ".yaml")):
            check_yaml(path)
        case name if name.endswith(".npz"):
            check_arrays(path, str(path))
        case name if name.endswith(".pth"):
            check_torch(read(path), str(path))
        case _ if path.suffix.lower() in PICKLES:
            refuse(
                str(path),
                "may be a pickle of any kind, and is not needed to play",
                "delete it, or load it only if you trust its author",
            )


def check_folder(folder: Path, algorithm: str) -> None:
    """
    :param folder: a run in RL Zoo's log folder, or a copy of a repository that was pushed
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading a file in it would run what no honest one needs
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.is_file():  # files may be links, as in the cache of the Hub
            refuse(str(path), "is a link that leads to no file")
        if path.is_file():
            check_file(path, algorithm)
