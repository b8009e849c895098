"""Commands as people start them."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.support.fork_server import ForkServer

READ_AT_IMPORT = {"PYTHONPATH", "GCRL_ZOO_DISABLE"}


def script(module: str, *words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """
    ``python -m MODULE WORDS``, on one thread; without the time for imports, unless a variable is read during them.

    :param folder: to start it in
    :param variables: of the environment, beside those that are there
    """
    start = process if READ_AT_IMPORT & variables.keys() else fork_server().run
    return start(module, *words, folder=folder, OMP_NUM_THREADS="1", **variables)


def process(module: str, *words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As ``script``, always in a new Python process."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True)


@cache
def fork_server() -> ForkServer:
    """The one for this test process."""
    return ForkServer(OMP_NUM_THREADS="1")
