"""What an Optuna trial may choose."""

from typing import Any

import optuna


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """
    :param trial: asked for values, or a ``FixedTrial`` that repeats those of an earlier one
    :return: hyperparameters
    """
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "batch_size": 2 ** trial.suggest_int("batch_size_pow", 5, 8),
        "top_fraction": trial.suggest_float("top_fraction", 0.05, 1.0, log=True),
        "policy_kwargs": {
            "context_length": trial.suggest_categorical("context_length", [5, 10, 20, 30]),
            "embed_dim": 2 ** trial.suggest_int("embed_dim_pow", 6, 8),
            "n_layers": trial.suggest_int("n_layers", 1, 4),
            "dropout": trial.suggest_float("dropout", 0.0, 0.2),
        },
    }
