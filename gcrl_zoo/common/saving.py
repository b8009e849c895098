"""Saving, loading and resuming: what a zip holds, and how a run goes on."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterable
from typing import IO, Any, ClassVar, TypeVar

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm, maybe_make_env
from stable_baselines3.common.type_aliases import GymEnv, TensorDict
from stable_baselines3.common.vec_env import VecEnv

from gcrl_zoo.common.actions import refuse_unbounded
from gcrl_zoo.common.arguments import check_arguments
from gcrl_zoo.common.data_checks import check_store
from gcrl_zoo.common.data_layout import as_own_play, fit_layout
from gcrl_zoo.common.environments import fit_environment
from gcrl_zoo.common.needs import Needs, check_environment
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.policy_arguments import UnfitPolicy
from gcrl_zoo.common.roles import Roles
from gcrl_zoo.common.run_state import RandomStreams
from gcrl_zoo.common.saved_files import OF_AGENTS, check_file, reading_agent, setting_weights
from gcrl_zoo.data.open import is_handed_over
from gcrl_zoo.data.store import TrajectoryStore
from gcrl_zoo.data.whole_file import whole_file

SelfSavedAlgorithm = TypeVar("SelfSavedAlgorithm", bound="SavedAlgorithm")


class SavedAlgorithm(BaseAlgorithm):
    """
    An agent's zip holds weights, statistics, arguments and the state of the run, and never any data.
    """

    needs: ClassVar[Needs] = Needs()
    #: Arguments that are buffers of the policy, too: given to ``load``, they replace what was saved there.
    policy_buffers: ClassVar[tuple[str, ...]] = ("target_return", "return_scale")
    policy: ConditionedPolicy
    replay_buffer: TrajectoryStore
    buffer_size: float
    dataset: Any
    own_play: bool | None
    resume: bool
    #: Arguments that were objects, which the zip does not hold: learning on needs another decision.
    _left_out: tuple[str, ...] | list[str] = ()
    #: Not part of the zip; see :class:`~gcrl_zoo.common.trajectory_algorithm.Runtime`.
    _runtime: Any

    @property
    def data_needs(self) -> Needs:
        """``needs`` of this agent; override it where they depend on arguments. The policy exists when it is read."""
        return self.needs

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """Each environment that is given passes here, before SB3 asserts what it needs of it."""
        Roles.of(env.observation_space)  # refuses what SB3 cannot vectorise
        refuse_unbounded(env.action_space)
        return BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)

    def _excluded_save_params(self) -> list[str]:
        # An object handed over as an argument would be pickled into the zip whole; an id or a path is kept.
        return [*super()._excluded_save_params(), "_runtime", *self._handed_over()]

    def _handed_over(self) -> list[str]:
        return [name for name in ("dataset", "stream") if is_handed_over(getattr(self, name))]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", *(f"policy.{name}" for name in self.policy.optimizer_names())], []

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        :param path: file or file object; ``.zip`` is added where there is no suffix
        :param exclude: attributes to leave out
        :param include: attributes to keep though they are left out by default
        """
        if not self.resume:  # else the run has yet to be restored, from the streams of its checkpoint
            self._random_streams = self._runtime.streams.to_json()
        self._left_out = self._handed_over()
        if isinstance(path, (str, pathlib.Path)):
            path = pathlib.Path(path)
            path = path if path.suffix else path.with_name(f"{path.name}.zip")
        with whole_file(path) as file:  # type: ignore[arg-type]
            super().save(file, exclude, include)  # type: ignore[arg-type]

    @classmethod
    def load(  # type: ignore[override]  # SB3's own arguments are among kwargs
        cls: type[SelfSavedAlgorithm], path: Any, env: Any = None, **kwargs: Any
    ) -> SelfSavedAlgorithm:
        """
        Needs neither an environment nor the data that the agent learned from.

        :param path: file or file object
        :param env: environment or its id, to go on learning
        :param kwargs: of SB3's ``load``, or arguments of the constructor to replace
        :raises TypeError: unknown argument, with the nearest known one
        :raises FileNotFoundError: there is no such file
        :raises IsADirectoryError: the path is a folder
        :raises ValueError: a value that is not allowed, a dataset or stream that does not fit, or a file that does not
            hold an agent of this algorithm
        """
        of_sb3 = {"custom_objects", "print_system_info", "force_reset"}
        replaced = {each: value for each, value in kwargs.items() if each not in of_sb3}
        unknown = f"{cls.__name__} has no hyperparameter"
        check_arguments(cls, replaced, unknown, given={"policy", "env"})
        check_arguments(cls, {"env": env}, unknown)
        if "stats_window_size" in kwargs:
            kwargs["_stats_window_size"] = kwargs.pop("stats_window_size")  # where SB3 keeps it
        try:
            with reading_agent(path):
                model = super().load(path, **kwargs)
        except UnfitPolicy as error:
            raise ValueError(f"{path} holds an agent of another algorithm: {error}") from None
        if env is not None:
            model._begin_in(env, kwargs.get("force_reset", True))
        model._left_out = [name for name in model._left_out if name not in kwargs]
        if {"dataset", "stream"} & kwargs.keys():
            model._open_data()
        for name in cls.policy_buffers:
            if kwargs.get(name) is not None:
                getattr(model.policy, name).fill_(kwargs[name])
        return model

    def set_parameters(
        self, load_path_or_dict: str | TensorDict, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """
        :param load_path_or_dict: zip of an agent, or what ``get_parameters`` returns
        :param exact_match: whether all parameters must be there
        :param device: of the agent
        :raises UnfitWeights: (a ValueError) they are those of another policy
        """
        is_file = not isinstance(load_path_or_dict, dict)
        if is_file:
            check_file(load_path_or_dict, OF_AGENTS, ".zip")
        with setting_weights(load_path_or_dict if is_file else "The dict of parameters"):
            super().set_parameters(load_path_or_dict, exact_match, device)

    def set_env(self, env: GymEnv | str, force_reset: bool = True) -> None:
        """
        :param env: environment or its id, to learn on in
        :param force_reset: reset it before the next training. False continues the episodes that are under way in the
            same environment; another one is taken to be where the last observation was made, and new episodes begin
            there
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
            self._runtime.collector = None

    def _begin_in(self, env: GymEnv | str, force_reset: bool) -> None:
        """In the place of the saved agent's environments, of which there may have been another number."""
        env = self._wrap_env(maybe_make_env(env, self.verbose), self.verbose)
        self.n_envs = env.num_envs
        self.set_env(env, force_reset)
        if self.seed is not None:
            env.seed(self.seed)

    def _open_data(self) -> None:
        raise NotImplementedError

    def _ensure_buffer(self) -> None:
        """An empty buffer, where there is none: SB3's users set it to None to free its memory."""
        if getattr(self, "replay_buffer", None) is None:
            self.replay_buffer = TrajectoryStore(capacity=int(self.buffer_size))

    def save_replay_buffer(self, path: str | pathlib.Path | IO[bytes]) -> None:
        """:param path: file or file object for the own play, written as npz, which loads without running code"""
        self._ensure_buffer()
        self.replay_buffer.save(path)

    def load_replay_buffer(self, path: str | pathlib.Path | IO[bytes], truncate_last_traj: bool = True) -> None:
        """
        :param path: file, or file object from where it stands, written by ``save_replay_buffer``
        :param truncate_last_traj: accepted for SB3's sake; a store holds finished episodes only
        :raises ValueError: no such file, or of another environment
        """
        store = TrajectoryStore.load(path)
        self._ensure_buffer()
        if not store.n_episodes:  # a run that only studied a dataset saves such a one
            return
        roles = self.policy.roles
        store = fit_layout(store, roles, self.action_space)
        check_store(store, roles, self.action_space, self.data_needs, "replay buffer")
        self.replay_buffer = as_own_play(store, roles, self.replay_buffer.capacity)

    def _restore_run(self) -> None:
        """``load`` has reseeded everything; put the random streams back where the checkpoint left them."""
        saved = getattr(self, "_random_streams", None)
        if saved is None:
            raise ValueError("`resume` goes on from a checkpoint: load one with `-i CHECKPOINT.zip` or `load`.")
        streams: RandomStreams = self._runtime.streams
        streams.restore(saved)
        self.resume = False
