"""Label Studio round trip, and damaged answers."""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from answered import accepted, said, write_export
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import dialogues

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Abstained, Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Field, Label, NoLabel
from labelgen.data.record import Rejected
from labelgen.review.form import CAUSES, questions_of
from labelgen.review.label_studio import from_units, labeling_config, read_answers, task_of, to_units
from labelgen.review.merge import AnswerMerger, ReviewAnswer
from labelgen.review.sampling import model_annotation

TURNS = (
    Turn(request="😀 play purple haze", response="Playing é́."),
    Turn(request="", response="Hello?"),
    Turn(request="louder", response=""),
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
    ),
    (NoLabel("intents", AtTurn(1)), NoLabel("slots", AtTurn(2))),
    (Abstained(Field("intents", AtTurn(2)), (Label("intents", AtTurn(2), "volume_up", 0.4),)),),
)
DIALOGUE = Dialogue(id="d7", turns=TURNS, annotations=(MODEL,))


def exported(dialogue: Dialogue, blind: bool = False) -> dict[str, Any]:
    asked = questions_of([dialogue], {})
    return json.loads(json.dumps(task_of(dialogue, model_annotation(dialogue, None), asked, blind)))


def returned(folder: Path, *tasks: dict[str, Any]) -> list[ReviewAnswer | Rejected]:
    return list(read_answers(write_export(folder / "answers.json", tasks), Counter()))


def merged(
    folder: Path, *tasks: dict[str, Any], log: Dialogue = DIALOGUE
) -> tuple[Dialogue, list[Rejected], AnswerMerger]:
    aside: list[Rejected] = []
    merge = AnswerMerger(returned(folder, *tasks), aside.append)
    [out] = merge([log])
    return out, aside, merge


@given(dialogues().filter(lambda d: d.turns))
def test_label_studio_round_trip_keeps_the_labels(tmp_path_factory, dialogue):
    annotation = model_annotation(dialogue, None) or Annotation("nobody", "model")
    [answer] = returned(tmp_path_factory.mktemp("round"), accepted(exported(dialogue)))
    if not said(annotation):
        assert isinstance(answer, Rejected)
        assert answer.reason.startswith("empty")
        return
    assert isinstance(answer, ReviewAnswer)
    assert said(answer.annotation) == said(annotation)
    assert (answer.annotation.annotator, answer.annotation.kind) == ("label-studio:7", "person")
    merge = AnswerMerger([answer], lambda _: None)
    [out] = merge([dialogue])
    assert not merge.reasons
    assert out.annotations == (*dialogue.annotations, answer.annotation)
    assert replace(out, annotations=dialogue.annotations) == dialogue


@given(st.dictionaries(st.integers(0, 2), st.sampled_from(CAUSES), min_size=1))
def test_label_studio_round_trip_keeps_causes(tmp_path_factory, causes):
    labels = tuple(Label("cause", AtTurn(t), name) for t, name in sorted(causes.items()))
    asked = questions_of([DIALOGUE], {}, ["cause"])
    choices = ElementTree.fromstring(labeling_config(asked)).find(".//Choices[@name='cause']")
    assert choices is not None
    assert [choice.get("value") for choice in choices] == list(CAUSES)
    task = accepted(task_of(DIALOGUE, Annotation("m", "model", labels), asked))
    [answer] = returned(tmp_path_factory.mktemp("causes"), task)
    assert isinstance(answer, ReviewAnswer)
    assert answer.annotation.labels == labels


@given(dialogues().filter(lambda d: d.turns), st.booleans())
def test_task_results_answer_questions_of_the_configuration(dialogue, blind):
    asked = questions_of([dialogue], {})
    view = ElementTree.fromstring(labeling_config(asked))
    controls = {node.get("name"): node for node in view.iter() if node.get("toName")}
    assert len(controls) == sum(node.get("toName") is not None for node in view.iter())
    for result in task_of(dialogue, model_annotation(dialogue, None), asked, blind)["predictions"][0]["result"]:
        control = controls[result["from_name"]]
        assert result["type"] == control.tag.lower()
        if result["type"] in ("choices", "paragraphlabels"):
            known = {choice.get("value") for choice in control}
            assert set(result["value"][result["type"]]) <= known
        if result["type"] == "rating":
            assert result["value"]["rating"] in range(1, 6)


