"""What an Optuna trial may choose."""

from typing import Any

import optuna


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """
    :param trial: asked for values, or a ``FixedTrial`` that repeats those of an earlier one
    :return: hyperparameters
    """
    # Not top_fraction: a trial cannot know whether there are rewards, and without them only 1 will do.
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "batch_size": 2 ** trial.suggest_int("batch_size_pow", 6, 10),
    }
