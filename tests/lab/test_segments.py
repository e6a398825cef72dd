"""Dialogues cut into segments: the published forms, and what is none of them."""

import json
from pathlib import Path

import pytest

from benchmarks.readers.segments import READER
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, AtDialogue, AtGoal, answers
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected

SAMPLES = Path(__file__).parent / "samples" / "segments"


def read(path: Path) -> list[Dialogue | Rejected]:
    return [item for item in READER.read(path, {}) if not isinstance(item, Remark)]


def goals(dialogue: Dialogue | Rejected) -> list[tuple[int, ...]]:
    assert isinstance(dialogue, Dialogue)
    (annotation,) = dialogue.annotations
    return [x.at.turns for x in answers(annotation, GOALS)[AtDialogue()] if isinstance(x.at, AtGoal)]


def test_segments_lengths_and_last_utterance_labels_are_both_read():
    first, second = read(SAMPLES / "lengths.json")
    assert goals(first) == [(0, 1), (2, 3, 4)]
    assert goals(second) == [(0, 1, 2)]
    (labeled,) = read(SAMPLES / "segmentation_file.json")
    assert goals(labeled) == [(0, 1), (2, 3)], "the label of the last utterance says nothing"


def test_segments_utterance_becomes_turn_of_its_speaker():
    first, second = read(SAMPLES / "lengths.json")
    assert isinstance(first, Dialogue)
    assert isinstance(second, Dialogue)
    assert all(turn.request and not turn.response for turn in first.turns), "nobody says who spoke"
    assert [(turn.request, turn.response) for turn in second.turns] == [
        ("", "Hello, how can I help?"),
        ("play some jazz", ""),
        ("", "Playing jazz."),
    ]
    assert (first.id, second.id) == ("lengths/0", "lengths/1")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"utterances": ["a", "b", "c", "d"], "segments": [0, 0, 1, 1]}, "bad_segments"),
        ({"utterances": ["a", "b"], "segments": [3]}, "bad_segments"),
        ({"utterances": ["a", "b"], "segments": [-1, 3]}, "bad_segments"),
        ({"utterances": ["a", "b"]}, "bad_type"),
        ({"turns": [{"utterance": "a", "segmentation_label": 2}]}, "bad_type"),
        ({"turns": [{"utterance": "a"}]}, "bad_type"),
        ([], "bad_type"),
    ],
)
def test_segments_bad_record_is_rejected_with_location(tmp_path: Path, record: object, reason: str):
    good = {"utterances": ["a", "b"], "segments": [1, 1]}
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(x) for x in (good, record)))
    (tmp_path / "other.json").write_text(json.dumps([good, record]))
    for file, line in (("log.jsonl", 2), ("other.json", None)):
        kept, bad = read(tmp_path / file)
        assert goals(kept) == [(0,), (1,)]
        assert isinstance(bad, Rejected)
        assert (bad.file, bad.line, bad.dialogue) == (file, line, f"{file.partition('.')[0]}/2")
        assert bad.reason.startswith(reason)


def test_segments_invalid_json_is_rejected(tmp_path: Path):
    (tmp_path / "a.json").write_text("{")
    (bad,) = read(tmp_path / "a.json")
    assert isinstance(bad, Rejected)


def test_segments_without_utterance_give_empty_dialogue(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"utterances": [], "segments": []}\n')
    (empty,) = read(tmp_path)
    assert isinstance(empty, Dialogue)
    assert (empty.turns, empty.annotations) == ((), ())
