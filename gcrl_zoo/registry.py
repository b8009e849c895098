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
from functools import cache, partial
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
    for name, path, load in _candidates():
        if name in found:
            raise RuntimeError(f"gcrl_zoo found two methods called {name!r}; rename or uninstall {path}.")
        try:
            module = load()
            search_space = getattr(module, "search_space", None)
            found[name] = Method(name, module.ALGORITHM, search_space, _hyperparams_of(module))
        except Exception as error:
            raise RuntimeError(
                f"gcrl_zoo cannot load its method {name!r} ({type(error).__name__}: {error}); repair or remove {path}."
            ) from error
    return found


def _candidates() -> Iterator[tuple[str, str, Callable[[], ModuleType]]]:
    """Name, module path and loader of everything that claims to be a method."""
    for info in pkgutil.iter_modules(methods.__path__):
        if not info.name.startswith("_"):
            path = f"{methods.__name__}.{info.name}"
            yield info.name, path, partial(importlib.import_module, path)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        yield entry.name, entry.value, entry.load


def _hyperparams_of(module: ModuleType) -> Path:
    """Folder of the method's YAML file: ours is one for all, a method from elsewhere carries its own."""
    if module.__name__.startswith(f"{methods.__name__}."):
        return HYPERPARAMS
    return Path(str(module.__file__)).parent
