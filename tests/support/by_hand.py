"""Reference implementations of policies and losses in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.data import TrajectoryStore

#: All pairs of action space and action head.
HEADS = (("discrete", "auto"), ("box", "deterministic"), ("box", "gaussian"), ("box", "bins"))


def batch_of(model: BaseAlgorithm) -> Any:
    """A batch of 16 from the sampler of labelled data."""
    return to_tensors(model._learner.samplers["labelled"].sample(np.random.default_rng(0), 16), th.device("cpu"))


def standardised(store: TrajectoryStore, key: str, values: th.Tensor) -> np.ndarray:
    """(B, O) values, standardised by the mean and standard deviation of a column."""
    mean, std = store.moments(key)
    return (values.numpy() - mean) / std


def layers(module: th.nn.Module, x: np.ndarray) -> np.ndarray:
    """(B, ...) through linear layers and ReLUs."""
    for layer in module:
        x = np.maximum(x, 0) if isinstance(layer, th.nn.ReLU) else linear(layer, x)
    return x


def linear(layer: th.nn.Linear, x: np.ndarray) -> np.ndarray:
    """(B, in) -> (B, out)"""
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def surprise(kind: str, head: Any, params: np.ndarray, actions: th.Tensor, space: spaces.Space) -> np.ndarray:
    """(B,) negative log-likelihood of actions; of the deterministic head, squared error."""
    if isinstance(space, spaces.Discrete):
        return _of_choice(params, actions.numpy() - space.start)
    unit = 2 * (actions.numpy() - space.low) / (space.high - space.low) - 1  # (B, A) in [-1, 1]
    if kind == "deterministic":
        return ((params - unit) ** 2).mean(1)
    if kind == "gaussian":
        std = np.exp(head.log_std.detach().numpy())
        return (0.5 * ((unit - params) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi)).sum(1)
    bins = np.clip(np.floor((unit + 1) / 2 * head.n_bins).astype(int), 0, head.n_bins - 1)
    logits = params.reshape(*bins.shape, head.n_bins)
    return sum(_of_choice(logits[:, i], bins[:, i]) for i in range(bins.shape[1]))


def _of_choice(logits: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), chosen]
