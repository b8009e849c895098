"""
Discover the methods: the folders of :mod:`gcrl_zoo.methods`, and the entry points of the group ``gcrl_zoo.methods`` in
other installed packages.

A method is a module with

- ``ALGORITHM``: its class, a Stable-Baselines3 ``BaseAlgorithm``;
- ``search_space(trial) -> dict`` (optional): samples hyperparameters for ``-optimize``.

Its YAML file ``NAME.yml`` is in ``hyperparams/`` of this repository or, for an entry point, beside the module.
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
    A method as the rest of the package sees it.

    :param name: its name in RL Zoo (``--algo NAME``), in the YAML files and in the docs
    :param algorithm: the class
    :param search_space: samples hyperparameters from an Optuna trial
    :param hyperparams: folder of ``NAME.yml`` and ``presets/NAME/``
    """

    name: str
    algorithm: type[BaseAlgorithm]
    search_space: Callable[[optuna.Trial], dict[str, Any]] | None = None
    hyperparams: Path = HYPERPARAMS

    @property
    def yaml(self) -> Path:
        """Path of the default hyperparameters, by environment id."""
        return self.hyperparams / f"{self.name}.yml"

    @property
    def presets(self) -> dict[str, Path]:
        """Paths of the presets by name, as ``-conf NAME`` takes it."""
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
    """Yield name, module path and loader of each candidate for a method."""
    for info in pkgutil.iter_modules(methods.__path__):
        if not info.name.startswith("_"):
            path = f"{methods.__name__}.{info.name}"
            yield info.name, path, partial(importlib.import_module, path)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        yield entry.name, entry.value, entry.load


def _hyperparams_of(module: ModuleType) -> Path:
    """Return the folder of the method's YAML file: ours for methods of this package, else that of the module."""
    if module.__name__.startswith(f"{methods.__name__}."):
        return HYPERPARAMS
    return Path(str(module.__file__)).parent
