"""The size budget: what comes in must fit, or something goes out (CONTRIBUTING.md). Bars only go down, unless a change that needs
more says what it gives for it."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = {
    "labelgen/agreement": 605,
    "labelgen/api": 1_285,
    "labelgen/base": 1_395,
    "labelgen/cli": 2_530,
    "labelgen/confidence": 1_120,
    "labelgen/data": 3_781,
    "labelgen/evaluation": 3_050,
    "labelgen/features": 1_750,
    "labelgen/feedback": 2_920,
    "labelgen/kernels": 430,
    "labelgen/labeling": 1_805,
    "labelgen/metrics": 1_289,
    "labelgen/model": 2_630,
    "labelgen/nn": 1_255,
    "labelgen/pretraining": 350,
    "labelgen/readers": 4_910,
    "labelgen/report": 1_185,
    "labelgen/requests": 625,
    "labelgen/review": 1_179,
    "labelgen/simulator": 2_015,
    "labelgen/steps": 2_413,
    "labelgen/tasks": 1_545,
    "labelgen/training": 3_380,
    "labelgen/verdicts": 1_437,
    "labelgen": 44_482,
    "benchmarks": 8_156,
    "tests": 29_420,
}
"""Lines of Python below each folder. The aim is 34,000 for the package, 7,000 for the lab and 26,000 for the tests."""
FILES = 209
"""Python files of the package; the aim is 180."""
FILE_LINES = 600
FUNCTION_LINES = 80
DOCS_KB = 170
"""Documents without results."""
DOUBLED = {"Annotator", "Answer", "Candidate", "Counts", "Rating"}
"""Class names that are still used twice."""


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("folder", LINES)
def test_folder_stays_within_its_lines(folder: str):
    assert sum(map(lines_of, python_files(folder))) <= LINES[folder]


def test_every_package_has_a_bar():
    packages = {f"labelgen/{path.parent.name}" for path in (ROOT / "labelgen").glob("*/__init__.py")}
    assert packages <= set(LINES)


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
    assert {name for name, count in names.items() if count > 1} <= DOUBLED


def test_documents_without_results_stay_within_their_size():
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "results" not in path.parts]
    assert sum(path.stat().st_size for path in pages) <= DOCS_KB * 1000
