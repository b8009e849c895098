"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.common.search_space import search_updates


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    return {
        **search_updates(trial, 128, 1024),
        "top_fraction": trial.suggest_float("top_fraction", 0.05, 1.0, log=True),
        # Not consistency: without vectors to predict there is no forward model, and it would be refused.
        "terms": {
            "align": trial.suggest_float("align_weight", 0.1, 10.0, log=True),
            "inverse": trial.suggest_float("inverse_weight", 0.3, 10.0, log=True),
        },
    }
