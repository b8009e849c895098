"""Errors of files that hold an agent or a policy: one sentence that names the file and the fault."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gcrl_zoo.common.wording import cause_of
from gcrl_zoo.data.formats.containers import one_line

#: Entries that each agent's zip has.
ENTRIES = {"data", "policy.pth"}
OF_AGENTS = "give a file that `model.save` wrote"


class UnfitWeights(RuntimeError, ValueError):
    """
    Weights of another network. Torch raises a RuntimeError for some of these faults, SB3 a ValueError for others.

    :param fault: what does not fit
    :param where: subject of the sentence
    """

    def __init__(self, fault: str, where: str = "The argument") -> None:
        super().__init__(fault, where)  # both are args, so that the error can be pickled
        self.fault, self.where = fault, where

    def __str__(self) -> str:
        return f"{self.where} holds other weights than the policy has ({self.fault}); give those of the same policy."


def check_file(path: Any, advice: str, suffix: str = "") -> None:
    """
    Check that a file exists.

    :param path: file to read; a file object is not checked
    :param advice: end of the message: which file to give
    :param suffix: that may be missing in ``path``
    :raises FileNotFoundError: there is no such file
    :raises IsADirectoryError: it is a folder
    """
    if not isinstance(path, (str, Path)):
        return
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; {advice}.")
    places = [str(path)] if not suffix or Path(path).suffix == suffix else [str(path), f"{path}{suffix}"]
    if not any(Path(place).is_file() for place in places):
        raise FileNotFoundError(f"There is no file {' or '.join(places)}; {advice}.")


@contextmanager
def reading_agent(path: Any) -> Iterator[None]:
    """
    Return a context for code that reads an agent's zip, which reports its errors.

    :param path: file or file object
    :raises FileNotFoundError: there is no such file
    :raises IsADirectoryError: it is a folder
    :raises ValueError: it is not the zip of an agent, or holds weights that do not fit
    """
    check_file(path, OF_AGENTS, ".zip")
    _check_entries(path)
    try:
        yield
    except UnfitWeights as error:
        raise UnfitWeights(error.fault, str(path)) from None
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} cannot be read ({cause_of(error)}); {OF_AGENTS}.") from None


@contextmanager
def setting_weights(where: object = "The argument") -> Iterator[None]:
    """
    Return a context for code that loads weights into networks and optimizers, which reports its errors.

    :param where: source of the weights, for messages
    :raises UnfitWeights: they do not fit; names the first fault that torch lists
    """
    try:
        yield
    except KeyError as error:
        raise UnfitWeights(f"no entry {error}", str(where)) from None
    except (AttributeError, TypeError, RuntimeError, ValueError) as error:
        _, *faults = str(error).splitlines() or [""]
        raise UnfitWeights(one_line(faults[0] if faults else error)[:200], str(where)) from None


def _check_entries(path: Any) -> None:
    """Without these entries SB3 would raise an assertion, or an error about the optimizer."""
    if isinstance(path, (str, Path)) and not Path(path).is_file():
        path = f"{path}.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            missing = ENTRIES - {*archive.namelist()}
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is not a zip file; {OF_AGENTS}.") from None
    if missing:
        raise ValueError(
            f"{path} is not the zip of an agent (it has no {' and no '.join(sorted(missing))}); {OF_AGENTS}."
        )
