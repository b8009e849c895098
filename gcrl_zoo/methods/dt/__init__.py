"""The Decision Transformer."""

from gcrl_zoo.methods.dt.dt import DT
from gcrl_zoo.methods.dt.policies import DTPolicy
from gcrl_zoo.methods.dt.search_space import search_space

ALGORITHM = DT

__all__ = ["ALGORITHM", "DT", "DTPolicy", "search_space"]
