"""Goal-conditioned supervised learning (GCSL) with hindsight goals."""

from gcrl_zoo.methods.gcsl.gcsl import GCSL
from gcrl_zoo.methods.gcsl.policies import GCSLPolicy
from gcrl_zoo.methods.gcsl.search_space import search_space

ALGORITHM = GCSL

__all__ = ["ALGORITHM", "GCSL", "GCSLPolicy", "search_space"]
