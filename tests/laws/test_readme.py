"""What the documents show as printed is what is printed."""

import re
from pathlib import Path

import pytest

from labelgen.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSION = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
SESSIONS = {
    str(path.relative_to(ROOT)): found
    for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
    if (found := SESSION.findall(path.read_text(encoding="utf-8")))
}


def test_some_sessions_are_shown():
    assert {"README.md", "docs/explanation/feedback.md"} <= set(SESSIONS)


@pytest.mark.parametrize("document", SESSIONS)
def test_sessions_print_what_is_shown(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for session in SESSIONS[document]:
        for step in session.split("$ labelgen ")[1:]:
            command, _, shown = step.partition("\n")
            assert main(command.split()) == 0
            assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines(), command


def test_every_command_is_listed():
    assert re.findall(r"^\| `labelgen (\w+)` \|", README, re.M) == list(COMMANDS)
