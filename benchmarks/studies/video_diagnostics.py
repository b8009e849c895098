"""
Measure why an agent that learned from video succeeds or fails: the rank and the spread of its representations, and
how its actions and the labels of its inverse model correlate with the true actions of a dataset.

    python benchmarks/studies/video_diagnostics.py logs/bco/CarRacing-v3_1 --dataset carracing/driver-v0
    python benchmarks/studies/video_diagnostics.py logs/study/carracing/agents/* \\
        --output docs/results/carracing_diagnostics.csv

Without ``--dataset``, an agent is measured on the stream or dataset that it learned from. This script is the only place
where the actions of that data are read. Training from a stream does not read them.

Episodes of the dataset are shown to the agent step by step. An agent with a memory remembers the true actions of the
earlier steps, not its own. The dataset must have ``Box`` actions.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from run_folder import action_names, env_id, find_run, load_agent, name_of, read_settings
from stable_baselines3.common.vec_env import VecEnv
from tables import markdown

from gcrl_zoo.common.data_checks import check_store
from gcrl_zoo.common.data_layout import fit_layout, frame_stacks
from gcrl_zoo.common.device import to_tensors
from gcrl_zoo.common.needs import Needs
from gcrl_zoo.common.policies import ConditionedPolicy
from gcrl_zoo.common.roles import Inputs
from gcrl_zoo.common.trajectory_algorithm import TrajectoryAlgorithm
from gcrl_zoo.common.window_policy import WindowPolicy
from gcrl_zoo.data import TrajectoryStore, open_store
from gcrl_zoo.losses.vicreg import effective_rank, spread
from gcrl_zoo.methods.gcsl_vicreg import GCSLVICRegPolicy

#: Columns of the table; those from ``achieved`` on have one number for each dimension of the action.
FIELDS = ["agent", "dataset", "steps", "actions", "dimensions", "effective_rank", "spread_min", "spread_mean"]
FIELDS += ["vicreg_rank", "vicreg_spread_min", "vicreg_spread_mean", "achieved", "target", "inverse"]
FIELDS += ["slope", "inverse_slope"]
#: Samples for the metrics of the method.
BATCH = 512


class Episodes:
    """
    Several episodes of a dataset, which are read step by step and in parallel.

    :param store: a dataset in the layout of the environment
    :param count: number E of episodes, evenly spaced over the dataset
    """

    def __init__(self, store: TrajectoryStore, count: int) -> None:
        chosen = np.unique(np.linspace(0, store.n_episodes - 1, count).astype(int))
        self.store = store
        self.lengths = store.lengths[chosen]  # (E,)
        self.first = store.final_slots[chosen] - self.lengths  # (E,)

    def slots(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the slots of a step, (E,), and which episodes have that step. The others stay at their last step."""
        return self.first + np.minimum(step, self.lengths - 1), step < self.lengths

    def states(self, slots: np.ndarray) -> dict[str, th.Tensor]:
        """Read observations, (E, ...) by key."""
        return {key: th.from_numpy(self.store.take(key, slots)) for key in self.store.observation_keys}

    def returns(self, column: str, slots: np.ndarray) -> th.Tensor:
        """Read a kind of return, (E, 1)."""
        return th.from_numpy(self.store.take(column, slots)).float().unsqueeze(1)


class Shown(NamedTuple):
    """What an agent did on the steps of episodes that were shown to it."""

    actions: np.ndarray  # (steps, A) of the agent
    true_actions: np.ndarray  # (steps, A) of the dataset
    representations: th.Tensor  # (steps, D) the inputs of the action head


