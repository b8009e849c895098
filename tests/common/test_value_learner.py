"""A method with a value network, a target network and two optimizers fits without touching an existing file."""

import io
import sys
import zipfile

import numpy as np
import pytest
import torch as th

from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.registry import discover
from gcrl_zoo.zoo.trust import check_agent
from tests.common import test_conformance, test_device, test_final_updates, test_resume, test_saving
from tests.support.case import TrajectoryCase, data_of, differing
from tests.support.chain import make_chain
from tests.support.envs import make_store
from tests.support.meta_device import LeftTheDevice
from tests.support.throw_away import ROOT
from tests.support.value_learner import ValueLearner, ValuePolicy

CASE = TrajectoryCase(
    name="value_learner",
    algorithm=ValueLearner,
    kwargs={
        "batch_size": 16,
        "learning_starts": 24,
        "train_freq": 12,
        "gradient_steps": 4,
        "policy_kwargs": {"net_arch": [16], "image_features": 8},
    },
    action_spaces={},
    observation_spaces={},
    sources=("own play", "dataset", "dataset + own play"),
)
OPTIMIZERS = ["optimizer", "value_optimizer"]


def register(folder):
    """An installed package's entry point, in a folder for the path."""
    info = folder / "value_learner-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: value-learner\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gcrl_zoo.methods]\nvalue_learner = tests.support.value_learner\n")


