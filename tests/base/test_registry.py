"""Registries find built-in names and installed plug-ins, and nothing else."""

import pytest
from plugins import install

from labelgen.base.errors import UsageError
from labelgen.base.registry import Registry, resolve

GROUP = "labelgen.toys"


@pytest.fixture
def toys() -> Registry:
    return Registry(GROUP, {"path": "pathlib:Path", "json": "json"})


def test_registry_without_plug_ins_has_the_built_in_names(toys):
    assert list(toys) == ["path", "json"]
    assert resolve(toys, "json", "toy").__name__ == "json"


def test_registry_with_a_plug_in_lists_it_last_and_resolves_it(toys, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "site", GROUP, "counter", "collections:Counter")
    assert list(toys) == ["path", "json", "counter"]
    assert resolve(toys, "counter", "toy")("aab")["a"] == 2


def test_plug_in_with_a_built_in_name_raises_and_names_the_distribution(toys, monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "site", GROUP, "json", "collections:Counter", "rival")
    with pytest.raises(UsageError, match="rival registers 'json', a name that labelgen has"):
        resolve(toys, "path", "toy")


def test_two_plug_ins_with_one_name_raise(toys, monkeypatch, tmp_path):
    for name in ("one", "two"):
        install(monkeypatch, tmp_path / name, GROUP, "counter", "collections:Counter", name)
    with pytest.raises(UsageError, match=r"registers 'counter', a name that (one|two) has"):
        list(toys)


@pytest.mark.parametrize("value", ["no_such_module:NAME", "collections:no_such_object"])
def test_plug_in_that_cannot_be_imported_raises_and_names_the_entry_point(toys, monkeypatch, tmp_path, value):
    install(monkeypatch, tmp_path / "site", GROUP, "broken", value)
    with pytest.raises(UsageError, match=f"entry point broken = {value} of the group labelgen.toys"):
        resolve(toys, "broken", "toy")


@pytest.mark.parametrize("name", ["collections:Counter", "collections", "os:system"])
def test_module_path_instead_of_a_name_raises(toys, name):
    with pytest.raises(UsageError, match="unknown toy"):
        resolve(toys, name, "toy")
