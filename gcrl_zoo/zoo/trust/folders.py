"""Files of RL Zoo, by their names: a log folder, or what its scripts push to the Hub."""

from __future__ import annotations

from pathlib import Path

from gcrl_zoo.zoo.trust.agents import TEXTS, check_agent, check_data, check_statistics, declared_in
from gcrl_zoo.zoo.trust.archives import check_arrays, check_metrics
from gcrl_zoo.zoo.trust.fields import MAX_JSON
from gcrl_zoo.zoo.trust.refusal import BROKEN, opened, read, refuse
from gcrl_zoo.zoo.trust.settings import check_arguments, check_blocks, check_config, check_env_kwargs
from gcrl_zoo.zoo.trust.weights import check_torch
from gcrl_zoo.zoo.trust.yamls import check_yaml

# Kinds that are read as text, shown, or by nobody.
INERT = {".csv", ".gif", ".json", ".log", ".md", ".mp4", ".png", ".svg", ".txt"}
INERT_NAMES = {*TEXTS, ".gitattributes", ".gitignore"}
EVENTS = "events.out.tfevents."  # of TensorBoard
# Kinds that somebody might unpickle; RL Zoo reads none of these but those that are checked by their names.
PICKLES = {".pkl", ".pickle", ".p", ".pt", ".bin", ".ckpt", ".joblib", ".dill", ".npy"}
FILES = {*PICKLES, *INERT, ".zip", ".yml", ".yaml", ".npz", ".pth"}


def check_file(path: Path, algorithm: str) -> None:
    """
    The check for a file, by its name; none for what is read as text, or by nobody.

    :param path: of a file of RL Zoo
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading it would run what no honest one needs, or no honest run has such a file
    """
    with opened(path) as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    match path.name.lower():
        case "train_eval_metrics.zip":
            check_metrics(path)
        case "config.yml":
            check_config(path)
        case "args.yml":
            check_arguments(path)
        case "env_kwargs.yml":
            check_env_kwargs(check_yaml(path), str(path))
        case "vecnormalize.pkl" | "vec_normalize.pkl":  # in a log folder, and on the Hub
            check_statistics(path)
        case "replay_buffer.pkl" if is_archive:  # ours are arrays
            check_arrays(path, str(path))
        case "data":  # of an agent that is unpacked
            check_data(read(path, MAX_JSON), algorithm, str(path))
        case name if name.endswith(".zip"):
            check_agent(path, algorithm)
        case name if name.endswith((".yml", ".yaml")):
            check_blocks(path)
        case name if name.endswith(".npz"):
            check_arrays(path, str(path))
        case name if name.endswith(".pth"):
            check_torch(read(path), str(path), path.stem, declared_in(algorithm)[1])
        case _:
            _check_kind(path)


def _check_kind(path: Path) -> None:
    """Of a file that is not read here."""
    if path.suffix.lower() in PICKLES:
        refuse(
            str(path),
            "may be a pickle of any kind, and is not needed to play",
            "delete it, or load it only if you trust its author",
        )
    if path.suffix.lower() not in INERT and path.name not in INERT_NAMES and not path.name.startswith(EVENTS):
        refuse(str(path), "is of a kind that no honest run has", "delete it, or use it only if you trust its author")


def check_folder(folder: Path, algorithm: str) -> None:
    """
    :param folder: a run in RL Zoo's log folder, or a copy of a repository that was pushed
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading a file in it would run what no honest one needs
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and path.is_dir():  # files may be links, as in the cache of the Hub
            refuse(str(path), "is a link that leads to no file")
        if not path.is_dir():
            check_file(path, algorithm)
        elif path.suffix.lower() in FILES or path.name in ("data", *INERT_NAMES):
            refuse(str(path), "is a directory, and no file", BROKEN)
