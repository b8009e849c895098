"""discover(): folders and entry points become methods."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import gcrl_zoo
from gcrl_zoo import registry
from tests.support.throw_away import SOURCE


@pytest.fixture
def methods(tmp_path, monkeypatch):
    """An empty folder in place of gcrl_zoo/methods; yields a function that writes a method into it."""
    monkeypatch.setattr("gcrl_zoo.methods.__path__", [str(tmp_path)])
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    before = set(sys.modules)
    registry.discover.cache_clear()

    def write(name, source=SOURCE):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(source)

    yield write
    registry.discover.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("gcrl_zoo.methods."):
            del sys.modules[name]
            vars(gcrl_zoo.methods).pop(name.rpartition(".")[2], None)


def test_a_folder_is_a_method(methods):
    methods("alpha")
    methods("_shared", "raise RuntimeError('never imported')")
    found = registry.discover()
    assert list(found) == ["alpha"]
    method = found["alpha"]
    assert method.algorithm.__name__ == "Ninth"
    assert method.search_space.__name__ == "search_space"
    assert method.yaml == Path(gcrl_zoo.__file__).parent / "hyperparams" / "alpha.yml"
    assert registry.discover() is found


def test_search_space_is_optional(methods):
    methods("alpha", "ALGORITHM = int")
    assert registry.discover()["alpha"].search_space is None


@pytest.mark.parametrize(
    ("source", "cause"), [("import nowhere", "No module named 'nowhere'"), ("x = 1", "no attribute 'ALGORITHM'")]
)
def test_a_broken_method_is_named_with_its_cause(methods, source, cause):
    methods("broken", source)
    with pytest.raises(RuntimeError, match=rf"cannot load its method 'broken' .*{cause}.*gcrl_zoo\.methods\.broken"):
        registry.discover()


def test_an_entry_point_brings_its_own_yaml(methods, tmp_path, monkeypatch):
    plugin = tmp_path / "elsewhere" / "my_plugin"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(plugin.parent))
    entry = EntryPoint("beta", "my_plugin", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == entry.group else [])
    assert registry.discover()["beta"].yaml == plugin / "beta.yml"


def test_two_methods_of_one_name(methods, monkeypatch):
    methods("alpha")
    entry = EntryPoint("alpha", "my_plugin", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(RuntimeError, match=r"two methods called 'alpha'.*my_plugin"):
        registry.discover()


def test_algorithms_are_attributes_of_the_package(methods):
    methods("alpha")
    assert gcrl_zoo.Ninth is registry.discover()["alpha"].algorithm
    assert dir(gcrl_zoo) == ["Ninth", "__version__", "load_from_hub"]
    with pytest.raises(AttributeError, match="no algorithm 'Tenth'; it has Ninth"):
        gcrl_zoo.Tenth  # noqa: B018


def test_a_missing_submodule_is_no_algorithm(methods):
    methods("alpha", "raise RuntimeError('never imported')")
    assert not hasattr(gcrl_zoo, "nowhere")
