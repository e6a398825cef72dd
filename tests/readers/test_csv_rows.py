"""Rows of a table give the same dialogues in whatever order they stand."""

import csv
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log

OPTIONS = {"dialogue": "call", "speaker": "who", "text": "said", "time": "at"}


def row(call: int, place: int, at: object = None) -> list[object]:
    who = "user" if place % 2 == 0 else "agent"
    return [f"c{call}", who, f"{who} {call} {place}", 100 * call + place if at is None else at]


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["call", "who", "said", "at"], *rows])
    return path


def dialogues(path: Path, options: dict[str, str] = OPTIONS) -> dict[str, Dialogue]:
    return {dialogue.id: dialogue for dialogue in Log([path], "mapped", options, max_bad_rate=0.0)}


ROWS = [row(call, place) for call in range(4) for place in range(2 * call + 1)]


@given(rows=st.permutations(ROWS))
def test_csv_rows_shuffled_give_equal_dialogues(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tables")
    shuffled = dialogues(write(folder / "shuffled.csv", rows))
    assert shuffled == dialogues(write(folder / "ordered.csv", ROWS))
    assert [len(shuffled[f"c{call}"].turns) for call in range(4)] == [1, 2, 3, 4]


def test_csv_rows_with_equal_or_missing_times_keep_order(tmp_path):
    rows = [row(0, 0, 5), row(0, 1, ""), row(0, 2, 5), row(0, 3, "")]
    found = dialogues(write(tmp_path / "t.csv", rows))
    assert [(turn.request, turn.response) for turn in found["c0"].turns] == [
        ("user 0 0", "agent 0 1"),
        ("user 0 2", "agent 0 3"),
    ]


def test_csv_dialogue_with_bad_row_anywhere_is_rejected_whole(tmp_path):
    rows: list[list[object]] = [row(0, 0), row(1, 0), row(0, 1), ["c0"], row(0, 2), row(1, 1)]
    log = Log([write(tmp_path / "t.csv", rows)], "mapped", OPTIONS, max_bad_rate=1.0)
    assert [dialogue.id for dialogue in log] == ["c1"]
    assert log.reasons == {"bad_row": 1, "lacks_row": 1}
