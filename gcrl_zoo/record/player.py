"""Run an agent in environments that are wrapped in recorders."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.her import HerReplayBuffer
from tqdm import tqdm

from gcrl_zoo.common.explorers import NoiseLevels
from gcrl_zoo.data.formats.minari import check_spaces
from gcrl_zoo.data.formats.minari_writer import MinariWriter
from gcrl_zoo.data.recorder import Recorder, Recording
from gcrl_zoo.data.spaces import same_values

if TYPE_CHECKING:
    from minari.data_collector import EpisodeBuffer


class Player:
    """
    Steps an agent in E environments.

    With one environment, everything random in an episode follows from the seed of the episode. Several environments
    share a stream of random numbers.

    :param model: the agent; None for random actions
    :param env: E environments
    :param noise: see :func:`gcrl_zoo.record.record`
    :param deterministic: see :func:`gcrl_zoo.record.record`
    :param rng: source of all randomness except the environments'
    """

    def __init__(
        self,
        model: PolicyPredictor | None,
        env: VecEnv,
        noise: float | Sequence[float],
        deterministic: bool,
        rng: np.random.Generator,
    ) -> None:
        self.model, self.env, self.deterministic, self.rng = model, env, deterministic, rng
        self.space = deepcopy(env.action_space)
        self._seed()
        self.noise: NoiseLevels | None = None
        acting = getattr(model, "action_space", self.space)
        if not same_values(acting, self.space):
            raise ValueError(
                f"The agent acts in {acting}, but the environment has {self.space}; use its own environment."
            )
        seen = getattr(model, "observation_space", env.observation_space)
        if not _same_form(seen, env.observation_space):
            raise ValueError(
                f"The agent observes {seen}, but the environment has {env.observation_space}; use its own environment, "
                f"including wrappers."
            )
        if np.any(noise):
            bounded = isinstance(self.space, spaces.Box) and self.space.is_bounded()
            if model is None or not (bounded or isinstance(self.space, spaces.Discrete)):
                where = "random actions" if model is None else str(self.space)
                raise ValueError(
                    f"noise is for an agent's Discrete or bounded Box actions, not for {where}; leave it out."
                )
            try:
                self.noise = NoiseLevels(self.space, rng, noise)
            except ValueError as error:  # its message has the name of our hyperparameter
                raise ValueError(str(error).replace("noise_levels", "noise", 1)) from None

    def episodes(self, recording: Recording) -> Iterator[EpisodeBuffer]:
        """
        Play without end, and return the finished episodes in the order in which they started.

        :param recording: of the environments, see :func:`recorded`
        """
        self.start()
        while True:
            self.step()
            yield from recording.ready()

    def start(self) -> None:
        """Start an episode in each environment."""
        self.observation: Any = self.env.reset()
        self.episode_starts = np.ones(self.env.num_envs, dtype=bool)
        self.memory: tuple[np.ndarray, ...] | None = None

    def step(self) -> None:
        """Take one step in each environment."""
        if len(self.episode_starts) == 1 and self.episode_starts[0]:
            [seed] = self.env.get_attr("episode_seed")
            # The environment draws from the stream of the seed itself.
            self.rng.bit_generator.state = np.random.default_rng([seed, 1]).bit_generator.state
            self._seed()
        self.observation, _, self.episode_starts, _ = self.env.step(self._act())

    def _seed(self) -> None:
        """Seed what draws random actions, but not NumPy's global generator, from which an environment may draw."""
        self.space.seed(int(self.rng.integers(2**31)))
        seed = int(self.rng.integers(2**31))
        random.seed(seed)
        th.manual_seed(seed)

    def _act(self) -> np.ndarray:
        if self.model is None:
            return np.stack([self.space.sample() for _ in range(self.env.num_envs)])
        wanted, self.memory = self.model.predict(
            self.observation, self.memory, self.episode_starts, deterministic=self.deterministic
        )
        if self.noise is None:
            return wanted
        actions = self.noise.perturb(wanted, self.episode_starts)
        # Our own policies with a memory remember what was done, not what they wanted.
        if actions is not wanted and hasattr(getattr(self.model, "policy", None), "remember"):
            self.memory = self.model.policy.remember(self.memory, actions)  # type: ignore[attr-defined]
        return actions