@given(dialogues().filter(lambda d: d.turns))
def test_blind_task_shows_no_answers(dialogue):
    results = exported(dialogue, blind=True)["predictions"][0]["result"]
    assert [r["from_name"] for r in results] == ["turn"] * len(dialogue.turns)


def test_read_answers_names_people_by_address_or_number(tmp_path):
    task = accepted(exported(DIALOGUE), {"id": 3, "email": "anna@example.org"})
    task["annotations"].append({**task["annotations"][0], "completed_by": 4})
    out, aside, merge = merged(tmp_path, task)
    assert [a.annotator for a in out.annotations] == ["m", "anna@example.org", "label-studio:4"]
    assert not aside
    assert merge.added == {"anna@example.org": 1, "label-studio:4": 1}


def changed(**values: object) -> dict[str, Any]:
    """The task, answered with another value in its slot."""
    task = accepted(exported(DIALOGUE))
    for result in task["annotations"][0]["result"]:
        if result["from_name"] == "slots":
            result["value"].update(values)
    return task


def second_goal() -> dict[str, Any]:
    task = accepted(exported(DIALOGUE))
    own = next(r for r in task["annotations"][0]["result"] if r["from_name"] == "goal")
    task["annotations"][0]["result"].append({**own, "value": {**own["value"], "choices": ["2"]}})
    return task


def two_causes() -> dict[str, Any]:
    task = accepted(exported(DIALOGUE))
    own = next(r for r in task["annotations"][0]["result"] if r["from_name"] == "goal")
    value = {**own["value"], "choices": ["wake", "result"]}
    task["annotations"][0]["result"].append({**own, "from_name": "cause", "value": value})
    return task


def other_text(line: int) -> dict[str, Any]:
    task = accepted(exported(DIALOGUE))
    task["data"]["dialogue"][line]["text"] += "!"
    return task


def shorter() -> dict[str, Any]:
    task = accepted(exported(replace(DIALOGUE, turns=TURNS[:1], annotations=())))
    task["annotations"][0]["result"].append(
        {"from_name": "dialogue_quality", "to_name": "dialogue", "type": "rating", "value": {"rating": 3}}
    )
    return task


FAULTS = {
    "within a character": (changed(startOffset=1), "bad_span"),
    "beyond the request": (changed(endOffset=99), "bad_span"),
    "other words than are said": (changed(startOffset=9), "bad_span"),
    "empty": (changed(startOffset=19, text=""), "bad_span"),
    "no offsets": (changed(startOffset=None), "bad_span"),
    "in the response": (changed(start="2", end="2"), "bad_span"),
    "over two turns": (changed(end="4"), "bad_span"),
    "no such line": (changed(start="99", end="99"), "bad_span"),
    "no numbers": (changed(start="x", end="x"), "bad_span"),
    "no region": (changed(start=None), "no_region"),
    "two goals for one turn": (second_goal(), "goals_overlap"),
    "another request": (other_text(1), "changed_text"),
    "another response": (other_text(5), "changed_text"),
    "fewer turns": (shorter(), "changed_text"),
    "unknown id": (accepted({**exported(DIALOGUE), "data": {**exported(DIALOGUE)["data"], "id": "d8"}}), "unknown_id"),
    "two causes for one turn": (two_causes(), "unknown_name"),
    "skipped": (accepted(exported(DIALOGUE), was_cancelled=True), "skipped"),
    "nothing answered": (accepted(exported(replace(DIALOGUE, annotations=()))), "empty"),
    "an empty annotation": ({**exported(DIALOGUE), "annotations": [{"result": [], "completed_by": 7}]}, "empty"),
    "nobody's": (accepted(exported(DIALOGUE), None), "no_annotator"),
    "no result": ({**exported(DIALOGUE), "annotations": [{"completed_by": 7}]}, "bad_annotation"),
    "an offset in words": (changed(startOffset="two"), "bad_annotation"),
    "no data": ({"annotations": [{"result": [], "completed_by": 7}]}, "bad_task"),
}


@pytest.mark.parametrize(("task", "reason"), FAULTS.values(), ids=FAULTS)
def test_damaged_answers_are_rejected_with_a_reason(tmp_path, task, reason):
    good = accepted(exported(DIALOGUE), 8)
    out, aside, merge = merged(tmp_path, task, good)
    assert [item.reason.partition(":")[0] for item in aside] == [reason]
    assert aside[0].raw
    assert merge.reasons == {reason: 1}
    assert merge.faults == (reason not in ("skipped", "empty"))
    assert [a.annotator for a in out.annotations] == ["m", "label-studio:8"]


