"""The one training loop: from a dataset, from own play, or from both."""

from __future__ import annotations

import inspect
import os
import warnings
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Never, TypeAlias, TypeVar

import numpy as np
import torch as th
from annotated_types import Ge, Le, Unit
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import should_collect_more_steps, update_learning_rate
from torch import Tensor

from gcrl_zoo.common import interrupts
from gcrl_zoo.common.annotations import Allowed
from gcrl_zoo.common.arguments import (
    Count,
    Device,
    Environment,
    LargeCount,
    LearningRate,
    Options,
    Policy,
    Positive,
    accepted_arguments,
    check_arguments,
    refuse_unknown,
)
from gcrl_zoo.common.callback_locals import CallbackLocals
from gcrl_zoo.common.collector import Collector, Step
from gcrl_zoo.common.data_checks import check_store
from gcrl_zoo.common.data_layout import as_own_play, fit_layout, with_achieved_goals
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.explorers import Explorer, Levels, NoiseLevels, RandomPlay
from gcrl_zoo.common.learner import Updater
from gcrl_zoo.common.logs import record_rollouts, record_time
from gcrl_zoo.common.memory_checks import check_batch, check_networks
from gcrl_zoo.common.needs import Needs, check_commands, check_environment, check_room
from gcrl_zoo.common.optimizers import metric_of
from gcrl_zoo.common.play_length import TrainFrequency, as_timesteps, as_train_freq, plain_train_freq
from gcrl_zoo.common.policy_arguments import check_policy_arguments, choose_policy
from gcrl_zoo.common.run_state import RandomStreams
from gcrl_zoo.common.saving import SavedAlgorithm
from gcrl_zoo.common.values import check, plain
from gcrl_zoo.data.episode import Episode
from gcrl_zoo.data.open import as_kept, is_source, open_store
from gcrl_zoo.data.samplers import Sampler
from gcrl_zoo.data.store import TrajectoryStore

SelfTrajectoryAlgorithm = TypeVar("SelfTrajectoryAlgorithm", bound="TrajectoryAlgorithm")
if TYPE_CHECKING:
    from minari import MinariDataset

    Dataset: TypeAlias = str | os.PathLike[str] | TrajectoryStore | MinariDataset
else:  # without Minari, which takes long to import
    _SOURCES = "the id of a Minari or OGBench dataset, a path, a TrajectoryStore or a minari.MinariDataset"
    Dataset = Annotated[object, Allowed(_SOURCES, is_source)]


#: Arguments that an instance does not keep under their own names, or that mean something else there.
NOT_KEPT = {"policy", "env", "stats_window_size"}
#: Returns up to this size are rounding errors of zero, and give no scale.
NO_RETURN = 1e-6


@dataclass
class Runtime:
    """State of the process. It is never saved, and everything in it can be rebuilt."""

    streams: RandomStreams
    dataset: TrajectoryStore | None = None
    stream: TrajectoryStore | None = None
    random_play: Explorer | None = None
    explorer: Explorer | None = None
    collector: Collector | None = None
    updater: Updater | None = None
    samplers: dict[str, Sampler] = field(default_factory=dict)
    #: By argument: what the store was made of, and for which environment; and the store.
    opened: dict[str, tuple[tuple[Any, ...], TrajectoryStore]] = field(default_factory=dict)
    samplers_state: tuple[Any, ...] = ()
    last_batches: dict[str, Any] = field(default_factory=dict)
    last_dump: int = 0
    #: Number of episodes of own play that no update has used yet.
    fresh: int = 0


