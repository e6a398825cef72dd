"""What README.md shows as printed is what is printed."""

import re
from pathlib import Path

import pytest

from labelgen.cli.main import COMMANDS, main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SESSION = re.compile(r"^```console\n(.*?)^```", re.M | re.S)


def test_sessions_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    sessions = SESSION.findall(README)
    assert sessions
    for session in sessions:
        for step in session.split("$ labelgen ")[1:]:
            command, _, shown = step.partition("\n")
            assert main(command.split()) == 0
            assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines(), command


def test_every_command_is_listed():
    assert re.findall(r"^\| `labelgen (\w+)` \|", README, re.M) == list(COMMANDS)
