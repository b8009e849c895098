"""Behaviour cloning: do what was done, or only what was done best."""

from gcrl_zoo.methods.bc.bc import BC
from gcrl_zoo.methods.bc.policies import BCPolicy
from gcrl_zoo.methods.bc.search_space import search_space

ALGORITHM = BC

__all__ = ["ALGORITHM", "BC", "BCPolicy", "search_space"]
