"""Ctrl-C and SIGTERM during training: both stop a run between two updates, never within one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Seconds after which a second signal no longer waits for the update or environment step to end.
PATIENCE = 5.0


class _State(threading.local):
    """Python runs signal handlers in the main thread, so they see the state of that thread only."""

    depth = 0  # how many `postponed` blocks are open
    since: float | None = None  # when the postponed signal arrived


_state = _State()


@contextmanager
def handled() -> Iterator[None]:
    """
    Let ``postponed`` blocks delay Ctrl-C, and let SIGTERM stop training as Ctrl-C does, with a ``KeyboardInterrupt``.

    RL Zoo saves the agent on a ``KeyboardInterrupt``. Only default handlers are replaced, only in the main thread, and
    only until the block ends: a program that handles these signals itself keeps its handlers.
    """
    defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if threading.current_thread() is not threading.main_thread():
        defaults = {}
    process = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a forked child: it inherited this handler and dies as it would without
            signal.signal(number, defaults[number])
            os.kill(os.getpid(), number)
        elif not _state.depth or (_state.since is not None and time.monotonic() - _state.since > PATIENCE):
            raise KeyboardInterrupt
        elif _state.since is None:
            _state.since = time.monotonic()

    replaced = {number: default for number, default in defaults.items() if signal.getsignal(number) == default}
    for number in replaced:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, default in replaced.items():
            if signal.getsignal(number) == handle:
                signal.signal(number, default)


@contextmanager
def postponed() -> Iterator[None]:
    """
    Complete this block before a signal stops training. Blocks may be nested; the outermost one counts.

    :raises KeyboardInterrupt: at the end of the block, if a signal arrived in it
    """
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
        if not _state.depth and _state.since is not None:
            _state.since = None
            # Also in place of an error: the workers of a SubprocVecEnv end on Ctrl-C, and the next step then fails.
            raise KeyboardInterrupt
