"""PPO with an inverse dynamics model beside the policy."""

from typing import Any

import optuna

from .policies import InverseCnnPolicy, InverseMultiInputPolicy, InversePolicy
from .ppo_inverse import PPOInverse

ALGORITHM = PPOInverse


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)}


__all__ = ["ALGORITHM", "InverseCnnPolicy", "InverseMultiInputPolicy", "InversePolicy", "PPOInverse", "search_space"]
