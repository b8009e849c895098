"""Commands as people start them."""

import os
import subprocess
import sys
from pathlib import Path


def script(module: str, *words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """
    ``python -m MODULE WORDS``, on one thread.

    :param folder: to start it in
    :param variables: of the environment, beside those that are there
    """
    command = [sys.executable, "-m", module, *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
