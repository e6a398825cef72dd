"""What a user meets first: public names, the commands and their help, without waiting for torch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import labelgen
from labelgen.base.options import fields_of, shown_name
from labelgen.cli.commands import COMMANDS, FIRST_WORDS, find_command
from labelgen.cli.main import main

HEAVY = ("torch", "torchaudio", "transformers", "pytorch_lightning", "datasets", "wandb", "pandas", "sklearn", "ray")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_of_a_command_exits_zero_and_has_an_example(helps):
    assert set(COMMANDS) <= set(helps.shown)
    for words, (code, text) in helps.shown.items():
        assert code == 0, words
        assert f"usage: labelgen {words}" in text
        assert "example:" in text, words
        assert f"labelgen {words}" in text.split("example:")[1], words


def test_help_offers_every_option(helps):
    for words in COMMANDS:
        offered = set(re.findall(r"(?m)^  (--[\w.-]+)", helps.shown[words][1])) - {"--config"}
        items = [item for item in fields_of(find_command(words).options) if not item.argument]
        keys = {item.key.replace("*", "NAME") for item in items if not item.key.endswith("*")}
        sections = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)} - {"tasks"}
        assert offered == {shown_name(key) for key in keys - sections}, words


def loaded(modules: Iterable[str]) -> set[str]:
    """Packages of these modules, without the stand-in for the compiled part of torchaudio."""
    return {name.split(".")[0] for name in modules if name != "torchaudio._extension"}


def test_help_loads_nothing_heavy(helps):
    assert not loaded(helps.modules) & set(HEAVY)


def test_importing_labelgen_loads_nothing_heavy():
    modules = run("import sys, labelgen; print('\\n'.join(sys.modules))").split()
    assert not loaded(modules) & {*HEAVY, "numpy", "msgspec", "pyarrow"}


def test_public_names_can_be_imported():
    told = run("import labelgen\nfrom labelgen import *\nprint(*(n for n in dir() if n[0] != '_' and n != 'labelgen'))")
    public = set(labelgen.__all__) - {"__version__"}
    assert set(told.split()) == public
    assert set(dir(labelgen)) == set(labelgen.__all__)
    assert all(getattr(labelgen, name).__name__ == name for name in public)
    assert not hasattr(labelgen, "Logs")


def test_public_names_for_type_checkers_equal_those_at_runtime():
    tree = ast.parse(Path(labelgen.__file__).read_text(encoding="utf-8"))
    seen = [
        (alias.asname, f"{node.module}:{alias.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    ]
    objects = {name: getattr(labelgen, name) for name, _ in seen}
    assert {name: f"{value.__module__}:{value.__name__}" for name, value in objects.items()} == dict(seen)
    assert {*objects, "__version__"} == set(labelgen.__all__)


def test_public_names_except_annotator_load_no_torch():
    names = [*sorted(set(labelgen.__all__) - {"Annotator"}), "Annotator"]
    told = run(f"import sys, labelgen\nfor n in {names!r}: getattr(labelgen, n); print(n, 'torch' in sys.modules)")
    assert [line.split()[0] for line in told.splitlines() if line.endswith(" True")] == ["Annotator"]


def test_importing_a_command_loads_nothing_heavy():
    modules = [target.partition(":")[0] for target, _ in COMMANDS.values()]
    found = run(f"import sys\nfor m in {modules!r}: __import__(m)\nprint('\\n'.join(sys.modules))").split()
    assert not loaded(found) & set(HEAVY)


def test_help_without_a_command_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.M) for name in FIRST_WORDS)
    assert "example: labelgen " in text
