"""Check each file of a log folder of RL Zoo, or of a repository that its scripts pushed, by its name."""

from __future__ import annotations

from pathlib import Path

from gcrl_zoo.zoo.trust.agents import TEXTS, check_agent, check_data, check_statistics, declared_in
from gcrl_zoo.zoo.trust.archives import check_arrays, check_metrics
from gcrl_zoo.zoo.trust.fields import MAX_JSON
from gcrl_zoo.zoo.trust.refusal import BROKEN, open_regular, read, refuse
from gcrl_zoo.zoo.trust.settings import check_arguments, check_blocks, check_config, check_env_kwargs
from gcrl_zoo.zoo.trust.weights import check_torch
from gcrl_zoo.zoo.trust.yamls import check_yaml

# File types that are read as text, only displayed, or not read at all.
INERT = {".csv", ".gif", ".json", ".log", ".md", ".mp4", ".png", ".svg", ".txt"}
INERT_NAMES = {*TEXTS, ".gitattributes", ".gitignore"}
EVENTS = "events.out.tfevents."  # of TensorBoard
# File types that people might unpickle. RL Zoo reads only the ones that are checked by name.
PICKLES = {".pkl", ".pickle", ".p", ".pt", ".bin", ".ckpt", ".joblib", ".dill", ".npy"}
FILES = {*PICKLES, *INERT, ".zip", ".yml", ".yaml", ".npz", ".pth"}


def check_file(path: Path, algorithm: str) -> None:
    """
    Check a file by its name. Files that are read as text, or not read at all, pass.

    :param path: of a file of RL Zoo
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading it could run code, or runs do not contain such a file
    """
    with open_regular(path) as file:
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
        case "replay_buffer.pkl" if is_archive:  # of a trajectory method: arrays
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
    """Refuse types of files that may be pickles, and unknown ones."""
    if path.suffix.lower() in PICKLES:
        refuse(
            str(path),
            "may be any pickle and is not needed to play",
            "delete it, or load it only if you trust its author",
        )
    if path.suffix.lower() not in INERT and path.name not in INERT_NAMES and not path.name.startswith(EVENTS):
        refuse(
            str(path), "has a file type that runs do not contain", "delete it, or use it only if you trust its author"
        )


def check_folder(folder: Path, algorithm: str) -> None:
    """
    Check every file of a folder.

    :param folder: a run in RL Zoo's log folder, or a copy of a repository that was pushed
    :param algorithm: as ``--algo`` takes it
    :raises Untrusted: loading a file in it could run code
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and path.is_dir():  # files may be links, as in the cache of the Hub
            refuse(str(path), "is a link to a folder")
        if not path.is_dir():
            check_file(path, algorithm)
        elif path.suffix.lower() in FILES or path.name in ("data", *INERT_NAMES):
            refuse(str(path), "is a directory, not a file", BROKEN)
