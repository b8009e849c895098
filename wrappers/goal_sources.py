"""Where goals come from: a constant, a box, a dataset, the environment's info, or the task itself."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from gcrl_zoo.wrappers.goal import Array, GoalWrapper

if TYPE_CHECKING:
    from gcrl_zoo.data import TrajectoryStore


class FixedGoal(GoalWrapper):
    """
    Asks for the same goal in every episode.

    :param env: see :class:`GoalWrapper`
    :param goal: (G,) the goal
    :param kwargs: of :class:`GoalWrapper`

    >>> import gymnasium as gym
    >>> from gcrl_zoo.wrappers import FixedGoal
    >>> env = FixedGoal(gym.make("MountainCar-v0"), goal=[0.5], indices=[0], threshold=0.01)
    >>> observation, info = env.reset(seed=0)
    >>> sorted(observation), observation["desired_goal"].item()
    (['achieved_goal', 'desired_goal', 'observation'], 0.5)
    >>> env.step(0)[-1]["is_success"]
    False
    """

    def __init__(self, env: gym.Env[Any, Any], goal: Any, **kwargs: Any) -> None:
        self._remember(goal=goal, **kwargs)
        super().__init__(env, **kwargs)
        self._fixed = self._check_goal("goal", goal)

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """The fixed goal."""
        return self._fixed


class SampledGoal(GoalWrapper):
    """
    Asks for a goal drawn uniformly from a box, anew in each episode.

    :param env: see :class:`GoalWrapper`
    :param low: lower bound of each entry, or one number for all
    :param high: upper bound of each entry, or one number for all
    :param kwargs: of :class:`GoalWrapper`
    """

    def __init__(
        self, env: gym.Env[Any, Any], low: float | Sequence[float], high: float | Sequence[float], **kwargs: Any
    ) -> None:
        self._remember(low=low, high=high, **kwargs)
        super().__init__(env, **kwargs)
        space = self.goal_space
        if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
            raise ValueError(
                f"SampledGoal draws real numbers, but a goal is in {space}; use FixedGoal or DatasetGoal instead."
            )
        self._low, self._high = (
            self._check_goal(what, bound if bound.ndim else np.full(space.shape, bound))
            for what, bound in (("low", self._numbers("low", low)), ("high", self._numbers("high", high)))
        )
        if (self._low > self._high).any():
            raise ValueError(f"SampledGoal got low {low} above high {high}; exchange them.")

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """A point of the box."""
        return self.np_random.uniform(self._low, self._high)


class DatasetGoal(GoalWrapper):
    """
    Asks for what was observed in a dataset: a goal that can be reached, drawn uniformly, anew in each episode.

    :param env: see :class:`GoalWrapper`
    :param dataset: id of a local Minari dataset, a path, or a store (see :func:`gcrl_zoo.data.open_store`)
    :param final: only what was observed at the end of an episode
    :param best: only the episodes of highest return, this fraction of all
    :param kwargs: of :class:`GoalWrapper`
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        dataset: "str | Path | TrajectoryStore",
        final: bool = False,
        best: float = 1.0,
        **kwargs: Any,
    ) -> None:
        from gcrl_zoo.data import open_store  # here, since no other wrapper needs Minari and h5py

        dataset = str(dataset) if isinstance(dataset, Path) else dataset  # a spec can become JSON
        self._remember(_disable_deepcopy=True, dataset=dataset, final=final, best=best, **kwargs)
        super().__init__(env, **kwargs)
        store = open_store(dataset)
        if self.key not in store.observation_keys:
            raise ValueError(
                f"DatasetGoal takes goals from the observation {self.key!r}, but {store.name} has "
                f"{', '.join(map(repr, store.observation_keys))}; give a dataset of this environment."
            )
        self._store = store if best == 1 else store.best(best)
        self._final = final
        self._draw(0)  # raises if the shapes differ

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """An observation of the dataset."""
        store = self._store
        return self._draw(int(self.np_random.integers(store.n_episodes if self._final else store.n_slots)))

    def _draw(self, i: int) -> Array:
        """The i-th goal: final observations come first."""
        store = self._store
        slot = store.final_slots[i] if i < store.n_episodes else store.steps[i - store.n_episodes]
        return self.achieved_goal_of(store.take(self.key, np.asarray([slot])))[0]


