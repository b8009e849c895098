"""
Play in several processes.

Process k of N plays the episodes k, k + N, k + 2 N, ..., and this process receives them in turn. So episodes arrive in
order, and each process is at most a few episodes ahead. Everything random in an episode follows from its seed, so the
number of processes does not change the episodes.
"""

from __future__ import annotations

import itertools
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer
    from stable_baselines3.common.type_aliases import PolicyPredictor
    from stable_baselines3.common.vec_env import VecEnv

# Stable-Baselines3 is imported late: a new process imports this module before it ignores Ctrl-C.

AHEAD = 1  # episodes of a process that wait until they are received, beside the one that is being sent
PATIENCE = 5.0  # seconds for a process to end before it is killed


class ProcessError(RuntimeError):
    """A process ended without an error message."""


@dataclass(frozen=True)
class Job:
    """
    What the processes play; it is pickled.

    :param make: creates the agent (None for random actions) and one environment
    :param noise: see :func:`gcrl_zoo.record.record`
    :param deterministic: see :func:`gcrl_zoo.record.record`
    :param seed: see :func:`gcrl_zoo.record.record`
    :param first: number of the first episode
    :param n_processes: number of processes
    """

    make: Callable[[], tuple[PolicyPredictor | None, VecEnv]]
    noise: float | Sequence[float]
    deterministic: bool
    seed: int
    first: int
    n_processes: int


class Failure(NamedTuple):
    """An error in a process, with its traceback as text."""

    error: Exception
    trace: str


class Worker(NamedTuple):
    """A process, and where its episodes arrive."""

    process: BaseProcess
    receiver: Connection


@contextmanager
def playing(job: Job) -> Iterator[Iterator[EpisodeBuffer]]:
    """
    Start processes, and provide their episodes in order, without end. They are stopped when the block ends.

    An error in a process is raised when its episode would be next.

    :param job: what they play
    :raises ValueError: the job cannot be sent to another process
    :raises ProcessError: a process ended, for example because memory ran out
    """
    try:
        pickle.dumps(job)
    except Exception as error:
        raise ValueError(
            f"make is {job.make!r:.80}, which cannot be sent to another process ({error}); give a function of a module."
        ) from error
    context = get_context("spawn")
    workers: list[Worker] = []
    try:
        for number in range(job.n_processes):
            receiver, sender = context.Pipe(duplex=False)
            with sender:  # closed here, so that only the process holds it
                process = context.Process(target=_work, args=(sender, job, number), daemon=True)
                workers.append(Worker(process, receiver))
                process.start()
        yield _receive(workers)
    finally:
        for worker in workers:
            worker.receiver.close()
            if worker.process.pid is not None:
                worker.process.terminate()
        for worker in workers:
            if worker.process.pid is not None:
                worker.process.join(PATIENCE)
                worker.process.kill()


def _receive(workers: Sequence[Worker]) -> Iterator[EpisodeBuffer]:
    for process, receiver in itertools.cycle(workers):
        try:
            received = receiver.recv()
        except EOFError:
            process.join(PATIENCE)
            raise ProcessError(
                f"A process that plays ended unexpectedly (exit code {process.exitcode}), perhaps because memory ran "
                f"out; record in fewer processes."
            ) from None
        if isinstance(received, Failure):
            received.error.add_note(received.trace)
            raise received.error
        yield received


def _work(sender: Connection, job: Job, number: int) -> None:
    """Play until the parent stops this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent stops the others
    with suppress(BrokenPipeError):  # the parent is gone
        try:
            _play(sender, job, number)
        except BrokenPipeError:
            raise
        except Exception as error:
            sender.send(_failure(error))


def _play(sender: Connection, job: Job, number: int) -> None:
    import numpy as np
    import torch

    from gcrl_zoo.data.recorder import Recording
    from gcrl_zoo.record.player import Player, innermost, recorded

    torch.set_num_threads(1)
    model, env = job.make()
    player = Player(model, env, job.noise, job.deterministic, np.random.default_rng())
    recording = Recording(job.seed, job.first + number, job.n_processes)
    waiting: deque[Future[None]] = deque()
    with recorded(innermost(env), recording), ThreadPoolExecutor(1) as thread:
        for episode in player.episodes(recording):
            waiting.append(thread.submit(sender.send, episode))
            if len(waiting) > AHEAD:
                waiting.popleft().result()


def _failure(error: Exception) -> Failure:
    trace = "".join(traceback.format_exception(error))
    try:
        copied: Any = pickle.loads(pickle.dumps(error))
    except Exception:
        copied = None
    return Failure(error if copied is not None else RuntimeError(f"{type(error).__name__}: {error}"), trace)
