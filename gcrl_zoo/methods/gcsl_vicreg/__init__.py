"""Goal-conditioned supervised learning with VICReg, partly from action-free trajectories."""

from gcrl_zoo.methods.gcsl_vicreg.gcsl_vicreg import GCSLVICReg
from gcrl_zoo.methods.gcsl_vicreg.policies import GCSLVICRegPolicy
from gcrl_zoo.methods.gcsl_vicreg.search_space import search_space

ALGORITHM = GCSLVICReg

__all__ = ["ALGORITHM", "GCSLVICReg", "GCSLVICRegPolicy", "search_space"]
