"""Search space of `-optimize`."""

from typing import Any

import optuna

from gcrl_zoo.common.search_space import search_updates


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Sample hyperparameters of one trial."""
    # Not top_fraction: a trial cannot know whether there are rewards, and without them only 1 will do.
    return search_updates(trial, 64, 1024)
