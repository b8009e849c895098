"""Moves data from NumPy to the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th


def to_tensors(batch: Any, device: th.device) -> Any:
    """
    Convert a batch to tensors on a device. All data reaches the device here.

    :param batch: array, tensor, None, or a NamedTuple or dict of such
    :param device: of the tensors; a copy to a GPU does not wait
    :return: the same structure with tensors
    """
    if batch is None:
        return None
    if isinstance(batch, np.ndarray):
        tensor, kind = th.from_numpy(batch), device.type
        if kind == "cuda":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor if kind == "cpu" else tensor.to(device)
    if isinstance(batch, th.Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_tensors(value, device) for key, value in batch.items()}
    return type(batch)(*(to_tensors(value, device) for value in batch))
