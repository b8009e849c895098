"""Saving and loading: what the zip of an agent holds."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

import torch as th
from stable_baselines3.common.type_aliases import TensorDict

from gcrl_zoo.common.algorithm_setup import AlgorithmSetup
from gcrl_zoo.common.arguments import check_arguments
from gcrl_zoo.common.policy_arguments import UnfitPolicy
from gcrl_zoo.common.saved_files import OF_AGENTS, check_file, reading_agent, setting_weights
from gcrl_zoo.data.open import is_handed_over
from gcrl_zoo.data.whole_file import whole_file

SelfSavedAlgorithm = TypeVar("SelfSavedAlgorithm", bound="SavedAlgorithm")


class SavedAlgorithm(AlgorithmSetup):
    """
    Saves and loads an agent. The zip holds weights, statistics, arguments, counters and random streams, and no data.
    """

    #: Arguments that are also buffers of the policy: given to ``load``, they replace the saved values there.
    policy_buffers: ClassVar[tuple[str, ...]] = ("target_return", "return_scale")

    def _excluded_save_params(self) -> list[str]:
        # An object given as an argument would be pickled into the zip whole; an id or a path is kept.
        return [*super()._excluded_save_params(), "_run", "_data", *self._handed_over()]

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
        Save the agent.

        :param path: file or file object; ``.zip`` is added where there is no suffix
        :param exclude: attributes to leave out
        :param include: attributes to save although they are left out by default
        """
        if not self.resume:  # else the run has yet to be restored, from the saved streams
            self._random_streams = self._run.streams.state_dict()
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
        Load an agent. Needs neither an environment nor the data that the agent learned from.

        :param path: file or file object
        :param env: environment or its id, for further training
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
        Replace weights, statistics and the state of optimizers.

        :param load_path_or_dict: zip of an agent, or what ``get_parameters`` returns
        :param exact_match: whether all parameters must be there
        :param device: of the agent
        :raises UnfitWeights: (a ValueError) the weights are those of another policy
        """
        is_file = not isinstance(load_path_or_dict, dict)
        if is_file:
            check_file(load_path_or_dict, OF_AGENTS, ".zip")
        with setting_weights(load_path_or_dict if is_file else "The dict of parameters"):
            super().set_parameters(load_path_or_dict, exact_match, device)
