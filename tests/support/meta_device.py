"""A device that notices every step back to the CPU, for machines that have no GPU."""

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
#: Operations whose result has a size or value that the host must know: on a GPU the host waits for it.
WAITING_TAGS = {th.Tag.data_dependent_output, th.Tag.dynamic_output_shape}
#: These carry such a tag, but wait only where they are given a mask.
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
WAITING = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::_assert_async"}


class LeftTheDevice(AssertionError):
    """Something touched the CPU, or waited for the device."""


class OnDevice(TorchDispatchMode):
    """
    Everything happens on the meta device, or raises.

    The meta device alone is too lenient: it lets 0-dim CPU tensors take part in arithmetic and CPU tensors be used
    as indices, each of which is a copy to the GPU at every call.
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
    """What goes through the one door does not wait."""
    return th.empty(array.shape, dtype=getattr(th, array.dtype.name), device=META)


@contextmanager
def on_device(policy: OptimizedPolicy) -> Iterator[OnDevice]:
    """
    Moves a policy to the meta device, gives it optimizers there, and watches.

    The default optimizer, fused AdamW, keeps everything on the device, its count of steps included, but has no kernel
    for meta. AdamW with ``capturable=True`` does the same arithmetic, also with the count on the device, and is made
    of ordinary operations. It refuses devices that it does not know, so that list is extended.
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
