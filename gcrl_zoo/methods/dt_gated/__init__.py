"""Decision Transformer that predicts several actions and mixes in the return through a gate."""

from gcrl_zoo.methods.dt_gated.dt_gated import GatedDT
from gcrl_zoo.methods.dt_gated.policies import GatedDTPolicy
from gcrl_zoo.methods.dt_gated.search_space import search_space

ALGORITHM = GatedDT

__all__ = ["ALGORITHM", "GatedDT", "GatedDTPolicy", "search_space"]
