"""Registries name what is there, and all that is there is registered."""

import ast
import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest

from labelgen.base.registry import resolve
from labelgen.cli.command import Command
from labelgen.cli.commands import COMMANDS
from labelgen.data.reader import READERS, Reader
from labelgen.feedback.detectors import DETECTORS
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Metric
from labelgen.tasks import TASKS

ROOT = Path(__file__).parents[2] / "labelgen"


def registries() -> list[tuple[str, str]]:
    """Module and name of every dict of the code that maps names to "module:object"."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign):
                continue
            is_registry = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "Registry"
            mapping = node.value.args[1] if is_registry and isinstance(node.value, ast.Call) else node.value
            if isinstance(mapping, ast.Dict):
                values = [v.value for v in mapping.values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
                if is_registry or (values and all(v.startswith("labelgen.") and ":" in v for v in values)):
                    module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
                    found += [(module, t.id) for t in node.targets if isinstance(t, ast.Name)]
    return found


@pytest.mark.parametrize(("module", "name"), registries())
def test_registry_entry_resolves(module: str, name: str):
    registry = getattr(import_module(module), name)
    for entry in registry:
        assert resolve(registry, entry, name) is not None


def modules_in(folder: str) -> dict[str, str]:
    """Names of the modules in a folder of plug-ins."""
    package = f"labelgen.{folder.replace('/', '.')}"
    return {p.stem: f"{package}.{p.stem}" for p in sorted((ROOT / folder).glob("*.py")) if p.stem != "__init__"}


def registered_modules(registry: Mapping[str, str]) -> set[str]:
    return {value.partition(":")[0] for value in registry.values()}


def test_readers_in_the_folder_are_registered():
    there = {
        module
        for module in modules_in("readers").values()
        if any(isinstance(value, Reader) for value in vars(import_module(module)).values())
    }
    assert {*there, "labelgen.data.log"} == registered_modules(READERS.builtin)
    assert all(isinstance(resolve(READERS, name, "reader"), Reader) for name in READERS)


def test_detectors_in_the_folder_are_registered():
    there = {
        value
        for module in (*modules_in("feedback/detectors").values(), "labelgen.verdicts.reaction")
        for value in vars(import_module(module)).values()
        if inspect.isclass(value) and value.__module__ == module and hasattr(value, "detect")
    }
    registered = [resolve(DETECTORS, name, "signal") for name in DETECTORS.builtin]
    assert there == {found if inspect.isclass(found) else type(found) for found in registered}


def test_tasks_in_the_folder_are_registered():
    from labelgen.tasks.task import Task

    there = set()
    for module in modules_in("tasks").values():
        for value in vars(import_module(module)).values():
            if inspect.isclass(value) and issubclass(value, Task) and not inspect.isabstract(value):
                there.add(value)
    registered = {name: resolve(TASKS, name, "task") for name in TASKS}
    assert there == set(registered.values())
    assert all(kind.name == name for name, kind in registered.items())


def test_metrics_in_the_folder_are_registered_and_tasks_name_known_ones():
    there = {
        f"{module}:{name}"
        for module in modules_in("metrics").values()
        for name, value in vars(import_module(module)).items()
        if isinstance(value, Metric)
    }
    assert there == set(METRICS.values())
    for name in TASKS:
        assert set(resolve(TASKS, name, "task").metrics) <= set(METRICS)


def test_commands_in_the_folder_are_registered():
    there = {
        (module, name)
        for module in modules_in("cli").values()
        for name, value in vars(import_module(module)).items()
        if isinstance(value, Command)
    }
    assert there == {tuple(target.split(":")) for target, _ in COMMANDS.values()}
