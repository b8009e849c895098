"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.common.search_space import search_updates


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    return {
        **search_updates(trial, 32, 256),
        "top_fraction": trial.suggest_float("top_fraction", 0.05, 1.0, log=True),
        "policy_kwargs": {
            "context_length": trial.suggest_categorical("context_length", [5, 10, 20, 30]),
            "embed_dim": 2 ** trial.suggest_int("embed_dim_pow", 6, 8),
            "n_layers": trial.suggest_int("n_layers", 1, 4),
            "dropout": trial.suggest_float("dropout", 0.0, 0.2),
        },
    }
