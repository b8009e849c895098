"""Gymnasium wrappers, for RL Zoo's YAML (``env_wrapper: gcrl_zoo.wrappers.ReturnToGo``) and for Python."""

from gcrl_zoo.wrappers.crop import CropObservation
from gcrl_zoo.wrappers.frame_skip import FrameSkip
from gcrl_zoo.wrappers.goal import GoalWrapper
from gcrl_zoo.wrappers.goal_sources import DatasetGoal, FixedGoal, InfoGoal, LandingPad, SampledGoal, Upright
from gcrl_zoo.wrappers.return_to_go import ReturnToGo
from gcrl_zoo.wrappers.success import LiftSuccess

__all__ = [
    "CropObservation",
    "DatasetGoal",
    "FixedGoal",
    "FrameSkip",
    "GoalWrapper",
    "InfoGoal",
    "LandingPad",
    "LiftSuccess",
    "ReturnToGo",
    "SampledGoal",
    "Upright",
]
