"""The tests. Their networks are small: threads would only get in each other's way, here and in subprocesses."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
