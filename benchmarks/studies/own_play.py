"""Read the online interaction of a run from the log folder that RL Zoo wrote (the studies import this)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from run_folder import read_counts, read_settings
from stable_baselines3.common.monitor import load_results

#: Decisions over which the returns of episodes are averaged.
PORTION = 1_000
#: Portions at the beginning and at the end of training that are compared.
WINDOW = 10


@dataclass(frozen=True, eq=False)
class OwnPlay:
    """
    The finished training episodes of one run, in the order in which they ended.

    A decision is one step of the environment with its wrappers. With ``FrameSkip`` it takes several frames, and the
    monitor files of RL Zoo count frames.

    :param returns: (M,) return of each episode
    :param ends: (M,) decisions in all episodes that were finished until the end of each episode
    :param decisions: all decisions of the training, including those of unfinished episodes
    :param skip: frames per decision
    """

    returns: np.ndarray
    ends: np.ndarray
    decisions: int
    skip: int

    def portions(self) -> list[float]:
        """Return the mean return of the episodes that ended in each ``PORTION`` of decisions, NaN where none did."""
        if not len(self.ends):
            return []
        portion, count = (self.ends - 1) // PORTION, -(-self.decisions // PORTION)
        episodes = np.bincount(portion, minlength=count)
        with np.errstate(invalid="ignore"):
            return list(np.bincount(portion, self.returns, count) / episodes)


def first_and_last(portions: Sequence[float]) -> tuple[float, float] | None:
    """
    Average the first and the last ``WINDOW`` portions.

    :param portions: see :meth:`OwnPlay.portions`
    :return: both means; None if the portions are too few for two windows, or a window has no finished episode
    """
    windows = [np.array(portions[:WINDOW]), np.array(portions[-WINDOW:])]
    if len(portions) < 2 * WINDOW or any(np.isnan(window).all() for window in windows):
        return None
    first, last = (float(np.nanmean(window)) for window in windows)
    return first, last


def quarters(portions: Sequence[float]) -> list[float]:
    """
    Average each quarter of the portions.

    :param portions: see :meth:`OwnPlay.portions`
    :return: four means, NaN for a quarter without a finished episode; empty if there are fewer than four portions
    """
    if len(portions) < 4:
        return []
    parts = np.array_split(np.array(portions, float), 4)
    return [float(np.nanmean(part)) if np.isfinite(part).any() else np.nan for part in parts]


def read_own_play(run: Path) -> OwnPlay:
    """
    Read the training episodes of a run. A run that learned offline has none.

    :param run: its folder, such as ``logs/bco/CartPole-v1_1``
    """
    skip = frames_per_decision(run)
    if not list(run.glob("*monitor.csv")):
        return OwnPlay(np.empty(0), np.empty(0, int), 0, skip)
    episodes = load_results(str(run))
    ends = np.cumsum(-(-episodes["l"].to_numpy(int) // skip))
    decisions = max(int(ends[-1]), read_counts(run)[0]) if len(ends) else 0
    return OwnPlay(episodes["r"].to_numpy(float), ends, decisions, skip)


def frames_per_decision(run: Path) -> int:
    """Return the number of frames that one step of the run's wrapped environment takes, as its monitor counts them."""
    settings = read_settings(run)
    # With these keywords the monitor is outside of the wrappers.
    if (settings.get("monitor_kwargs") or {}).get("info_keywords"):
        return 1
    wrappers = settings.get("env_wrapper") or []
    for wrapper in wrappers if isinstance(wrappers, list) else [wrappers]:
        (name, kwargs), *_ = wrapper.items() if isinstance(wrapper, dict) else [(wrapper, None)]
        if name.endswith(".FrameSkip"):
            return int((kwargs or {}).get("skip", 4))
    return 1
