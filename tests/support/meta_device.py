"""Detect operations that use the CPU or wait for the device, on machines without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch as th
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gcrl_zoo.common.optimizers import OptimizedPolicy

META = th.device("meta")
#: Operations with a result whose size or value the host needs: on a GPU the host waits for it.
WAITING_TAGS = {th.Tag.data_dependent_output, th.Tag.dynamic_output_shape}
#: These have such a tag, but wait only if they are given a mask.
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
WAITING = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::_assert_async"}


class LeftTheDevice(AssertionError):
    """An operation used the CPU or waited for the device."""


class OnDevice(TorchDispatchMode):
    """
    Raises if an operation uses another device than the meta device.

    The meta device itself accepts 0-dim CPU tensors in arithmetic and CPU tensors as indices. On a GPU, each of these
    is a copy from the CPU at every call.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().split(".")[0]
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, th.Tensor)]
        if any(tensor.device != META for tensor in tensors):
            raise LeftTheDevice(f"{name} was given a CPU tensor")
        if kwargs.get("device") not in (None, META):
            raise LeftTheDevice(f"{name} asked for a tensor on {kwargs['device']}")
        if name in INDEXING:
            waits = any(index.dtype in (th.bool, th.uint8) for index in args[1] if index is not None)
        else:
            waits = name in WAITING or bool(WAITING_TAGS & set(func.tags))
        if waits:
            raise LeftTheDevice(f"{name} waits for the device")
        results = func(*args, **kwargs)
        if any(isinstance(leaf, th.Tensor) and leaf.device != META for leaf in tree_leaves(results)):
            raise LeftTheDevice(f"{name} made a CPU tensor")
        return results


def _send(array: np.ndarray) -> th.Tensor:
    """Stand in for ``from_numpy`` in ``to_tensors``, which does not wait."""
    return th.empty(array.shape, dtype=getattr(th, array.dtype.name), device=META)


@contextmanager
def on_device(policy: OptimizedPolicy) -> Iterator[OnDevice]:
    """
    Move a policy to the meta device, with new optimizers there, inside :class:`OnDevice`.

    The default optimizer, fused AdamW, keeps its state and step count on the device but has no meta kernel. AdamW with
    ``capturable=True`` does the same arithmetic in ordinary operations, with the count on the device. It checks a list
    of supported devices, to which this adds meta.
    """
    stepped = {
        optimizer: {id(p) for group in each.param_groups for p in group["params"]}
        for optimizer, each in policy.optimizers.items()
    }
    named = {o: [name for name, p in policy.named_parameters() if id(p) in ids] for o, ids in stepped.items()}
    policy.to(META)
    there = dict(policy.named_parameters())
    with (
        mock.patch("torch.optim.adam._get_capturable_supported_devices", lambda *_, **__: ["meta"]),
        mock.patch("gcrl_zoo.common.device.th.from_numpy", _send),
    ):
        for optimizer, names in named.items():
            parameters = [there[name] for name in names]
            setattr(policy, optimizer, th.optim.AdamW(parameters, lr=1e-3, capturable=True, foreach=False))
        with OnDevice() as mode:
            yield mode
