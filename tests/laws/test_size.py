"""The size budget: what comes in must fit, or something goes out (CONTRIBUTING.md)."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = {
    "labelgen": 34_000,
    "benchmarks": 7_000,
    "tests": 26_000,
}
"""Lines of Python below a folder of the repository."""
FILES = 180
"""Python files of the package."""
FILE_LINES = 600
FUNCTION_LINES = 60
DOCS_KB = 170
"""Documents without results."""


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("folder", LINES)
def test_folder_stays_within_its_lines(folder: str):
    assert sum(map(lines_of, python_files(folder))) <= LINES[folder]


def test_package_stays_within_its_files():
    assert len(python_files("labelgen")) <= FILES


def test_no_file_is_too_long():
    assert [str(path) for path in python_files("labelgen") if lines_of(path) > FILE_LINES] == []


def test_no_function_is_too_long():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in python_files("labelgen")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []


def test_class_names_are_used_once():
    names = Counter(
        node.name
        for path in python_files("labelgen")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_documents_without_results_stay_within_their_size():
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "results" not in path.parts]
    assert sum(path.stat().st_size for path in pages) <= DOCS_KB * 1000
