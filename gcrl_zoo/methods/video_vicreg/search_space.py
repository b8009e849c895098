"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.common.search_space import search_updates


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    return {
        **search_updates(trial, 16, 128),
        "top_fraction": trial.suggest_float("top_fraction", 0.05, 1.0, log=True),
        "terms": {
            "inverse": 1.0,
            "label": trial.suggest_float("label_weight", 0.1, 10.0, log=True),
            "action": trial.suggest_categorical("action_weight", [0.0, 0.1, 1.0]),
            "vicreg": trial.suggest_float("vicreg_weight", 1e-3, 1.0, log=True),
        },
        "policy_kwargs": {
            "context_length": trial.suggest_categorical("context_length", [1, 2, 4, 8]),
            "embed_dim": 2 ** trial.suggest_int("embed_dim_pow", 6, 8),
            "n_layers": trial.suggest_int("n_layers", 1, 3),
        },
    }
