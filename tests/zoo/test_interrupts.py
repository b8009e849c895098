"""RL Zoo's ``train`` saves an agent on SIGTERM as on Ctrl-C, and the agent resumes as if never stopped."""

import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np

from gcrl_zoo import BC
from gcrl_zoo.data import Episode, TrajectoryStore
from tests.common.test_resume import outcome
from tests.support.case import differing


def test_sigterm_saves_what_resumes_with_the_same_bits(tmp_path):
    env, rng = gym.make("CartPole-v1"), np.random.default_rng(0)
    episode = Episode({"observation": rng.uniform(-1, 1, (50, 4))}, rng.integers(0, 2, 49), np.ones(49))
    TrajectoryStore.from_episodes([episode] * 4, action_space=env.action_space).save(tmp_path / "data.npz")
    words = "--algo bc --env CartPole-v1 -n 1000000 --eval-freq -1 --save-freq 20 --seed 1 --device cpu".split()
    params = "-params", "dataset:'data.npz'", "n_envs:1", "own_play:False"
    train = subprocess.Popen(
        [sys.executable, "-m", "rl_zoo3.train", *words, *params],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = tmp_path / "logs/bc/CartPole-v1_1"
    while not list(run.glob("rl_model_*_steps.zip")) and train.poll() is None:
        time.sleep(0.05)
    train.send_signal(signal.SIGTERM)
    output, _ = train.communicate()
    assert train.returncode == 0 and "Saving to" in output, output

    def resumed(path, until):
        data = str(tmp_path / "data.npz")
        model = BC.load(path, env=gym.make("CartPole-v1"), resume=True, dataset=data, device="cpu", verbose=0)
        return outcome(model.learn(10**6, lambda local, _: local["self"].num_timesteps < until))

    stopped = BC.load(run / "CartPole-v1.zip").num_timesteps
    checkpoint = min(run.glob("rl_model_*_steps.zip"), key=lambda path: BC.load(path).num_timesteps)
    assert BC.load(checkpoint).num_timesteps < stopped
    assert not differing(resumed(checkpoint, stopped + 10), resumed(run / "CartPole-v1.zip", stopped + 10))
