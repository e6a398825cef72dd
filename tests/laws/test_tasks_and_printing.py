"""Packages above `tasks` know tasks by their units only, and all output is made printable."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from labelgen.base.registry import resolve
from labelgen.data.labels import divides
from labelgen.tasks import TASKS

ROOT = Path(__file__).parents[2]
UNAWARE = ("agreement", "model", "training", "labeling", "evaluation", "report")
NAMES = set(TASKS)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text constant that is not a docstring: its line and what it says; also one that has a name elsewhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("labelgen"):
            held = vars(import_module(node.module))
            yield from ((node.lineno, v) for a in node.names if isinstance(v := held.get(a.name), str))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and not isinstance(node, ast.Expr):
                yield child.lineno, child.value


@pytest.mark.parametrize("package", UNAWARE)
def test_packages_above_tasks_name_no_task(package: str):
    found = []
    for path in sorted((ROOT / "labelgen" / package).rglob("*.py")):
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            if text in NAMES:
                found.append(f"{path.relative_to(ROOT)}:{line}: {text!r}")
    assert not found


def test_search_for_task_names_finds_them():
    code = '"""intents"""\nx = {"order": 1}\ndef f():\n    "outcome"\n    return x["slots"]\n'
    assert {text for _, text in texts(ast.parse(code))} & NAMES == {"order", "slots"}
    by_name = "from labelgen.data.labels import GOALS, Label\n"
    assert {text for _, text in texts(ast.parse(by_name))} == {"goals"}


def test_tasks_and_records_agree_on_dividing_tasks():
    assert {name for name in TASKS if divides(name)} == {n for n in TASKS if resolve(TASKS, n, "task").divides}


def test_all_output_passes_the_printable_functions():
    """Ids and names of a log may have control characters of a terminal; base/terminal.py makes them printable."""
    places = {"base/terminal.py": ("print(",), "report/terminal.py": ("Console(",)}
    for path in sorted((ROOT / "labelgen").rglob("*.py")):
        for call in re.findall(r"(?<![\w.])(?:print|Console)\(", path.read_text(encoding="utf-8")):
            name = path.relative_to(ROOT / "labelgen").as_posix()
            assert call in places.get(name, ()), f"{path}: use print_lines or PlainConsole instead of {call})"
