"""
Action heads: from a representation to an action distribution, its loss and its samples.

``head(z)`` maps a representation (B, D) to the raw parameters (B, P) of a distribution; all other methods take these
parameters. Actions (B, A) or (B,) are in the environment's units everywhere outside this folder.
"""

from gcrl_zoo.nets.heads.base import ActionHead
from gcrl_zoo.nets.heads.bins import BinsHead
from gcrl_zoo.nets.heads.box import BoxHead, DeterministicHead, GaussianHead, checked_limits
from gcrl_zoo.nets.heads.categorical import CategoricalHead, kl_of_logits, sample_categorical

__all__ = [
    "ActionHead",
    "BinsHead",
    "BoxHead",
    "CategoricalHead",
    "DeterministicHead",
    "GaussianHead",
    "checked_limits",
    "kl_of_logits",
    "sample_categorical",
]
