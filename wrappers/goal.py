"""Base class of goal wrappers: selects the goal from an observation and checks whether it is reached."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[Any]

PLAIN = "observation"  # the key of an observation that is not a Dict
ACHIEVED, DESIRED = "achieved_goal", "desired_goal"


class GoalWrapper(gym.Wrapper[dict[str, Any], Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Adds ``achieved_goal`` and ``desired_goal`` to the observation, as in Stable-Baselines3 and gymnasium-robotics.

    The achieved goal is a part of the observation, so every observation can serve as a goal. Subclasses choose the
    desired goal in :meth:`sample_goal`. Each step sets ``info["is_success"]`` to whether the goal is reached at that
    step. An episode that reaches its goal and leaves it again therefore ends without success.

    :param env: any environment without goals; a ``Dict`` observation gets two more keys, any other becomes the key
        ``observation``
    :param threshold: largest distance at which a goal counts as reached: one number for the Euclidean distance, or one
        per entry of the goal, all of which must hold (``.inf`` in YAML ignores an entry)
    :param indices: entries of a vector that form the goal; None for the whole observation, of any kind
    :param key: key of a ``Dict`` observation that the goal is taken from
    :param goal_reward: replace the environment's reward by :meth:`compute_reward`, as SB3's ``HerReplayBuffer`` needs
    :param terminate: end the episode as soon as the goal is reached
    """

    #: Required arguments that the class sets itself.
    task_arguments: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        env: gym.Env[Any, Any],
        threshold: float | Sequence[float],
        indices: Sequence[int] | None = None,
        key: str = PLAIN,
        goal_reward: bool = False,
        terminate: bool = False,
    ) -> None:
        self._remember(threshold=threshold, indices=indices, key=key, goal_reward=goal_reward, terminate=terminate)
        super().__init__(env)
        inner = env.observation_space
        self._keyed = isinstance(inner, spaces.Dict)
        keys = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {PLAIN: inner}
        taken = sorted(keys.keys() & {ACHIEVED, DESIRED})
        if taken:
            raise ValueError(
                f"{self._name} cannot wrap {env}: its observation already has the key {taken[0]!r}; "
                "leave this wrapper out, or use it only once."
            )
        if key not in keys:
            raise ValueError(
                f"{self._name} got the key {key!r}, but the observation of {env} has the keys "
                f"{', '.join(map(repr, keys))}; give one of these as key."
            )
        self.key = key
        self.goal_space = self._part(keys[key], indices)
        self.goal: Array | None = None  # set by reset
        self.goal_reward, self.terminate = goal_reward, terminate
        self._shape = keys[key].shape or ()  # O, of one inner observation
        self._chosen: Any = () if indices is None else (..., list(indices))
        self._axes = tuple(range(-len(self.goal_space.shape or ()), 0))  # those of one goal
        self._threshold = self._check_threshold(threshold)
        self.observation_space = spaces.Dict({**keys, ACHIEVED: self.goal_space, DESIRED: self.goal_space})

    def sample_goal(self, info: dict[str, Any]) -> Array:
        """
        Choose the goal of the next episode. Draw random numbers from ``self.np_random``.

        :param info: info returned by the environment's ``reset``
        :return: (G,)
        """
        raise NotImplementedError

    def achieved_goal_of(self, observation: Any) -> Array:
        """
        Compute the achieved goals of observations, including data that was recorded without this wrapper.

        :param observation: (..., O) observations of the inner environment, or a mapping with them under ``key``
        :return: (..., G)
        :raises ValueError: the observations have another shape
        """
        part = observation[self.key] if isinstance(observation, Mapping) else observation
        values = np.asarray(part, dtype=self.goal_space.dtype)
        if values.shape[values.ndim - len(self._shape) :] != self._shape:
            raise ValueError(
                f"{self._name} takes goals from observations of shape {self._shape}, but got {values.shape}; "
                "give observations as the environment inside the wrapper returns them."
            )
        return values[self._chosen]

    def reached(self, achieved_goal: Any, desired_goal: Any) -> npt.NDArray[np.bool_]:
        """
        Check whether each goal is reached.

        :param achieved_goal: (..., G)
        :param desired_goal: (..., G)
        :return: (...)
        """
        gaps = np.abs(np.subtract(achieved_goal, desired_goal, dtype=np.float64))
        if self._threshold.ndim:
            return np.asarray((gaps <= self._threshold).all(self._axes))
        return np.asarray(np.sqrt(np.square(gaps).sum(self._axes)) <= self._threshold)

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """
        Compute the sparse reward of the Fetch environments: 0 if the goal is reached, else -1.

        :param achieved_goal: (..., G)
        :param desired_goal: (..., G)
        :param info: unused
        :return: (...) float32
        """
        return self.reached(achieved_goal, desired_goal).astype(np.float32) - np.float32(1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode with a new goal.

        :param seed: seed of the environment, and with it of the goal
        :param options: options of the environment
        :return: observation and info
        """
        observation, info = self.env.reset(seed=seed, options=options)
        self.goal = np.asarray(self.sample_goal(info), dtype=self.goal_space.dtype)
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """
        Take a step and check whether the goal is reached.

        :param action: action of the environment
        :return: observation, reward, terminated, truncated and info
        """
        inner, reward, terminated, truncated, info = self.env.step(action)
        observation = self._observe(inner)
        if self.goal_reward:
            reward = float(self.compute_reward(observation[ACHIEVED], observation[DESIRED], info))
        success = self._is_success(observation, info)
        return (
            observation,
            reward,
            terminated or (self.terminate and success),
            truncated,
            {**info, "is_success": success},
        )

    def _is_success(self, observation: dict[str, Any], info: dict[str, Any]) -> bool:
        return bool(self.reached(observation[ACHIEVED], observation[DESIRED]))

    def _observe(self, inner: Any) -> dict[str, Any]:
        assert self.goal is not None, "reset comes first"
        keys = inner if self._keyed else {PLAIN: inner}
        return {**keys, ACHIEVED: self.achieved_goal_of(inner), DESIRED: self.goal.copy()[()]}

    def _remember(self, **kwargs: Any) -> None:
        """Record the constructor's arguments for the spec, in a form that JSON can hold."""
        gym.utils.RecordConstructorArgs.__init__(self, **plain(kwargs))

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _part(self, whole: spaces.Space[Any], indices: Sequence[int] | None) -> spaces.Space[Any]:
        """Return the space of goals."""
        if not isinstance(whole, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
            advice = (
                "flatten it with gymnasium.wrappers.FlattenObservation."
                if self.env.observation_space.is_np_flattenable
                else "convert it to a Box of fixed size with your own gymnasium.ObservationWrapper."
            )
            raise ValueError(
                f"{self._name} cannot take goals from an observation that is a {type(whole).__name__} space; {advice}"
            )
        if indices is None:
            return whole
        if not isinstance(whole, spaces.Box) or len(whole.shape) != 1:
            raise ValueError(
                f"{self._name} got indices, which choose entries of a vector, but the observation is {whole}; "
                "leave them out."
            )
        chosen, size = self._numbers("indices", indices), len(whole.low)
        if chosen.ndim != 1 or chosen.dtype.kind != "i" or not np.isin(chosen, range(size)).all():
            raise ValueError(
                f"{self._name} got indices {indices}, but the observation has the entries 0 to {size - 1}; "
                "give a list of some of these."
            )
        return spaces.Box(whole.low[chosen], whole.high[chosen], dtype=whole.dtype.type)

    def _numbers(self, what: str, value: Any) -> Array:
        try:
            numbers = np.asarray(value)
        except ValueError:  # lists of different lengths
            numbers = np.asarray(None)
        if numbers.dtype.kind not in "biuf":
            raise ValueError(f"{self._name} got the {what} {value!r}; give a number, or a list of them.")
        return numbers

    def _check_threshold(self, threshold: float | Sequence[float]) -> Array:
        values = self._numbers("threshold", threshold).astype(np.float64)
        if values.shape not in ((), self.goal_space.shape) or not (values >= 0).all():
            raise ValueError(
                f"{self._name} got the threshold {threshold}; give one number that is not negative, "
                f"or one for each entry of a goal, whose shape is {self.goal_space.shape}."
            )
        return values

    def _check_goal(self, what: str, value: Any) -> Array:
        """Convert a goal given by the user to an array of the goal space, or raise."""
        goal = self._numbers(what, value)
        if goal.shape != self.goal_space.shape:
            raise ValueError(
                f"{self._name} got the {what} {value} of shape {goal.shape}, but a goal has the shape "
                f"{self.goal_space.shape}; give as many numbers as that, or choose others with indices."
            )
        if not np.isfinite(goal).all():
            raise ValueError(
                f"{self._name} got the {what} {value}, which can never be observed: it is not finite; "
                "choose one that is."
            )
        cast = goal.astype(self.goal_space.dtype)
        # The cast would round a fraction of a discrete goal.
        if not self.goal_space.contains(cast) or not np.allclose(cast, goal):
            raise ValueError(
                f"{self._name} got the {what} {value}, which can never be observed: it is not in {self.goal_space}; "
                "choose one that is."
            )
        return cast


def plain(value: Any) -> Any:
    """Convert NumPy values and tuples to Python's numbers and lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value
