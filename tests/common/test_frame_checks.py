"""Data whose frames were made in another way than the environment's is refused, in one sentence that names both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation, ResizeObservation, StickyAction, TimeLimit
from rl_zoo3.wrappers import FrameSkip, YAMLCompatResizeObservation
from stable_baselines3.common.vec_env import SubprocVecEnv

from gcrl_zoo import BC, DT, GCSL, GCSLVICReg
from gcrl_zoo.data import Episode, TrajectoryStore
from gcrl_zoo.data.recorded_wrappers import describe_wrappers
from gcrl_zoo.wrappers import CropObservation, DatasetGoal, ReturnToGo
from gcrl_zoo.zoo.spaces import checked
from tests.common.test_bad_input import refusal
from tests.support.road import Road

Wrappers = Sequence[Any]
SKIP, CROP = partial(FrameSkip, skip=4), partial(CropObservation, rows=[0, 84])
GREY = partial(GrayscaleObservation, keep_dim=True)
RESIZE = partial(YAMLCompatResizeObservation, shape=[40, 40])
STACK = partial(FrameStackObservation, stack_size=3)
RECORDED = (SKIP, CROP, GREY, RESIZE)
PLAY: dict[str, Any] = {"learning_starts": 0, "batch_size": 4, "device": "cpu"}


def make(wrappers: Wrappers) -> gym.Env[Any, Any]:
    env: gym.Env[Any, Any] = TimeLimit(Road(), 20)
    for wrap in wrappers:
        env = wrap(env)
    return env


def recorded(wrappers: Wrappers = RECORDED, known: bool = True) -> TrajectoryStore:
    """Two episodes, as ``gcrl_zoo.record`` keeps them."""
    env, episodes = make(wrappers), []
    action = np.array([0.5, 0.5, 0], np.float32)
    for seed in range(2):
        frames = [env.reset(seed=seed)[0], *(env.step(action)[0] for _ in range(3))]
        episodes.append(Episode({"observation": np.stack(frames)}, np.tile(action, (3, 1)), np.ones(3)))
    found = describe_wrappers(env) if known else None
    return TrajectoryStore.from_episodes(episodes, name="theirs", wrappers=found)


BEGINNING = "FrameSkip(skip=4), CropObservation(rows=[0, 84], columns=None), GrayscaleObservation(keep_dim=True)"
MADE_BY = f"its frames are made by {BEGINNING}, ResizeObservation(shape=[40, 40]), the environment's by"
OTHER: dict[str, tuple[Wrappers, str]] = {
    "no skip": ((CROP, GREY, RESIZE), f"by {BEGINNING.partition(', ')[2]}"),
    "no crop": ((SKIP, GREY, RESIZE), "by FrameSkip(skip=4), GrayscaleObservation(keep_dim=True), Resize"),
    "another crop": ((SKIP, partial(CropObservation, rows=[0, 80]), GREY, RESIZE), "CropObservation(rows=[0, 80]"),
    "another skip": ((partial(FrameSkip, skip=2), CROP, GREY, RESIZE), "by FrameSkip(skip=2), Crop"),
    "one more": (
        (SKIP, CROP, partial(CropObservation, columns=[2, 94]), GREY, RESIZE),
        "CropObservation(rows=None, columns=[2, 94])",
    ),
    "another order": ((SKIP, CROP, RESIZE, GREY), "ResizeObservation(shape=[40, 40]), GrayscaleObservation"),
}


@pytest.mark.parametrize("argument", ["dataset", "stream"])
@pytest.mark.parametrize("kind", OTHER)
def test_other_wrappers_are_refused_though_the_shapes_are_equal(kind: str, argument: str) -> None:
    wrappers, words = OTHER[kind]
    env = make([*wrappers, STACK])
    method = BC if argument == "dataset" else GCSLVICReg
    given = {**PLAY, argument: recorded()}
    said = refusal(ValueError, lambda: method("CnnPolicy", env, **given), f"{argument} 'theirs' does not fit", words)
    assert f"does not fit the environment: {MADE_BY}" in said


def test_what_was_recorded_without_a_wrapper_is_refused() -> None:
    frames = make([])
    store = TrajectoryStore.from_episodes(
        [Episode({"observation": np.stack([frames.reset()[0]] * 3)}, np.zeros((2, 3)), np.ones(2))], wrappers=[]
    )
    env = make([SKIP])
    refusal(ValueError, lambda: BC("CnnPolicy", env, dataset=store), "by no wrapper, the environment's by FrameSkip")


ACCEPTED: dict[str, tuple[type, Wrappers, bool]] = {
    "the same": (BC, RECORDED, True),
    "in stacks": (BC, (*RECORDED, STACK), True),
    "by the class that YAML cannot use": (BC, (SKIP, CROP, GREY, partial(ResizeObservation, shape=(40, 40))), True),
    "with a return": (DT, (*RECORDED, STACK, ReturnToGo), True),
    "with other actions": (BC, (partial(StickyAction, repeat_action_probability=0.1), *RECORDED), True),
    "unknown": (BC, (CROP, GREY, RESIZE), False),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_the_same_frames_are_accepted(kind: str) -> None:
    method, wrappers, known = ACCEPTED[kind]
    store = recorded(known=known)
    method("MultiInputPolicy", make(wrappers), dataset=store, batch_size=4, device="cpu").learn(1)


def test_goals_come_from_the_same_frames() -> None:
    store = recorded()
    goal = partial(DatasetGoal, dataset=store, threshold=1.0)
    GCSL("MultiInputPolicy", make([*RECORDED, STACK, goal]), dataset=store, batch_size=4, device="cpu").learn(1)
    words = "DatasetGoal cannot use theirs: its frames are made by FrameSkip(skip=4)", "the environment's by Crop"
    refusal(ValueError, lambda: make([CROP, GREY, RESIZE, STACK, goal]), *words)


SHAPES: dict[str, tuple[Wrappers, str]] = {
    "size": ((SKIP, CROP, GREY, partial(YAMLCompatResizeObservation, shape=[48, 40])), "shape (48, 40, 1) in stacks"),
    "colour": ((SKIP, CROP, RESIZE), "shape (40, 40, 3) in stacks of 3."),
    "without a stack": ((SKIP, CROP, RESIZE), "'observation' of shape (3, 40, 40)."),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", SHAPES)
def test_frames_of_another_shape_are_refused_with_both_shapes(kind: str, known: bool) -> None:
    wrappers, words = SHAPES[kind]
    env, store = make(wrappers if kind == "without a stack" else [*wrappers, STACK]), recorded(known=known)
    data = "its observations are 'observation' of shape (40, 40, 1), the environment's are 'observation' of"
    refusal(ValueError, lambda: BC("CnnPolicy", env, dataset=store, batch_size=4), data, words)


@pytest.mark.parametrize(("wrappers", "fits"), [(RECORDED, True), ((CROP, GREY, RESIZE), False)])
def test_environments_of_rl_zoo_in_other_processes_are_compared(wrappers: Wrappers, fits: bool) -> None:
    env, store = SubprocVecEnv([partial(checked, partial(make), wrappers)], start_method="fork"), recorded()
    try:
        if fits:
            BC("CnnPolicy", env, dataset=store, batch_size=4, device="cpu")
        else:
            refusal(ValueError, lambda: BC("CnnPolicy", env, dataset=store, batch_size=4, device="cpu"), MADE_BY)
    finally:
        env.close()
