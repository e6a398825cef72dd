"""The help of every command, shown once in a process of its own; and the built site."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_WITHOUT_NETWORK = """
import socket, sys
def refuse(*_):
    raise OSError("the site must build without network")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
sys.exit(cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[1]]))
"""


@dataclass(frozen=True)
class Helps:
    """shown: words of a command -> (exit code, text). modules: what was loaded to show them."""

    shown: dict[str, tuple[int, str]]
    modules: list[str]


@pytest.fixture(scope="session")
def helps() -> Helps:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "docs" / "hooks.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    return Helps({words: tuple(pair) for words, pair in shown["shown"].items() if words}, shown["modules"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation site, built with `--strict` and without network."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NETWORK, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
