"""Learns from action-free video and returns, and the effect of actions from own play."""

from gcrl_zoo.methods.video_vicreg.policies import VideoVICRegPolicy
from gcrl_zoo.methods.video_vicreg.search_space import search_space
from gcrl_zoo.methods.video_vicreg.video_vicreg import VideoVICReg

ALGORITHM = VideoVICReg

__all__ = ["ALGORITHM", "VideoVICReg", "VideoVICRegPolicy", "search_space"]
