"""The help of every command, asked for once in a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

_HELP_OF_ALL = """
import contextlib, io, json, re, sys
from labelgen.cli.main import COMMANDS, main
shown = {}
def show(words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([*words, "--help"])
    shown[" ".join(words)] = [code, out.getvalue()]
    for found in re.findall(r"^ +\\{([\\w,-]+)\\}", out.getvalue(), re.M)[:1] if len(words) == 1 else []:
        for name in found.split(","):
            show([*words, name])
for command in COMMANDS:
    show([command])
print(json.dumps({"shown": shown, "modules": sorted(sys.modules)}))
"""


@dataclass(frozen=True)
class Helps:
    """shown: words of a command -> (exit code, text). modules: what was loaded to show them."""

    shown: dict[str, tuple[int, str]]
    modules: list[str]


@pytest.fixture(scope="session")
def helps() -> Helps:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _HELP_OF_ALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Helps(**json.loads(done.stdout.splitlines()[-1]))
