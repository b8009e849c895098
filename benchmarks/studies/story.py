"""
Plot the metrics of one run in one figure, from its TensorBoard events.

    python -m rl_zoo3.train --algo gcsl_vicreg --env CartPole-v1 --tensorboard-log logs/story
    python benchmarks/studies/story.py logs/story --output logs/story.png
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of packages that TensorBoard imports
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # by tag: steps and values

TARGET = "train/target_return"


@dataclass(frozen=True)
class Panel:
    """
    A panel of the figure.

    :param tags: tags on the left axis
    :param right: tags of another magnitude, on the right axis
    :param scale: scale of the left axis
    """

    title: str
    tags: tuple[str, ...]
    right: tuple[str, ...] = ()
    scale: str = "linear"


VICREG = ("invariance", "variance", "covariance")
#: video_vicreg logs these for both kinds of data; those of video are drawn.
VIDEO = "train/unlabelled"
PANELS = (
    Panel("return of an episode", ("rollout/ep_rew_mean", "eval/mean_reward")),
    Panel("inverse model", ("train/inverse", "train/inverse_held_out")),
    Panel("goal-free and goal-given action", ("train/align", "train/action_gap")),
    Panel(
        "VICReg", (*(f"train/vicreg_{term}" for term in VICREG), *(f"{VIDEO}/{term}" for term in VICREG)), scale="log"
    ),
    Panel(
        "representation",
        ("train/spread_mean", "train/spread_min", f"{VIDEO}/spread_mean", f"{VIDEO}/spread_min"),
        right=("train/effective_rank", f"{VIDEO}/effective_rank"),
    ),
    Panel("learning rate", ("train/learning_rate",), right=("train/token_perplexity",)),
)


def find_run(folder: Path) -> Path:
    """
    Find the only run in a folder.

    :param folder: folder with the events of a run, or a parent of it
    :return: the folder with the events
    """
    runs = sorted({path.parent for path in folder.rglob("events.out.tfevents.*")})
    if not runs:
        raise ValueError(f"There are no TensorBoard events in {folder}; train with --tensorboard-log {folder}.")
    if len(runs) > 1:
        raise ValueError(f"There are {len(runs)} runs in {folder}; name one, such as {runs[-1]}.")
    return runs[0]


def read_curves(run: Path) -> Curves:
    """Read all finite scalars of a run."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})  # 0: all of them, not a sample
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        logged = np.array([(event.step, event.value) for event in events.Scalars(tag)])
        logged = logged[np.isfinite(logged[:, 1])]
        if len(logged):
            curves[tag] = logged[:, 0], logged[:, 1]
    return curves


def draw(curves: Curves, title: str, output: Path) -> None:
    """
    :param curves: what was logged
    :param title: of the figure
    :param output: PNG to write
    """
    panels = [panel for panel in PANELS if curves.keys() & {*panel.tags, *panel.right}]
    if not panels:
        raise ValueError(
            f"None of what was logged by {title} belongs to the story, only {', '.join(curves) or 'nothing'}."
        )
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(10, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True)
    for panel, ax in zip(panels, axes.flat, strict=False):
        draw_panel(panel, curves, ax)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    for ax in axes.flat[max(0, len(panels) - 2) : len(panels)]:
        ax.set_xlabel("own environment steps")
        ax.tick_params(labelbottom=True)
    figure.suptitle(title)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=150)


def draw_panel(panel: Panel, curves: Curves, ax: Axes) -> None:
    """Its curves; the axis on the right is there only if both sides have some."""
    left = [tag for tag in panel.tags if tag in curves]
    right = [tag for tag in panel.right if tag in curves]
    other = ax.twinx() if left and right else ax
    colors = iter(f"C{i}" for i in range(10))
    for side, tags in ((ax, left), (other, right)):
        for tag in tags:
            label = tag.partition("/")[2] if tag.startswith("train/") else tag
            steps, values = curves[tag]
            if side is ax and panel.scale == "log":
                values = np.where(values > 0, values, np.nan)  # which no logarithm shows
            side.plot(steps, values, ".-", markersize=3, color=next(colors), label=label)
    if left:
        ax.set_yscale(panel.scale)
    if other is not ax:
        other.set_ylabel(" ".join(tag.partition("/")[2] for tag in right))
    if panel is PANELS[0] and TARGET in curves:
        draw_target(*curves[TARGET], ax)
    ax.set_title(panel.title, fontsize="medium")
    ax.grid(alpha=0.3)
    handles = [*ax.get_lines(), *(other.get_lines() if other is not ax else [])]
    ax.legend(handles=handles, fontsize="small")


def draw_target(steps: np.ndarray, values: np.ndarray, ax: Axes) -> None:
    """Plot the target return, or write it as a number if a line would flatten the other curves."""
    low, high = ax.get_ylim()
    reach = high - low
    if low - reach <= values.min() and values.max() <= high + reach:
        ax.plot(steps, values, "--", color="0.5", label="target_return")
    else:
        ax.plot([], [], "--", color="0.5", label=f"target_return, beyond the panel: {values[-1]:.0f} at the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of one run's TensorBoard events, or one above it")
    parser.add_argument("--output", type=Path, default=Path("story.png"))
    parser.add_argument("--title", help="of the figure (default: the run's folder)")
    args = parser.parse_args()
    try:
        run = find_run(args.folder)
        draw(read_curves(run), args.title or f"{run.parent.name}/{run.name}", args.output)
    except ValueError as error:
        parser.error(str(error))
    print(f"Story: {args.output}")


if __name__ == "__main__":
    main()
