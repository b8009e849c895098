"""A run that was stopped and resumed ends, to the bit, where the same run ends that was never stopped."""

import pytest
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback

from tests.support.case import data_of, differing, weights_of
from tests.support.matrix import every_variant, sources_of

TOTAL, HALF, ENVS = 40, 20, 2


def linear(progress):
    """A schedule that a resumed run must enter in the middle."""
    return 1e-2 * progress


class Kill(BaseCallback):
    """The power fails at some timestep."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def _on_step(self):
        return self.num_timesteps < self.at


def evaluation(case, eval_freq):
    return EvalCallback(case.env(), eval_freq=eval_freq, n_eval_episodes=1, deterministic=False, verbose=0)


def outcome(model):
    """All that must be equal: weights, statistics, optimizer and counters."""
    counters = {
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "streams": model._run.streams.state_dict(),
    }
    optimizers = {name: optimizer.state_dict() for name, optimizer in model.policy.optimizers.items()}
    return {"weights": weights_of(model), "optimizers": optimizers, "counters": counters}


def whole_and_halved(case, tmp_path, data=None, after_load=None, **settings):
    """The outcome of a run and that of its two halves, evaluated at other times."""
    data = data_of("dataset") if data is None else data
    settings = {"learning_rate": linear, "warmup_steps": 27, **settings}

    def make():
        return case.make(case.env(n_envs=ENVS), **data, **settings)

    whole = make().learn(TOTAL, evaluation(case, 4), log_interval=6)
    kill = [CheckpointCallback(HALF // ENVS, str(tmp_path)), Kill(HALF + 3 * ENVS)]
    make().learn(TOTAL, kill)
    loaded = case.algorithm.load(
        tmp_path / f"rl_model_{HALF}_steps.zip",
        env=case.env(n_envs=ENVS),
        resume=True,
        seed=99,
        **data,
        **(after_load or {}),
    )
    assert loaded.num_timesteps == HALF
    return outcome(whole), outcome(loaded.learn(TOTAL, evaluation(case, 3)))


offline_variants = pytest.mark.parametrize(
    ("case", "variant"), [each for each in every_variant.args[1] if "dataset" in each.values[0].sources]
)


@offline_variants
def test_a_resumed_run_ends_with_the_same_bits(case, variant, tmp_path):
    whole, halved = whole_and_halved(case, tmp_path, **variant)
    assert not differing(whole, halved)


@sources_of("dataset + stream")
def test_so_does_one_that_watches_a_stream(case, source, tmp_path):
    whole, halved = whole_and_halved(case, tmp_path, data=data_of(source))
    assert not differing(whole, halved)


@sources_of("dataset")
def test_so_does_one_that_is_loaded_as_rl_zoo_does(case, source, tmp_path):
    """`-i CKPT -params resume:True` hands the YAML's hyperparameters to `load`."""
    yaml = {"learning_rate": linear, "policy_kwargs": dict(case.kwargs.get("policy_kwargs", {})), "verbose": 0}
    whole, halved = whole_and_halved(case, tmp_path, after_load={**yaml, "tensorboard_log": None, "device": "auto"})
    assert not differing(whole, halved)


@sources_of("dataset")
def test_without_resume_it_would_not(case, source, tmp_path):
    """The comparison above can fail: by another batch size, or by starting over."""
    whole, other = whole_and_halved(case, tmp_path, after_load={"batch_size": 8})
    assert differing(whole, other)
    model = case.algorithm.load(
        tmp_path / f"rl_model_{HALF}_steps.zip", env=case.env(n_envs=ENVS), **data_of("dataset")
    )
    assert differing(whole, outcome(model.learn(TOTAL)))
    assert model.num_timesteps == TOTAL and model._n_updates == TOTAL + HALF


@sources_of("own play", "dataset")
def test_counters_go_on(case, source, tmp_path):
    data, steps = data_of(source), []
    case.make(**data).learn(40).save(tmp_path / "agent")
    model = case.algorithm.load(tmp_path / "agent", env=case.env(), resume=True, **data)
    updates = model._n_updates
    assert updates > 0
    model.learn(100, lambda local, _: steps.append(local["self"].num_timesteps) or True)
    assert steps == list(range(41, 101))
    assert model._n_updates > updates


@sources_of("own play", "dataset")
def test_a_second_learn_is_no_resume(case, source, tmp_path):
    data = data_of(source)
    case.make(**data).learn(40).save(tmp_path / "agent")
    model = case.algorithm.load(tmp_path / "agent", env=case.env(), resume=True, **data).learn(60)
    assert model.num_timesteps == 60
    model.learn(24)
    assert model.num_timesteps == 24
    model.save(tmp_path / "agent")
    assert case.algorithm.load(tmp_path / "agent").resume is False


@sources_of("dataset")
def test_a_finished_run_has_nothing_to_resume(case, source, tmp_path):
    model = case.make(**data_of(source)).learn(40)
    model.save(tmp_path / "agent")
    resumed = case.algorithm.load(tmp_path / "agent", env=case.env(), resume=True, **data_of(source)).learn(40)
    assert resumed.num_timesteps == 40
    assert not differing(weights_of(model), weights_of(resumed))


@sources_of("own play", "dataset")
def test_resume_without_a_checkpoint_is_refused_at_once(case, source):
    with pytest.raises(ValueError, match=r"checkpoint.*`-i CHECKPOINT\.zip`"):
        case.make(resume=True, **data_of(source))
