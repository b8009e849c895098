"""Runs in TensorBoard are named after their algorithms."""

import pytest

from tests.support.case import data_of
from tests.support.matrix import every_trajectory_case, sources_of


def runs(folder):
    return sorted(path.name for path in folder.iterdir())


@sources_of("own play", "dataset")
def test_a_run_is_named_after_its_algorithm(case, source, tmp_path):
    """``test_tensorboard`` of SB3."""
    model, name = case.make(tensorboard_log=str(tmp_path), **data_of(source)), case.algorithm.__name__
    model.learn(2)
    assert runs(tmp_path) == [f"{name}_1"]
    model.learn(2, reset_num_timesteps=False)
    assert runs(tmp_path) == [f"{name}_1"]
    model.learn(2)
    assert runs(tmp_path) == [f"{name}_1", f"{name}_2"]
    for _ in range(2):
        model.learn(2, tb_log_name="mine")
    assert runs(tmp_path) == sorted([f"{name}_1", f"{name}_2", "mine_1", "mine_2"])


@every_trajectory_case
def test_so_are_those_of_third_parties(case, tmp_path):
    theirs = type("Theirs", (case.algorithm,), {})
    env = case.env()
    theirs("MultiInputPolicy", env, **{**case.kwargs, "device": "cpu", "tensorboard_log": str(tmp_path)}).learn(2)
    assert runs(tmp_path) == ["Theirs_1"]


@sources_of("dataset")
@pytest.mark.parametrize("earlier", [1, 3])
def test_a_resumed_run_goes_on_in_the_newest_folder(case, source, earlier, tmp_path):
    settings = {"tensorboard_log": str(tmp_path), **data_of(source)}
    for _ in range(earlier):
        model = case.make(**settings).learn(4)
    model.save(tmp_path / "agent.zip")
    before = {path.name: len(list(path.iterdir())) for path in tmp_path.glob("*_[0-9]")}
    case.algorithm.load(tmp_path / "agent.zip", env=case.env(), resume=True, **data_of(source)).learn(8)
    newest = f"{case.algorithm.__name__}_{earlier}"
    after = {path.name: len(list(path.iterdir())) for path in tmp_path.glob("*_[0-9]")}
    assert after == {**before, newest: before[newest] + 1}
