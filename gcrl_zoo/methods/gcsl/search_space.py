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
        "goal_strategy": "geometric",
        "max_horizon": None,  # else that of the YAML, beside which the discount would mean nothing
        "discount": 1 - trial.suggest_float("one_minus_discount", 2e-3, 0.5, log=True),
        "detour_penalty": trial.suggest_float("detour_penalty", 0.0, 4.0),
    }
