"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.common.search_space import search_updates


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    return {
        **search_updates(trial, 128, 1024),
        "goal_strategy": "geometric",
        "max_horizon": None,  # else that of the YAML, beside which the discount would mean nothing
        "discount": 1 - trial.suggest_float("one_minus_discount", 2e-3, 0.5, log=True),
        "detour_penalty": trial.suggest_float("detour_penalty", 0.0, 4.0),
    }
