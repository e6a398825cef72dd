"""Prompts for an LLM and its answers: what the prompt says comes back as labels, and what it does not allow is set aside."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from answered import said
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Step, Turn
from labelgen.data.label_sets import LabelName
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.log import Log, write_log
from labelgen.review.form import TASKS, question_line, questions_of, read_lines
from labelgen.tasks.cause import Cause

TURNS = (Turn(request="😀 play a song, play it", response="Playing."), Turn(request="thanks", response="```\n{}"))
NAMES = {"*": {"intents": (LabelName("play"), LabelName("stop")), "slots": (LabelName("what"),)}}


def dialogue(identity: str = "d0") -> Dialogue:
    model = Annotation("m", "model", (Label("intents", AtTurn(0), "stop", 0.123456),))
    return Dialogue(id=identity, turns=TURNS, annotations=(model,))


WHOLE = {
    "goals": [{"turns": [0], "outcome": "success"}],
    "quality": 4,
    "turns": [
        {"turn": 1, "intents": [], "slots": []},
        {
            "turn": 0,
            "quality": 2,
            "intents": ["play"],
            "slots": [{"name": "what", "words": "play"}, {"name": "what", "words": "play"}],
        },
    ],
}
LABELS = Annotation(
    "gpt",
    "llm",
    (
        Label("goals", AtGoal((0,)), "goal"),
        Label("outcome", AtGoal((0,)), "success"),
        Label("quality", AtDialogue(), "good"),
        Label("quality", AtTurn(0), "bad"),
        Label("intents", AtTurn(0), "play"),
        Label("slots", AtSpan(0, 2, 6), "what"),
        Label("slots", AtSpan(0, 15, 19), "what"),
    ),
    (NoLabel("intents", AtTurn(1)), NoLabel("slots", AtTurn(1))),
)


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "log.jsonl"
    write_log(path, [dialogue(f"d{k}") for k in range(4)] + [Dialogue(id="none", turns=())], NAMES)
    return path


def run(*words: object) -> int:
    return main(["review", *map(str, words)])


def prompts(log: Path, *more: object) -> list[dict[str, Any]]:
    assert run("export", log, log.parent / "prompts", "--to", "jsonl", "--force", *more) == 0
    text = (log.parent / "prompts" / "questions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def answers(log: Path, lines: Sequence[object]) -> Path:
    path = log.parent / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def imported(log: Path, lines: Sequence[object], *more: object) -> int:
    words = ("--from", "jsonl", "--annotator", "gpt", "--force", *more)
    return run("import", log, answers(log, lines), log.parent / "out.jsonl", *words)


def test_answers_to_the_prompts_become_an_annotation_of_the_llm(log):
    asked = prompts(log)
    assert [one["id"] for one in asked] == ["d0", "d1", "d2", "d3"]
    texts = [json.dumps(WHOLE), f"```json\n{json.dumps(WHOLE, indent=1)}\n```\n"]
    given = [WHOLE, *texts]
    lines = [{**one, "answer": answer, "price": 0.002} for one, answer in zip(asked, given, strict=False)]
    assert imported(log, lines) == 0
    after = {d.id: d for d in Log([log.parent / "out.jsonl"])}
    for identity in ("d0", "d1", "d2"):
        annotation = after[identity].annotation("gpt")
        assert annotation is not None
        assert (annotation.kind, annotation.price) == ("llm", 0.002)
        assert said(annotation) == said(LABELS)
    assert after["d3"].annotation("gpt") is None
    assert [a.annotator for a in after["d3"].annotations] == ["m"]


def test_prompt_holds_its_parts_and_no_label_of_the_model(log):
    for one in prompts(log):
        assert list(one) == ["id", "rubric", "dialogue", "schema", "prompt"]
        assert one["rubric"] in one["prompt"]
        for turn in one["dialogue"]:
            assert turn["request"] in one["prompt"]
            assert json.dumps(turn["response"]) in one["prompt"]
        assert "0.123456" not in json.dumps(one)
    quality = prompts(log, "--task", "quality")[0]
    assert set(quality["schema"]["properties"]) == {"quality", "turns"}
    assert "slots" not in quality["rubric"]


CAUSES_AT = {0: "tool_error", 1: "none"}


def test_causes_are_asked_by_name_alone_and_come_back_as_labels_of_the_turn(log):
    asked = {turn for one in prompts(log) for turn in one["schema"]["properties"]["turns"]["items"]["properties"]}
    assert "cause" not in asked
    turn = replace(TURNS[0], steps=(Step(kind="tool", name="search", error="timeout"),))
    write_log(log, [replace(dialogue(), turns=(turn, TURNS[1]))], NAMES, force=True)
    [one] = prompts(log, "--task", "cause")
    schema = one["schema"]["properties"]["turns"]["items"]["properties"]["cause"]
    assert schema == {"enum": list(Cause.names)}
    assert '"error":"timeout"' in one["prompt"]
    assert imported(log, [{**one, "answer": {"turns": [{"turn": t, "cause": c} for t, c in CAUSES_AT.items()]}}]) == 0
    [after] = Log([log.parent / "out.jsonl"])
    labels = tuple(Label("cause", AtTurn(t), name) for t, name in CAUSES_AT.items())
    assert after.annotations[-1].labels == labels


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"answer": WHOLE}, "bad_line"),
        ({"id": "d9", "answer": WHOLE}, "unknown_id"),
        ({"id": "d0"}, "no_answer"),
        ({"id": "d0", "answer": "I would say 4."}, "bad_answer"),
        ({"id": "d0", "answer": {"quality": "high"}}, "bad_answer"),
        ({"id": "d0", "answer": {"mood": 3}}, "bad_answer"),
        ({"id": "d0", "answer": {"quality": 6}}, "bad_rating"),
        ({"id": "d0", "answer": {"turns": [{"turn": 2, "quality": 3}]}}, "no_such_turn"),
        ({"id": "d0", "answer": {"turns": [{"turn": 0, "quality": 3}, {"turn": 0}]}}, "doubled_turn"),
        ({"id": "d0", "answer": {"turns": [{"turn": 0, "intents": ["sing"]}]}}, "unknown_name"),
        ({"id": "d0", "answer": {"turns": [{"turn": 0, "cause": "bad luck"}]}}, "unknown_name"),
        ({"id": "d0", "answer": {"turns": [{"turn": 0, "slots": [{"name": "what", "words": "tune"}]}]}}, "bad_span"),
        ({"id": "d0", "answer": {"goals": [{"turns": [0]}, {"turns": [0]}]}}, "goals_overlap"),
        ({"id": "d0", "answer": {"goals": [{"turns": [0], "outcome": "maybe"}]}}, "bad_outcome"),
        ({"id": "d0", "answer": WHOLE, "price": -1}, "bad_price"),
        ({"id": "d0", "answer": WHOLE, "dialogue": [{"request": "x", "response": "y"}]}, "changed_text"),
        ({"id": "d0", "answer": {}}, "empty"),
    ],
)
def test_bad_answers_go_to_the_quarantine_with_a_reason(log, line, reason):
    bad = log.parent / "bad.jsonl"
    good = {"id": "d1", "answer": WHOLE}
    assert imported(log, [line, good], "--quarantine", bad, "--max-bad-rate", 1) == 0
    (rejected,) = [json.loads(text) for text in bad.read_text(encoding="utf-8").splitlines()]
    assert rejected["reason"].startswith(reason)
    assert json.loads(rejected["raw"]) == line
    after = {d.id: d for d in Log([log.parent / "out.jsonl"])}
    assert [d for d, one in after.items() if one.annotation("gpt")] == ["d1"]
    # Above the allowed share of faults nothing is written.
    (log.parent / "out.jsonl").unlink()
    assert imported(log, [line, good]) == (0 if reason == "empty" else 3)
    assert (log.parent / "out.jsonl").exists() == (reason == "empty")


@given(st.text(max_size=200))
def test_any_text_of_an_llm_is_an_answer_or_has_a_reason(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps({"id": "d0", "answer": text}), encoding="utf-8")
    (one,) = read_lines(path, "gpt", "llm", {"d0": dialogue()}, questions_of([], {}))
    assert getattr(one, "reason", "") or getattr(one, "annotation", None)


def test_answers_of_a_person_become_an_annotation_by_a_person(log):
    assert imported(log, [{"id": "d1", "answer": WHOLE}], "--kind", "person") == 0
    after = {d.id: d for d in Log([log.parent / "out.jsonl"])}
    annotation = after["d1"].annotation("gpt")
    assert annotation is not None
    assert annotation.kind == "person"


def test_schema_lists_the_names_of_the_log():
    schema = question_line(dialogue(), questions_of([dialogue()], NAMES, TASKS))["schema"]
    turn = schema["properties"]["turns"]["items"]["properties"]
    assert turn["intents"]["items"] == {"enum": ["play", "stop"]}
    assert turn["turn"]["maximum"] == 1
