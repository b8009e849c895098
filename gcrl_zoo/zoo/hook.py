"""
Extend RL Zoo and Gymnasium as they load, without touching their files and at no cost to programs that never load them.

RL Zoo has no plugins, and ``--algo`` is checked before ``--gym-packages`` are imported. So a startup file
(``gcrl_zoo.pth``; from Python 3.15 on ``gcrl_zoo.start``, PEP 829) calls :func:`install` in every interpreter of the
environment. It puts one finder on ``sys.meta_path``, which waits for the modules in ``PATCHES`` and lets our code run
right after theirs. Only ``os`` and ``sys``, which Python has loaded anyway, may be imported at the top of this file.

Where startup files do not run, ``import gcrl_zoo`` does the same, and ``python -m gcrl_zoo.train`` starts RL Zoo.
``GCRL_ZOO_DISABLE=1`` leaves RL Zoo as it is. Gymnasium gets our ids all the same: an explicit ``import gcrl_zoo`` asks
for them, and cannot be told from that of the startup file.
"""

import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at interpreter start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

SWITCH = "GCRL_ZOO_DISABLE"

# upstream module -> our module and the function in it that takes the loaded upstream module
PATCHES = {
    "gymnasium": ("gcrl_zoo.zoo.wrapped", "register"),
    "rl_zoo3.utils": ("gcrl_zoo.zoo.scripts", "patch"),
    "rl_zoo3.hyperparams_opt": ("gcrl_zoo.zoo.register", "add_search_spaces"),
    "rl_zoo3.exp_manager": ("gcrl_zoo.zoo.experiment", "patch"),
    "huggingface_sb3": ("gcrl_zoo.zoo.hub", "patch_package"),
    "huggingface_sb3.push_to_hub": ("gcrl_zoo.zoo.hub", "patch"),
    "rl_zoo3.load_from_hub": ("gcrl_zoo.zoo.hub", "patch_downloads"),
}


class PatchingFinder:
    """Leaves the finding to the other finders, and adds a step to the loading of the modules in ``PATCHES``."""

    @classmethod
    def find_spec(
        cls, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if not waits_for(name):
            return None
        others = (finder for finder in sys.meta_path if finder is not cls)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: "ModuleType") -> None:
                execute(module)
                if module.__name__ == name:  # a zip archive has one loader for all its modules
                    apply(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def waits_for(name: str) -> bool:
    """
    Whether a module is to be extended.

    :param name: of the module
    """
    return name in PATCHES and (name == "gymnasium" or os.environ.get(SWITCH, "0") in ("", "0"))


def apply(module: "ModuleType") -> None:
    """
    Run our patch of an upstream module. A failure must not look like one of the user or of RL Zoo, nor be swallowed
    as an ``ImportError`` (RL Zoo swallows some), so it becomes a ``RuntimeError`` that names us and the off-switch.

    :param module: the upstream module, just executed
    """
    import importlib

    ours, function = PATCHES[module.__name__]
    try:
        getattr(importlib.import_module(ours), function)(module)
    except Exception as error:
        raise RuntimeError(
            f"gcrl_zoo could not extend {module.__name__}: {error} ({SWITCH}=1 runs RL Zoo without gcrl_zoo.)"
        ) from error


def install() -> None:
    """Wait for the modules in ``PATCHES``. Calling it again changes nothing (Python 3.15 may call it twice)."""
    if PatchingFinder in sys.meta_path:
        return
    sys.meta_path.insert(0, PatchingFinder)
    for name in PATCHES:  # empty at interpreter start; matters to who calls us later
        if name in sys.modules and waits_for(name):
            apply(sys.modules[name])
