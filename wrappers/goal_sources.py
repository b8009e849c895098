"""Goal wrappers: goals from a constant, a box, a dataset, the environment's info, or the task."""

import math
from collections.abc import Mapping, Sequence
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
    Uses the same goal in every episode.

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
        """Return the fixed goal."""
        return self._fixed


class SampledGoal(GoalWrapper):
    """
    Draws a new goal uniformly from a box in each episode.

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
        """Draw a point of the box."""
        return self.np_random.uniform(self._low, self._high)


class DatasetGoal(GoalWrapper):
    """
    Draws a new goal uniformly from the observations of a dataset in each episode, so that goals are reachable.

    Where the environment stacks frames, the dataset may contain single frames.

    :param env: see :class:`GoalWrapper`
    :param dataset: id of a local Minari dataset, a path, or a store (see :func:`gcrl_zoo.data.open_store`)
    :param final: use only final observations of episodes
    :param best: use only this fraction of the episodes, those with the highest return
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
        # Imported late, because no other wrapper needs Minari and h5py.
        from gcrl_zoo.data import open_store
        from gcrl_zoo.data.frame_wrappers import difference_of_frames, has_frames
        from gcrl_zoo.data.recorded_wrappers import describe_wrappers

        dataset = str(dataset) if isinstance(dataset, Path) else dataset  # so that the spec can become JSON
        self._remember(_disable_deepcopy=True, dataset=dataset, final=final, best=best, **kwargs)
        super().__init__(env, **kwargs)
        store = open_store(dataset)
        if self.key not in store.observation_keys:
            raise ValueError(
                f"DatasetGoal takes goals from the observation {self.key!r}, but {store.name} has "
                f"{', '.join(map(repr, store.observation_keys))}; give a dataset of this environment."
            )
        if has_frames(self.goal_space) and (gap := difference_of_frames(store.wrappers, describe_wrappers(env))):
            raise ValueError(f"DatasetGoal cannot use {store.name}: {gap}; give a dataset of this environment.")
        store = self._with_stacks(store)
        self._store = store if best == 1 else store.best(best)
        self._final = final
        self._draw(0)  # raises if the shapes differ

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """Draw an observation of the dataset."""
        store = self._store
        return self._draw(int(self.np_random.integers(store.n_episodes if self._final else store.n_slots)))

    def _with_stacks(self, store: "TrajectoryStore") -> "TrajectoryStore":
        """Stack the frames of a dataset of single frames, as the environment inside of this wrapper does."""
        from gcrl_zoo.data.rows import Stack

        frame = store.take(self.key, store.steps[:1]).shape[1:]
        names = ("stack_size", "padding_type", "padding_value")
        if self._shape[1:] != frame or not all(map(self.env.has_wrapper_attr, names)):
            return store
        size, kind, padding = map(self.env.get_wrapper_attr, names)
        padding = padding[self.key] if isinstance(padding, Mapping) else padding
        return store.stacked({self.key: Stack.of_wrapper(size, kind, padding)})

    def _draw(self, i: int) -> Array:
        """Return the i-th goal; final observations come first."""
        store = self._store
        slot = store.final_slots[i] if i < store.n_episodes else store.steps[i - store.n_episodes]
        return self.achieved_goal_of(store.take(self.key, np.asarray([slot])))[0]


class InfoGoal(GoalWrapper):
    """
    Uses the goal that the environment reports in the info of ``reset``, as OGBench does.

    Success is the environment's own flag for the step. The threshold is used by :meth:`compute_reward`, and for success
    if the environment reports none.

    :param env: see :class:`GoalWrapper`
    :param goal_key: key of the goal in the info of ``reset``; the goal has the form of an observation
    :param success_key: key of the success flag in the info of ``step``
    :param kwargs: of :class:`GoalWrapper`; the default threshold is 0.5, as in OGBench's ant and humanoid mazes
    """

    task_arguments = frozenset({"threshold"})

    def __init__(
        self, env: gym.Env[Any, Any], goal_key: str = "goal", success_key: str = "success", **kwargs: Any
    ) -> None:
        self._remember(goal_key=goal_key, success_key=success_key, **kwargs)
        super().__init__(env, **{"threshold": 0.5, **kwargs})
        self._goal_key, self._success_key = goal_key, success_key

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """Return the goal in the info."""
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
    Sets LunarLander's goal to resting between the flags, so that success at the last step is a landing on the pad.

    The goal has both legs on the ground, but success ignores the legs.

    :param env: ``LunarLander-v3``, with discrete or continuous actions
    :param kwargs: of :class:`FixedGoal`; they override the defaults of this class
    """

    task_arguments = frozenset({"goal", "threshold"})

    def __init__(self, env: gym.Env[Any, Any], **kwargs: Any) -> None:
        self._remember(**kwargs)
        _check_task(self, env, "LunarLander")
        # x, y, their velocities, angle, angular velocity, left and right leg; the flags are at x = -0.2 and 0.2.
        # Success ignores the legs, because their sensors lose contact even when the lander rests on both.
        rest = [0.2, 0.02, 0.02, 0.02, 0.1, 0.02, math.inf, math.inf]
        task = {"goal": [0, 0, 0, 0, 0, 0, 1, 1], "threshold": rest, "indices": list(range(8))}
        super().__init__(env, **{**task, **kwargs})


class Upright(FixedGoal):
    """
    Sets CartPole's goal to centred, upright and at rest. Success means that the pole has not fallen.

    :param env: ``CartPole-v1``
    :param kwargs: of :class:`FixedGoal`; they override the defaults of this class
    """

    task_arguments = frozenset({"goal", "threshold"})

    def __init__(self, env: gym.Env[Any, Any], **kwargs: Any) -> None:
        self._remember(**kwargs)
        _check_task(self, env, "CartPoleEnv")
        # position, velocity, angle, angular velocity; the thresholds are the limits at which CartPole ends the episode
        limits = [2.4, math.inf, math.radians(12), math.inf]
        task = {"goal": [0, 0, 0, 0], "threshold": limits, "indices": list(range(4))}
        super().__init__(env, **{**task, **kwargs})


def _check_task(wrapper: GoalWrapper, env: gym.Env[Any, Any], task: str) -> None:
    """Check the class name of the environment, since importing LunarLander needs Box2D."""
    if task not in (base.__name__ for base in type(env.unwrapped).__mro__):
        raise ValueError(
            f"{type(wrapper).__name__} is for {task}, but got {env}; use FixedGoal for other environments."
        )
