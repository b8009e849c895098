"""The plan of the house holds: imports point down only, and every method has all that belongs to one."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gcrl_zoo.registry import HYPERPARAMS, Method, discover
from gcrl_zoo.zoo.hyperparams import base_blocks, check_keys, compose, layers, read_blocks
from gcrl_zoo.zoo.wrapper_lists import FILE as WRAPPER_LISTS
from tests.support.throw_away import ROOT

PACKAGE = ROOT / "gcrl_zoo"

# room -> the rooms that it may import besides itself (record, publish, zoo -> registry -> methods -> common -> ...)
LOWEST = {"data", "nets", "losses"}
BELOW_REGISTRY = {"methods", "common", *LOWEST}
BELOW_TOP = {"registry", *BELOW_REGISTRY}
MAY_IMPORT = {
    **{room: set() for room in ("data", "nets", "losses", "hyperparams")},
    "wrappers": {"data"},
    "scripted": set(),
    "common": LOWEST,
    "methods": {"common", *LOWEST},
    "registry": BELOW_REGISTRY,
    "zoo": BELOW_TOP,
    **{room: {"zoo", *BELOW_TOP} for room in ("record", "publish")},
    "train": {"zoo"},
    "__init__": {"registry", "zoo"},
}
# room -> the only third-party packages that it knows
KNOWS = {
    "data": {"numpy", "gymnasium", "h5py", "minari", "tqdm", "zstandard"},
    "wrappers": {"numpy", "gymnasium"},
    "scripted": {"numpy", "stable_baselines3"},
    "nets": {"torch", "annotated_types"},
    "losses": {"torch", "annotated_types"},
}
ZOO_ONLY = {"rl_zoo3", "huggingface_sb3"}
TOP = {"zoo", "record", "publish", "train"}

# Path.rglob follows no symlinks, hence the two steps: gcrl_zoo/wrappers is one.
FOLDERS = [path for path in PACKAGE.iterdir() if path.is_dir()]
FILES = sorted(path.relative_to(PACKAGE) for folder in FOLDERS for path in folder.rglob("*.py"))
FILES += sorted(path.relative_to(PACKAGE) for path in PACKAGE.glob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, at its top or anywhere below."""
    package = ["gcrl_zoo", *path.parent.parts]
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    room = path.parts[0].removesuffix(".py")
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "gcrl_zoo":
            if rest[0] in MAY_IMPORT:  # else an attribute of the package, as in `from gcrl_zoo import __version__`
                assert rest[0] in {room, *MAY_IMPORT[room]}, f"{room} must not import {name}"
        elif top not in sys.stdlib_module_names:
            assert room not in KNOWS or top in KNOWS[room], f"{room} knows only {KNOWS[room]}, not {top}"
            assert room in TOP or top not in ZOO_ONLY, f"only {TOP} know {top}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_are_short(path):
    assert len((PACKAGE / path).read_text().splitlines()) <= 300


def test_a_method_imports_at_most_one_other():
    parents: dict[str, set[str]] = {}
    for path in FILES:
        if path.parts[0] == "methods" and len(path.parts) > 2:
            parts = (name.split(".") for name in imports(path) if name.startswith("gcrl_zoo.methods."))
            parents.setdefault(path.parts[1], set()).update({part[2] for part in parts} - {path.parts[1]})
    assert all(len(names) <= 1 for names in parents.values()), parents


def test_folders_and_methods_are_one_list():
    folders = {path.parent.name for path in (PACKAGE / "methods").glob("[!_]*/__init__.py")}
    assert folders <= set(discover())
    assert {path.stem for path in HYPERPARAMS.glob("*.yml") if path != WRAPPER_LISTS} <= folders
    assert {path.parent.name for path in HYPERPARAMS.glob("presets/*/*.yml")} <= folders


def own_methods() -> list[Method]:
    """The methods of this repository."""
    return [method for method in discover().values() if method.hyperparams == HYPERPARAMS]


@pytest.mark.parametrize("method", own_methods(), ids=lambda method: method.name)
def test_a_method_has_yaml_case_and_page(method):
    for path in (f"hyperparams/{method.name}.yml", f"tests/cases/{method.name}.py", f"docs/methods/{method.name}.md"):
        assert (ROOT / path).is_file(), f"{method.name} lacks {path} (see CONTRIBUTING.md)"
    assert method.algorithm.__module__.startswith(f"gcrl_zoo.methods.{method.name}")


def blocks() -> Iterator[object]:
    """Every combination of method, preset and environment that the YAML files offer."""
    for method in own_methods():
        if not method.yaml.is_file():
            continue  # test_a_method_has_yaml_case_and_page says so
        for preset in (None, *method.presets.values()):
            delta = {key for layer in (layers(method, preset) if preset else []) for key in read_blocks(layer)}
            for env_id in sorted(base_blocks(method.yaml).keys() | delta):
                if not preset or {"default", env_id} & delta:
                    yield pytest.param(
                        method, preset, env_id, id=f"{method.name}-{preset.stem if preset else ''}-{env_id}"
                    )


@pytest.mark.parametrize(("method", "preset", "env_id"), list(blocks()))
def test_every_block_fits_its_constructor(method, preset, env_id):
    _, block = compose(method, preset, env_id)
    check_keys(method, block)
    numbers = [text for text in strings(block) if is_number(text)]
    assert not numbers, f"YAML 1.1 reads {numbers} as text: write 1.0e-3, not 1e-3"


def strings(value: object) -> Iterator[str]:
    """All strings in a block."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def is_number(text: str) -> bool:
    """Whether a person would read a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_the_house_test_sees_what_it_should():
    assert len(FILES) > 20 and Path("wrappers/return_to_go.py") in FILES
    assert list(strings(yaml.safe_load("a: [{b: 1e-3}, 1.0e-3]"))) == ["1e-3"]
    assert "gcrl_zoo.zoo.hook" in set(imports(Path("zoo/__main__.py")))
