"""The story of a run is drawn from what it logged, whatever that was."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.support.throw_away import ROOT

pytest.importorskip("matplotlib")
sys.path.append(str(ROOT / "benchmarks" / "studies"))
story = importlib.import_module("story")

STEPS = [100, 200, 300]
EVERY = [tag for panel in story.PANELS for tag in (*panel.tags, *panel.right)]


def log(folder: Path, **values: list[float]) -> None:
    """As Stable-Baselines3 does; ``__`` stands for a slash."""
    with SummaryWriter(str(folder)) as writer:
        for tag, series in values.items():
            for step, value in zip(STEPS, series, strict=False):
                writer.add_scalar(tag.replace("__", "/"), value, step)


def draw(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """Draw as the command does, and return the axes of the figure."""
    figures = []
    monkeypatch.setattr(story, "Figure", lambda **kwargs: figures.append(story_figure(**kwargs)) or figures[-1])
    output = folder / "drawn" / "story.png"
    monkeypatch.setattr(sys, "argv", ["story.py", str(folder), "--output", str(output)])
    story.main()
    assert output.read_bytes().startswith(b"\x89PNG")
    return figures[0].axes


story_figure = story.Figure


def titles(axes: list) -> list[str]:
    return [ax.get_title() for ax in axes if ax.get_title()]


def labels(ax: object) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_everything_that_belongs_to_the_story(tmp_path, monkeypatch):
    log(
        tmp_path / "tb" / "run_1",
        **{tag.replace("/", "__"): [1.0, 2.0, 3.0] for tag in EVERY},
        train__target_return=[3.0] * 3,
    )
    axes = draw(tmp_path, monkeypatch)
    assert titles(axes) == [panel.title for panel in story.PANELS]
    assert len(axes) == len(story.PANELS) + 2  # effective rank and perplexity have an axis of their own
    assert labels(axes[0]) == ["rollout/ep_rew_mean", "eval/mean_reward", "target_return"]
    assert axes[3].get_yscale() == "log" and axes[1].get_yscale() == "linear"
    np.testing.assert_array_equal(axes[0].get_lines()[0].get_xdata(), STEPS)
    np.testing.assert_array_equal(axes[0].get_lines()[0].get_ydata(), [1, 2, 3])


def test_a_panel_without_data_is_left_out(tmp_path, monkeypatch):
    log(
        tmp_path,
        rollout__ep_rew_mean=[5.0, 7.0, 6.0],
        train__inverse=[1.0, float("nan"), 0.5],
        train__n_updates=[1.0, 2.0, 3.0],
    )
    axes = draw(tmp_path, monkeypatch)
    assert titles(axes) == ["return of an episode", "inverse model"]
    np.testing.assert_array_equal(axes[1].get_lines()[0].get_xdata(), [100, 300])


def test_a_target_far_away_is_a_number(tmp_path, monkeypatch):
    log(tmp_path, rollout__ep_rew_mean=[5.0, 7.0, 6.0], train__target_return=[3600.0] * 3)
    ax = draw(tmp_path, monkeypatch)[0]
    assert labels(ax)[-1] == "target_return, beyond the panel: 3600 at the end"
    assert ax.get_ylim()[1] < 10


@pytest.mark.parametrize("folder", ["missing", "empty", "several", "other"])
def test_what_has_no_story_is_told_in_a_sentence(tmp_path, monkeypatch, capsys, folder):
    (tmp_path / "empty").mkdir()
    for run in ("run_1", "run_2"):
        log(tmp_path / "several" / run, train__inverse=[1.0])
    log(tmp_path / "other", time__fps=[1.0])
    monkeypatch.setattr(sys, "argv", ["story.py", str(tmp_path / folder)])
    with pytest.raises(SystemExit):
        story.main()
    told = {"several": "There are 2 runs in", "other": "only time/fps"}.get(
        folder, "There are no TensorBoard events in"
    )
    assert told in capsys.readouterr().err
