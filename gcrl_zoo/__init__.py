"""
Goal- and return-conditioned supervised RL as first-class Stable-Baselines3 and RL Zoo algorithms.

Importing this package is free: it loads neither numpy nor torch, since a startup file imports it in every interpreter
of the environment (see :mod:`gcrl_zoo.zoo.hook`). Algorithms are looked up at first use::

    from gcrl_zoo import GCSLVICReg

So is :func:`~gcrl_zoo.zoo.download.load_from_hub`, which downloads a pretrained agent and its environment::

    agent, env = gcrl_zoo.load_from_hub("ORGANISATION/gcsl_vicreg-CartPole-v1")

It also makes RL Zoo know our algorithms and Gymnasium our environments, whichever is loaded first.
"""

from gcrl_zoo.zoo.hook import install as _install

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at interpreter start
if TYPE_CHECKING:
    from typing import Any

    from stable_baselines3.common.base_class import BaseAlgorithm

__version__ = "0.1.0"


def _exports() -> "dict[str, type[BaseAlgorithm]]":
    from gcrl_zoo.registry import discover

    return {method.algorithm.__name__: method.algorithm for method in discover().values()}


def __getattr__(name: str) -> "Any":
    if name == "load_from_hub":
        from gcrl_zoo.zoo.download import load_from_hub

        return load_from_hub
    # Only class names can be algorithms. Without this test `from gcrl_zoo import registry` would import every method.
    if name[:1].isupper():
        exports = _exports()
        if name in exports:
            return exports[name]
        raise AttributeError(f"gcrl_zoo has no algorithm {name!r}; it has {', '.join(sorted(exports))}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_exports(), "__version__", "load_from_hub"])


_install()