class TrajectoryAlgorithm(SavedAlgorithm):
    """
    Supervised learning from whole trajectories, as a Stable-Baselines3 algorithm.

    A method is a subclass with three functions (``make_samplers``, ``compute_loss``, and ``phase`` where not every
    sampler feeds every update) and a policy. The data decides how it learns: with a ``dataset`` offline, one
    gradient step a timestep; without one from its own play; with both when ``own_play`` is set, own play starting
    from the dataset's episodes.

    :param policy: name or class of a policy
    :param env: environment or its id; None only to load an agent that acts
    :param dataset: trajectories with actions: the id of a Minari or OGBench dataset, a path, a store or a
        ``minari.MinariDataset``
    :param stream: trajectories whose actions are not read; default: those of the dataset or of own play
    :param own_play: whether the agent learns from its own play; default: only without a dataset
    :param learning_rate: number, or function from the remaining progress (1 to 0) to a number
    :param warmup_steps: updates over which the learning rate rises from zero to its schedule
    :param batch_size: rows that each sampler draws for an update
    :param buffer_size: observations of own play to keep; beyond it the oldest episodes are dropped
    :param learning_starts: steps of uniformly random play at first
    :param train_freq: steps of each environment between two rounds of training, or a pair of a number and
        ``"step"`` or ``"episode"``: ``(1, "episode")`` trains after each episode
    :param gradient_steps: updates in a round of training; -1 for one per environment step of the round
    :param final_gradient_steps: updates after own play, of networks that start again from random weights and learn
        from all of it; the learning rate runs through its schedule once more. Networks hold on to what they learned
        first from little data (the primacy bias of Nikishin et al. 2022)
    :param max_grad_norm: clips gradients to this norm; None for no clipping
    :param noise_levels: each episode of own play has one of these levels of noise, see
        :class:`~gcrl_zoo.common.explorers.NoiseLevels`; a number is a list of one
    :param noise_hold: mean number of steps for which a random action, or the noise on an action, stays the same
    :param max_episode_steps: cuts longer episodes of own play; None for no limit
    :param target_return: return that acting asks for; default: the highest in the data
    :param return_scale: returns are divided by it; default: the largest in the data
    :param resume: continue the loaded checkpoint up to the same total number of timesteps
    :param policy_kwargs: arguments of the policy
    :param stats_window_size: episodes that the means under ``rollout/`` cover
    :param tensorboard_log: folder for TensorBoard; None for no logs
    :param verbose: 0 for no output, 1 for information, 2 for debugging
    :param seed: of all random numbers
    :param device: of the networks; ``"auto"`` is CUDA where there is a GPU
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
        buffer_size: Annotated[LargeCount, Ge(2), Unit("observations")] = 1_000_000,
        learning_starts: Annotated[LargeCount, Unit("steps")] = 1000,
        train_freq: TrainFrequency = 250,
        gradient_steps: Annotated[int, Ge(-1), Le(10**12), Unit("updates")] = -1,
        final_gradient_steps: Annotated[Count, Unit("updates")] = 0,
        max_grad_norm: Positive | None = 1.0,
        noise_levels: Levels = (0.0, 0.2),
        noise_hold: Annotated[float, Ge(1), Unit("steps")] = 1,
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
        self.learning_starts, self.train_freq, self.gradient_steps = learning_starts, train_freq, gradient_steps
        self.final_gradient_steps = final_gradient_steps
        self.max_grad_norm, self.max_episode_steps = max_grad_norm, max_episode_steps
        self.noise_levels, self.noise_hold = noise_levels, noise_hold
        self.target_return, self.return_scale, self.resume = target_return, return_scale, resume
        if _init_setup_model:
            if resume:
                self._restore_run()  # which refuses: this is no checkpoint
            self._setup_model()
            check_batch(self.batch_size, self.policy, self.device)
            self._open_data()

    # ---------------------------------------------------- a method is these ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """SB3's aliases stand for the class that the annotation ``policy`` of a method names."""
        super().__init_subclass__(**kwargs)
        policy: Any = inspect.get_annotations(cls, eval_str=True).get("policy")
        if policy is not None:
            cls.policy_aliases = dict.fromkeys(("MlpPolicy", "CnnPolicy", "MultiInputPolicy"), policy)

    @abstractmethod
    def make_samplers(self, labelled: TrajectoryStore, unlabelled: TrajectoryStore) -> dict[str, Sampler]:
        """
        Called again whenever the data has grown.

        :param labelled: trajectories with actions: own play or dataset
        :param unlabelled: trajectories without actions: the stream, or ``labelled`` with its actions hidden
        :return: sampler by name
        """

    @abstractmethod
    def compute_loss(self, batches: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """
        :param batches: batch, on the device, of each sampler in the current phase
        :return: scalar loss, and scalars to log under ``train/``
        """

    def phase(self, update: int) -> Collection[str]:
        """
        :param update: number of updates so far
        :return: names of the samplers that feed this update
        """
        return self._runtime.samplers

    def after_update(self) -> None:
        """
        Called after each optimizer step, in training's random stream: move a target network towards its source here,
        under ``torch.no_grad()``. Networks that change here must be part of the policy, which saves them.
        """

    def update_context(self) -> AbstractContextManager[None]:
        """Return a context for updates, such as autocast, which changes settings of torch in it only."""
        return nullcontext()

    def train_metrics(self, batches: dict[str, Any]) -> dict[str, Tensor]:
        """
        Compute metrics that are too expensive for each update. Called, without gradients, when metrics are logged.

        :param batches: of the last update
        :return: scalars to log under ``train/``
        """
        return {}

    def heldout_metrics(self, fresh: TrajectoryStore) -> dict[str, Tensor]:
        """
        Compute metrics on new episodes before training uses them, when they are still held-out data. Called, without
        gradients, before each round of training except the first.

        :param fresh: the episodes played since the last round
        :return: scalars to log under ``train/``
        """
        return {}

    # ------------------------------------------------------------------- set-up

    @property
    def plays(self) -> bool:
        """Whether learning steps the environment."""
        return self.dataset is None if self.own_play is None else self.own_play

    def _setup_model(self) -> None:
        """Idempotent, and needs neither env nor data: ``load`` calls it after it has restored the attributes."""
        check_environment(type(self).__name__, self.action_space, self.env)
        self.dataset, self.stream = as_kept(self.dataset), as_kept(self.stream)
        self._check_arguments()
        self.train_freq = plain_train_freq(self.train_freq)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._runtime = Runtime(RandomStreams(self.seed, self.device))
        self.replay_buffer = TrajectoryStore(capacity=int(self.buffer_size))
        seen = {"observation space": self.observation_space, "action space": self.action_space}
        trains = self.env is not None
        check_networks(self._make_policy, self.policy_class, self.policy_kwargs, seen, self.device, trains)
        self.policy = self._make_policy().to(self.device)  # type: ignore[assignment]
        self.policy.make_optimizers(self.lr_schedule)
        self.policy.check_optimizers()
        self._runtime.updater = Updater(self.policy, self.max_grad_norm)

    def _make_policy(self) -> BasePolicy:
        return self.policy_class(self.observation_space, self.action_space, **self.policy_kwargs)

    def _check_arguments(self) -> None:
        """Before any network is built, and again when ``load`` has replaced some."""
        name = type(self).__name__
        kept = {each: vars(self)[each] for each in accepted_arguments(type(self)) & vars(self).keys() - NOT_KEPT}
        check_arguments(type(self), kept, f"{name} has no hyperparameter")
        vars(self).update(plain(kept))
        check_policy_arguments(self.policy_class, self.policy_kwargs, self.action_space, self.device, name)

    def _open_data(self) -> None:
        """Called in the constructor, since a search prunes the trials whose error comes from ``learn``."""
        if self.env is None:
            return
        runtime, needs = self._runtime, self.data_needs
        check_commands(type(self).__name__, needs, self.observation_space)
        # A replay buffer with episodes has taken the dataset over, now or before it was saved and loaded.
        taken_over = self.plays and self.replay_buffer.n_episodes > 0
        runtime.dataset = None if taken_over else self._open("dataset", needs)
        if runtime.dataset is not None and self.plays:
            capacity = max(int(self.buffer_size), runtime.dataset.n_slots)
            self.replay_buffer = as_own_play(runtime.dataset, self.policy.roles, capacity)
            runtime.dataset = None  # two copies of images may not fit into memory
            del runtime.opened["dataset"]
        if self.stream is not None and not needs.stream:
            raise ValueError(f"{type(self).__name__} learns from actions and cannot use a `stream`; remove it.")
        runtime.stream = self._open("stream", needs._replace(actions=False))
        if self.plays:
            check_room(self.env, self.replay_buffer.capacity, self.max_episode_steps)
        for name in self._left_out:
            if getattr(self, name) is None:
                raise ValueError(
                    f"This agent learned from a `{name}` handed over as an object, which is not saved with it: "
                    f"load it with `{name}=`, or with `{name}=None` to go on without."
                )
        if self.dataset is None and not self.plays:
            raise ValueError("Nothing to learn from: give a `dataset`, or set `own_play: true`.")

    def _open(self, argument: str, needs: Needs) -> TrajectoryStore | None:
        """As the environment shows it; anew in another one, and when a store that was handed over has grown."""
        source: Dataset | None = getattr(self, argument)
        if source is None:
            return None
        assert self.env is not None
        grown = source.version if isinstance(source, TrajectoryStore) else getattr(source, "total_episodes", None)
        state = source, grown, self.env
        opened = self._runtime.opened
        if argument not in opened or opened[argument][0] != state:
            store = open_store(source, keep=argument == "stream" or not self.plays)
            store = fit_layout(store, self.policy.roles, self.action_space if needs.actions else None)
            store = with_achieved_goals(store, self.policy.roles, self.env, argument)
            check_store(store, self.policy.roles, self.action_space, needs, argument)
            opened[argument] = state, store
        return opened[argument][1]

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
        resets = reset_num_timesteps or self._last_obs is None
        total_timesteps, callback = super()._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        if resets or self._runtime.collector is None:
            self._runtime.collector = Collector(self.env, self.policy, self.max_episode_steps)
            self._runtime.collector.start(self._last_obs)
        self._runtime.last_dump = self.num_timesteps
        return total_timesteps, callback

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
        advance = self._play if self.plays else self._study
        while self.num_timesteps < total_timesteps and advance(callback):
            if log_interval is not None and self.num_timesteps - self._runtime.last_dump >= log_interval:
                self.dump_logs()
        stopped = self.num_timesteps < total_timesteps
        if self.plays and self._n_updates and self.final_gradient_steps and not stopped:
            self._learn_anew()
        self._finish_logs(log_interval)
        if self.plays and self._n_updates == 0:
            why = f"`learning_starts` is {self.learning_starts}"
            if self.num_timesteps >= self.learning_starts:
                why = "no episode ended (see `max_episode_steps`), or `gradient_steps` is 0"
            warnings.warn(f"Nothing was learned in {self.num_timesteps} steps: {why}.", stacklevel=3)
        callback.on_training_end()
        return self

    def _study(self, callback: BaseCallback) -> bool:
        """
        A timestep from a dataset: as many updates as there are environments, so that the progress bar, ``eval_freq``
        and checkpoints, which all count environments, agree.

        :return: whether to go on
        """
        with interrupts.postponed():
            self.train(self.n_envs)
            self.num_timesteps += self.n_envs
        infos: list[dict[str, Any]] = [{} for _ in range(self.n_envs)]
        callback.update_locals({"self": self, "dones": np.zeros(self.n_envs, dtype=bool), "infos": infos})
        return callback.on_step()

    def _play(self, callback: BaseCallback) -> bool:
        """
        A round of own play: a rollout, then updates.

        :return: whether to go on
        """
        start = self.num_timesteps
        if not self.collect_rollouts(callback):
            return False
        if self.num_timesteps >= self.learning_starts and self.replay_buffer.n_episodes > 0:
            self.train(self.num_timesteps - start if self.gradient_steps < 0 else self.gradient_steps, since=start)
        return True

    def collect_rollouts(self, callback: BaseCallback) -> bool:
        """
        Play for ``train_freq``, at most to the end of training.

        :param callback: called at each step, and at the beginning and the end; finds the variables of SB3's off-policy
            algorithms in ``self.locals``
        :return: whether to go on: False once the callback returned False
        """
        train_freq, n_steps, n_episodes = as_train_freq(self.train_freq), 0, 0
        given = {"self": self, "env": self.env, "replay_buffer": self.replay_buffer, "train_freq": train_freq}
        self.policy.set_training_mode(False)
        explorer = self._explorer()
        callback.on_rollout_start()
        while self.num_timesteps < self._total_timesteps and should_collect_more_steps(train_freq, n_steps, n_episodes):
            with interrupts.postponed():
                step = self._step(explorer)
            n_steps += 1
            n_episodes += len(step.episodes)
            collected = {"num_collected_steps": n_steps, "num_collected_episodes": n_episodes}
            callback.update_locals({**given, **collected, **step._asdict()})
            if not callback.on_step():
                return False
        callback.on_rollout_end()
        return True

    def _step(self, explorer: Explorer) -> Step:
        """Step all environments; count the step and keep the episodes that it finished."""
        assert self._runtime.collector is not None
        with self._runtime.streams.torch_stream():
            step = self._runtime.collector.step(explorer)
        self.num_timesteps += self.n_envs
        self._last_obs, self._last_episode_starts = step.new_obs, step.dones
        self._update_info_buffer(step.infos, step.dones)
        for episode in step.episodes:
            self._keep(episode)
        self._episode_num += len(step.episodes)
        return step

    def _keep(self, episode: Episode) -> None:
        """Own play that began with a dataset without rewards goes on without."""
        buffer = self.replay_buffer
        rewarded = buffer.has_rewards or not buffer.n_episodes
        buffer.append(episode if rewarded else replace(episode, rewards=None))
        self._runtime.fresh += 1

    def make_explorer(self) -> Explorer:
        """How own play differs from acting, once random play is over."""
        return NoiseLevels(self.action_space, self._runtime.streams.numpy, self.noise_levels, self.noise_hold)

    def _explorer(self) -> Explorer:
        if self.num_timesteps < self.learning_starts and self._n_updates == 0:
            if self._runtime.random_play is None:
                self._runtime.random_play = RandomPlay(self.action_space, self._runtime.streams.numpy, self.noise_hold)
            return self._runtime.random_play
        if self._runtime.explorer is None:
            self._runtime.explorer = self.make_explorer()
        return self._runtime.explorer

    # -------------------------------------------------------------------- train

    def train(self, gradient_steps: int, since: int | None = None) -> None:
        """
        :param gradient_steps: number of updates
        :param since: timestep at which the round began; the learning rate then follows its schedule from there to now,
            so that the last round does not find it at its end
        """
        runtime = self._runtime
        assert runtime.updater is not None
        self._refresh_samplers()
        if runtime.fresh and self._n_updates:
            with self._isolated_rng():
                runtime.updater.note(self.heldout_metrics(self.replay_buffer.newest(runtime.fresh)))
        runtime.fresh = 0
        began = self.num_timesteps if since is None else since
        steps = (began + (self.num_timesteps - began) * step / gradient_steps for step in range(gradient_steps))
        self._update((1 - step / self._total_timesteps for step in steps), self._n_updates)

    def _learn_anew(self) -> None:
        """Train again from random weights, in the same parameters; statistics are buffers, and stay."""
        with interrupts.postponed(), self._runtime.streams.torch_stream(), th.no_grad():
            new = self._make_policy()
            for old, fresh in zip(self.policy.parameters(), new.parameters(), strict=True):
                old.copy_(fresh)
            for optimizer in self.policy.optimizers.values():
                optimizer.state.clear()
        self._refresh_samplers()
        self._update((1 - step / self.final_gradient_steps for step in range(self.final_gradient_steps)), 0)

    def _update(self, progress: Iterable[float], since_start: int) -> None:
        """
        :param progress: for each update, the part that remains of the learning rate's schedule
        :param since_start: updates that the networks have behind them
        """
        self.policy.set_training_mode(True)  # acting leaves it in evaluation mode
        with self._runtime.streams.torch_stream(), self.update_context():
            for update, left in enumerate(progress, since_start):
                with interrupts.postponed():
                    self._update_once(left, update)

    def _update_once(self, progress_remaining: float, update: int) -> None:
        runtime = self._runtime
        assert runtime.updater is not None
        self._set_learning_rate(progress_remaining, update)
        batches = {name: self._batch(runtime.samplers[name]) for name in self.phase(update)}
        runtime.updater.step(*self.compute_loss(batches))
        self._n_updates += 1
        self.after_update()
        runtime.last_batches.update(batches)  # a phase may leave some out

    def _batch(self, sampler: Sampler) -> Any:
        return to_tensors(sampler.gather(sampler.draw(self._runtime.streams.numpy, self.batch_size)), self.device)

    def _refresh_samplers(self) -> None:
        runtime = self._runtime
        labelled = self.replay_buffer if self.plays else runtime.dataset
        assert labelled is not None
        source = labelled if runtime.stream is None else runtime.stream
        # The stores as well: another one may have the version of the one before.
        state = labelled, source, labelled.version, source.version
        if runtime.samplers and runtime.samplers_state == state:
            return
        unlabelled = source.unlabelled()
        if self._n_updates == 0:
            self.fit_statistics(unlabelled)
        self.policy.set_target_return(self.choose_target(unlabelled))
        runtime.samplers = self.make_samplers(labelled, unlabelled)
        runtime.samplers_state = state
        runtime.last_batches = {}

    def fit_statistics(self, unlabelled: TrajectoryStore) -> None:
        """
        Once, before the first update; frozen from then on.

        :param unlabelled: as for ``make_samplers``
        """
        self.policy.fit_statistics(unlabelled)
        scale = self.return_scale
        if scale is None:
            largest = float(np.abs(unlabelled.returns).max())
            scale = largest if largest > NO_RETURN else 1.0
        self.policy.set_return_scale(scale)

    def choose_target(self, unlabelled: TrajectoryStore) -> float:
        """
        :param unlabelled: the trajectories to do as well as
        :return: return to ask for when acting, in the environment's units
        """
        return float(unlabelled.returns.max()) if self.target_return is None else self.target_return

    def _set_learning_rate(self, progress_remaining: float, update: int) -> None:
        # The last step of several environments may lie beyond the end.
        self._current_progress_remaining = max(0.0, progress_remaining)
        rate = self.lr_schedule(self._current_progress_remaining)
        if update < self.warmup_steps:
            rate *= (update + 1) / self.warmup_steps
        for name, each in self.policy.learning_rates(rate).items():
            update_learning_rate(getattr(self.policy, name), each)
            self.logger.record(f"train/{metric_of('learning_rate', name)}", each)

    # ---------------------------------------------------------------------- log

    def _finish_logs(self, log_interval: int | None) -> None:
        """What came after the last log line; a run that diverged there must not end as if it had not."""
        assert self._runtime.updater is not None
        if log_interval is None:
            self._runtime.updater.flush()
        elif self.num_timesteps > self._runtime.last_dump or self._runtime.updater.has_notes:
            self.dump_logs()

    def dump_logs(self) -> None:
        """Write ``rollout/``, ``time/`` and ``train/``; the only place in training that waits for the device."""
        runtime, record = self._runtime, self.logger.record
        assert runtime.updater is not None
        runtime.last_dump = self.num_timesteps
        record_rollouts(self)
        record_time(self)
        for name, value in {**runtime.updater.flush(), **self._diagnoses()}.items():
            record(f"train/{name}", value)
        if self._n_updates:
            record("train/n_updates", self._n_updates, exclude="tensorboard")
            if self.data_needs.rewards:
                record("train/target_return", self.policy.target_return.item())
        self.logger.dump(step=self.num_timesteps)

    def _diagnoses(self) -> dict[str, float]:
        if not self._runtime.last_batches:
            return {}
        with self._isolated_rng():
            return {name: value.item() for name, value in self.train_metrics(self._runtime.last_batches).items()}

    @contextmanager
    def _isolated_rng(self) -> Iterator[None]:
        """Disable gradients and use a separate random stream, so that logging does not affect training."""
        with th.no_grad(), RandomStreams(self._n_updates, self.device).torch_stream():
            yield
