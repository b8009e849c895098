"""
Patch RL Zoo and Gymnasium when they are imported. Their files stay unchanged, and other programs are unaffected.

RL Zoo has no plugins, and ``--algo`` is checked before ``--gym-packages`` are imported. So a startup file
(``gcrl_zoo.pth``; from Python 3.15 on ``gcrl_zoo.start``, PEP 829) calls :func:`install` in every interpreter of the
environment. It adds one finder to ``sys.meta_path``, which runs our code right after the import of a module in
``PATCHES``. Only ``os`` and ``sys``, which Python has loaded anyway, may be imported at the top of this file.

Where startup files do not run, ``import gcrl_zoo`` does the same, and ``python -m gcrl_zoo.train`` starts RL Zoo.
``GCRL_ZOO_DISABLE=1`` disables the patches of RL Zoo. Our ids are still registered with Gymnasium: an explicit ``import
gcrl_zoo`` requires them, and it cannot be distinguished from the import by the startup file.
"""

import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at interpreter start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

SWITCH = "GCRL_ZOO_DISABLE"

# upstream module -> our module and its function that takes the imported upstream module
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
    """Delegates to the other finders, and runs our code after the import of the modules in ``PATCHES``."""

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
                if module.__name__ == name:  # a zip archive has one loader for all of its modules
                    apply(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def waits_for(name: str) -> bool:
    """
    Whether a module is to be patched.

    :param name: name of the module
    """
    return name in PATCHES and (name == "gymnasium" or os.environ.get(SWITCH, "0") in ("", "0"))


def apply(module: "ModuleType") -> None:
    """
    Run our patch of an upstream module.

    A failure becomes a ``RuntimeError`` that names gcrl_zoo and the switch that disables it. RL Zoo would suppress an
    ``ImportError`` in some places.

    :param module: the upstream module, after its import
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
    """Install the finder. Calling it again has no effect (Python 3.15 may call it twice)."""
    if PatchingFinder in sys.meta_path:
        return
    sys.meta_path.insert(0, PatchingFinder)
    for name in PATCHES:  # none at interpreter start; some if called later
        if name in sys.modules and waits_for(name):
            apply(sys.modules[name])
