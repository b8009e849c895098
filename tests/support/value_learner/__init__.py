"""A method in a separate package: an entry point names this module, and its YAML file lies beside it."""

from typing import Any

import optuna

from .algorithm import ValueLearner
from .policies import ValuePolicy

ALGORITHM = ValueLearner


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    return {"expectile": trial.suggest_float("expectile", 0.5, 0.9)}


__all__ = ["ALGORITHM", "ValueLearner", "ValuePolicy", "search_space"]
