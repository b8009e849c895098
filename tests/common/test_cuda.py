"""On a GPU: train, resume, and move between it and the CPU. `make test-gpu`; skipped where there is none."""

import numpy as np
import pytest
import torch as th

from tests.support.case import data_of, differing, weights_of
from tests.support.envs import make_store
from tests.support.matrix import every_case, every_trajectory_case, every_variant, sources_of, sources_of_all

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not th.cuda.is_available(), reason="there is no CUDA device"),
]


@sources_of_all()
def test_trains_on_the_gpu(case, source):
    model = case.make(case.env(n_envs=2), device="cuda", **data_of(source))
    assert {p.device.type for p in [*model.policy.parameters(), *model.policy.buffers()]} == {"cuda"}
    before = weights_of(model)
    assert differing(before, weights_of(model.learn(60)))
    assert model.predict(case.env(n_envs=2).reset())[0].shape == (2,)


@every_case
def test_images_and_dicts_train_on_the_gpu(case):
    for observation in ("image", "dict", "goal"):
        case.make(case.env(observation, "box"), device="cuda").learn(40)


@sources_of("dataset")
def test_an_agent_moves_between_cpu_and_gpu(case, source, tmp_path):
    observation = case.env(n_envs=16).reset()
    store = make_store()
    for home, abroad in (("cpu", "cuda"), ("cuda", "cpu")):
        model = case.make(dataset=store, device=home).learn(20)
        model.save(tmp_path / home)
        moved = case.algorithm.load(tmp_path / home, env=case.env(), dataset=store, device=abroad)
        assert moved.policy.device.type == abroad
        np.testing.assert_array_equal(
            model.predict(observation, deterministic=True)[0], moved.predict(observation, deterministic=True)[0]
        )
        moved.learn(20)


@every_variant
def test_a_run_resumes_on_the_gpu(case, variant, tmp_path):
    """To the bit, also there."""
    if "dataset" not in case.sources:
        pytest.skip("it learns from own play only")
    store = make_store()
    settings = {"device": "cuda", "dataset": store, **variant}
    whole = case.make(**settings).learn(40)
    half = case.make(**settings)
    half.learn(40, lambda local, _: local["self"].num_timesteps < 20)
    half.save(tmp_path / "half")
    resumed = case.algorithm.load(tmp_path / "half", env=case.env(), resume=True, dataset=store, device="cuda").learn(
        40
    )
    assert not differing(weights_of(whole), weights_of(resumed))


@sources_of("own play")
def test_a_run_from_the_gpu_goes_on_on_the_cpu(case, source, tmp_path):
    case.make(device="cuda").learn(40).save(tmp_path / "agent")
    resumed = case.algorithm.load(tmp_path / "agent", env=case.env(), resume=True, device="cpu").learn(80)
    assert resumed.num_timesteps == 80


@every_trajectory_case
def test_training_never_waits_for_the_gpu(case):
    """What the meta device promises, CUDA's own watch confirms."""
    model = case.make(device="cuda").learn(60)
    model.train(2)
    th.cuda.set_sync_debug_mode("error")
    try:
        model.train(3)
    finally:
        th.cuda.set_sync_debug_mode("default")
