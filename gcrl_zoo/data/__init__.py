"""Experience: episodes, the store that keeps them, the samplers that draw batches. No torch in here."""

from gcrl_zoo.data.episode import Array, Episode, EpisodeBuilder, EpisodeError
from gcrl_zoo.data.open import open_store
from gcrl_zoo.data.samplers import GoalBatch, GoalPairs, Sampler, StepBatch, Steps
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.data.transitions import TransitionBatch, Transitions
from gcrl_zoo.data.windows import WindowBatch, Windows

__all__ = [
    "Array",
    "Episode",
    "EpisodeBuilder",
    "EpisodeError",
    "GoalBatch",
    "GoalPairs",
    "Sampler",
    "StepBatch",
    "Steps",
    "TrajectoryStore",
    "TransitionBatch",
    "Transitions",
    "WindowBatch",
    "Windows",
    "open_store",
]
