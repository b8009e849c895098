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
        "batch_size": 2 ** trial.suggest_int("batch_size_pow", 6, 10),
        "top_fraction": trial.suggest_float("top_fraction", 0.02, 1.0, log=True),
    }
