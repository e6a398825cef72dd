"""Argilla round trip, what its server takes, and damaged responses."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from answered import said, submitted
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import dialogues

from labelgen.base.errors import InputError, UsageError
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.log import Log, write_log
from labelgen.data.record import Rejected
from labelgen.review.argilla import datasets_of, ids_in, read_responses
from labelgen.review.label_studio import TASKS, questions_of
from labelgen.review.merge import AnswerMerger, ReviewAnswer
from labelgen.review.sampling import model_annotation

TURNS = (
    Turn(request="😀 play purple haze", response="Playing é́."),
    Turn(request="", response="Hello?"),
    Turn(request="play it, play it 😀", response=""),
)
MODEL = Annotation(
    "m",
    "model",
    (
        Label("goals", AtGoal((0, 2)), "goal", 0.8),
        Label("outcome", AtGoal((0, 2)), "success", 0.7),
        Label("quality", AtDialogue(), "good", None, 4.0),
        Label("quality", AtTurn(0), "bad", None, 2.0),
        Label("intents", AtTurn(0), "play", 0.9),
        Label("slots", AtSpan(0, 7, 18), "song", 0.6, "Purple Haze"),
        Label("slots", AtSpan(2, 5, 7), "song", 0.6),
        Label("slots", AtSpan(2, 14, 18), "song", 0.6, 'a = "b"\n'),
    ),
    (NoLabel("intents", AtTurn(1)), NoLabel("slots", AtTurn(1))),
)
DIALOGUE = Dialogue(id="d7", turns=TURNS, annotations=(MODEL,))
NAMES = {"*": {"intents": (LabelName("play"), LabelName("stop")), "slots": (LabelName("song"),)}}


def exported(dialogue: Dialogue, tasks: Sequence[str] = TASKS, blind: bool = False) -> dict[str, str]:
    annotation = None if blind else model_annotation(dialogue, None)
    return datasets_of([dialogue], [annotation], questions_of([dialogue], {}, tasks, plain=True))


def returned(
    folder: Path, rows: Sequence[dict[str, Any]], *log: Dialogue, ignored: Counter[str] | None = None
) -> list[ReviewAnswer | Rejected]:
    path = folder / "answers.json"
    path.write_text(json.dumps(list(rows)), encoding="utf-8")
    known = {dialogue.id: dialogue for dialogue in log}
    return list(read_responses(path, known, Counter() if ignored is None else ignored))


@given(dialogues().filter(lambda d: d.turns))
def test_argilla_round_trip_keeps_the_labels(tmp_path_factory, dialogue):
    annotation = model_annotation(dialogue, None) or Annotation("nobody", "model")
    answers = returned(tmp_path_factory.mktemp("round"), submitted(exported(dialogue), "anna@here"), dialogue)
    # Without a name there are no choices to ask for.
    names = questions_of([dialogue], {}, plain=True).intents
    expected = said(annotation, TASKS if names else set(TASKS) - {"intents"})
    if not expected:
        assert answers == []
        return
    [answer] = answers
    assert isinstance(answer, ReviewAnswer)
    assert said(answer.annotation) == expected
    assert (answer.annotation.annotator, answer.annotation.kind) == ("anna@here", "person")
    merge = AnswerMerger([answer], lambda _: None)
    [out] = merge([dialogue])
    assert not merge.reasons
    assert out.annotations == (*dialogue.annotations, answer.annotation)


@given(dialogues().filter(lambda d: d.turns), st.booleans())
def test_argilla_records_are_what_its_server_takes(dialogue, blind):
    files = exported(dialogue, blind=blind)
    for name in ("turns", "dialogues"):
        settings = json.loads(files[f"{name}/.argilla/settings.json"])
        fields = {field["name"]: field for field in settings["fields"]}
        questions = {question["name"]: question for question in settings["questions"]}
        metadata = {one["name"] for one in settings["metadata"]}
        assert not fields.keys() & questions.keys() & metadata
        assert any(question["required"] for question in questions.values())
        for question in questions.values():
            options = [option["value"] for option in question["settings"].get("options", ())]
            assert len(options) == len(set(options))
            least = {"span": 1, "text": 0}.get(question["settings"]["type"], 2)
            assert len(options) >= least
        records = json.loads(files[f"{name}/records.json"])
        assert len({record["id"] for record in records}) == len(records)
        for record in records:
            assert record["metadata"].keys() == metadata
            assert {n for n, field in fields.items() if field["required"]} <= record["fields"].keys() <= fields.keys()
            assert all(m["content"] for key in ("before", "after") for m in record["fields"].get(key, ()))
            assert not (blind and record["suggestions"])
            for question, suggestion in record["suggestions"].items():
                check_value(questions[question]["settings"], suggestion, record["fields"])


def check_value(settings: dict[str, Any], suggestion: dict[str, Any], fields: dict[str, Any]) -> None:
    """As the validators of Argilla's server do."""
    value, score = suggestion["value"], suggestion["score"]
    options = {option["value"] for option in settings.get("options", ())}
    assert score is None or len(score) == len(value)
    if settings["type"] == "text":
        assert isinstance(value, str)
    elif settings["type"] == "multi_label_selection":
        assert value
        assert len(set(value)) == len(value)
        assert set(value) <= options
    elif settings["type"] == "span":
        spans = [(span["start"], span["end"]) for span in value]
        assert {span["label"] for span in value} <= options
        assert all(0 <= start < end <= len(fields[settings["field"]]) for start, end in spans)
        if not settings["allow_overlapping"]:
            assert all(a[1] <= b[0] for a, b in zip(sorted(spans), sorted(spans)[1:], strict=False))
    else:
        assert value in options


