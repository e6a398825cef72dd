"""Tasks are known by their units alone where models are trained, applied and judged."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelgen.tasks import TASKS

ROOT = Path(__file__).parents[2]
UNAWARE = ("model", "training", "labelling", "evaluation", "report")
NAMES = set(TASKS)


def plain_strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every text constant that is not a docstring."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and not isinstance(node, ast.Expr):
                yield child


@pytest.mark.parametrize("package", UNAWARE)
def test_no_task_is_known_by_name(package: str):
    found = []
    for path in sorted((ROOT / "labelgen" / package).rglob("*.py")):
        for constant in plain_strings(ast.parse(path.read_text(encoding="utf-8"))):
            if constant.value in NAMES:
                found.append(f"{path.relative_to(ROOT)}:{constant.lineno}: {constant.value!r}")
    assert not found


def test_the_law_itself_sees_a_name():
    code = '"""goals"""\nx = {"goals": 1}\ndef f():\n    "outcome"\n    return x["slots"]\n'
    assert {constant.value for constant in plain_strings(ast.parse(code))} & NAMES == {"goals", "slots"}
