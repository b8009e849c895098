"""Decision Transformer with temporal VICReg on its representations."""

from gcrl_zoo.methods.dt_vicreg.dt_vicreg import DTVICReg
from gcrl_zoo.methods.dt_vicreg.policies import DTVICRegPolicy
from gcrl_zoo.methods.dt_vicreg.search_space import search_space

ALGORITHM = DTVICReg

__all__ = ["ALGORITHM", "DTVICReg", "DTVICRegPolicy", "search_space"]
