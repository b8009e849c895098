"""
Register the environments of installed extras, so that scripts do not need ``--gym-packages``.

RL Zoo imports a fixed list of packages, and Gymnasium 1.x loads no plugins.
"""

import importlib
import importlib.util
import warnings

EXTRAS = ("gymnasium_robotics", "ogbench")  # importing one registers its environments


def register_extras() -> None:
    """Import the installed extras. A broken extra is only a warning, since most runs do not need it."""
    for package in EXTRAS:
        if importlib.util.find_spec(package) is None:
            continue
        _silence_notice(package)
        try:
            importlib.import_module(package)
        except Exception as error:
            warnings.warn(
                f"gcrl_zoo cannot register the environments of {package} ({type(error).__name__}: {error}); "
                f"reinstall it if you need them.",
                stacklevel=2,
            )


def _silence_notice(package: str) -> None:
    """Drop the notice that Farama packages print when imported, which is unrelated to the run."""
    try:
        from farama_notifications import notifications
    except ImportError:
        return
    notifications.pop(package, None)
