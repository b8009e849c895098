"""D4RL's layout: episodes end where terminals or timeouts say so; nothing is glued, dropped or mistaken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcrl_zoo.data import Episode, TrajectoryStore, open_store
from tests.support.data_episodes import assert_same_episode

LENGTHS = (3, 5, 1, 4, 2)
TERMINATED = (True, False, True, False, True)


def episodes() -> list[Episode]:
    """What was recorded."""
    rng = np.random.default_rng(0)
    return [
        Episode(
            {"observation": rng.standard_normal((length + 1, 3))},
            rng.uniform(-1, 1, (length, 2)),
            rng.standard_normal(length),
            terminated,
        )
        for length, terminated in zip(LENGTHS, TERMINATED, strict=True)
    ]


def columns(**changes: Any) -> dict[str, Any]:
    """The same in D4RL's layout; keywords replace columns, None leaves one out."""
    recorded = episodes()
    ends = np.concatenate([np.arange(n) == n - 1 for n in LENGTHS])
    of_terminated = np.repeat(TERMINATED, LENGTHS)
    arrays: dict[str, Any] = {
        "observations": np.concatenate([each.observations["observation"][:-1] for each in recorded]),
        "next_observations": np.concatenate([each.observations["observation"][1:] for each in recorded]),
        "actions": np.concatenate([each.actions for each in recorded]),  # type: ignore[misc]
        "rewards": np.concatenate([each.rewards for each in recorded]),  # type: ignore[misc]
        "terminals": ends & of_terminated,
        "timeouts": ends & ~of_terminated,
        "infos/qpos": np.zeros((len(ends), 7)),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def write(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def assert_episodes(store: TrajectoryStore, expected: list[Episode]) -> None:
    assert store.n_episodes == len(expected)
    for a, b in zip(store.episodes(), expected, strict=True):
        assert_same_episode(a, b)


def test_every_step_is_there_where_next_observations_are(tmp_path: Path) -> None:
    store = open_store(write(tmp_path / "data.npz", columns()))
    assert_episodes(store, episodes())
    assert store.name == str(tmp_path / "data.npz")
    assert len(store.last) == 1 + store.n_slots  # memory was taken once


def test_without_next_observations_the_last_row_gives_the_final_observation_only(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", columns(next_observations=None))
    with pytest.warns(UserWarning, match=rf"^{path} has no 'next_observations'.* \(5 of 5 such rewards are not 0\)"):
        store = open_store(path)
    shorter = [
        Episode({"observation": e.observations["observation"][:-1]}, e.actions[:-1], e.rewards[:-1])  # type: ignore[index]
        for e in episodes()
        if e.length > 1
    ]
    assert_episodes(store, shorter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # there is nothing to warn about where no reward is lost
        open_store(write(tmp_path / "zero.npz", columns(next_observations=None, rewards=np.zeros(15))))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_marks_and_rewards_come_in_many_forms(tmp_path: Path, kind: Any, shape: tuple[int, ...]) -> None:
    whole = columns()
    changes = {key: whole[key].astype(kind).reshape(shape) for key in ("terminals", "timeouts")}
    path = write(tmp_path / "data.npz", columns(rewards=whole["rewards"].reshape(shape), **changes))
    assert_episodes(open_store(path), episodes())


def test_rows_behind_the_last_mark_are_an_episode_that_was_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", {key: column[:14] for key, column in columns().items()})
    last = episodes()[-1]
    cut = Episode(
        {"observation": last.observations["observation"][:2]},
        last.actions[:1],  # type: ignore[index]
        last.rewards[:1],  # type: ignore[index]
    )
    assert_episodes(open_store(path), [*episodes()[:-1], cut])


def test_images_choices_and_orders_of_memory(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (16, 4, 5, 3), dtype=np.uint8)
    path = write(
        tmp_path / "data.npz",
        {
            "observations": np.asfortranarray(frames[:-1]),
            "next_observations": frames[1:],
            "actions": np.arange(15, dtype=">i4"),
            "rewards": np.arange(15.0, dtype=">f8"),
            "terminals": np.zeros(15),
            "timeouts": np.arange(15) % 5 == 4,
        },
    )
    store = open_store(path)
    assert (store.lengths.tolist(), store.terminated.any()) == ([5, 5, 5], False)
    assert store.take("observation", store.slots).dtype == np.uint8
    np.testing.assert_array_equal(store.take("observation", store.steps), frames[:-1])
    np.testing.assert_array_equal(store.take("actions", store.steps), np.arange(15))
    np.testing.assert_array_equal(store.take("rewards", store.steps), np.arange(15))


ROWS = columns()
NEITHER = "holds no trajectories in a layout that is known: it has actions "
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no timeouts": ({"timeouts": None}, NEITHER),
    "no terminals": ({"terminals": None}, NEITHER),
    "no rewards": ({"rewards": None}, NEITHER),
    "unknown": ({"truncations": ROWS["timeouts"]}, NEITHER),
    "of OGBench too": ({"qpos": np.zeros((15, 2))}, NEITHER),
    "short": ({"rewards": ROWS["rewards"][:-1]}, r"has 'rewards' of shape \(14,\), but its longest column has 15 rows"),
    "wide": ({"rewards": np.zeros((15, 2))}, r"has 'rewards' of shape \(15, 2\); give one number per row"),
    "wide marks": ({"timeouts": np.zeros((15, 2))}, r"has 'timeouts' of shape \(15, 2\); give one number per row"),
    "odd marks": ({"timeouts": np.full(15, 0.5)}, r"has 0\.5 in 'timeouts'; give 1 in rows that it marks"),
    "nan marks": ({"terminals": np.full(15, np.nan)}, r"has nan in 'terminals'; give 1 in rows that it marks"),
    "text": ({"terminals": np.full(15, "no")}, r"has 'terminals' of dtype <U2; give a column of plain numbers"),
    "other next": ({"next_observations": np.zeros((15, 2))}, r"has 'next_observations' of shape \(15, 2\), but 'obs"),
    "glued": ({"timeouts": np.zeros(15)}, r"has 'next_observations' in row 7 that are not the 'observations' of row 8"),
    "shuffled": ({k: v[::-1] for k, v in ROWS.items()}, r"has 'next_observations' in row 1 that are not .* keep rows "),
    "no rows": ({key: column[:0] for key, column in ROWS.items()}, r"has no rows in 'observations'"),
    "objects": ({"rewards": np.array([None] * 15)}, r"cannot be read \(Object arrays such as 'rewards' can run code"),
}


@pytest.mark.parametrize("bad", BAD)
def test_arrays_that_are_neither_are_refused(tmp_path: Path, bad: str) -> None:
    changes, sentence = BAD[bad]
    path = write(tmp_path / "data.npz", columns(**changes))
    with pytest.raises(ValueError, match=rf"^{path} {sentence}") as caught:
        open_store(path)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_numbers_that_are_bad_are_named_by_episode(tmp_path: Path) -> None:
    rewards = ROWS["rewards"].copy()
    rewards[4] = np.nan
    path = write(tmp_path / "data.npz", columns(rewards=rewards))
    with pytest.raises(ValueError, match=rf"^Episode 1 of {path} holds nan in reward at step 1"):
        open_store(path)


def test_a_file_is_what_it_holds_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "data.npz", columns())
    for name in ("data", "data.hdf5", "data.zip", "replay_buffer.pkl"):
        assert_episodes(open_store(path.rename(tmp_path / name)), episodes())
        path = tmp_path / name
