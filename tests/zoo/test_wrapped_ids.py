"""Ids of ours: known however and in whatever order packages are imported, and complete."""

import os
import subprocess
import sys
import sysconfig
import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env as gym_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from gcrl_zoo.zoo import wrapped
from tests.support.throw_away import ROOT

PATHS = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])


WAYS = {
    "hook": ((), {}),
    "switched off": ((), {"GCRL_ZOO_DISABLE": "1"}),
    "no startup file": (("-S",), {"PYTHONPATH": PATHS}),
}


@pytest.mark.parametrize(
    ("first", "way"),
    [
        ("import gymnasium as gym, gcrl_zoo", "hook"),
        ("import gymnasium as gym, gcrl_zoo", "no startup file"),
        ("import gcrl_zoo, gymnasium as gym", "switched off"),
        ("import gcrl_zoo.zoo.hyperparams, gymnasium as gym", "hook"),
        ("import gcrl_zoo.zoo.hyperparams, gymnasium as gym", "no startup file"),
    ],
)
def test_known_in_any_order(first, way):
    options, environ = WAYS[way]
    code = f"{first}; gym.register_envs(gcrl_zoo); print(gym.make('gcrl_zoo/CartPoleUpright-v1'))"
    command = [sys.executable, *options, "-c", code]
    result = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True)
    assert result.stdout.startswith("<Upright<TimeLimit"), result.stderr


def test_known_by_the_name_of_the_module():
    code = "import gymnasium; print(gymnasium.make('gcrl_zoo:gcrl_zoo/CartPoleUpright-v1'))"
    command = [sys.executable, "-S", "-c", code]
    result = subprocess.run(command, env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True, text=True)
    assert result.stdout.startswith("<Upright<TimeLimit"), result.stderr


def test_registering_imports_no_wrapper_and_no_extra():
    code = "import sys, gymnasium; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    ours = {name for name in loaded if name.startswith("gcrl_zoo")}
    assert ours == {"gcrl_zoo", "gcrl_zoo.zoo", "gcrl_zoo.zoo.hook", "gcrl_zoo.zoo.wrapped"}
    assert not loaded & {"Box2D", "gymnasium_robotics", "minari", "mujoco", "ogbench", "torch"}


@pytest.fixture(params=wrapped.WRAPPED)
def made(request):
    """An environment of ours, and its id."""
    package = wrapped.PACKAGES.get(wrapped.WRAPPED[request.param].extra)
    if package is not None:
        pytest.importorskip(package)
    env = gym.make(request.param)
    yield env, request.param
    env.close()


def test_checks(made):
    env, id = made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(different from the unwrapped version|infinity|GoalEnv).*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        sb3_check_env(env)
        if wrapped.WRAPPED[id].extra != "ogbench":  # whose reset(seed=...) draws from the global np.random
            gym_check_env(env, skip_render_check=True)


def test_specs(made):
    env, id = made
    assert env.spec.id == id
    assert env.spec.max_episode_steps == gym.spec(wrapped.WRAPPED[id].inside).max_episode_steps
    again = gym.make(env.spec)
    assert str(again) == str(env) and again.spec == env.spec
    again.close()


def test_success_is_said_at_every_step(made):
    env, _ = made
    observation, _ = env.reset(seed=0)
    assert {"observation", "achieved_goal", "desired_goal"} <= set(observation)
    for _ in range(5):
        *_, info = env.step(env.action_space.sample())
        assert type(info["is_success"]) is bool


def test_the_page_lists_them():
    page = (ROOT / "docs" / "wrappers.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `gcrl_zoo/")]
    assert rows == [
        f"| `{id}` | `{env.inside}` | `{env.wrapper}` | {env.steps} |{f' `{env.extra}`' if env.extra else ''} |"
        for id, env in wrapped.WRAPPED.items()
    ]


@pytest.mark.parametrize("name", ["gcrl_zoo/PointMaze_UMaze-v3", "gcrl_zoo/ogbench-antmaze-medium-v0"])
def test_a_missing_extra_is_named(name, monkeypatch):
    extra = wrapped.WRAPPED[name].extra
    monkeypatch.setitem(sys.modules, wrapped.PACKAGES[extra], None)
    with pytest.raises(gym.error.DependencyNotInstalled, match=rf'run `pip install "gcrl_zoo\[{extra}\]"`') as error:
        gym.make(name)
    assert "\n" not in str(error.value)


def test_a_failure_leaves_gymnasium_alone(monkeypatch):
    monkeypatch.setattr(wrapped, "WRAPPED", {"gcrl_zoo/a b-v0": next(iter(wrapped.WRAPPED.values()))})
    with pytest.warns(UserWarning, match="gcrl_zoo cannot register its environments .*Malformed"):
        wrapped.register(gym)
