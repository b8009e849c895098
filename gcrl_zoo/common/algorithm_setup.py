"""Set-up of an algorithm: its policy, environment, data and replay buffer, behind the methods that SB3 has for them."""

from __future__ import annotations

import pathlib
from typing import IO, Any, ClassVar

from stable_baselines3.common.base_class import BaseAlgorithm, maybe_make_env
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.actions import refuse_unbounded
from gcrl_zoo.common.arguments import accepted_arguments, as_timesteps, check_arguments, plain_train_freq
from gcrl_zoo.common.data_checks import check_store
from gcrl_zoo.common.data_layout import as_own_play, fit_layout, frame_stacks
from gcrl_zoo.common.data_source import DataSource
from gcrl_zoo.common.environments import check_environment, fit_environment
from gcrl_zoo.common.memory_checks import check_batch, check_networks
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.policy_arguments import check_policy_arguments
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.common.run_state import RunState
from gcrl_zoo.common.values import plain
from gcrl_zoo.data.open import as_kept
from gcrl_zoo.data.store import TrajectoryStore

#: Arguments that an instance does not keep under their own names, or that mean something else there.
NOT_KEPT = {"policy", "env", "stats_window_size"}


class AlgorithmSetup(BaseAlgorithm):
    """Checks arguments, environment and data, and builds the policy."""

    needs: ClassVar[Needs] = Needs()
    policy: ConditionedPolicy
    replay_buffer: TrajectoryStore
    dataset: Any
    stream: Any
    own_play: bool | None
    batch_size: int
    buffer_size: float
    train_freq: Any
    max_episode_steps: int | None
    resume: bool
    #: Arguments that were objects, which the zip does not hold: further training needs another decision.
    _left_out: tuple[str, ...] | list[str] = ()
    # Not in the zip:
    _run: RunState
    _data: DataSource

    @property
    def data_needs(self) -> Needs:
        """``needs`` of this agent; override it where they depend on arguments. The policy exists when it is read."""
        return self.needs

    @property
    def plays(self) -> bool:
        """Whether learning steps the environment."""
        return self.dataset is None if self.own_play is None else self.own_play

    def _setup_model(self) -> None:
        """Build the policy. Needs neither env nor data: ``load`` calls it again after it has restored attributes."""
        check_environment(type(self).__name__, self.action_space, self.env)
        self.dataset, self.stream = as_kept(self.dataset), as_kept(self.stream)
        self._check_arguments()
        self.train_freq = plain_train_freq(self.train_freq)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._run, self._data = RunState(self), DataSource(self)
        self.replay_buffer = TrajectoryStore(capacity=int(self.buffer_size))
        observed = {"observation space": self.observation_space, "action space": self.action_space}
        trains = self.env is not None
        check_networks(self._make_policy, self.policy_class, self.policy_kwargs, observed, self.device, trains)
        self.policy = self._make_policy().to(self.device)  # type: ignore[assignment]
        self.policy.make_optimizers(self.lr_schedule)
        self.policy.check_optimizers()

    def _make_policy(self) -> BasePolicy:
        return self.policy_class(self.observation_space, self.action_space, **self.policy_kwargs)

    def _check_arguments(self) -> None:
        """Check all arguments before any network is built; ``load`` may have replaced some."""
        name = type(self).__name__
        values = {each: vars(self)[each] for each in accepted_arguments(type(self)) & vars(self).keys() - NOT_KEPT}
        check_arguments(type(self), values, f"{name} has no hyperparameter")
        vars(self).update(plain(values))
        check_policy_arguments(self.policy_class, self.policy_kwargs, self.action_space, self.device, name)

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        if self.env is None:
            raise ValueError("Training needs an environment, even from a dataset: call `set_env` or load with `env=`.")
        total_timesteps = as_timesteps(total_timesteps)
        check_batch(self.batch_size, self.policy, self.device)
        self._ensure_buffer()
        self._open_data()
        if self.resume:
            self._restore_run()
            reset_num_timesteps, total_timesteps = False, total_timesteps - self.num_timesteps
        if reset_num_timesteps or self._last_obs is None:
            self._run.collector = None  # the environment will be reset
        return super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)

    def _restore_run(self) -> None:
        """Restore the random streams of the checkpoint, since ``load`` has seeded all of them."""
        saved = getattr(self, "_random_streams", None)
        if saved is None:
            raise ValueError("`resume` goes on from a checkpoint: load one with `-i CHECKPOINT.zip` or `load`.")
        self._run.streams.load_state_dict(saved)
        self.resume = False

    # -------------------------------------------------------------- environment

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Check each environment that is given, before SB3 asserts what it needs of it."""
        Roles.of(env.observation_space)  # refuses what SB3 cannot vectorise
        refuse_unbounded(env.action_space)
        return BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)

    def set_env(self, env: GymEnv | str, force_reset: bool = True) -> None:
        """
        Replace the environment for further training.

        :param env: environment or its id
        :param force_reset: reset it before the next training. False continues the unfinished episodes in the same
            environment; another environment must be in the state of the last observation, and new episodes begin there
        :raises ValueError: no environment, or one that is wrapped in a way that the method cannot learn from
        """
        name = type(self).__name__
        if env is None:
            raise ValueError(f"{name}.set_env needs an environment or its id, but got None; an agent acts without one.")
        check_arguments(type(self), {"env": env}, f"{name} has no hyperparameter")
        env = self._wrap_env(maybe_make_env(env, self.verbose), self.verbose)
        check_environment(name, self.action_space, env)
        env = fit_environment(env, self.observation_space, self.action_space)
        old = self.env
        super().set_env(env, force_reset)
        if force_reset or self.env is not old:
            self._run.collector = None

    def _begin_in(self, env: GymEnv | str, force_reset: bool) -> None:
        """Replace the environments of the saved agent, of which there may have been another number."""
        env = self._wrap_env(maybe_make_env(env, self.verbose), self.verbose)
        self.n_envs = env.num_envs
        self.set_env(env, force_reset)
        if self.seed is not None:
            env.seed(self.seed)

    # --------------------------------------------------------------------- data

    def _open_data(self) -> None:
        """Called by the constructor too: a hyperparameter search hides errors of ``learn`` and prunes the trial."""
        if self.env is not None:
            self._data.open()

    def _ensure_buffer(self) -> None:
        """Make an empty buffer if there is none: SB3's users set it to None to free its memory."""
        if getattr(self, "replay_buffer", None) is None:
            self.replay_buffer = TrajectoryStore(capacity=int(self.buffer_size))

    def save_replay_buffer(self, path: str | pathlib.Path | IO[bytes]) -> None:
        """
        Save own play in a file that loads without running code.

        :param path: file or file object
        """
        self._ensure_buffer()
        self.replay_buffer.save(path)

    def load_replay_buffer(self, path: str | pathlib.Path | IO[bytes], truncate_last_traj: bool = True) -> None:
        """
        Replace the replay buffer.

        :param path: file, or file object from where it stands, written by ``save_replay_buffer``
        :param truncate_last_traj: accepted as in SB3, without effect; a store holds finished episodes only
        :raises ValueError: no such file, or of another environment
        """
        store = TrajectoryStore.load(path)
        self._ensure_buffer()
        if not store.n_episodes:  # as saved by a run that learned from a dataset only
            return
        roles = self.policy.roles
        store = fit_layout(store, roles, self.action_space, frame_stacks(self.env, roles))
        check_store(store, roles, self.action_space, self.data_needs, "replay buffer")
        self.replay_buffer = as_own_play(store, roles, self.replay_buffer.capacity)