def test_slot_behind_an_emoji_has_browser_offsets_within_the_shown_text():
    records = json.loads(exported(DIALOGUE)["turns/records.json"])
    assert records[0]["suggestions"]["slots"]["value"] == [{"start": 8, "end": 19, "label": "song"}]
    assert records[0]["fields"]["request"] == "😀 play purple haze "
    assert [key for key in ("before", "after") if key in records[0]["fields"]] == ["after"]
    assert records[2]["suggestions"]["slot_values"]["value"] == 'it = \nit 😀 = "a \\u003d \\"b\\"\\n"'


def test_tasks_that_are_not_asked_have_no_dataset_and_no_question():
    files = exported(DIALOGUE, ("slots",))
    assert {name.partition("/")[0] for name in files} == {"turns"}
    settings = json.loads(files["turns/.argilla/settings.json"])
    assert [question["name"] for question in settings["questions"]] == ["has_slots", "slots", "slot_values"]


def test_responses_of_several_people_become_their_annotations(tmp_path):
    rows = submitted(exported(DIALOGUE))
    uuid = "1d2c4f0e-0000-4000-8000-000000000007"
    for row in rows:
        for key in [key for key in row if key.endswith(".responses") and row[key]]:
            row[key] = row[key] * 2
            row[f"{key}.users"] = ["anna", uuid]
            row[f"{key}.status"] = ["submitted", "submitted"]
    answers = returned(tmp_path, rows, DIALOGUE)
    people = [answer.annotation.annotator for answer in answers if isinstance(answer, ReviewAnswer)]
    assert people == ["anna", f"argilla:{uuid}"]


def changed(row: int, **values: object) -> Callable[[list[dict[str, Any]]], None]:
    """values: question -> response, or a key of the record."""

    def change(rows: list[dict[str, Any]]) -> None:
        for name, value in values.items():
            if f"{name}.responses" in rows[row]:
                column = f"{name}.responses"
                rows[row] |= {column: [value], f"{column}.users": ["anna"], f"{column}.status": ["submitted"]}
            else:
                rows[row][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed(0, dialogue_id="d8"), "unknown_id"),
        (changed(0, dialogue_id=None), "bad_record"),
        (changed(0, turn="0"), "bad_record"),
        (changed(0, turn=3), "no_such_turn"),
        (changed(0, turn=-1), "no_such_turn"),
        (changed(0, request="play"), "changed_text: the request of turn 0"),
        (changed(0, response="No."), "changed_text: the response of turn 0"),
        (changed(3, dialogue="turn 0"), "changed_text: the dialogue"),
        (changed(0, slots=[{"start": 1, "end": 5, "label": "song"}]), "bad_span: 'song': offset 1 is within a char"),
        (changed(0, slots=[{"start": 8, "end": 21, "label": "song"}]), "bad_span"),
        (changed(0, slots=[{"start": 9, "end": 9, "label": "song"}]), "bad_span"),
        (changed(0, slots=[{"start": 9}]), "bad_record: the response to 'slots'"),
        (changed(0, slot_values="haze = x"), "bad_value"),
        (changed(0, slot_values="purple haze = x\npurple haze = y"), "bad_value"),
        (changed(0, slot_values='purple haze = "x'), "bad_value"),
        (changed(0, quality=6), "bad_rating: 6 of turn 0"),
        (changed(0, quality="2"), "bad_record"),
        (changed(3, goals=[{"start": 0, "end": 3, "label": "first"}]), "bad_goal"),
        (changed(0, **{"intents.responses.users": [None]}), "no_annotator"),
        (changed(0, **{"intents.responses.users": ["anna", "ben"]}), "bad_record"),
        (changed(0, **{"intents.responses.status": ["draft"]}), "skipped: anna did not submit"),
        (lambda rows: rows.append(rows[0]), "superseded"),
    ],
)
def test_bad_response_is_rejected_with_its_reason_and_the_others_stay(tmp_path, change, reason):
    rows = submitted(exported(DIALOGUE))
    change(rows)
    answers = returned(tmp_path, rows, DIALOGUE)
    [rejected] = [answer for answer in answers if isinstance(answer, Rejected)]
    assert rejected.reason.startswith(reason)
    assert rejected.raw is not None
    [answer] = [answer for answer in answers if isinstance(answer, ReviewAnswer)]
    kept = said(answer.annotation)
    assert kept
    assert kept <= said(MODEL)


