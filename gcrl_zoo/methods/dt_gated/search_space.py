"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.methods.dt.search_space import search_space as dt_search_space


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    space = dt_search_space(trial)
    space["policy_kwargs"] |= {
        "n_actions": trial.suggest_categorical("n_actions", [1, 2, 4, 8]),
        "gate": trial.suggest_categorical("gate", [True, False]),
        "ensemble": trial.suggest_categorical("ensemble", [None, 0.5, 0.9]),
    }
    return space
