"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.methods.dt.search_space import search_space as dt_search_space


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    space = dt_search_space(trial)
    space["vicreg_weight"] = trial.suggest_float("vicreg_weight", 1e-3, 1.0, log=True)
    space["policy_kwargs"]["expander_dim"] = trial.suggest_categorical("expander_dim", [None, 128, 256])
    return space
