"""Hyperparameters that every method lets Optuna choose."""

from __future__ import annotations

from typing import Any

import optuna


def search_updates(trial: optuna.Trial, smallest_batch: int, largest_batch: int) -> dict[str, Any]:
    """
    Sample the learning rate and the batch size.

    :param trial: asked for values, or a ``FixedTrial`` that repeats those of an earlier one
    :param smallest_batch: rows, a power of two
    :param largest_batch: rows, a power of two
    :return: ``learning_rate`` and ``batch_size``
    """
    low, high = smallest_batch.bit_length() - 1, largest_batch.bit_length() - 1
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        "batch_size": 2 ** trial.suggest_int("batch_size_pow", low, high),
    }
