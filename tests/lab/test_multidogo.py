"""MultiDoGO: rows as turns, runs of plain tags as slots."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers.multidogo import READER
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan
from labelgen.data.log import Log
from labelgen.data.record import Rejected

HEADER = ["conversationId", "turnNumber", "utteranceId", "utterance", "slot-labels", "intent"]


def slots(dialogue: Dialogue) -> list[tuple[int, str, str]]:
    """Each slot as its turn, name and the words that its span cuts."""
    spans = [(x.name, x.at) for x in dialogue.annotations[0].labels if isinstance(x.at, AtSpan)]
    return [(at.turn, name, dialogue.turns[at.turn].request[at.start : at.end]) for name, at in spans]


def write(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([HEADER, *rows])


def test_multidogo_part_option_gives_published_part(tmp_path: Path):
    for part in ("train", "dev", "test"):
        write(tmp_path / "airline" / f"{part}.tsv", [["c", "1", "", part, "O", "contentonly"]])
    for part in ("train", "dev", "test"):
        (found,) = Log([tmp_path], "multidogo", {"part": part})
        assert (found.id, found.source) == (f"multidogo/airline/{part}/c", "multidogo/airline")
        assert found.turns[0].request == part
    assert len(list(Log([tmp_path], "multidogo"))) == 3


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (["c", "2", "", "my name is", "O name", "x"], "slot-labels", "bad_tags: 2 tags for 3 words"),
        (["c", "two", "", "hi", "O", "x"], "turnNumber", "bad_turn: 'two' is no number"),
        (["c", "1", "", "hi", "O", "x"], "turnNumber", "bad_turn: 1 does not come after 1"),
        (["", "2", "", "hi", "O", "x"], "conversationId", "empty_id"),
        (["c", "2", "", "hi"], None, "bad_row: 4 cells, the header has 6"),
    ],
)
def test_multidogo_bad_row_is_rejected_alone(bad: list[str], field: str | None, reason: str, tmp_path: Path):
    good = [["c", str(k), "", f"turn {k}", "O O", "contentonly"] for k in (1, 5)]
    write(tmp_path / "media" / "train.tsv", [good[0], bad, good[1]])
    rejected, found = READER.read(tmp_path, {})
    assert isinstance(rejected, Rejected)
    assert isinstance(found, Dialogue)
    assert (rejected.file, rejected.line, rejected.field) == ("media/train.tsv", 3, field)
    assert rejected.reason.startswith(reason)
    assert [t.request for t in found.turns] == ["turn 1", "turn 5"]


word = st.tuples(st.sampled_from(["a", "é🍕", "it's", "", "\n"]), st.sampled_from(["O", "name", "size"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.lists(word, min_size=1, max_size=6), min_size=1, max_size=3))
def test_multidogo_spans_of_tags_cut_tagged_words(turns: list[list[tuple[str, str]]], tmp_path: Path):
    rows = [["c", str(k), "", " ".join(w for w, _ in x), " ".join(t for _, t in x), "i"] for k, x in enumerate(turns)]
    write(tmp_path / "media" / "dev.tsv", rows)
    (found,) = READER.read(tmp_path, {})
    assert isinstance(found, Dialogue)
    assert [t.request for t in found.turns] == [row[3] for row in rows]
    cut = Counter((t, name, w) for t, name, words in slots(found) for w in words.split(" "))
    assert cut == Counter((t, tag, w) for t, x in enumerate(turns) for w, tag in x if tag != "O" and w.strip())
