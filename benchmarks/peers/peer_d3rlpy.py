"""
Build d3rlpy's Decision Transformer with the network, optimizer and return scale of d3rlpy's reproduction of the paper.

d3rlpy is not a dependency; `dt_peers.py` describes how to install it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from dt_setting import BATCH, Arrays, K

try:
    import d3rlpy
except ImportError:
    sys.exit(
        "This comparison needs d3rlpy, which is not installed; run it in an environment that has it: "
        "python -m venv bench && bench/bin/pip install -e . d3rlpy transformers"
    )


def d3rlpy_agent(mean: np.ndarray, std: np.ndarray) -> Any:
    """Build the algorithm for observations with this mean and standard deviation."""
    return d3rlpy.algos.DecisionTransformerConfig(
        batch_size=BATCH,
        learning_rate=1e-4,
        optim_factory=d3rlpy.optimizers.GPTAdamWFactory(weight_decay=1e-4, clip_grad_norm=0.25),
        encoder_factory=d3rlpy.models.VectorEncoderFactory([128], exclude_last_activation=True),
        observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(mean=mean, std=std),
        reward_scaler=d3rlpy.preprocessing.MultiplyRewardScaler(0.001),
        position_encoding_type=d3rlpy.PositionEncodingType.SIMPLE,
        context_size=K,
        num_heads=1,
        num_layers=3,
        max_timestep=1000,
    ).create(device="cpu:0")


def d3rlpy_buffer(episodes: Iterable[Arrays]) -> Any:
    made = [d3rlpy.dataset.Episode(e.observations[:-1], e.actions, e.rewards[:, None], True) for e in episodes]
    return d3rlpy.dataset.create_infinite_replay_buffer(made, trajectory_slicer=d3rlpy.dataset.BasicTrajectorySlicer())
