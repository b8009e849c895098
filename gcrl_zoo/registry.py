"""
The list of methods, made by looking rather than by writing: every folder of :mod:`gcrl_zoo.methods` is a method, and so
is every entry point of the group ``gcrl_zoo.methods`` in other installed packages.

A method is a module with

- ``ALGORITHM``: its class, a Stable-Baselines3 ``BaseAlgorithm``;
- ``search_space(trial) -> dict``, optional: draws hyperparameters for ``-optimize``.

Its YAML file ``NAME.yml`` lies in ``hyperparams/`` of this repository or, for an entry point, beside the module.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gcrl_zoo import methods

if TYPE_CHECKING:
    import optuna
    from stable_baselines3.common.base_class import BaseAlgorithm

ENTRY_POINT_GROUP = "gcrl_zoo.methods"
HYPERPARAMS = Path(__file__).parent / "hyperparams"


@dataclass(frozen=True)
class Method:
    """
    What the rest of the house knows about a method.

    :param name: its name in RL Zoo (``--algo NAME``), in the YAML files and in the docs
    :param algorithm: the class
    :param search_space: draws hyperparameters from an Optuna trial
    :param hyperparams: folder of ``NAME.yml`` and ``presets/NAME/``
    """

    name: str
    algorithm: type[BaseAlgorithm]
    search_space: Callable[[optuna.Trial], dict[str, Any]] | None = None
    hyperparams: Path = HYPERPARAMS

    @property
    def yaml(self) -> Path:
        """File of the default hyperparameters, keyed by environment id."""
        return self.hyperparams / f"{self.name}.yml"

    @property
    def presets(self) -> dict[str, Path]:
        """The shipped variants, by name: what ``-conf NAME`` accepts."""
        return {path.stem: path for path in sorted((self.hyperparams / "presets" / self.name).glob("*.yml"))}


@cache
def discover() -> dict[str, Method]:
    """
    Import every method, once per process.

    :return: the methods by name, those of this repository first
    """
    found: dict[str, Method] = {}
    for name, origin, load, hyperparams in _candidates():
        if name in found:
            raise RuntimeError(f"gcrl_zoo found two methods called {name!r}; rename or uninstall {origin}.")
        try:
            module = load()
            found[name] = Method(name, module.ALGORITHM, getattr(module, "search_space", None), hyperparams(module))
        except Exception as error:
            raise RuntimeError(
                f"gcrl_zoo cannot load its method {name!r} ({type(error).__name__}: {error}); "
                f"repair or remove {origin}."
            ) from error
    return found


Candidate = tuple[str, str, Callable[[], ModuleType], Callable[[ModuleType], Path]]


def _candidates() -> Iterator[Candidate]:
    """Name, origin for messages, loader and folder of the YAML file of everything that claims to be a method."""
    for info in sorted(pkgutil.iter_modules(methods.__path__)):
        if not info.name.startswith("_"):
            path = f"{methods.__name__}.{info.name}"
            yield info.name, path, lambda path=path: importlib.import_module(path), lambda module: HYPERPARAMS
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        yield entry.name, f"the entry point {entry.value}", entry.load, lambda module: Path(module.__file__).parent
