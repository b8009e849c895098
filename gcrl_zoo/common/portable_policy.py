"""Policies outside of their algorithm: saved and loaded by themselves, and called as a torch module."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import IO, Any, Self

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.common.utils import get_device
from torch import Tensor

from gcrl_zoo.common.optimizers import OptimizedPolicy
from gcrl_zoo.common.saved_files import check_file, setting_weights
from gcrl_zoo.data.whole_file import whole_file


class PortablePolicy(OptimizedPolicy):
    """A policy that keeps the arguments of its constructor, so that each subclass can be saved and loaded as it is."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        policy = super().__new__(cls)
        # No `setattr`, which torch allows only after its own constructor.
        policy.__dict__["_arguments"] = {**dict(zip(_positional_arguments(cls), args, strict=False)), **kwargs}
        return policy

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return dict(self._arguments)

    def save(self, path: str | Path | IO[bytes]) -> None:
        """
        Save the weights, statistics, target and arguments of the policy, without its algorithm.

        :param path: file, written atomically under exactly this name; or file object
        :raises WriteError: the disk is full, the folder is read-only, ...
        """
        data, name = self._get_constructor_parameters(), type(self).__name__
        with whole_file(path) as file:
            th.save({"state_dict": self.state_dict(), "data": data, "policy_class": name}, file)

    @classmethod
    def load(cls, path: str | Path, device: th.device | str = "auto") -> Self:
        """
        Load what :meth:`save` wrote. The file is a pickle, which can run code: load only files that you trust.

        :param path: file
        :param device: of the policy
        :return: the policy, in evaluation mode
        :raises FileNotFoundError: there is no such file
        :raises IsADirectoryError: it is a folder
        :raises ValueError: the file holds no policy, one of another class, or weights that do not fit it
        """
        device = get_device(device)
        check_file(path, "give a file that `model.policy.save` wrote")
        try:
            saved = th.load(path, map_location=device, weights_only=False)
            name, data, weights = saved["policy_class"], saved["data"], saved["state_dict"]
        except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError):
            raise ValueError(
                f"{path} holds no policy; give a file that `model.policy.save` wrote (`model.save` writes a whole "
                "agent, for the `load` of its algorithm)."
            ) from None
        if name != cls.__name__:
            raise ValueError(f"{path} holds a {name}, not a {cls.__name__}; load it with {name}.load.")
        policy = cls(**data)
        with setting_weights(path):
            policy.load_state_dict(weights)
        policy.make_optimizers(cls._dummy_schedule)
        policy.set_training_mode(False)
        return policy.to(device)

    def forward(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        """
        Choose actions as :meth:`predict` does, from tensors to tensors. This is what ``torch.jit.trace`` and
        ``torch.export`` export.

        :param observation: (B, ...) on the device, images with the channels first; each as an episode begins
        :param deterministic: the most likely action instead of a sample
        :return: (B, A) float32 or (B,) int64
        """
        return self._predict(observation, deterministic)


def _positional_arguments(cls: type) -> list[str]:
    """Names of the constructor's positional arguments, those of a parent in the place of ``*args``."""
    names: list[str] = []
    for ancestor in cls.__mro__:
        if "__init__" in vars(ancestor):
            _, *parameters = inspect.signature(vars(ancestor)["__init__"]).parameters.values()
            names += [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
            if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
                break
    return names