def test_merge_of_two_annotations_by_one_person_keeps_the_last(tmp_path):
    first = accepted(exported(DIALOGUE), updated_at="2026-03-02T08:00:00Z")
    earlier = {"result": [], "completed_by": 7, "updated_at": "2026-03-01T08:00:00Z"}
    rated = [{"from_name": "dialogue_quality", "to_name": "dialogue", "type": "rating", "value": {"rating": 1}}]
    first["annotations"].append({**earlier, "result": rated})
    out, aside, _ = merged(tmp_path, first)
    assert [item.reason.partition(":")[0] for item in aside] == ["superseded"]
    assert said(out.annotations[-1]) == said(MODEL)


def test_merge_of_known_answers_changes_nothing(tmp_path):
    task = accepted(exported(DIALOGUE))
    once, _, _ = merged(tmp_path, task)
    again, aside, merge = merged(tmp_path, task, log=once)
    assert again == once
    assert (merge.faults, merge.reasons) == (0, {"known": 1})
    task["annotations"][0]["result"] = task["annotations"][0]["result"][:4]
    again, aside, merge = merged(tmp_path, task, log=once)
    assert again == once
    assert [item.reason.partition(":")[0] for item in aside] == ["doubled_annotator"]


def test_marked_labels_override_a_none_tick(tmp_path):
    task = changed()
    results = task["annotations"][0]["result"]
    [slot] = [r for r in results if r["from_name"] == "slots"]
    louder = {"start": "7", "end": "7", "startOffset": 0, "endOffset": 6, "text": "louder"}
    results.append({**slot, "id": "new", "value": {**louder, "paragraphlabels": ["song"]}})
    out, _, _ = merged(tmp_path, task)
    [label] = [x for x in out.annotations[-1].labels if x.task == "slots" and x.at != AtSpan(0, 7, 18)]
    assert label == Label("slots", AtSpan(2, 0, 6), "song")
    assert NoLabel("slots", AtTurn(2)) not in out.annotations[-1].none


def test_slot_words_that_a_browser_shows_differently_are_accepted(tmp_path):
    """As Label Studio 1.23.2 exported it, told to show the lines without their blanks: right offsets, cut words."""
    request = "  lead  double "
    model = Annotation("m", "model", (Label("slots", AtSpan(0, 2, 6), "song"),))
    log = Dialogue(id="d7", turns=(Turn(request=request, response=""),), annotations=(model,))
    task = accepted(exported(log))
    [slot] = [r for r in task["annotations"][0]["result"] if r["from_name"] == "slots"]
    slot["value"]["text"] = "ead "
    out, aside, _ = merged(tmp_path, task, log=log)
    assert not aside
    assert said(out.annotations[-1]) == said(model)


@pytest.mark.parametrize("text", ['[{"data": {"id"', "{}", "", "\x00"])
def test_read_answers_of_a_cut_export_raises(tmp_path, text):
    path = tmp_path / "answers.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="no whole JSON export"):
        list(read_answers(path, Counter()))


@pytest.mark.parametrize("name", ["$intent", "a\x07b", " a", "a\n"])
def test_questions_with_an_unwritable_label_raise(name):
    with pytest.raises(UsageError, match="cannot ask"):
        labeling_config(questions_of([DIALOGUE], {"*": {"intents": (LabelName(name),)}}))


TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("a😀👨‍👩‍👧é́𝄞\n\u200d")), max_size=12
)


def naive_units(text: str) -> int:
    """What `text.length` is in JavaScript: two for a character outside the Basic Multilingual Plane."""
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


@given(TEXTS, st.data())
def test_to_units_equals_browser_offsets_and_round_trips(text, data):
    offset = data.draw(st.integers(0, len(text)))
    units = to_units(text, offset)
    assert units == naive_units(text[:offset])
    assert from_units(text, units) == offset


@given(TEXTS)
def test_from_units_within_a_character_raises(text):
    places = {to_units(text, offset) for offset in range(len(text) + 1)}
    for units in range(-1, naive_units(text) + 2):
        if units not in places:
            with pytest.raises(ValueError, match="offset"):
                from_units(text, units)
