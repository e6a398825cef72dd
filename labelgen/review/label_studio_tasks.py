"""Dialogues as Label Studio tasks, with what a model said of them as predictions.

The form of tasks, predictions and results is that of https://labelstud.io/guide/task_format and /guide/predictions; that
of a region of dialogue lines is https://labelstud.io/tags/paragraphs: indices of lines as text, offsets in UTF-16 code
units. What is said of one region stands in results of one id."""

from collections.abc import Iterator
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.form import AnnotationForm, QualityForm, TurnForm
from labelgen.data.grouping import from_annotation
from labelgen.data.labels import Annotation, AtTurn
from labelgen.data.quality import from_scale, quality_name
from labelgen.review import sheet
from labelgen.review.doubt import doubts
from labelgen.review.labeling_config import Questions
from labelgen.review.offsets import to_units

Result = dict[str, Any]


def task_of(dialogue: Dialogue, annotation: Annotation | None, asked: Questions, blind: bool = False) -> dict[str, Any]:
    """A task to be imported into Label Studio. annotation: what is to be looked at. blind: it is not shown, so that nobody
    is led by it; only the regions of turns are there, to be answered on."""
    if annotation is None or blind:
        annotation = Annotation("labelgen", "model")
    said = from_annotation(annotation)
    result = [part for t in range(len(dialogue.turns)) for part in _turn(dialogue, t, said, asked)]
    result += _dialogue(said, asked)
    prediction: dict[str, Any] = {"model_version": annotation.annotator, "result": result}
    least = max((doubt.doubt for doubt in doubts(annotation)), default=None)
    if least is not None:
        prediction["score"] = 1.0 - least
    data = {sheet.IDENTITY: dialogue.id, sheet.LOOK_AT: _look_at(annotation), sheet.OBJECT: sheet.lines(dialogue)}
    return {"data": data, "predictions": [prediction]}


def _look_at(annotation: Annotation) -> str:
    """For people: what the model withheld."""
    places: dict[str, list[str]] = {}
    for left in annotation.abstained:
        at = left.field.at
        where = sheet.turn_line(at.turn) if isinstance(at, AtTurn) else "the dialogue"
        places.setdefault(where, []).append(left.field.task)
    if not places:
        return "Look at the whole dialogue."
    named = (f"{where} ({', '.join(dict.fromkeys(tasks))})" for where, tasks in places.items())
    return f"The model was not sure of: {'; '.join(named)}."


def _turn(dialogue: Dialogue, t: int, said: AnnotationForm, asked: Questions) -> Iterator[Result]:
    request = dialogue.turns[t].request
    form = next((turn for turn in said.turns if turn.turn == t), TurnForm(turn=t))
    identity, place = f"t{t}", _place(sheet.LINES * t, sheet.turn_line(t), 0, len(sheet.turn_line(t)))
    yield _result(identity, sheet.TURN, "paragraphlabels", {**place, "paragraphlabels": [sheet.TURN]})
    none = []
    if form.intents and asked.intents:
        names = list(dict.fromkeys(intent.name for intent in form.intents))
        sure = [intent.probability for intent in form.intents if intent.probability is not None]
        yield _result(identity, sheet.INTENTS, "choices", {**place, "choices": names}, min(sure, default=None))
    elif form.intents == () and "intents" in asked.tasks:
        none.append(sheet.NO_INTENT)
    if form.slots == () and "slots" in asked.tasks:
        none.append(sheet.NO_SLOT)
    if none:
        yield _result(identity, sheet.NONE, "choices", {**place, "choices": none})
    if form.quality is not None and "quality" in asked.tasks:
        yield _result(identity, sheet.QUALITY, "rating", {**place, "rating": stars(form.quality)})
    if said.goals is not None and asked.goals:
        goal = next((str(k + 1) for k, goal in enumerate(said.goals) if t in goal.turns), sheet.NO_GOAL)
        yield _result(identity, sheet.GOAL, "choices", {**place, "choices": [goal]})
    for k, slot in enumerate(form.slots or ()):
        if not asked.slots:
            break
        place = _place(sheet.LINES * t + 1, request, slot.start, slot.end)
        value = {**place, "paragraphlabels": [slot.name]}
        yield _result(f"t{t}s{k}", sheet.SLOTS, "paragraphlabels", value, slot.probability)
        if slot.value is not None:
            yield _result(f"t{t}s{k}", sheet.VALUE, "textarea", {**place, "text": [slot.value]})


def _dialogue(said: AnnotationForm, asked: Questions) -> Iterator[Result]:
    if "outcome" in asked.tasks and asked.goals:
        for k, goal in enumerate(said.goals or ()):
            if goal.outcome is not None:
                name = sheet.outcome_of(k + 1)
                yield _result(name, name, "choices", {"choices": [goal.outcome]})
    if said.quality is not None and "quality" in asked.tasks:
        name = sheet.DIALOGUE_QUALITY
        yield _result(name, name, "rating", {"rating": stars(said.quality)})


def stars(form: QualityForm) -> int:
    """The whole rating that is next to the given one and has the same name, bad, fair or good."""
    rating = form.rating if form.scale is None else from_scale(form.rating, form.scale)
    name: str = quality_name(rating)
    if form.probabilities is not None:
        p = form.probabilities
        name = max((("bad", p.bad), ("fair", p.fair), ("good", p.good)), key=lambda pair: pair[1])[0]
    low, high = {"bad": (1, 2), "fair": (3, 3), "good": (4, 5)}[name]
    return min(max(round(rating), low), high)


def _place(line: int, text: str, start: int, end: int) -> dict[str, Any]:
    """start, end: code points of that line's text."""
    return {
        "start": str(line),
        "end": str(line),
        "startOffset": to_units(text, start),
        "endOffset": to_units(text, end),
        "text": text[start:end],
    }


def _result(identity: str, control: str, kind: str, value: dict[str, Any], score: float | None = None) -> Result:
    result = {"id": identity, "from_name": control, "to_name": sheet.OBJECT, "type": kind, "value": value}
    return result if score is None else {**result, "score": score}
