"""DBDC3: thirty annotators of each utterance of a bot."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers.dbdc3 import READER
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtTurn
from labelgen.data.log import Log
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected

RATING = {"O": 5.0, "T": 3.0, "X": 1.0}


def rated(dialogue: Dialogue) -> dict[tuple[str, int], float]:
    """(annotator, turn) -> rating."""
    return {
        (a.annotator, x.at.turn): float(x.value or 0)
        for a in dialogue.annotations
        for x in a.labels
        if isinstance(x.at, AtTurn)
    }


def line(speaker: str, votes: dict[str, str], time: str = "") -> dict[str, Any]:
    annotations = [{"breakdown": vote, "annotator-id": name, "comment": ""} for name, vote in votes.items()]
    return {"speaker": speaker, "utterance": f"{speaker} says", "time": time, "annotations": annotations}


def chat(lines: list[dict[str, Any]], folder: Path) -> Dialogue | Rejected:
    file = folder / "BOT_1" / "b1.log.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"dialogue-id": "b1", "speaker-id": "", "turns": lines}))
    (found,) = READER.read(folder, {})
    assert not isinstance(found, Remark)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.tuples(st.sampled_from("US"), st.dictionaries(st.sampled_from("abc"), st.sampled_from("OTX"))), max_size=8
    )
)
def test_dbdc3_votes_are_all_read(lines: list[tuple[str, dict[str, str]]], tmp_path: Path):
    votes = [(speaker, given if speaker == "S" else {}) for speaker, given in lines]
    found = chat([line(speaker, given) for speaker, given in votes], tmp_path)
    assert isinstance(found, Dialogue)
    expected: dict[tuple[str, int], list[float]] = {}
    turn, before = 0, "U"
    for speaker, told in votes:
        turn += speaker == "U" and before == "S"
        before = speaker
        for name, vote in told.items():
            expected.setdefault((f"dbdc3/{name}", turn), []).append(RATING[vote])
    assert rated(found) == {key: sum(ratings) / len(ratings) for key, ratings in expected.items()}


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (line("S", {"a": "Y"}), "turns[1].annotations[0].breakdown", "bad_type"),
        (line("B", {"a": "O"}), "turns[1].speaker", "bad_type"),
        (line("S", {"": "O"}), "turns[1].annotations[0].annotator-id", "doubled_annotator"),
        (line("S", {}, "yesterday"), "turns[1].time", "bad_time"),
    ],
)
def test_dbdc3_bad_log_is_rejected_with_reason(bad: dict[str, Any], field: str, reason: str, tmp_path: Path):
    found = chat([line("U", {}), bad], tmp_path)
    assert isinstance(found, Rejected)
    assert (found.file, found.field, found.reason.partition(":")[0]) == ("BOT_1/b1.log.json", field, reason)


def test_dbdc3_second_vote_of_annotator_is_rejected(tmp_path: Path):
    twice = line("S", {"a": "O"})
    twice["annotations"] *= 2
    found = chat([twice], tmp_path)
    assert isinstance(found, Rejected)
    assert (found.dialogue, found.field) == ("dbdc3/BOT_1/b1", "turns[0].annotations[1].annotator-id")


def test_dbdc3_full_release_gives_revised_english_part(tmp_path: Path):
    for folder in ("dbdc3/en", "dbdc3_revised/en", "dbdc3_revised/jp"):
        bot = tmp_path / "DBDC3" / folder / "dev" / "BOT_1"
        bot.mkdir(parents=True)
        (bot / "b1.log.json").write_text(json.dumps({"dialogue-id": folder, "turns": []}))
    assert [d.id for d in Log([tmp_path], "dbdc3")] == ["dbdc3/BOT_1/dbdc3_revised/en"]