def show(policy: ConditionedPolicy, episodes: Episodes, achieved: bool) -> Shown:
    """
    Let a policy choose actions for the states of episodes.

    :param achieved: ask for the return that each episode achieved, instead of the target return of the agent
    """
    seen: list[th.Tensor] = []
    hook = policy.head.register_forward_pre_hook(lambda head, args: seen.append(args[0]))
    memory, steps = None, []
    for step in range(int(episodes.lengths.max())):
        slots, exist = episodes.slots(step)
        to_go = episodes.returns("return_to_go", slots)
        total = episodes.returns("episode_return", slots)
        # As the wrapper ReturnToGo shows it: minus the rewards so far.
        inputs = Inputs(episodes.states(slots), return_to_go=to_go - total if policy.roles.return_to_go else None)
        inputs = policy.command(inputs)
        if achieved:
            inputs = inputs._replace(return_to_go=to_go, episode_return=total)
        starts = np.full(len(slots), step == 0)
        actions, memory = policy.choose(inputs, memory, starts, deterministic=True)
        executed = episodes.store.take("actions", slots)
        if isinstance(policy, WindowPolicy):
            memory = policy.remember(memory, executed)
        steps.append(Shown(actions.numpy()[exist], executed[exist], seen[-1][th.from_numpy(exist)]))
    hook.remove()
    actions, true_actions, representations = zip(*steps, strict=True)
    return Shown(np.concatenate(actions), np.concatenate(true_actions), th.cat(representations))


def infer(policy: Any, episodes: Episodes, horizon: int) -> tuple[np.ndarray, np.ndarray] | None:
    """
    Label the steps of episodes by the inverse model, as the policy imitates them.

    :param horizon: number of steps to the later state from which the model infers an action
    :return: (steps, A) labels, and (steps,) bool, False where the episode ends before the later state; None if the
        agent has no inverse model
    """
    inverse, calibration = getattr(policy, "inverse", None), getattr(policy, "calibration", None)
    if inverse is None:
        return None
    labels, inferable = [], []
    for step in range(int(episodes.lengths.max())):
        slots, exist = episodes.slots(step)
        further: tuple[th.Tensor | None, ...] = ()
        if isinstance(policy, GCSLVICRegPolicy):
            returns = [episodes.returns(column, slots) for column in ("episode_return", "return_to_go")]
            achieved = Inputs(episode_return=returns[0], return_to_go=returns[1])
            further = (policy.scaled_return(achieved) if policy.goal_with_return else None,)
        last = episodes.first + episodes.lengths
        later = np.minimum(slots + horizon, last)
        params = inverse(episodes.states(slots), episodes.states(later), *further)
        params = params if calibration is None else calibration(params)
        labels.append(inverse.head.act(params, deterministic=True).numpy()[exist])
        inferable.append((slots + horizon <= last)[exist])
    return np.concatenate(labels), np.concatenate(inferable)


def compare(x: np.ndarray, true: np.ndarray) -> tuple[list[float], list[float]]:
    """
    Compare actions with the true ones.

    :param x: (n, A)
    :param true: (n, A)
    :return: for each dimension the correlation, and the slope of the linear regression of x on the true action; 0
        where one of both is constant
    """
    x, true = (each - each.mean(0) for each in (x.astype(float), true.astype(float)))
    product, variance = (x * true).sum(0), (true**2).sum(0)
    scale, zeros = np.sqrt((x**2).sum(0) * variance), np.zeros(x.shape[1])
    varies = scale > 1e-9
    correlation = np.divide(product, scale, out=zeros.copy(), where=varies)
    return list(correlation), list(np.divide(product, variance, out=zeros.copy(), where=varies))


def vicreg_metrics(model: TrajectoryAlgorithm, store: TrajectoryStore) -> dict[str, float]:
    """Return the rank and the spread of the representations that VICReg sees, for methods that log them."""
    samplers = model.make_samplers(store, store.unlabelled())
    rng = np.random.default_rng(0)
    batches = {name: to_tensors(each.sample(rng, BATCH), model.device) for name, each in samplers.items()}
    logged = {name: value for name, value in model.train_metrics(batches).items() if not name.startswith("labelled/")}
    found = {name.rpartition("/")[2]: float(value) for name, value in logged.items()}
    names = {"effective_rank": "vicreg_rank", "spread_min": "vicreg_spread_min", "spread_mean": "vicreg_spread_mean"}
    return {column: found[name] for name, column in names.items() if name in found}


