"""
Lists of wrappers that the blocks of several methods share, in ``hyperparams/wrappers.yml``.

A block refers to a list by its name, alone (``env_wrapper: car_racing``) or as an entry of a list (``env_wrapper:
[car_racing, gcrl_zoo.wrappers.ReturnToGo]``). Names of wrappers contain a dot, names of lists do not.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gcrl_zoo.common.wording import suggestion
from gcrl_zoo.registry import HYPERPARAMS

FILE = HYPERPARAMS / "wrappers.yml"


def with_wrapper_lists(block: Any, path: Path) -> Any:
    """
    Replace names of lists in ``env_wrapper`` by the wrappers of the list.

    :param block: hyperparameters of one environment
    :param path: file of the block, for messages
    :return: the block, as RL Zoo takes it
    :raises ValueError: there is no list of that name
    """
    given = block.get("env_wrapper") if isinstance(block, dict) else None
    entries = given if isinstance(given, list) else [given]
    if not any(_is_list_name(entry) for entry in entries):
        return block
    lists = [_list(str(entry), path) if _is_list_name(entry) else [entry] for entry in entries]
    return {**block, "env_wrapper": [wrapper for wrappers in lists for wrapper in wrappers]}


def _is_list_name(entry: Any) -> bool:
    return isinstance(entry, str) and "." not in entry


def _list(name: str, path: Path) -> list[Any]:
    known = _lists()
    if name not in known:
        raise ValueError(f"{path} has the env_wrapper {name!r}, but {FILE} has no such list; {suggestion(name, known)}")
    return known[name]


@cache
def _lists() -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return lists
