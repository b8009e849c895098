"""Which slots of a store are steps, and which episodes it holds."""

from __future__ import annotations

import numpy as np

from gcrl_zoo.data.arrays import FLOAT, INT, Array
from gcrl_zoo.data.columns import SLOT
from gcrl_zoo.data.columns.growing import GrowingArrays


class Index:
    """The slot of each step, and one row for each episode, oldest first.

    :param limit: steps beyond which memory grows only when the live ones would not fit
    """

    def __init__(self, limit: int | None) -> None:
        self.steps = GrowingArrays({"slot": ((), SLOT)}, limit=limit)
        self.episodes = GrowingArrays(
            {"last": ((), SLOT), "length": ((), INT), "return": ((), FLOAT), "terminated": ((), np.dtype(np.bool_))}
        )

    def append(self, first: int, length: int, episode_return: float, terminated: bool) -> None:
        """Add an episode.

        :param first: its first slot
        :param length: number of steps
        :param episode_return: sum of rewards
        :param terminated: whether it ended in a terminal state
        """
        last = first + length
        row = self.steps.grow(length)
        self.steps.arrays["slot"][row : row + length] = np.arange(first, last)
        row = self.episodes.grow(1)
        facts = {"last": last, "length": length, "return": episode_return, "terminated": terminated}
        for key, fact in facts.items():
            self.episodes.arrays[key][row] = fact

    def extend(self, first: int, lengths: Array, returns: Array, terminated: Array) -> None:
        """Add episodes (M,) that lie end to end, see :meth:`append`."""
        last = first - 1 + np.cumsum(lengths + 1)
        row = self.episodes.grow(len(lengths))
        facts = {"last": last, "length": lengths, "return": returns, "terminated": terminated}
        for key, fact in facts.items():
            self.episodes.arrays[key][row : row + len(lengths)] = fact
        slots = np.delete(np.arange(first, last[-1] + 1), last - first)
        row = self.steps.grow(len(slots))
        self.steps.arrays["slot"][row : row + len(slots)] = slots

    def drop(self) -> int:
        """Remove the oldest episode and return its number of steps."""
        length = int(self.episodes["length"][0])
        self.steps.drop(length)
        self.episodes.drop(1)
        return length

    def relocate(self, moved: int) -> None:
        """Reduce all slot numbers."""
        for numbers in (self.steps["slot"], self.episodes["last"]):
            numbers -= moved

    def choose(self, chosen: Array, last: Array) -> Index:
        """A copy of some episodes.

        :param chosen: their numbers, ascending
        :param last: indexed by slot, the last slot of its episode
        """
        index = Index(None)
        index.episodes = self.episodes.select(chosen)
        of_chosen = np.isin(last[self.steps["slot"]], self.episodes["last"][chosen])
        index.steps = self.steps.select(np.flatnonzero(of_chosen))
        return index
