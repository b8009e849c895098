"""Gymnasium wrappers, for RL Zoo's YAML (``env_wrapper: gcrl_zoo.wrappers.ReturnToGo``) or by hand."""

from gcrl_zoo.wrappers.return_to_go import ReturnToGo

__all__ = ["ReturnToGo"]
