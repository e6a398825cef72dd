"""Every command that reads logs knows an installed reader."""

import json
from pathlib import Path

import pytest
from plugins import install

from labelgen.cli.main import main
from labelgen.data.label_sets import LabelName, read_labels
from labelgen.data.labels import AtTurn
from labelgen.data.log import Log
from labelgen.data.reader import READERS


def test_reader_from_plugin_converts_counts_and_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.tsv").write_text("d1\thello\tHi.\tGreet\nd2\tplay haze\tPlaying Haze.\tPlayMusic\nd3\tno tabs\n")
    out, bad = tmp_path / "out" / "toy.jsonl", tmp_path / "bad.jsonl"
    words = ["data", "convert", str(corpus), str(out), "--format", "toy", "--quarantine", str(bad)]
    assert main(words) == 2, "nobody knows it yet"
    install(monkeypatch, tmp_path / "site", "labelgen.readers", "toy", "toy_reader:READER")
    assert "toy" in READERS
    assert main([*words, "--max-bad-rate", "0.5"]) == 0

    first, second = Log([out])
    assert [(d.id, d.source, d.turns[0].request) for d in (first, second)] == [
        ("d1", "toy", "hello"),
        ("d2", "toy", "play haze"),
    ]
    (label,) = second.annotations[0].labels
    assert (label.task, label.at, label.name) == ("intents", AtTurn(0), "PlayMusic")
    # The corpus describes one name, its annotations mention another.
    assert read_labels(out.parent / "labels.json")["toy"]["intents"] == (
        LabelName("Greet", "the user says hello"),
        LabelName("PlayMusic"),
    )
    (rejected,) = [json.loads(line) for line in bad.read_text().splitlines()]
    assert (rejected["file"], rejected["line"], rejected["reason"]) == ("a.tsv", 3, "bad_row: 2 cells")

    assert main(["data", "convert", str(corpus), str(out), "--format", "toy", "--force"]) == 3, "a third of it is bad"
