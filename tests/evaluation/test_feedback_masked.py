"""A model is judged with the feedback evidence and without: what reads it shows, what does not stays as it was."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from made_evaluations import evaluate
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtGoal, AtTurn, Label
from labelgen.evaluation.evaluate import Annotate, Description, JudgedModel, annotated, systems_of
from labelgen.feedback.signal import mask_feedback
from labelgen.metrics.results import Setting, SystemName
from labelgen.tasks.evaluation import tasks_of_units

(QUALITY,) = tasks_of_units("quality", ("turn",), ("accuracy",), ("bad", "fair", "good"))
GOLD = Setting("gold", annotators=None, resamples=20)
NAMED = "anna, feedback masked"
FAILED, SERVED = "Playing Blue.", "Playing Purple Haze."

Reads = Callable[[Dialogue, int], bool]
"""Whether a turn of a dialogue went badly, as a model would have it."""


def by_evidence(dialogue: Dialogue, turn: int) -> bool:
    after = dialogue.turns[turn + 1 :]
    return bool(after) and after[0].request.startswith("no, I meant")


def by_response(dialogue: Dialogue, turn: int) -> bool:
    return dialogue.turns[turn].response == FAILED


def rated(name: str, kind: str, dialogue: Dialogue, bad: Reads) -> Annotation:
    said = ["bad" if bad(dialogue, t) else "good" for t in range(len(dialogue.turns))]
    return Annotation(name, kind, tuple(Label("quality", AtTurn(t), word, 0.8) for t, word in enumerate(said)))


def fake(bad: Reads) -> Annotate:
    def annotate(group: Sequence[Dialogue], goals_from: str | None) -> list[Annotation]:
        return [rated("model", "model", dialogue, bad) for dialogue in group]

    return annotate


def log(corrected: int, plain: int) -> list[Dialogue]:
    made = [
        talk("play haze", FAILED, "no, I meant purple haze", SERVED, "what time is it", "It is noon.", id=f"c{k}")
        for k in range(corrected)
    ]
    made += [talk("play haze", SERVED, "what time is it", "It is noon.", id=f"p{k}") for k in range(plain)]
    return [replace(d, annotations=(rated("gold", "truth", d, by_response),)) for d in made]


def judge(given: Sequence[Dialogue], bad: Reads) -> dict[str, Any]:
    held, variants = annotated(given, JudgedModel(fake(bad), from_feedback=True), "gold")
    return evaluate(held, (QUALITY,), systems_of(held, GOLD, variants), GOLD, Description("test"))


def accuracies(found: dict[str, Any]) -> dict[str, float]:
    return {row["system"]: row["metrics"]["accuracy"]["value"] for row in found["tasks"][0]["rows"]}


def test_a_model_that_reads_the_feedback_is_worse_without_it():
    """Of three turns in four dialogues and two in six, the four failures are missed."""
    found = judge(log(4, 6), by_evidence)
    assert found["data"]["with_feedback"] == 4
    assert accuracies(found) == {"model": 1.0, "model, feedback masked": pytest.approx(1 - 4 / 24)}
    (ratio,) = found["tasks"][0]["ratios"]
    assert (ratio["system"], ratio["opponent"]) == ("model, feedback masked", "model")
    assert ratio["difference"]["value"] == pytest.approx(-4 / 24)


def test_an_annotator_whose_name_reads_like_a_masked_model_is_none():
    """A log may have an LLM of any name; it is another system, and its price counts."""
    given = [
        replace(
            d, annotations=(*d.annotations, rated("anna", "llm", d, by_response), rated(NAMED, "llm", d, by_evidence))
        )
        for d in log(4, 6)
    ]
    held, variants = annotated(given, JudgedModel(fake(by_response)), "gold")
    systems = systems_of(held, GOLD, variants)
    assert systems == (SystemName("model"), SystemName("anna"), SystemName(NAMED))
    found = evaluate(held, (QUALITY,), systems, GOLD, Description("test"))
    assert found["tasks"][0]["ratios"] == []
    assert {row["system"] for row in found["data"]["annotated"]} == {"model", "anna", NAMED}


def everything(group: Sequence[Dialogue], goals_from: str | None) -> list[Annotation]:
    """Says all that it is shown: of each turn or, where goals are given, of these."""
    said = []
    for dialogue in group:
        told = dialogue.annotation(goals_from) if goals_from is not None else None
        if told is None:
            labels = [Label("intents", AtTurn(t), repr(turn)) for t, turn in enumerate(dialogue.turns)]
        else:
            labels = [Label("outcome", x.at, repr(dialogue.turns)) for x in told.labels if x.task == GOALS]
        said.append(Annotation("model", "model", tuple(labels)))
    return said


@given(st.lists(dialogues(), max_size=4))
def test_hidden_is_what_the_model_says_of_the_dialogue_mask_feedback(made: list[Dialogue]) -> None:
    given = [
        replace(d, annotations=(Annotation("gold", "truth", (Label(GOALS, AtGoal((0,)), "goal"),) if d.turns else ()),))
        for d in made
    ]
    held, _ = annotated(given, JudgedModel(everything, from_feedback=True), "gold")
    carrying = [mask_feedback(d) != d for d in given]
    for before, after in zip(given, held, strict=True):
        assert replace(after, annotations=before.annotations) == before
        for ending in ("", " on the reference's goals"):
            seen = after.annotation(f"model{ending}")
            hidden = after.annotation(f"model{ending}, feedback masked")
            assert (hidden is None) == (seen is None or not any(carrying))
            if hidden is not None and seen is not None:
                bare = mask_feedback(before)
                (expected,) = everything([bare], "gold" if ending else None)
                assert hidden.labels == expected.labels
                assert (hidden.labels == seen.labels) or bare != before


def test_what_is_hidden_is_asked_about_once_more_and_the_rest_is_not():
    asked: list[str] = []

    def annotate(group: Sequence[Dialogue], goals_from: str | None) -> Sequence[Annotation]:
        asked.extend(d.id for d in group if goals_from is None)
        return fake(by_response)(group, goals_from)

    annotated(log(2, 2), JudgedModel(annotate, from_feedback=True), "gold")
    assert asked == ["c0", "c1", "p0", "p1", "c0", "c1"]
    asked.clear()
    annotated(log(2, 2), JudgedModel(annotate, from_feedback=False), "gold")
    assert asked == ["c0", "c1", "p0", "p1"]