def _same_form(a: spaces.Space[Any], b: spaces.Space[Any]) -> bool:
    """Whether a policy for space ``a`` can observe ``b``. Bounds may differ, as between versions of Gymnasium."""
    if isinstance(a, spaces.Dict) and isinstance(b, spaces.Dict):
        return a.spaces.keys() == b.spaces.keys() and all(_same_form(a[key], b[key]) for key in a.spaces)
    if isinstance(a, spaces.Box) and isinstance(b, spaces.Box):
        return _shape(a) == _shape(b)
    return same_values(a, b)


def _shape(space: spaces.Box) -> tuple[int, ...]:
    if is_image_space(space) and not is_image_space_channels_first(space):  # SB3 transposes these
        return *space.shape[2:], *space.shape[:2]
    return space.shape


def write(
    episodes: Iterator[EpisodeBuffer],
    writer: MinariWriter,
    n_episodes: int | None,
    n_timesteps: int | None,
    progress: bool,
) -> None:
    """Write episodes until there are enough."""
    goal = n_episodes or n_timesteps or 0
    with tqdm(total=goal, unit="episode" if n_episodes else "step", disable=not progress) as bar:
        for episode in episodes:
            writer.add(episode)
            bar.set_postfix(mean_return=f"{writer.total_return / writer.n_episodes:.1f}", refresh=False)
            bar.update(1 if n_episodes else len(episode))
            if (writer.n_episodes if n_episodes else writer.n_steps) >= goal:
                return


def make_env(
    env_id: str,
    n_envs: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None,
) -> VecEnv:
    """
    Create the environments of an id.

    :param env_id: id of the environment
    :param n_envs: number of parallel environments
    :param env_kwargs: arguments of its constructor
    :param wrap: adds wrappers to each environment
    :raises ValueError: its observations or actions cannot be recorded
    """
    spec = gym.spec(env_id)

    # SB3 would enable rendering for an id.
    def make(**kwargs: Any) -> gym.Env[Any, Any]:
        env = spec.make(**kwargs)
        check_spaces(env_id, env.observation_space, env.action_space)  # SB3 cannot vectorise all of them
        return env

    return make_vec_env(make, n_envs, env_kwargs=env_kwargs, wrapper_class=wrap, vec_env_cls=DummyVecEnv)


@contextmanager
def vectorised(env: str | gym.Env[Any, Any] | VecEnv, n_envs: int) -> Iterator[VecEnv]:
    """Provide vectorised environments: close those created here, and freeze the statistics of the user's."""
    if isinstance(env, str):
        made = make_env(env, n_envs)
        try:
            yield made
        finally:
            made.close()
        return
    vec_env = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    learning = [layer for layer in _layers(vec_env) if isinstance(layer, VecNormalize) and layer.training]
    for layer in learning:
        layer.training = False
    try:
        yield vec_env
    finally:
        for layer in learning:
            layer.training = True


@contextmanager
def recorded(env: DummyVecEnv, recording: Recording) -> Iterator[Recording]:
    """Wrap the environments in recorders, inside all ``VecEnv`` wrappers."""
    bare = env.envs
    env.envs = [Recorder(each, recording) for each in bare]
    try:
        yield recording
    finally:
        env.envs = bare


@contextmanager
def interrupted(model: PolicyPredictor | None, played: DummyVecEnv) -> Iterator[None]:
    """Drop the unfinished episodes of an algorithm whose own environments are used."""
    try:
        yield
    finally:
        own = getattr(getattr(model, "env", None), "unwrapped", None)
        if {id(each.unwrapped) for each in getattr(own, "envs", ())} & {id(each.unwrapped) for each in played.envs}:
            model._last_obs = None  # type: ignore[union-attr]  # so that `learn` resets them
            buffer = getattr(model, "replay_buffer", None)
            if isinstance(buffer, HerReplayBuffer):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the warning about exactly this
                    buffer.truncate_last_trajectory()


def _layers(env: VecEnv) -> Iterator[VecEnv]:
    """Yield an environment and all environments that it wraps, from the outside in."""
    yield env
    while isinstance(env, VecEnvWrapper):
        env = env.venv
        yield env


def innermost(env: VecEnv) -> DummyVecEnv:
    *_, innermost = _layers(env)
    if not isinstance(innermost, DummyVecEnv):
        raise ValueError(
            f"Recording needs environments in this process, but those of a {type(innermost).__name__} are in others; "
            f"give a DummyVecEnv."
        )
    return innermost
