"""
Checks downloaded files before any of them is loaded: agents, statistics, settings and metrics.

Loading a file may run code that the file contains: Stable-Baselines3 unpickles fields of an agent, and RL Zoo reads
YAML with an unsafe loader, ``eval``s some of its strings and imports what others name. These checks read the same files
and run no code from them. Each check compares a file with an allow-list and refuses everything else. An
:class:`Untrusted` error names the file and the offending value. No error means that loading runs no code of the file.
It does not mean that the file is unchanged since its author made it, or that the agent acts well.

The class of an agent decides what its zip may hold. The annotations of the constructor and of the class body list the
arguments and the saved attributes. The SB3 base class selects rows of two tables: ``AGENT_NAMES`` in ``allowed.py`` and
``STATE`` in ``fields.py``.

Check the file that is loaded: these checks do not protect against changes between the check and the load.
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