class InfoGoal(GoalWrapper):
    """
    Asks for the goal that the environment names in the info of ``reset``, as OGBench does.

    Success is what the environment calls so at this step; the threshold only matters to :meth:`compute_reward`, and
    where the environment says nothing.

    :param env: see :class:`GoalWrapper`
    :param goal_key: where ``reset`` keeps the goal, which looks like an observation
    :param success_key: where ``step`` keeps the success of this step
    :param kwargs: of :class:`GoalWrapper`; the default threshold is 0.5, as in OGBench's mazes of ant and humanoid
    """

    task_arguments = frozenset({"threshold"})

    def __init__(
        self, env: gym.Env[Any, Any], goal_key: str = "goal", success_key: str = "success", **kwargs: Any
    ) -> None:
        self._remember(goal_key=goal_key, success_key=success_key, **kwargs)
        super().__init__(env, **{"threshold": 0.5, **kwargs})
        self._goal_key, self._success_key = goal_key, success_key

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """The goal in the info."""
        if self._goal_key not in info:
            raise ValueError(
                f"InfoGoal found no {self._goal_key!r} in the info that reset returned, only "
                f"{', '.join(map(repr, info)) or 'nothing'}; give its name as goal_key, or use another wrapper."
            )
        return self.achieved_goal_of(info[self._goal_key])

    def _is_success(self, observation: dict[str, Any], info: dict[str, Any]) -> bool:
        return bool(info[self._success_key]) if self._success_key in info else super()._is_success(observation, info)


class LandingPad(FixedGoal):
    """
    LunarLander: at rest between the flags, so that success at the last step is a landing on the pad. The goal has both
    legs down, but success does not ask whether they are.

    :param env: ``LunarLander-v3``, with discrete or continuous actions
    :param kwargs: of :class:`FixedGoal`, where they are to differ
    """

    task_arguments = frozenset({"goal", "threshold"})

    def __init__(self, env: gym.Env[Any, Any], **kwargs: Any) -> None:
        self._remember(**kwargs)
        _check_task(self, env, "LunarLander")
        # x, y, their speeds, angle, its speed, left and right leg; the flags stand at x = -0.2 and 0.2. Success leaves
        # the legs out, whose sensors lose touch even on a lander that rests on both.
        rest = [0.2, 0.02, 0.02, 0.02, 0.1, 0.02, math.inf, math.inf]
        task = {"goal": [0, 0, 0, 0, 0, 0, 1, 1], "threshold": rest, "indices": list(range(8))}
        super().__init__(env, **{**task, **kwargs})


class Upright(FixedGoal):
    """
    CartPole: centred, upright and at rest. Success is not to have fallen, so that of the last step is to have made it.

    :param env: ``CartPole-v1``
    :param kwargs: of :class:`FixedGoal`, where they are to differ
    """

    task_arguments = frozenset({"goal", "threshold"})

    def __init__(self, env: gym.Env[Any, Any], **kwargs: Any) -> None:
        self._remember(**kwargs)
        _check_task(self, env, "CartPoleEnv")
        # position, its speed, angle, its speed; success is within the limits at which CartPole ends the episode
        limits = [2.4, math.inf, math.radians(12), math.inf]
        task = {"goal": [0, 0, 0, 0], "threshold": limits, "indices": list(range(4))}
        super().__init__(env, **{**task, **kwargs})


def _check_task(wrapper: GoalWrapper, env: gym.Env[Any, Any], task: str) -> None:
    """By the name of its class, as importing LunarLander needs Box2D."""
    if task not in (base.__name__ for base in type(env.unwrapped).__mro__):
        raise ValueError(
            f"{type(wrapper).__name__} is for {task}, but got {env}; use FixedGoal for other environments."
        )
