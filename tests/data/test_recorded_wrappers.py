"""The wrappers of an environment as plain JSON, and where a dataset keeps them."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import DtypeObservation, FrameStackObservation, TimeLimit, TransformReward
from rl_zoo3.wrappers import FrameSkip, YAMLCompatResizeObservation
from stable_baselines3.common.monitor import Monitor

from gcrl_zoo.data import TrajectoryStore, open_store
from gcrl_zoo.data.recorded_wrappers import describe_wrappers
from gcrl_zoo.record import record
from gcrl_zoo.wrappers import ReturnToGo
from tests.support.envs import PointEnv
from tests.support.recordings import ID


class Odd(gym.Wrapper):
    """Records nothing."""

    def __init__(self, env: gym.Env, mask: Any, scale: float = 2.0, *lost: Any, env_name: str = "x") -> None:
        super().__init__(env)
        self.mask, self._scale, self.count = np.array(mask), scale, 7


def double(reward: Any) -> Any:
    return 2 * reward


def wrapped(skip: int = 2) -> gym.Env[Any, Any]:
    return YAMLCompatResizeObservation(FrameSkip(TimeLimit(PointEnv("image"), 9), skip=skip), [40, 48])


WRAPPERS = [["FrameSkip", {"skip": 2}], ["YAMLCompatResizeObservation", {"shape": [40, 48]}]]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (PointEnv, []),
        (lambda: Monitor(TimeLimit(PointEnv(), 5)), []),
        (lambda: Monitor(wrapped()), WRAPPERS),
        (lambda: Odd(PointEnv(), [1, np.inf]), [["Odd", {"mask": [1.0, "inf"], "scale": 2.0}]]),
        (
            lambda: FrameStackObservation(DtypeObservation(PointEnv("image"), np.uint8), 3),
            [
                ["DtypeObservation", {"dtype": "numpy.uint8"}],
                ["FrameStackObservation", {"stack_size": 3, "padding_type": "reset"}],
            ],
        ),
        (
            lambda: TransformReward(PointEnv(), double),
            [["TransformReward", {"func": "tests.data.test_recorded_wrappers.double"}]],
        ),
    ],
)
def test_every_chain_of_wrappers_has_a_description_that_survives_json(make: Any, expected: list[Any]) -> None:
    found = describe_wrappers(make())
    assert found == expected == json.loads(json.dumps(found))


def test_large_arrays_are_compared_by_their_checksum() -> None:
    ones, twos = (describe_wrappers(Odd(PointEnv(), np.full(2000, value)))[0][1]["mask"] for value in (1, 2))
    assert ones.startswith("int64 array of shape (2000,), CRC-32") and ones != twos


def test_arguments_of_our_wrappers_are_described() -> None:
    [[name, arguments]] = describe_wrappers(ReturnToGo(PointEnv(), target=9))
    assert name == "ReturnToGo" and arguments["target"] == 9


@pytest.mark.usefixtures("datasets")
@pytest.mark.filterwarnings("ignore:The environment")
def test_a_dataset_and_every_copy_of_it_state_the_wrappers(tmp_path: Path) -> None:
    record(None, wrapped(), ID, n_episodes=2)
    store = open_store(ID)
    assert store.wrappers == store.best(0.5).wrappers == store.copy().wrappers == WRAPPERS
    for folder in (False, True):
        store.save(tmp_path / "saved", folder=folder)
        assert TrajectoryStore.load(tmp_path / "saved").wrappers == WRAPPERS
        (tmp_path / "saved").unlink() if not folder else None
    store = TrajectoryStore.from_episodes(store.episodes())
    store.save(file := BytesIO())
    file.seek(0)
    assert TrajectoryStore.load(file).wrappers is None
    record(None, wrapped(), ID, n_episodes=1, append=True)
    with pytest.raises(ValueError, match=r"^'test/play-v0' cannot be appended to: .*'skip': 2.*'skip': 3.*; use the"):
        record(None, wrapped(skip=3), ID, n_episodes=1, append=True)


@pytest.mark.usefixtures("datasets")
def test_a_damaged_list_of_wrappers_is_refused(datasets: Path) -> None:
    record(None, PointEnv(), ID, n_episodes=2)
    path = datasets / ID / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    assert metadata["gcrl_zoo_wrappers"] == []
    for damaged in ("crop", [["Crop"]], [[1, {}]]):
        path.write_text(json.dumps({**metadata, "gcrl_zoo_wrappers": damaged}))
        with pytest.raises(ValueError, match=r"^Minari cannot read .*: its list of wrappers is "):
            open_store(ID)
