"""``TrajectoryAlgorithm``, the parent of all methods: its arguments and the training loop."""

from __future__ import annotations

import os
import warnings
from typing import Annotated, Any, Never, TypeVar

import numpy as np
from annotated_types import Ge, Le, Unit
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback

from gcrl_zoo.common import interrupts
from gcrl_zoo.common.annotations import Allowed
from gcrl_zoo.common.arguments import (
    Count,
    Dataset,
    Device,
    Environment,
    LargeCount,
    LearningRate,
    Options,
    Policy,
    Positive,
    TrainFrequency,
    check_arguments,
    refuse_unknown,
)
from gcrl_zoo.common.augmentation import RandomShift
from gcrl_zoo.common.callback_locals import CallbackLocals
from gcrl_zoo.common.explorers import Levels, NoiseKind, RandomPlay, Rest
from gcrl_zoo.common.learner import Learner
from gcrl_zoo.common.logs import write_logs
from gcrl_zoo.common.memory_checks import check_batch
from gcrl_zoo.common.method_hooks import MethodHooks
from gcrl_zoo.common.own_play import OwnPlay
from gcrl_zoo.common.policy_arguments import choose_policy
from gcrl_zoo.common.values import check, plain

SelfTrajectoryAlgorithm = TypeVar("SelfTrajectoryAlgorithm", bound="TrajectoryAlgorithm")


