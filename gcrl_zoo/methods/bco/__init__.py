"""Behavioural cloning from observation: clone actions that an inverse dynamics model predicts for unlabelled data."""

from gcrl_zoo.methods.bco.bco import BCO
from gcrl_zoo.methods.bco.policies import BCOPolicy
from gcrl_zoo.methods.bco.search_space import search_space

ALGORITHM = BCO

__all__ = ["ALGORITHM", "BCO", "BCOPolicy", "search_space"]