@th.no_grad()
def measure(model: TrajectoryAlgorithm, env: VecEnv, dataset: str, n_episodes: int) -> dict[str, Any]:
    """
    Measure an agent on a dataset.

    :param model: the agent
    :param env: its environment, with all wrappers
    :param dataset: id or path of a dataset with actions and rewards
    :param n_episodes: number of episodes to show to the agent
    :return: numbers by column, lists for those of each dimension of the action
    :raises ValueError: the dataset or the agent does not fit
    """
    policy = model.policy
    store = fit_layout(open_store(dataset), policy.roles, policy.action_space, frame_stacks(env, policy.roles))
    check_store(store, policy.roles, policy.action_space, Needs(actions=True, rewards=True), "dataset")
    th.manual_seed(0)  # the notes' presets draw noise when they act
    policy.set_training_mode(False)
    episodes = Episodes(store, n_episodes)
    shown = show(policy, episodes, achieved=True)
    deviations, true = spread(shown.representations), shown.true_actions
    target, slope = compare(show(policy, episodes, achieved=False).actions, true)
    inferred = infer(policy, episodes, getattr(model, "inverse_horizon", 1))
    inverse, inverse_slope = ([], []) if inferred is None else compare(inferred[0][inferred[1]], true[inferred[1]])
    return {
        "steps": len(true),
        "dimensions": len(deviations),
        "effective_rank": float(effective_rank(shown.representations)),
        "spread_min": float(deviations.min()),
        "spread_mean": float(deviations.mean()),
        **vicreg_metrics(model, store),
        "achieved": compare(shown.actions, true)[0],
        "target": target,
        "inverse": inverse,
        "slope": slope,
        "inverse_slope": inverse_slope,
    }


def measure_run(folder: Path, dataset: str | None, n_episodes: int) -> dict[str, str] | None:
    """
    Measure the final agent of a run, or print why it cannot be measured.

    :param folder: folder of the run, or a parent of it
    :param dataset: id or path; None for the stream or dataset of the run
    :param n_episodes: number of episodes to show to the agent
    :return: a row of the table; None for an agent with goals, or with other actions than ``Box``
    """
    run = find_run(folder)
    model, env = load_agent(run)
    try:
        if not isinstance(model, TrajectoryAlgorithm):
            raise ValueError(f"{folder} has a {type(model).__name__}, which is no method of gcrl_zoo.")
        if model.policy.roles.desired_goal or not isinstance(model.action_space, spaces.Box):
            print(f"{folder} is left out: the diagnostics are for Box actions and environments without goals.")
            return None
        settings = read_settings(run)
        source = dataset or settings.get("stream") or settings.get("dataset")
        if not source:
            raise ValueError(f"{folder} was trained without a dataset; name one by --dataset.")
        measured = measure(model, env, source, n_episodes)
    finally:
        env.close()
    row = {"agent": name_of(folder), "dataset": source, **{key: _cell(value) for key, value in measured.items()}}
    return {**row, "actions": ", ".join(action_names(env_id(run), len(measured["target"])))}


def _cell(value: float | list[float]) -> str:
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def add_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write a table with these rows, and with the rows of other agents that it had."""
    measured = {row["agent"]: row for row in rows}
    if path.exists():
        with path.open(newline="") as file:
            measured = {had["agent"]: had for had in csv.DictReader(file)} | measured
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(measured[agent] for agent in sorted(measured))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="log folders, each with one run")
    parser.add_argument("--dataset", help="id or path of a dataset with actions (default: the data of the run)")
    parser.add_argument("--episodes", type=int, default=40, help="number of its episodes")
    parser.add_argument("--output", type=Path, help="CSV file in which to add or replace the rows of these agents")
    args = parser.parse_args()
    rows, failed = [], False
    for folder in args.runs:
        try:
            row = measure_run(folder, args.dataset, args.episodes)
        except ValueError as error:
            print(f"{folder} is left out: {error}", file=sys.stderr)
            failed = True
            continue
        if row and args.output:
            add_rows(args.output, [row])
        rows += [row] if row else []
    if rows:
        print(markdown({field: (":--", [row.get(field, "") for row in rows]) for field in FIELDS}))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
