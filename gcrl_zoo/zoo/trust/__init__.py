"""
Checks downloaded files before any of them is loaded: agents, statistics, settings and metrics.

Loading runs what a file says: Stable-Baselines3 unpickles fields of an agent, RL Zoo reads YAML by an unsafe loader,
``eval``s some of its strings and imports what others name. These checks read the same files and run nothing of them.
Each compares a file with a list of what honest files hold, and refuses everything else: an :class:`Untrusted`
error names the file and the offender. No error means that loading runs no code of the file's. It does not mean that the
file is as its author made it, nor that the agent is any good.

Check the very file that is loaded: nothing here protects against somebody who changes it in between.
"""

from gcrl_zoo.zoo.trust.agents import check_agent, check_statistics
from gcrl_zoo.zoo.trust.archives import check_archive, check_arrays, check_metrics
from gcrl_zoo.zoo.trust.folders import check_file, check_folder
from gcrl_zoo.zoo.trust.pickles import check_pickle
from gcrl_zoo.zoo.trust.refusal import Untrusted
from gcrl_zoo.zoo.trust.settings import check_arguments, check_config
from gcrl_zoo.zoo.trust.weights import check_torch
from gcrl_zoo.zoo.trust.yamls import check_yaml

__all__ = [
    "Untrusted",
    "check_agent",
    "check_archive",
    "check_arguments",
    "check_arrays",
    "check_config",
    "check_file",
    "check_folder",
    "check_metrics",
    "check_pickle",
    "check_statistics",
    "check_torch",
    "check_yaml",
]
