"""AB-ReDial: a rater a row, dialogues by id and text, and cuts of four utterances found again."""

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.readers.abredial import READER
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, AtTurn, answers
from labelgen.data.record import Rejected

ASPECTS = ["understanding", "task-completion", "interest-arousal", "efficiency", "dialogue-overall"]
CUT_COLUMNS = [
    column
    for k in range(3)
    for column in (*(f"utterance{j}" for j in range(4 * k, 4 * k + 4)), *(f"{a}{k + 1}" for a in ("relevance", "interestingness", "overall")))
]  # fmt: skip


def outcomes(dialogue: Dialogue) -> list[str | None]:
    """Of each rater of the dialogue; `unknown` where they said that, None where they said nothing."""
    found: list[str | None] = []
    for annotation in dialogue.annotations:
        if "/r" in annotation.annotator:
            given = list(answers(annotation, "outcome").values())
            found.append((given[0][0].name if given[0] else "unknown") if given else None)
    return found


def quality(dialogue: Dialogue, kind: str) -> list[dict[object, str | float | None]]:
    named = [a for a in dialogue.annotations if a.annotator.startswith(f"{dialogue.id}/{kind}")]
    return [{x.at: x.value for x in a.labels if x.task == "quality"} for a in named]


def write(folder: Path, rows: list[list[str]], cuts: list[list[str]] | None = None) -> None:
    utterances = [f"utterance{k}" for k in range(22)]
    with (folder / "annotated_dialogues.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["ConvId", *utterances, *ASPECTS, "justification-text"], *rows])
    if cuts is not None:
        with (folder / "annotated_turns.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["ConvId", *CUT_COLUMNS], *cuts])


def row(name: str, lines: list[str], ratings: list[str]) -> list[str]:
    return [name, *lines, *[""] * (22 - len(lines)), *ratings, "because"]


def cut(name: str, lines: list[str], overall: list[str]) -> list[str]:
    return [name, *(cell for k in range(3) for cell in (*lines[4 * k : 4 * k + 4], "1", "1", overall[k]))]


CHAT = [f"{'USER' if k % 2 else 'SYSTEM'}\tline {k}" for k in range(14)]


def test_abredial_partial_success_with_option_is_failure(tmp_path: Path):
    write(tmp_path, [row("A", CHAT, ["1", done, "1", "1", "3"]) for done in ("1", "2.0", "3", "")])
    (found,) = READER.read(tmp_path, {})
    (harsh,) = READER.read(tmp_path, {"partly": "failure"})
    assert isinstance(found, Dialogue)
    assert isinstance(harsh, Dialogue)
    assert outcomes(found) == ["failure", "unknown", "success", None]
    assert outcomes(harsh) == ["failure", "failure", "success", None]
    assert list(answers(found.annotations[0], "outcome")) == [AtGoal((1, 2, 3, 4, 5, 6, 7))]
    with pytest.raises(UsageError, match="--partly is 'success'"):
        list(READER.read(tmp_path, {"partly": "success"}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    starts=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
    fixed=st.sets(st.integers(0, 3), max_size=2),
    overall=st.lists(st.integers(1, 5), min_size=3, max_size=3),
)
def test_abredial_cut_rates_turn_of_third_utterance(
    starts: tuple[int, int, int], fixed: set[int], overall: list[int], tmp_path: Path
):
    places = [4 * k + 2 * (start > k) for k, start in enumerate(starts)]
    lines = [CHAT[place + j] + " fixed" * (j in fixed) for place in places for j in range(4)]
    other = [f"{line} of another" for line in CHAT]
    write(
        tmp_path,
        [row("A", text, ["1", "3", "1", "1", "3"]) for text in (other, CHAT)],
        [cut("A", lines, [str(rating) for rating in overall])],
    )
    untouched, found = READER.read(tmp_path, {})
    assert isinstance(found, Dialogue)
    assert isinstance(untouched, Dialogue)
    assert quality(untouched, "t") == []
    expected: dict[object, float] = {}
    for place, rating in zip(places, overall, strict=True):
        turn = next(t for t, x in enumerate(found.turns) if x.response == f"line {place + 2}")
        expected[AtTurn(turn)] = float(rating)
    assert quality(found, "t") == [expected]


GOOD = ["1", "3", "1", "1", "3"]


@pytest.mark.parametrize(
    ("bad", "cuts", "field", "reason"),
    [
        (row("A", ["BOT\thi"], GOOD), None, "utterance0", "bad_line"),
        (row("A", CHAT, ["1", "4", "1", "1", "3"]), None, "task-completion", "bad_rating"),
        (row("A", CHAT, ["1", "nan", "1", "1", "3"]), None, "task-completion", "bad_rating"),
        (row("A", CHAT, ["1", "3", "1", "1", "good"]), None, "dialogue-overall", "bad_rating"),
        (["A", "too", "short"], None, None, "bad_row"),
        (None, cut("B", CHAT, ["1", "1", "1"]), "ConvId", "unknown_dialogue"),
        (None, cut("A", ["", *CHAT[1:]], ["1", "1", "1"]), "utterance0", "bad_cut"),
        (None, cut("A", ["USER\tx"] * 12, ["1", "1", "1"]), "utterance0", "bad_cut"),
        (None, cut("A", CHAT, ["1", "6", "1"]), "overall2", "bad_rating"),
    ],
)
def test_abredial_bad_row_is_rejected_alone(
    bad: list[str] | None, cuts: list[str] | None, field: str | None, reason: str, tmp_path: Path
):
    good = row("A", CHAT, GOOD)
    write(tmp_path, [good] if bad is None else [good, bad], [] if cuts is None else [cuts])
    rejected, found = READER.read(tmp_path, {})
    assert isinstance(rejected, Rejected)
    assert isinstance(found, Dialogue)
    assert (rejected.field, rejected.reason.partition(":")[0]) == (field, reason)
    assert rejected.line == (3 if bad else 2)
    assert len(found.annotations) == 1
