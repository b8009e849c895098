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
        "batch_size": 2 ** trial.suggest_int("batch_size_pow", 7, 10),
        "top_fraction": trial.suggest_float("top_fraction", 0.05, 1.0, log=True),
        # Not consistency: without vectors to predict there is no forward model, and it would be refused.
        "terms": {
            "align": trial.suggest_float("align_weight", 0.1, 10.0, log=True),
            "inverse": trial.suggest_float("inverse_weight", 0.3, 10.0, log=True),
        },
    }
