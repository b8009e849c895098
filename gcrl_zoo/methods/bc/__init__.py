"""Behaviour cloning of all episodes, or of the best ones."""

from gcrl_zoo.methods.bc.bc import BC
from gcrl_zoo.methods.bc.policies import BCPolicy
from gcrl_zoo.methods.bc.search_space import search_space

ALGORITHM = BC

__all__ = ["ALGORITHM", "BC", "BCPolicy", "search_space"]
