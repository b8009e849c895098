"""Add our methods to RL Zoo's tables of algorithms, hyperparameter samplers and hyperparameter converters."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from gcrl_zoo.registry import Method, discover

if TYPE_CHECKING:
    import optuna


def add_algorithms(utils: ModuleType) -> None:
    """
    Add our algorithms to ``--algo`` of every script.

    :param utils: ``rl_zoo3.utils``, which all scripts import before they build their parsers
    """
    for name, method in discover().items():
        if utils.ALGOS.setdefault(name, method.algorithm) is not method.algorithm:
            raise ValueError(f"the method {name!r} has the name of an RL Zoo algorithm; rename it.")


def add_search_spaces(hyperparams_opt: ModuleType) -> None:
    """
    Add our search spaces to ``-optimize`` and ``--trial-id``.

    RL Zoo needs a sampler, and a converter from the parameters stored in a study to hyperparameters. Our converter is
    the sampler, replayed with a fixed trial.

    :param hyperparams_opt: ``rl_zoo3.hyperparams_opt``
    """
    for name, method in discover().items():
        hyperparams_opt.HYPERPARAMS_SAMPLER[name] = _Sampler(method)
        hyperparams_opt.HYPERPARAMS_CONVERTER[name] = _Sampler(method).replay


class _Sampler:
    """Adapts a method's ``search_space`` to the signature of RL Zoo's samplers."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def __call__(
        self, trial: "optuna.Trial", n_actions: int = 0, n_envs: int = 1, additional_args: Any = None
    ) -> dict[str, Any]:
        if self.method.search_space is None:
            raise RuntimeError(f"{self.method.name} cannot be optimized: its module defines no search_space(trial).")
        return self.method.search_space(trial)

    def replay(self, params: dict[str, Any]) -> dict[str, Any]:
        from optuna.trial import FixedTrial

        return self(cast("optuna.Trial", FixedTrial(params)))
