"""What others wrote reaches no terminal as it is: ids, annotators' names, domains, labels and paths."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_logs import write_lines

from labelgen.base.errors import UsageError
from labelgen.base.terminal import printable
from labelgen.cli.main import main

EVIL = "a\x1b[2J\x9b31m\u202egood\nlabelgen: all is well\r\x07[/b]"
FOUND = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def evil_record(number: int = 0) -> dict[str, object]:
    answers = [{"turn": 0, "quality": {"rating": 4}, "intents": [{"name": f"i{EVIL}"}], "slots": []}]
    people = [{"annotator": f"{name}{EVIL}", "kind": "person", "turns": answers} for name in ("anna", "bob")]
    turn = {
        "request": f"r{EVIL}",
        "response": f"p{EVIL}",
        "domain": f"d{EVIL}",
        "status": f"s{EVIL}",
        "feedback": [{"kind": f"k{EVIL}"}],
        "categories": [{"name": f"c{EVIL}", "value": f"v{EVIL}"}],
    }
    return {"id": f"{number}{EVIL}", "source": f"src{EVIL}", "turns": [turn], "annotations": people}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_lines(tmp_path / "log.jsonl", [evil_record(k) for k in range(3)])
    return tmp_path / "log.jsonl"


COMMANDS = {
    "validate": (["data", "validate", "LOG"], 0),
    "consensus": (["consensus", "LOG", "OUT.jsonl"], 0),
    "show": (["show", "LOG"], 0),
    "show nobody": (["show", "LOG", "--annotator", f"zoe{EVIL}"], 2),
    "show no dialogue": (["show", "LOG", "--id", f"none{EVIL}"], 2),
    "signals": (["feedback", "signals", "LOG", "OUT.jsonl"], 0),
    "explain": (["feedback", "explain", "LOG", f"1{EVIL}"], 0),
    "explain nobody": (["feedback", "explain", "LOG", f"9{EVIL}"], 2),
    "sample": (["review", "sample", "LOG", "OUT.jsonl", "--count", "2", "--strategy", "audit"], 0),
    "estimate": (["estimate", "LOG", "--annotator", f"anna{EVIL}", "--reference", f"zoe{EVIL}"], 2),
    "a log that is not there": (["data", "validate", f"LOG{EVIL}"], 2),
    "a format": (["data", "validate", "LOG", "--format", EVIL], 2),
    "an option": (["data", "validate", "LOG", f"--{EVIL}"], 2),
    "a command": ([f"x{EVIL}"], 2),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_prints_what_a_terminal_obeys(log, tmp_path, capsys, name):
    words, code = COMMANDS[name]
    given = [word.replace("LOG", str(log)).replace("OUT", str(tmp_path / "out")) for word in words]
    assert main(given) == code
    told = capsys.readouterr()
    assert "2J" in told.out + told.err or name in ("sample", "signals")
    for text in (told.out, told.err):
        assert not FOUND.search(text), FOUND.search(text)
        assert not any(line.startswith("labelgen: all is well") for line in text.splitlines())
        assert "Traceback" not in text


def test_an_error_keeps_its_three_lines():
    error = UsageError(f"what {EVIL}", f"where {EVIL}", f"fix {EVIL}")
    lines = str(error).split("\n")
    assert [line.split()[0] for line in lines] == ["what", "where:", "hint:"]
    assert not FOUND.search("".join(lines))
    assert error.where == f"where {EVIL}"


def test_names_are_no_markup(tmp_path, capsys):
    record = {"id": "d", "source": "[red]x[/red] :smile:", "turns": [], "annotations": []}
    write_lines(tmp_path / "log.jsonl", [record])
    assert main(["data", "validate", str(tmp_path / "log.jsonl")]) == 0
    assert "[red]x[/red] :smile:" in capsys.readouterr().out


@given(st.text())
def test_what_is_printable_stays_so_on_one_line(text):
    shown = printable(text)
    assert printable(shown) == shown
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
