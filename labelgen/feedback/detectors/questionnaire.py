"""Questionnaire: the user's answers to a closing questionnaire."""

from collections.abc import Iterator
from statistics import fmean

from labelgen.data.dialogue import Dialogue, Feedback, Signal
from labelgen.data.labels import from_scale
from labelgen.feedback.cues import is_recorded, recorded_feedback
from labelgen.feedback.phrases import phrases

EVIDENCE = ("feedback",)
PRECISION = {"good": 0.75, "bad": 0.75}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `questionnaire`, of which there may be several about the same turns: ratings on a scale (1
    to 5 where none is given), and a no to a question that praises ("was it helpful?", "did you enjoy it?").

    One vote for all of them together, good or bad by their mean, and as strong as its distance from the middle; explicit. No
    signal for a rating outside its scale, an answer to any other question, and a yes: hardly anybody denies that an
    assistant was polite, and in STAR a yes does not show that the task was done."""
    about: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for feedback, turns, evidence in recorded_feedback(dialogue, "questionnaire"):
        lean = _lean(feedback, dialogue.locale)
        if lean is not None:
            about.setdefault(turns, []).append((lean, evidence))
    for turns, items in about.items():
        mean = fmean(lean for lean, _ in items)
        if mean:
            yield Signal(
                kind="questionnaire",
                turns=turns,
                vote="good" if mean > 0.0 else "bad",
                strength=min(1.0, abs(mean)),
                explicit=True,
                evidence=tuple(sorted({t for _, evidence in items for t in evidence})),
            )


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether the user was asked something about the turn or the dialogue."""
    return is_recorded(dialogue, turn, "questionnaire")


def _lean(feedback: Feedback, locale: str | None) -> float | None:
    """From -1, the worst, to 1; None for feedback that says nothing."""
    if feedback.rating is not None:
        scale = feedback.scale or (1.0, 5.0)
        if scale[0] == scale[1] or not min(scale) <= feedback.rating <= max(scale):
            return None
        return (from_scale(feedback.rating, scale) - 3.0) / 2.0
    words, question = phrases(locale), feedback.question or ""
    praises = words.search("praises", question) is not None and not words.search("negated", question)
    return -1.0 if feedback.answer == "no" and praises else None
