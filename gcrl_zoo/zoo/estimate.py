"""Print the estimated duration of a run soon after it starts."""

import time
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback

MIN_SECONDS = 60
LONG = 15 * 60
ENOUGH = 5
SHORTER = (
    "To shorten it, use a smaller network, a smaller batch_size, fewer gradient_steps in a round, or fewer timesteps "
    "(-n)."
)


class TimeEstimate(BaseCallback):
    """
    Print the remaining duration of a run once, if it is more than a minute; beyond ``LONG`` seconds, also how to
    shorten it.

    Online, collecting alternates with updates, so whole rounds are measured: from the end of the first updates to the
    end of later updates, for at least ``enough`` seconds. The updates after the last timestep
    (``final_gradient_steps``) are not included.

    :param verbose: 0 prints nothing
    :param clock: function that returns seconds
    :param enough: minimum number of seconds to measure
    """

    def __init__(self, verbose: int = 1, clock: Callable[[], float] = time.monotonic, enough: float = ENOUGH) -> None:
        super().__init__(verbose)
        self.clock, self.enough = clock, enough
        self.seconds: float | None = None

    def _on_training_start(self) -> None:
        self.updates = self.model._n_updates
        self.begin: tuple[float, int] | None = None
        self.seconds = None

    def _on_step(self) -> bool:
        if self.seconds is None and self.model._n_updates != self.updates:
            self.updates = self.model._n_updates
            self._measure(self.clock(), self.model.num_timesteps)
        return True

    def _measure(self, now: float, timesteps: int) -> None:
        if self.begin is None:
            self.begin = now, timesteps
        elapsed, steps = now - self.begin[0], timesteps - self.begin[1]
        if elapsed < self.enough or not steps:
            return
        self.measured_at, self.seconds = now, (self.model._total_timesteps - timesteps) * elapsed / steps
        if self.verbose and self.seconds > MIN_SECONDS:
            advice = f" {SHORTER}" if self.seconds > LONG else ""
            print(f"At this speed the run takes about {duration(self.seconds)} more.{advice}")


def duration(seconds: float) -> str:
    """
    Format a duration in minutes, hours or days, depending on its length.

    :param seconds: the duration
    """
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return f"{minutes} minutes" if minutes < 100 else f"{hours} hours" if hours < 48 else f"{round(hours / 24)} days"
