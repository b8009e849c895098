"""
Run RL Zoo's scripts if startup files are disabled (``python -S``, a bare ``PYTHONPATH``, a security policy)::

    python -m gcrl_zoo.zoo enjoy --algo gcsl_vicreg -f logs
"""

import runpy
import sys

from gcrl_zoo.zoo import hook

SCRIPTS = ("train", "enjoy", "push_to_hub", "load_from_hub", "record_video", "record_training")


def run(script: str) -> None:
    """
    Run ``python -m rl_zoo3.SCRIPT`` with our patches.

    :param script: name of the script
    """
    hook.install()
    runpy.run_module(f"rl_zoo3.{script}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in SCRIPTS:
        sys.exit(f"usage: python -m gcrl_zoo.zoo {{{','.join(SCRIPTS)}}} ...")
    run(sys.argv.pop(1))