def test_goals_that_share_a_turn_are_rejected_when_they_are_merged(tmp_path):
    rows = submitted(exported(DIALOGUE))
    spans = [{"start": 0, "end": 4, "label": "1"}, {"start": 5, "end": 9, "label": "2"}]
    changed(3, goals=spans)(rows)
    aside: list[Rejected] = []
    [out] = AnswerMerger(returned(tmp_path, rows, DIALOGUE), aside.append)([DIALOGUE])
    assert out == DIALOGUE
    assert "goals_overlap" in aside[0].reason


def test_part_of_several_turns_marks_all_of_them_as_a_goal(tmp_path):
    rows = submitted(exported(DIALOGUE))
    text = rows[3]["dialogue"]
    units = len(text[: text.index("turn 1")].encode("utf-16-le")) // 2
    changed(3, goals=[{"start": units - 3, "end": units + 2, "label": "4"}], outcome_4="failure")(rows)
    [answer] = returned(tmp_path, rows, DIALOGUE)
    assert isinstance(answer, ReviewAnswer)
    assert {label.at for label in answer.annotation.labels if label.task == "goals"} == {AtGoal((0, 1))}


def test_values_are_matched_to_equal_words_in_order(tmp_path):
    rows = submitted(exported(DIALOGUE))
    marked = [{"start": start, "end": start + 2, "label": "song"} for start in (14, 5)]
    changed(2, slots=marked, slot_values="it =\r\n\nit = Purple Haze \n")(rows)
    [answer] = returned(tmp_path, rows, DIALOGUE)
    assert isinstance(answer, ReviewAnswer)
    slots = {x.at: x.value for x in answer.annotation.labels if x.task == "slots" and x.at != AtSpan(0, 7, 18)}
    assert slots == {AtSpan(2, 5, 7): None, AtSpan(2, 14, 16): "Purple Haze"}


def test_ids_are_those_of_the_readable_records(tmp_path):
    rows = [*submitted(exported(DIALOGUE)), {"dialogue_id": "d8", "turn": 0}, {"dialogue_id": "d9", "turn": "0"}, {}]
    (tmp_path / "answers.json").write_text(json.dumps(rows))
    assert ids_in(tmp_path / "answers.json") == {"d7", "d8"}


def test_responses_to_other_questions_are_counted(tmp_path):
    rows = submitted(exported(DIALOGUE))
    column = "mood.responses"
    rows[0] |= {column: ["fine"], f"{column}.users": ["anna"], f"{column}.status": ["submitted"]}
    ignored: Counter[str] = Counter()
    [answer] = returned(tmp_path, rows, DIALOGUE, ignored=ignored)
    assert isinstance(answer, ReviewAnswer)
    assert ignored == {"mood": 1}


@pytest.mark.parametrize("name", ["no intent", "x" * 201, "a\0b"])
def test_label_that_argilla_cannot_offer_is_refused(name):
    odd = replace(DIALOGUE, annotations=(Annotation("m", "model", (Label("intents", AtTurn(0), name),)),))
    with pytest.raises(UsageError, match="Argilla cannot ask"):
        exported(odd)


@pytest.mark.parametrize("text", ["{}", "[{}", "[" * 100_000])
def test_file_that_is_no_list_of_records_is_an_input_error(tmp_path, text):
    (tmp_path / "answers.json").write_text(text)
    with pytest.raises(InputError, match="no list of Argilla's records"):
        list(read_responses(tmp_path / "answers.json", {}, Counter()))


def test_review_loop_with_argilla_adds_the_answers(tmp_path, capsys):
    log, folder, out = tmp_path / "log.jsonl", tmp_path / "review", tmp_path / "out.jsonl"
    write_log(log, [DIALOGUE, Dialogue(id="none", turns=())], NAMES)
    assert main(["review", "export", str(log), str(folder), "--to", "argilla", "--show-labels"]) == 0
    said_ = capsys.readouterr().out
    assert "turns/records.json" in said_
    assert "1 left out: no turns to be shown" in said_
    files = {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*.json")}
    answers, bad = tmp_path / "answers.json", tmp_path / "bad.jsonl"
    rows = submitted(files)
    next(row for row in rows if row.get("turn") == 1)["response"] = "changed"
    answers.write_text(json.dumps(rows))
    words = ["review", "import", str(log), str(answers), str(out), "--from", "argilla", "--quarantine", str(bad)]
    assert main(words) == 3
    assert main([*words, "--max-bad-rate", "0.5", "--force"]) == 0
    [dialogue, _] = Log([out])
    person = dialogue.annotation("anna")
    assert person is not None
    assert said(person) == {one for one in said(MODEL) if "AtTurn(turn=1)" not in str(one)}
    assert json.loads(bad.read_text())["reason"].startswith("changed_text")


def test_argilla_needs_a_log_that_is_read_twice_and_goals_for_outcomes(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    write_log(log, [DIALOGUE], NAMES)
    assert main(["review", "import", "-", "a.json", str(tmp_path / "o.jsonl"), "--from", "argilla"]) == 2
    assert "read twice" in capsys.readouterr().err
    words = ["review", "export", str(log), str(tmp_path / "review"), "--to", "argilla", "--task", "outcome"]
    assert main(words) == 2
    assert "--task goals" in capsys.readouterr().err
