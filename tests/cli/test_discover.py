"""labelgen discover: from a log to topics, a label set, and refusals."""

import json
from pathlib import Path

import pytest
from tiny import write_tiny_encoder

from labelgen.cli.main import main


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    words = "simulate log.jsonl --dialogues 120 --out-of-scope 0.3 --users 60 --annotated 0"
    assert main(words.split()) == 0
    write_tiny_encoder(Path("encoder"))
    return tmp_path


def test_topics_become_intents_of_the_label_set(log: Path, capsys: pytest.CaptureFixture[str]):
    words = "discover log.jsonl --encoder encoder --annotator truth --out topics.json --labels labels.json"
    assert main(words.split()) == 0
    topics = json.loads(Path("topics.json").read_text())["topics"]
    assert topics
    names = {one["name"] for one in json.loads(Path("labels.json").read_text())["simulated"]["intents"]}
    assert {one["name"] for one in topics} < names
    assert "play_music" in names
    printed = capsys.readouterr().out
    assert all(one["name"] in printed for one in topics)
    assert main(words.split()) == 2


def test_with_intents_groups_all_requests(log: Path):
    for more, name in (("", "some"), ("--with-intents", "all")):
        assert main(f"discover log.jsonl --encoder encoder {more} --out {name}.json".split()) == 0
    some, every = (json.loads(Path(f"{name}.json").read_text())["requests"] for name in ("some", "all"))
    assert 0 < some < every


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--since soon", "is no date"),
        ("--annotator nobody", "judged no quality"),
        ("--unit goal --annotator anna", "judged no outcome"),
    ],
)
def test_discovery_that_cannot_be_is_refused(log: Path, options: str, reason: str, capsys: pytest.CaptureFixture[str]):
    assert main(f"discover log.jsonl --encoder encoder {options}".split()) != 0
    error = capsys.readouterr().err
    assert reason in error
    assert "hint:" in error
