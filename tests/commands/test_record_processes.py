"""Recording in several processes: the same episodes as in one, the same guarantees."""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gcrl_zoo.data.formats.minari_writer import MinariWriter
from gcrl_zoo.record import processes, record
from gcrl_zoo.record.__main__ import main
from tests.support.envs import PointEnv
from tests.support.frames import FRAMES, Swerving
from tests.support.recordings import ID, POINT, Point, assert_replays, untrained

pytestmark = pytest.mark.usefixtures("datasets")

SWERVING = ["--policy", "tests.support.frames:Swerving", "--env", FRAMES]
AGENT = ["--algo", "ppo", "--model", "agent.zip", "--env", POINT, "--noise", "0", "0.5", "--stochastic"]


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork processes, which need no time for imports."""
    monkeypatch.setattr(processes, "get_context", lambda method: multiprocessing.get_context("fork"))


def make(policy: Callable[[VecEnv], Any] | None = None) -> tuple[Any, VecEnv]:
    env = DummyVecEnv([Point])
    return policy and policy(env), env


class Faulty(Swerving):
    """Fails in the second episode of each process."""

    def __init__(self, env: VecEnv, fail: Callable[[], Any]) -> None:
        super().__init__(env)
        self.fail, self.left = fail, 2

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, **kwargs: Any) -> Any:
        self.left -= int(episode_start[0])
        if not self.left:
            self.fail()
        return np.zeros(1, np.int64), None


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, *, what: str) -> None:
        super().__init__(f"{what} is odd")


def refuse() -> None:
    raise ValueError("The road ends here; turn round.")


def refuse_oddly() -> None:
    raise OddError(what="This")


def content(dataset: minari.MinariDataset) -> list[Any]:
    seeds = [each["seed"] for each in dataset.storage.get_episode_metadata(dataset.episode_indices)]
    episodes = zip(seeds, dataset, strict=True)
    return [
        (seed, each.observations.tobytes(), each.actions.tobytes(), each.rewards.tobytes()) for seed, each in episodes
    ]


# ------------------------------------------------------------------ the same episodes


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize(
    ("who", "amount", "n"),
    [
        (["--random", "--env", "CartPole-v1"], ["-n", "100"], "3"),
        (SWERVING, ["--n-episodes", "5"], "2"),
        (AGENT, ["-n", "60"], "2"),
    ],
)
def test_the_dataset_does_not_depend_on_the_number_of_processes(who: list[str], amount: list[str], n: str) -> None:
    untrained().save("agent.zip")
    for name, number in (("one", "1"), ("many", n)):
        arguments = ["--dataset-id", f"test/{name}-v0", *who, "--seed", "3"]
        main([*arguments, "--processes", number, *amount])
        main([*arguments, "--processes", number, "--n-episodes", "1", "--append"])
    one, many = minari.load_dataset("test/one-v0"), minari.load_dataset("test/many-v0")
    assert content(one) == content(many)
    assert len(set(content(one))) == one.total_episodes > 3
    assert_replays(many, many.recover_environment())


@pytest.mark.usefixtures("forks")
def test_more_processes_than_episodes_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[processes.Job] = []
    playing = processes.playing
    monkeypatch.setattr(processes, "playing", lambda job: (jobs.append(job), playing(job))[1])
    dataset = record(*make(), ID, n_episodes=2, processes=8, make=make)
    assert dataset.total_episodes == jobs[0].n_processes == 2


def test_a_process_waits_until_its_episodes_are_received() -> None:
    begun: list[int] = []

    class Slow:
        """Takes the time in which many episodes could be played."""

        sent = 0

        def send(self, episode: Any) -> None:
            time.sleep(0.02)
            self.sent += 1
            assert len(begun) <= self.sent + processes.AHEAD + 2
            if self.sent == 8:
                raise BrokenPipeError

    class Counted(Point):
        def reset(self, **kwargs: Any) -> Any:
            begun.append(1)
            return super().reset(**kwargs)

    job = processes.Job(lambda: (None, DummyVecEnv([Counted])), 0.0, True, 0, 0, 1)
    with pytest.raises(BrokenPipeError):
        processes._play(Slow(), job, 0)  # type: ignore[arg-type]


# ------------------------------------------------------------------ errors and interrupts


def assert_nothing_is_left(datasets: Path) -> None:
    assert not list(datasets.iterdir()) and not multiprocessing.active_children()


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize(
    ("fail", "error", "message"),
    [
        (refuse, ValueError, "The road ends here; turn round."),
        (refuse_oddly, RuntimeError, "OddError: This is odd"),
        (
            functools.partial(os._exit, 3),
            processes.ProcessError,
            "A process that plays ended .* code 3.*; record in .*",
        ),
    ],
)
def test_an_error_in_a_process_is_that_of_the_recording(
    fail: Callable[[], Any], error: type[Exception], message: str, datasets: Path
) -> None:
    faulty = functools.partial(make, functools.partial(Faulty, fail=fail))
    with pytest.raises(error) as caught:
        record(*faulty(), ID, n_episodes=9, processes=2, make=faulty)
    assert re.fullmatch(message, str(caught.value))
    if error is not processes.ProcessError:
        assert "in refuse" in caught.value.__notes__[0]
    assert_nothing_is_left(datasets)


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_no_process_is_left_when_the_recording_stops(
    error: type[BaseException], datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(writer: Any, episode: Any) -> None:
        raise error

    monkeypatch.setattr(MinariWriter, "add", stop)
    with pytest.raises(error):
        record(*make(), ID, n_episodes=9, processes=2, make=make)
    assert_nothing_is_left(datasets)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"processes": 2}, "processes is 2, but make is None; give a function that creates agent and env"),
        ({"processes": 0}, "processes is 0"),
        ({"processes": 2, "make": lambda: make()}, "make is <function .*, which cannot be sent to another process"),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], sentence: str, datasets: Path) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        record(None, PointEnv(), ID, n_episodes=1, **arguments)
    assert_nothing_is_left(datasets)


def test_several_environments_in_several_processes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--dataset-id", ID, *SWERVING, "--n-episodes", "1", "--n-envs", "2", "--processes", "2"])
    assert "--n-envs: not allowed with argument --processes" in capsys.readouterr().err


@pytest.mark.thorough
def test_ctrl_c_stops_all_processes(datasets: Path) -> None:
    command = [sys.executable, "-m", "gcrl_zoo.record", "--random", "--env", "CartPole-v1", "--processes", "2"]
    endless = [*command, "--dataset-id", ID, "-n", "1000000000"]
    with subprocess.Popen(endless, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        while (letter := process.stderr.read(1)) and letter != "=":  # the mean return of the first episodes
            pass
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()  # until the last process has ended
    assert process.returncode == -signal.SIGINT, rest
    assert rest.count("Traceback") == 1  # none of the other processes
    assert not list(datasets.iterdir())
