"""Ctrl-C and SIGTERM stop a run between two updates: what is saved then resumes as if nothing had happened."""

import functools
import os
import signal
import threading
import time

import pytest
from stable_baselines3.common.callbacks import BaseCallback

from gcrl_zoo.common import interrupts
from tests.common.test_resume import linear, outcome
from tests.support.case import data_of, differing
from tests.support.matrix import sources_of

TOTAL, ENVS = 8, 2
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])


@pytest.fixture(autouse=True)
def signals_are_not_ignored():
    """A shell starts background jobs with SIGINT ignored. Python then does not install its default handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def make(case, source="dataset"):
    return case.make(case.env(n_envs=ENVS), learning_rate=linear, warmup_steps=5, **data_of(source))


@functools.cache
def whole(case_name):
    (case,) = (each.values[0] for each in sources_of("dataset").args[1] if str(each.values[0]) == case_name)
    return outcome(make(case).learn(TOTAL))


def interrupt_at(owner, name, call, number=signal.SIGINT):
    """The signal arrives before and after this call of a function."""
    original, calls = getattr(owner, name), []

    def interrupted(*args, **kwargs):
        calls.append(None)
        if len(calls) == call:
            signal.raise_signal(number)
        result = original(*args, **kwargs)
        if len(calls) == call:
            signal.raise_signal(number)
        return result

    setattr(owner, name, interrupted)


PLACES = {
    "batch": lambda model: (model._learner, "draw_batch"),
    "loss": lambda model: (model, "compute_loss"),
    "optimizer": lambda model: (model.policy.optimizer, "step"),
    "statistics": lambda model: (model, "fit_statistics"),
}


@sources_of("dataset")
@pytest.mark.parametrize("place", PLACES)
def test_an_interrupted_run_resumes_with_the_same_bits(case, source, place, tmp_path):
    model = make(case)
    owner, name = PLACES[place](model)
    with pytest.raises(KeyboardInterrupt):
        interrupt_at(owner, name, 1 if place == "statistics" else 3)
        model.learn(TOTAL)
    delattr(owner, name)  # the class has it; an attribute of the agent would be saved
    assert 0 < model.num_timesteps < TOTAL
    model.save(tmp_path / "agent")
    resumed = case.algorithm.load(tmp_path / "agent", env=case.env(n_envs=ENVS), resume=True, **data_of(source))
    assert not differing(whole(case.name), outcome(resumed.learn(TOTAL)))


@sources_of("dataset")
def test_an_interrupt_before_a_resumed_run_begins_changes_nothing(case, source, tmp_path):
    first = make(case)
    with pytest.raises(KeyboardInterrupt):
        first.learn(TOTAL, Signal(4))
    first.save(tmp_path / "agent")
    for _ in range(2):
        model = case.algorithm.load(tmp_path / "agent", env=case.env(n_envs=ENVS), resume=True, **data_of(source))
        with pytest.raises(KeyboardInterrupt):
            model._open_data = lambda: signal.raise_signal(signal.SIGINT)
            model.learn(TOTAL)
        del model._open_data  # else it would be saved
        model.save(tmp_path / "agent")
    model = case.algorithm.load(tmp_path / "agent", env=case.env(n_envs=ENVS), resume=True, **data_of(source))
    assert not differing(whole(case.name), outcome(model.learn(TOTAL)))


class Signal(BaseCallback):
    """Sends this process a signal at some timestep."""

    def __init__(self, at, number=signal.SIGINT):
        super().__init__()
        self.at, self.number = at, number

    def _on_step(self):
        if self.num_timesteps == self.at:
            signal.raise_signal(self.number)
        return True


@SIGNALS
@sources_of("own play", "dataset")
def test_a_callback_is_interrupted_at_once(case, source, number):
    model = make(case, source)
    with pytest.raises(KeyboardInterrupt):
        model.learn(100, Signal(4, number))
    assert model.num_timesteps == 4


@sources_of("own play")
@pytest.mark.parametrize("place", ["env", "loss", "optimizer"])
def test_own_play_completes_its_step_or_update(case, source, place):
    model = case.make(case.env(n_envs=ENVS))
    steps = []
    places = {**PLACES, "env": lambda model: (model.env, "step_wait")}
    call = 5 if place == "env" else 2
    interrupt_at(*places[place](model), call, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        model.learn(200, lambda local, _: steps.append(local["self"].num_timesteps) or True)
    if place == "env":
        assert model.num_timesteps == 5 * ENVS and model._run.collector.builder.lengths.tolist() == [5, 5]
    else:
        assert model._n_updates == 2 and model.policy.optimizer.state_dict()["state"][0]["step"] == 2
    played, updates = model.num_timesteps, model._n_updates
    model.learn(24, reset_num_timesteps=False)
    assert model.num_timesteps == played + 24 and model._n_updates >= updates


@sources_of("dataset")
def test_handlers_are_lent_for_the_time_of_learning(case, source):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    during = []
    make(case).learn(2, lambda *_: during.append(signal.getsignal(signal.SIGTERM)) or True)
    assert callable(during[0])
    with pytest.raises(KeyboardInterrupt):
        make(case).learn(TOTAL, Signal(4))
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@SIGNALS
def test_a_program_that_handles_signals_itself_goes_on_doing_so(number):
    heard = []
    own = lambda *_: heard.append(number)  # noqa: E731
    before = signal.signal(number, own)
    try:
        with interrupts.handled(), interrupts.postponed():
            signal.raise_signal(number)
        assert heard == [number] and signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


def test_blocks_may_be_nested():
    with pytest.raises(KeyboardInterrupt), interrupts.handled(), interrupts.postponed():
        with interrupts.postponed():
            signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached
    with interrupts.postponed():
        pass  # nothing is left of it


def test_an_error_that_an_interrupt_caused_is_reported_as_the_interrupt():
    """Workers of a SubprocVecEnv end on Ctrl-C, too."""
    with pytest.raises(KeyboardInterrupt), interrupts.handled(), interrupts.postponed():
        signal.raise_signal(signal.SIGINT)
        raise EOFError


def test_an_environment_that_hangs_can_be_interrupted(monkeypatch):
    monkeypatch.setattr(time, "monotonic", iter([0.0, 1.0, 9.0]).__next__)
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts.handled(), interrupts.postponed():
        for second in range(4):
            signal.raise_signal(signal.SIGINT)
            reached.append(second)
    assert reached == [0, 1]  # twice at the same time is once; the third one does not wait


def test_other_threads_train_without_handlers():
    """Optuna's ``n_jobs``."""
    errors = []

    def train():
        try:
            with interrupts.handled(), interrupts.postponed():
                errors.append(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert errors == [False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@SIGNALS
def test_forked_children_die_of_signals(number):
    with interrupts.handled(), interrupts.postponed():
        child = os.fork()
        if not child:
            try:
                os.kill(os.getpid(), number)
                time.sleep(10)
            except KeyboardInterrupt:
                os._exit(3)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM if number == signal.SIGTERM else os.WEXITSTATUS(status) == 3
