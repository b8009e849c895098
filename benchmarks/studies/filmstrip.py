"""
Draw episodes as strips of frames: what agents and datasets see, which actions follow, and the return so far.

    python benchmarks/studies/filmstrip.py logs/bco/CarRacing-v3_1 --dataset carracing/driver-v0 --seed 10000 \\
        --output docs/results/carracing_filmstrip.png

Each row of the figure is an episode. The command plays one episode with the final agent of each run, with deterministic
actions, in the environment of the given seed. Of a dataset, it draws the episode with the highest return, or the one of
``--episode``. Observations must be images, and actions ``Box``. For a video, use ``rl_zoo3.record_video``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from run_folder import action_names, env_id, find_run, load_agent, name_of

from gcrl_zoo.data import open_store


class Strip(NamedTuple):
    """An episode of T steps."""

    label: str
    frames: np.ndarray  # (T, H, W, C) or (T, C, H, W), what is seen before each step
    actions: np.ndarray  # (T, A) as executed
    rewards: np.ndarray  # (T,)


def play(run: Path, label: str, seed: int) -> Strip:
    """
    Play one episode with the final agent of a run.

    :param run: folder of the run
    :param label: of the strip
    :param seed: seed of the environment
    """
    model, env = load_agent(run, seed)
    observation: Any
    steps: list[tuple[np.ndarray, np.ndarray, float]] = []
    try:
        observation, memory, done = env.reset(), None, np.ones(1, dtype=bool)
        while not steps or not done[0]:
            frame = newest_frame(observation, label)[0]
            action, memory = model.predict(observation, memory, done, deterministic=True)
            observation, reward, done, _ = env.step(action)
            steps.append((frame, action[0], float(reward[0])))
    finally:
        env.close()
    frames, actions, rewards = map(np.array, zip(*steps, strict=True))
    return Strip(label, frames, actions, rewards)


def recorded(dataset: str, label: str, episode: int | None) -> Strip:
    """
    Read one episode of a dataset.

    :param dataset: id or path of the dataset
    :param label: of the strip
    :param episode: its number; None for the one with the highest return
    """
    store = open_store(dataset)
    shown = store.episode(int(store.returns.argmax()) if episode is None else episode)
    if shown.actions is None or shown.rewards is None:
        raise ValueError(f"{dataset} has no actions or no rewards, which a filmstrip shows; give another dataset.")
    frames = newest_frame(shown.observations, label)[:-1]
    return Strip(label, frames, shown.actions, shown.rewards)


def newest_frame(observations: Any, where: str) -> np.ndarray:
    """
    Return the image of each observation; of a stack of frames, the newest one.

    :param observations: (n, ...) array, or arrays by key
    :param where: for the message
    :return: (n, H, W, C) or (n, C, H, W)
    """
    entries = observations.values() if isinstance(observations, dict) else [observations]
    image = next((entry for entry in entries if entry.dtype == np.uint8 and entry.ndim >= 4), None)
    if image is None:
        raise ValueError(f"{where} has no images in its observations, which a filmstrip shows.")
    return image[:, -1] if image.ndim == 5 else image


def draw(strips: Sequence[Strip], names: Sequence[str], columns: int) -> Figure:
    """
    Draw every k-th frame of each strip, with bars for the actions.

    :param strips: one per row
    :param names: of the dimensions of the action
    :param columns: at most so many frames per strip
    """
    largest = max(float(np.abs(strip.actions).max()) for strip in strips)
    figure = Figure(figsize=(1.05 * columns, 1.75 * len(strips)))
    for strip, part in zip(strips, figure.subfigures(len(strips), squeeze=False)[:, 0], strict=True):
        axes = part.subplots(2, columns, squeeze=False, gridspec_kw={"height_ratios": [4, 1]})
        part.subplots_adjust(left=0.02, right=0.99, top=0.78, bottom=0.08, wspace=0.06, hspace=0.06)
        so_far = np.concatenate([[0], strip.rewards.cumsum()])
        part.suptitle(f"{strip.label}: return {so_far[-1]:.0f}", x=0.02, y=0.99, ha="left", fontsize=8)
        for ax in axes.flat:
            ax.set_axis_off()
        every = -(-len(strip.frames) // columns)
        for step, image, bars in zip(range(0, len(strip.frames), every), *axes, strict=False):
            draw_frame(image, strip.frames[step])
            image.set_title(f"step {step}: {so_far[step]:.0f}", fontsize=6, pad=2)
            draw_action(bars, strip.actions[step], largest)
    bars = f"Bars, from the top: {', '.join(names)}; the line is 0, the edges are -{largest:.2g} and {largest:.2g}."
    figure.text(0.02, 0.01, f"Above each frame: step and return so far. {bars}", fontsize=6)
    return figure


def draw_frame(ax: Axes, frame: np.ndarray) -> None:
    """Draw an image, (H, W, C) or (C, H, W), in grey if it has not three channels."""
    image = np.moveaxis(frame, 0, -1) if frame.shape[0] < frame.shape[-1] else frame
    ax.imshow(image if image.shape[-1] == 3 else image[..., -1], cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def draw_action(ax: Axes, action: np.ndarray, largest: float) -> None:
    """Draw a bar for each dimension of the action, from 0 in the middle to at most ``largest`` at an edge."""
    ax.barh(range(len(action)), action, color=[f"C{i}" for i in range(len(action))], height=0.8)
    ax.axvline(0, color="0.5", linewidth=0.5)
    ax.set(xlim=(-largest, largest), ylim=(len(action) - 0.4, -0.6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="log folders, each with one run")
    parser.add_argument("--dataset", help="id or path of a dataset with images")
    parser.add_argument("--episode", type=int, help="number of its episode (default: that with the highest return)")
    parser.add_argument("--labels", nargs="+", help="labels of the dataset and of the runs, in this order")
    parser.add_argument("--seed", type=int, default=10_000, help="seed of the environment")
    parser.add_argument("--columns", type=int, default=12, help="largest number of frames per strip")
    parser.add_argument("--output", type=Path, default=Path("filmstrip.png"))
    args = parser.parse_args()
    sources = [*([args.dataset] if args.dataset else []), *args.runs]
    if not sources:
        parser.error("There is nothing to draw; give log folders, --dataset, or both.")
    if args.labels and len(args.labels) != len(sources):
        parser.error(f"There are {len(args.labels)} labels for {len(sources)} strips; give one for each.")
    try:
        labels = args.labels or [each if isinstance(each, str) else name_of(each) for each in sources]
        strips = [
            recorded(source, label, args.episode)
            if isinstance(source, str)
            else play(find_run(source), label, args.seed)
            for source, label in zip(sources, labels, strict=True)
        ]
    except ValueError as error:
        parser.error(str(error))
    environment = env_id(find_run(args.runs[0])) if args.runs else ""
    figure = draw(strips, action_names(environment, strips[0].actions.shape[1]), args.columns)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=100)
    print(f"Filmstrip: {args.output}")


if __name__ == "__main__":
    main()