@pytest.fixture
def registered(tmp_path, monkeypatch):
    register(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    discover.cache_clear()
    yield discover()["value_learner"]
    discover.cache_clear()


# ------------------------------------------------------------------ as any other method


@pytest.mark.parametrize("source", CASE.sources)
def test_learns(source):
    test_conformance.test_learns_twice(CASE, source, n_envs=2)


@pytest.mark.parametrize(("observation", "action"), [("image", "box"), ("goal", "discrete")])
def test_a_loaded_agent_acts_the_same(tmp_path, observation, action):
    test_saving.test_a_loaded_agent_acts_the_same(CASE, tmp_path, observation, action)


def test_the_policy_alone_acts_the_same(tmp_path):
    model = CASE.make(**data_of("dataset")).learn(10)
    model.policy.save(tmp_path / "policy.pth")
    loaded = ValuePolicy.load(tmp_path / "policy.pth")
    observations = CASE.env(n_envs=3).reset()
    expected, _ = model.predict(observations, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)
    assert list(loaded.optimizers) == OPTIMIZERS


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    whole, halved = test_resume.whole_and_halved(CASE, tmp_path)
    assert list(whole["optimizers"]) == OPTIMIZERS and all(each["state"] for each in whole["optimizers"].values())
    assert not differing(whole, halved)


def test_networks_begin_anew(monkeypatch):
    test_final_updates.test_weights_are_drawn_again_and_statistics_are_kept(CASE, monkeypatch)


def test_all_optimizers_forget_when_networks_begin_anew(monkeypatch):
    model = test_final_updates.make(CASE, final_gradient_steps=2)
    remembered, step = [], model.after_update
    monkeypatch.setattr(model, "after_update", lambda: remembered.append(steps_of(model)) or step())
    model.learn(60)
    assert remembered[59:] == [[60, 60], [1, 1], [2, 2]]


def steps_of(model):
    """Number of steps that each optimizer remembers."""
    return [int(next(iter(each.state.values()))["step"]) for each in model.policy.optimizers.values()]


def test_a_step_and_the_hook_stay_on_the_device():
    test_device.take_steps(CASE)
    waits = type("Waits", (ValueLearner,), {"after_update": lambda self: self.policy.return_scale.item()})
    with pytest.raises(LeftTheDevice):
        test_device.take_steps(TrajectoryCase(**{**vars(CASE), "algorithm": waits}))


# ------------------------------------------------------------------ optimizers and target network


def test_each_optimizer_has_its_rate_and_its_gradient_is_clipped_by_itself():
    model = CASE.make(learning_rate=lambda left: left / 100, max_grad_norm=0.1, **data_of("dataset"))
    rates, norms, compute = [], [], model.compute_loss

    def spy(batches):
        rates.append([each.param_groups[0]["lr"] for each in model.policy.optimizers.values()])
        return compute(batches)

    model.compute_loss = spy
    model.after_update = lambda: norms.append([norm_of(each) for each in model.policy.optimizers.values()])
    model.learn(20, log_interval=None)
    expected = (1 - np.arange(20) / 20) / 100
    np.testing.assert_allclose(rates, np.stack([expected, 3 * expected], axis=1))
    assert np.max(norms, axis=0) == pytest.approx([0.1, 0.1], rel=1e-4)
    logged = model.logger.name_to_value
    assert logged["train/learning_rate/value_optimizer"] == pytest.approx(3 * logged["train/learning_rate"])


def norm_of(optimizer):
    return float(th.stack([p.grad.norm() for group in optimizer.param_groups for p in group["params"]]).norm())


def test_both_norms_are_logged():
    model = CASE.make(**data_of("dataset")).learn(5, log_interval=None)
    model.train(1)
    assert {"grad_norm", "grad_norm/value_optimizer"} <= model._learner.flush().keys()


def test_the_target_network_follows_by_polyak_averaging():
    model = CASE.make(tau=0.25, **data_of("dataset"))
    expected = [p.clone() for p in model.policy.target.parameters()]
    step = model.after_update

    def check():
        step()
        for i, source in enumerate(model.policy.value.parameters()):
            expected[i] = 0.75 * expected[i] + 0.25 * source.detach()
        th.testing.assert_close(list(model.policy.target.parameters()), expected)

    model.after_update = check
    model.learn(10)
    assert differing(model.policy.value.state_dict(), model.policy.target.state_dict())


def test_the_zip_holds_both_optimizers_and_passes_the_check(registered, tmp_path):
    assert registered.algorithm is ValueLearner and registered.yaml.is_file()
    model = CASE.make(**data_of("dataset")).learn(10)
    file = io.BytesIO()
    model.save(file)
    (tmp_path / "agent.zip").write_bytes(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        assert {f"policy.{name}.pth" for name in OPTIMIZERS} <= set(archive.namelist())
    check_agent(tmp_path / "agent.zip", "value_learner")
    loaded = ValueLearner.load(tmp_path / "agent.zip")
    for name in OPTIMIZERS:
        assert not differing(getattr(model.policy, name).state_dict(), getattr(loaded.policy, name).state_dict())


# ------------------------------------------------------------------ needs


def test_needs_follow_the_arguments():
    store = make_store(rewards=False)
    CASE.make(dataset=store, temperature=0.0).learn(5)
    with pytest.raises(ValueError, match="holds no rewards"):
        CASE.make(dataset=store)


class Demanding(ValueLearner):
    """What its arguments say that it needs."""

    def __init__(self, policy, env=None, demand="nothing", **kwargs):
        self.demand = demand
        super().__init__(policy, env, **kwargs)

    @property
    def data_needs(self):
        return super().data_needs._replace(**({} if self.demand == "nothing" else {self.demand: True}))


@pytest.mark.parametrize(("demand", "told"), [("goals", "acts towards goals"), ("return_to_go", "'return_to_go'")])
def test_so_do_goals_and_returns_of_the_environment(demand, told):
    case = TrajectoryCase(**{**vars(CASE), "algorithm": Demanding})
    case.make(case.env())
    with pytest.raises(ValueError, match=told):
        case.make(case.env(), demand=demand)


def test_so_does_the_stream():
    case = TrajectoryCase(**{**vars(CASE), "algorithm": Demanding})
    data = {**data_of("dataset"), "stream": make_store(seed=1)}
    case.make(**data, demand="stream")
    with pytest.raises(ValueError, match="cannot use a `stream`"):
        case.make(**data)


# ------------------------------------------------------------------ values of a chain

LENGTH, GAMMA = 6, 0.9
VALUES = (1 - GAMMA ** np.arange(LENGTH, 0, -1)) / (1 - GAMMA)  # of cell s: one reward for each step to the end


def walk(start, stop, terminated):
    """Cells start ... stop of a chain that is left at cell LENGTH, at a reward of 1 for each step."""
    cells = np.arange(start, stop + 1)
    steps = len(cells) - 1
    return Episode({"observation": cells}, np.zeros(steps, int), np.ones(steps), terminated=terminated)


def values_of(truncated, terminated):
    """Learned from walks to the end, and from walks that are cut in the middle."""
    episodes = [walk(0, 3, truncated), walk(3, LENGTH, terminated)]
    model = ValueLearner(
        "MlpPolicy",
        make_chain(1),  # for its spaces; nobody plays in it
        dataset=TrajectoryStore.from_episodes(episodes),
        gamma=GAMMA,
        expectile=0.5,
        tau=0.2,
        learning_rate=2e-3,
        batch_size=32,
        max_grad_norm=None,
        seed=0,
        device="cpu",
    )
    model.learn(600, log_interval=None)
    cells = {"observation": th.arange(LENGTH)}
    with th.no_grad():
        return model.policy.value(model.policy.encoder(cells)).squeeze(1).numpy()


def test_values_of_truncated_episodes_are_bootstrapped_and_those_of_terminal_states_are_not():
    np.testing.assert_allclose(values_of(truncated=False, terminated=True), VALUES, atol=0.05)


def test_a_cut_taken_for_an_end_gives_other_values():
    cut = values_of(truncated=True, terminated=True)
    np.testing.assert_allclose(cut, [*VALUES[3:], *VALUES[3:]], atol=0.05)


# ------------------------------------------------------------------ the stock command


@pytest.mark.slow
def test_it_trains_by_the_stock_command(run, tmp_path):
    register(tmp_path)
    path = f"{tmp_path}:{ROOT}"
    words = ("--algo", "value_learner", "--env", "CartPole-v1", "-f", "logs", "-n", "400", "--eval-freq", "-1")
    result = run("rl_zoo3.train", *words, PYTHONPATH=path)
    assert result.returncode == 0, result.stderr
    assert "value_learner.yml[default]" in result.stdout
    assert (tmp_path / "logs/value_learner/CartPole-v1_1/CartPole-v1.zip").is_file()
