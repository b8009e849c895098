"""The hook: free when unused, ours when it fails, gone when switched off."""

import os
import subprocess
import sys
import types

import pytest

from gcrl_zoo.zoo import hook


def python(code: str, **environ: str) -> str:
    """Output of a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environ}, capture_output=True, text=True, check=True
    ).stdout


def test_an_interpreter_without_rl_zoo_loads_three_small_modules():
    code = "import sys; print(*sorted(sys.modules), sep='\\n')"
    switched_off = "import sys; sys.modules.pop('gcrl_zoo.zoo.hook', None); " + code
    loaded = set(python(code).split())
    assert {name for name in loaded if name.startswith("gcrl_zoo")} == {"gcrl_zoo", "gcrl_zoo.zoo", "gcrl_zoo.zoo.hook"}
    assert loaded - set(python(switched_off, GCRL_ZOO_DISABLE="1").split()) <= {"gcrl_zoo.zoo.hook"}
    assert not loaded & {
        "gymnasium",
        "importlib.metadata",
        "numpy",
        "pkgutil",
        "runpy",
        "stable_baselines3",
        "torch",
        "typing",
        "yaml",
    }


@pytest.mark.parametrize(("value", "on"), [("", True), ("0", True), ("1", False), ("yes", False)])
def test_the_switch_is_for_rl_zoo(value, on, monkeypatch):
    monkeypatch.setenv(hook.SWITCH, value)
    assert hook.waits_for("rl_zoo3.utils") == hook.waits_for("huggingface_sb3.push_to_hub") == on
    assert hook.waits_for("gymnasium")
    assert not hook.waits_for("numpy")


def test_twice_is_once(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(hook, "PATCHES", {})
    hook.install()
    hook.install()
    assert sys.meta_path == [hook.PatchingFinder]


@pytest.fixture
def upstream(tmp_path, monkeypatch):
    """A module ``upstream`` that waits for a patch by a module ``ours``; returns a function that writes the patch."""
    (tmp_path / "upstream.py").write_text("value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(hook, "PATCHES", {"upstream": ("ours", "patch")})
    monkeypatch.setattr(sys, "meta_path", [hook.PatchingFinder, *sys.meta_path])

    def ours(patch):
        monkeypatch.setitem(sys.modules, "ours", types.SimpleNamespace(patch=patch))

    yield ours
    sys.modules.pop("upstream", None)


def test_a_patch_runs_after_the_module(upstream):
    upstream(lambda module: setattr(module, "value", module.value + 1))
    import upstream as module

    assert module.value == 2


def test_a_module_that_is_already_loaded_is_patched_on_install(upstream, monkeypatch):
    upstream(lambda module: setattr(module, "patched", True))
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder is not hook.PatchingFinder])
    import upstream as module

    assert not hasattr(module, "patched")
    hook.install()
    assert module.patched


def test_a_failure_is_ours_and_no_import_error(upstream):
    def patch(module):
        raise ImportError("no such thing.")

    upstream(patch)
    with pytest.raises(RuntimeError, match=r"gcrl_zoo could not extend upstream: no such thing\. \(GCRL_ZOO_DISABLE=1"):
        import upstream as module  # noqa: F401