class TrajectoryAlgorithm(MethodHooks):
    """
    Supervised learning from whole trajectories, as a Stable-Baselines3 algorithm.

    A method is a subclass with a policy and the functions ``make_samplers`` and ``compute_loss`` (and ``phase`` if not
    every sampler is used in every update). With a ``dataset`` it trains offline, with one gradient step per timestep.
    Without one it trains online. With a ``dataset`` and ``own_play=True`` it trains online, and the replay buffer
    starts with the episodes of the dataset.

    :param policy: name or class of a policy
    :param env: environment or its id; None only to load an agent that acts
    :param dataset: trajectories with actions: the id of a Minari or OGBench dataset, a path, a store or a
        ``minari.MinariDataset``
    :param stream: unlabelled trajectories, whose actions are not read; default: the trajectories of the dataset or of
        online interaction, without their actions
    :param own_play: whether the agent collects its own episodes in the environment (online interaction); default: only
        without a dataset
    :param learning_rate: number, or function from the remaining progress (1 to 0) to a number
    :param warmup_steps: updates over which the learning rate rises from zero to its schedule
    :param batch_size: number of samples (steps, pairs or windows) that each sampler draws for an update
    :param random_shift: largest random shift of the images in a training batch, up, down, left and right (DrQ,
        Kostrikov et al. 2021). All images of a row have the same shift; 0 for none
    :param buffer_size: number of observations in the replay buffer; beyond it the oldest episodes are dropped
    :param learning_starts: number of initial steps with uniformly random actions
    :param train_freq: steps of each environment between two rounds of training, or a pair of a number and
        ``"step"`` or ``"episode"``: ``(1, "episode")`` trains after each episode
    :param gradient_steps: number of updates in a round of training; -1 for one per environment step of the round
    :param final_gradient_steps: number of updates after the last online step. They train reinitialised networks on all
        data. The learning rate runs through its schedule again. This avoids the primacy bias of networks that
        first trained on little data (Nikishin et al. 2022)
    :param max_grad_norm: maximum norm of the gradient; None for no clipping
    :param noise_levels: levels of exploration noise; each online episode uses a random one of them, see
        :class:`~gcrl_zoo.common.explorers.NoiseLevels`. A single number is one level for all episodes
    :param noise_kind: noise on ``Box`` actions: ``"gaussian"`` adds noise, ``"uniform"`` independently replaces
        each action dimension; a level is then the probability
    :param noise_hold: mean number of steps for which a random action, or the noise on an action, is repeated
    :param random_rest: probability that a dimension of a random ``Box`` action is 0, or the bound nearest to 0; a list
        has one for each dimension
    :param max_episode_steps: truncates longer online episodes; None for no limit
    :param target_return: target return for acting; default: the highest return in the data
    :param return_scale: divisor of returns; default: the largest return in the data
    :param resume: continue the loaded checkpoint up to the same total number of timesteps
    :param policy_kwargs: arguments of the policy
    :param stats_window_size: number of episodes in the means under ``rollout/``
    :param tensorboard_log: folder for TensorBoard; None for no logs
    :param verbose: 0 for no output, 1 for information, 2 for debugging
    :param seed: seed of all random numbers
    :param device: device of the networks; ``"auto"`` is CUDA if there is a GPU
    :raises ValueError: a value that is not allowed, or data or an environment that the method cannot learn from
    :raises TypeError: unknown argument, with the nearest known one
    """

    def __init__(
        self,
        policy: Policy,
        env: Environment | None = None,
        dataset: Dataset | None = None,
        stream: Dataset | None = None,
        own_play: bool | None = None,
        learning_rate: LearningRate = 3e-4,
        warmup_steps: Annotated[Count, Unit("updates")] = 0,
        batch_size: Annotated[int, Ge(2), Le(1_000_000), Unit("rows")] = 256,
        random_shift: Annotated[int, Ge(0), Le(8192), Unit("pixels")] = 0,
        buffer_size: Annotated[LargeCount, Ge(2), Unit("observations")] = 1_000_000,
        learning_starts: Annotated[LargeCount, Unit("steps")] = 1000,
        train_freq: TrainFrequency = 250,
        gradient_steps: Annotated[int, Ge(-1), Le(10**12), Unit("updates")] = -1,
        final_gradient_steps: Annotated[Count, Unit("updates")] = 0,
        max_grad_norm: Positive | None = 1.0,
        noise_levels: Levels = (0.0, 0.2),
        noise_kind: NoiseKind = "gaussian",
        noise_hold: Annotated[float, Ge(1), Unit("steps")] = 1,
        random_rest: Rest = 0.0,
        max_episode_steps: Annotated[LargeCount, Ge(1), Unit("steps")] | None = None,
        target_return: float | None = None,
        return_scale: Annotated[float, Ge(1e-30)] | None = None,
        resume: bool = False,
        policy_kwargs: Options | None = None,
        stats_window_size: Annotated[int, Ge(1), Le(10**9), Unit("episodes")] = 100,
        tensorboard_log: Annotated[str | os.PathLike, Allowed("the path of a folder")] | None = None,
        verbose: Annotated[int, Ge(0), Le(2)] = 0,
        seed: Annotated[int, Ge(0), Le(2**32 - 1)] | None = None,
        device: Device = "auto",
        _init_setup_model: bool = True,
        **unknown: Never,
    ) -> None:
        message = f"{type(self).__name__} has no hyperparameter"
        refuse_unknown(unknown, type(self), message)
        for_sb3: dict[str, Any] = dict(learning_rate=learning_rate, policy_kwargs=policy_kwargs, verbose=verbose)
        for_sb3 |= dict(stats_window_size=stats_window_size, tensorboard_log=tensorboard_log, seed=seed, device=device)
        # A class, since SB3 would refuse the name "MlpPolicy" for Dict observations.
        policy = choose_policy(type(self), policy)
        check_arguments(type(self), {"policy": policy, "env": env, "resume": resume, **for_sb3}, message)
        if env is None and _init_setup_model:
            raise ValueError(
                f"{type(self).__name__} needs an environment: give one or its id as `env`, or load a saved agent, "
                f"which acts without one, by `{type(self).__name__}.load(path)`."
            )
        super().__init__(policy, env, support_multi_env=True, **{each: plain(given) for each, given in for_sb3.items()})
        self.dataset, self.stream, self.own_play = dataset, stream, own_play
        self.warmup_steps, self.batch_size, self.buffer_size = warmup_steps, batch_size, buffer_size
        self.random_shift = random_shift
        self.learning_starts, self.train_freq, self.gradient_steps = learning_starts, train_freq, gradient_steps
        self.final_gradient_steps = final_gradient_steps
        self.max_grad_norm, self.max_episode_steps = max_grad_norm, max_episode_steps
        self.noise_levels, self.noise_kind = noise_levels, noise_kind
        self.noise_hold, self.random_rest = noise_hold, random_rest
        self.target_return, self.return_scale, self.resume = target_return, return_scale, resume
        if _init_setup_model:
            if resume:
                self._restore_run()  # which refuses: this is no checkpoint
            self._setup_model()
            check_batch(self.batch_size, self.policy, self.device)
            self._open_data()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        RandomPlay(self.action_space, np.random.default_rng(), self.noise_hold, self.random_rest)

    def _setup_model(self) -> None:
        super()._setup_model()
        shift = RandomShift(self.policy.roles.facts_space, self.random_shift) if self.random_shift else None
        self._play, self._learner = OwnPlay(self, self._run), Learner(self, self._run.streams, shift)

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        total_timesteps, callback = super()._setup_learn(*args, **kwargs)
        self._play.start()
        self._learner.logged_at = self.num_timesteps
        return total_timesteps, callback

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_play", "_learner"]

    # -------------------------------------------------------------------- learn

    @interrupts.handled()
    def learn(
        self: SelfTrajectoryAlgorithm,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 1000,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfTrajectoryAlgorithm:
        """
        Train. Ctrl-C and SIGTERM stop training between two updates with a ``KeyboardInterrupt``; the agent can then be
        saved and resumed.

        :param total_timesteps: environment steps of own play, or gradient steps from a dataset
        :param callback: called after each timestep of all environments; each round of own play is a rollout
        :param log_interval: timesteps between two log lines; None for none
        :param tb_log_name: name of the run in TensorBoard; default: the name of the class
        :param reset_num_timesteps: count from zero
        :param progress_bar: show one
        :raises ValueError: ``total_timesteps`` or ``log_interval`` is negative or not a number
        """
        check("log_interval", log_interval, LargeCount | None)
        tb_log_name = tb_log_name or type(self).__name__
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(CallbackLocals(locals(), self.plays), globals())
        while self.num_timesteps < total_timesteps and self._iterate(callback):
            if log_interval is not None and self.num_timesteps - self._learner.logged_at >= log_interval:
                self.dump_logs()
        if self.plays and self._n_updates and self.final_gradient_steps and self.num_timesteps >= total_timesteps:
            self._train_from_scratch(self.final_gradient_steps)
        if log_interval is None:
            self._learner.flush()  # raises if training has diverged since the last log line
        elif self.num_timesteps > self._learner.logged_at or self._learner.has_metrics:
            self.dump_logs()
        if self.plays and self._n_updates == 0:
            why = f"`learning_starts` is {self.learning_starts}"
            if self.num_timesteps >= self.learning_starts:
                why = "no episode ended (see `max_episode_steps`), or `gradient_steps` is 0"
            warnings.warn(f"Nothing was learned in {self.num_timesteps} steps: {why}.", stacklevel=3)
        callback.on_training_end()
        return self

    def _iterate(self, callback: BaseCallback) -> bool:
        """
        One iteration: a round of own play and its updates, or a timestep from a dataset.

        :return: whether to go on
        """
        if self.plays:
            start = self.num_timesteps
            if not self.collect_rollouts(callback):
                return False
            if self.num_timesteps >= self.learning_starts and self.replay_buffer.n_episodes > 0:
                self.train(self.num_timesteps - start if self.gradient_steps < 0 else self.gradient_steps, since=start)
            return True
        # As many updates as environments, since the progress bar, `eval_freq` and checkpoints count environments.
        with interrupts.postponed():
            self.train(self.n_envs)
            self.num_timesteps += self.n_envs
        infos: list[dict[str, Any]] = [{} for _ in range(self.n_envs)]
        callback.update_locals({"self": self, "dones": np.zeros(self.n_envs, dtype=bool), "infos": infos})
        return callback.on_step()

    def collect_rollouts(self, callback: BaseCallback) -> bool:
        """
        Play for ``train_freq``, at most to the end of training.

        :param callback: called at each step, and at the beginning and the end
        :return: whether to go on: False once the callback returned False
        """
        return self._play.collect(callback)

    def train(self, gradient_steps: int, since: int | None = None) -> None:
        """
        Update the networks with the data so far.

        :param gradient_steps: number of updates
        :param since: timestep at which the round began; the learning rate then follows its schedule from there to now,
            so that the last round does not find it at its end
        """
        self._learner.refresh(self._data.labelled, self._data.unlabelled)
        if self._run.n_new_episodes and self._n_updates:
            self._learner.add_heldout_metrics(self.replay_buffer.newest(self._run.n_new_episodes))
        self._run.n_new_episodes = 0
        began = self.num_timesteps if since is None else since
        steps = (began + (self.num_timesteps - began) * step / gradient_steps for step in range(gradient_steps))
        self._learner.update((1 - step / self._total_timesteps for step in steps), self._n_updates)

    def _train_from_scratch(self, gradient_steps: int) -> None:
        """Train again from random weights, with all data."""
        self._learner.reset_weights(self._make_policy)
        self._learner.refresh(self._data.labelled, self._data.unlabelled)
        self._learner.update((1 - step / gradient_steps for step in range(gradient_steps)), 0)

    def dump_logs(self) -> None:
        """Write a log line. Nothing else waits for the device during training."""
        self._learner.logged_at = self.num_timesteps
        write_logs(self, {**self._learner.flush(), **self._learner.train_metrics()})
