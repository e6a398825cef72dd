"""A record whose lists and objects lie too deep within each other is set aside by every command, and ends none."""

import json

import pytest
from fake_annotator import FakeAnnotator
from labeled import LABELS, labeled_dialogue
from msgspec.structs import replace
from some_logs import write_lines

import labelgen.steps.label
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected, decode


def nested(levels: int) -> str:
    """JSON of so many levels."""
    return "[" * levels + "]" * levels


def text_of(place: str, levels: int) -> str:
    """A record with something of so many levels in one place."""
    deep = '{"a": ' + nested(levels - 1) + "}"
    turn = '{"request": "a", "response": "b", "mine": ' + deep + "}"
    return {
        "record": '{"id": "deep", "turns": [], "mine": ' + deep + "}",
        "turn": '{"id": "deep", "turns": [' + turn + "]}",
        "known field": '{"id": "deep", "turns": ' + deep + "}",
        "extra": json.dumps({"id": "deep", "turns": [], "extra": deep}),
        "extra and more": json.dumps({"id": "deep", "turns": [], "extra": deep, "mine": 1}),
        "extra of a turn": json.dumps({"id": "deep", "turns": [{"request": "a", "response": "b", "extra": deep}]}),
        "all": deep,
    }[place]


PLACES = ("record", "turn", "known field", "extra", "extra and more", "extra of a turn", "all")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("levels", [65, 200, 600, 1000, 100_000])
def test_deep_record_is_rejected(place, levels):
    found = decode(text_of(place, levels), "log.jsonl", 7)
    assert isinstance(found, Rejected)
    assert (found.reason.partition(":")[0], found.line) == ("too_deep", 7)


@pytest.mark.parametrize("place", ["record", "turn", "extra", "extra of a turn"])
def test_record_of_sixty_levels_is_accepted(tmp_path, place):
    found = decode(text_of(place, 60), "log.jsonl")
    assert isinstance(found, Dialogue)
    for name in ("log.jsonl", "log.parquet"):
        write_log(tmp_path / name, [found])
        assert list(Log([tmp_path / name])) == [found]


COMMANDS = {
    "validate": ["data", "validate", "LOG", "RATE"],
    "convert": ["data", "convert", "LOG", "OUT.parquet", "RATE"],
    "split": ["data", "split", "LOG", "OUT", "RATE"],
    "signals": ["feedback", "signals", "LOG", "OUT.jsonl", "RATE"],
    "aggregate": ["feedback", "aggregate", "LOG", "OUT.jsonl", "RATE"],
    "consensus": ["consensus", "LOG", "OUT.jsonl", "RATE"],
    "show": ["show", "LOG", "--count", "100", "RATE"],
    "sample": ["review", "sample", "LOG", "OUT.jsonl", "--count", "3", "--strategy", "audit", "RATE"],
    "evaluate": ["evaluate", "LOG", "--reference", "anna", "--out", "OUT", "RATE"],
    "label": ["label", "LOG", "OUT", "--model", "m", "--workers", "1", "RATE"],
    "redact": ["label", "LOG", "OUT", "--model", "m", "--workers", "1", "--redact", "RATE"],
    "domains": ["label", "LOG", "OUT", "--model", "m", "--workers", "1", "--domains-from", "skills", "RATE"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_deep_record_does_not_stop(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator())
    log, good = tmp_path / "log.jsonl", tmp_path / "good.jsonl"
    answer = Signal(kind="answer", turns=(0,), vote="good", explicit=True, evidence=(0,))
    dialogues = [replace(labeled_dialogue(seed, 2), signals=(answer,)) for seed in range(8)]
    answered = [
        replace(d, annotations=(*d.annotations, replace(d.annotations[0], annotator="m", kind="model")))
        for d in dialogues
    ]
    write_log(good, answered, LABELS)
    first, *others = good.read_text().splitlines()
    deep = [text_of(place, levels) for place in PLACES for levels in (600, 900, 5000)]
    write_lines(log, [first.replace('"id"', '"skills": ["a"], "id"', 1), *deep, *others])
    words = [
        str(log) if word == "LOG" else word.replace("OUT", str(tmp_path / "out"))
        for word in COMMANDS[name]
        if word != "RATE"
    ]
    assert main([*words, *(["--max-bad-rate", "1"] if "RATE" in COMMANDS[name] else [])]) == 0, capsys.readouterr().err
    if words[0] == "label":
        assert main(["verify", str(tmp_path / "out"), "--input", str(log)]) == 0
        rows = (tmp_path / "out" / "log.jsonl.quarantine.jsonl").read_text().splitlines()
        assert {json.loads(row)["reason"].partition(":")[0] for row in rows} == {"too_deep"}
        assert [json.loads(row)["line"] for row in rows] == list(range(2, 2 + len(deep)))
