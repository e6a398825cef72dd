"""Label Studio: dialogues as tasks, the labeling configuration of a project, and its JSON export back into annotations.

The form of tasks, predictions and results is that of https://labelstud.io/guide/task_format and /guide/predictions. Regions
of dialogue lines, per-region tags and their visibility follow https://labelstud.io/tags/paragraphs, /choices and /rating:
indices of lines as text, offsets in UTF-16 code units. All results about one region have one id. The export is "JSON" of
https://labelstud.io/guide/export; JSON_MIN lacks the turn that an answer is about."""

import re
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.groups import (
    AnnotationForm,
    GoalForm,
    NamedForm,
    QualityForm,
    SlotForm,
    TurnForm,
    from_annotation,
    to_annotation,
)
from labelgen.data.json_text import too_deep
from labelgen.data.labels import Annotation, AtTurn, from_scale, quality_name
from labelgen.data.record import Rejected
from labelgen.review.form import CAUSE, CAUSES, OUTCOMES, Questions, cause_form
from labelgen.review.merge import EMPTY, SKIPPED, AnswerError, ReviewAnswer
from labelgen.review.sampling import uncertainties

# A dialogue in Label Studio has three lines a turn: its number, its request, its response. What is said about the turn as a
# whole is said on its number, so that neither an empty request nor a slot over all of it is in the way. Slots are marked in
# the request's line.

LINES = 3

OBJECT = "dialogue"
"""The name of the Paragraphs tag, and of the field of a task's data with the lines."""
IDENTITY = "id"
LOOK_AT = "look_at"

# Names of the controls.
TURN, SLOTS, VALUE, INTENTS, NONE = "turn", "slots", "value", "intents", "none"
QUALITY, GOAL, DIALOGUE_QUALITY = "quality", "goal", "dialogue_quality"
OUTCOME = "outcome_"
"""Prefix of the controls for the outcomes of goals; the number of the goal follows, from 1."""

NO_INTENT, NO_SLOT = "no intent", "no slot"
NO_GOAL = "none"


def _turn_line(turn: int) -> str:
    return f"turn {turn}"


def to_units(text: str, offset: int) -> int:
    """Number of UTF-16 code units before the code point `offset`.

    Label Studio's Paragraphs tag counts `range.toString().length` of the selection (HtxParagraphs.jsx), so a character outside
    the Basic Multilingual Plane counts twice. Its Text tag counts code points since that was fixed."""
    return len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


def from_units(text: str, units: int) -> int:
    """The code point after so many UTF-16 code units. Raises ValueError outside the text and within a character."""
    data = text.encode("utf-16-le", "surrogatepass")
    if not 0 <= 2 * units <= len(data):
        raise ValueError(f"offset {units} is outside a text of {len(data) // 2} UTF-16 code units")
    offset = len(data[: 2 * units].decode("utf-16-le", "replace"))
    if to_units(text, offset) != units:
        raise ValueError(f"offset {units} is within a character")
    return offset


# The labeling configuration.

# Characters that an attribute of an XML 1.0 document keeps as they are.
_WRITABLE = re.compile("[\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


def labeling_config(questions: Questions) -> str:
    """The labeling configuration of a project as XML text: the controls beside a dialogue. Raises UsageError for a label that Label Studio
    cannot offer."""
    for name in (*questions.intents, *questions.slots):
        # Label Studio reads `$name` in a value as a field of the task's data, and XML has no control characters.
        if name.startswith("$") or not _WRITABLE.fullmatch(name) or name != name.strip():
            what = f"Label Studio cannot ask for a label named {name!r}"
            hint = "give it a name without control characters, outer blanks and a leading $, or export to jsonl"
            raise UsageError(what, "the label sets and annotations of the sample", hint)
    view = ElementTree.Element("View")
    # Else a browser shows line breaks and runs of blanks as one blank.
    _add(view, "Style").text = '[data-testid^="phrase:"] { white-space: pre-wrap; }'
    _add(view, "Header", value=f"${LOOK_AT}")
    _control(view, "ParagraphLabels", TURN, (TURN,), "Label")
    if questions.slots:
        _control(view, "ParagraphLabels", SLOTS, questions.slots, "Label")
    _add(view, "Paragraphs", name=OBJECT, value=f"${OBJECT}", layout="dialogue", nameKey="author", textKey="text")
    turn = _about(view, TURN, "The selected turn")
    several = {"choice": "multiple", "perRegion": "true", "showInline": "true"}
    if questions.intents:
        _header(turn, "What the request asks for")
        _control(turn, "Choices", INTENTS, questions.intents, **several)
    none = [name for task, name in (("intents", NO_INTENT), ("slots", NO_SLOT)) if task in questions.tasks]
    if none:
        _control(turn, "Choices", NONE, none, **several)
    if "quality" in questions.tasks:
        _header(turn, "How well the response served the request, 1 to 5")
        _control(turn, "Rating", QUALITY, perRegion="true", maxRating="5")
    numbers = [str(k + 1) for k in range(questions.goals)]
    if numbers:
        _header(turn, "Which goal the turn serves")
        _control(turn, "Choices", GOAL, (*numbers, NO_GOAL), choice="single", perRegion="true", showInline="true")
    if CAUSE in questions.tasks:
        _header(turn, "What failed, where a failed goal first went wrong and was not repaired")
        _control(turn, "Choices", CAUSE, CAUSES, choice="single", perRegion="true", showInline="true")
    if questions.slots:
        slot = _about(view, SLOTS, "The selected slot's normalized value, where it differs")
        _control(slot, "TextArea", VALUE, perRegion="true", maxSubmissions="1", editable="true")
    if "outcome" in questions.tasks:
        for number in numbers:
            _header(view, f"Outcome of goal {number}")
            _control(view, "Choices", OUTCOME + number, OUTCOMES, choice="single", showInline="true")
    if "quality" in questions.tasks:
        _header(view, "How well the dialogue as a whole went, 1 to 5")
        _control(view, "Rating", DIALOGUE_QUALITY, maxRating="5")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _header(parent: ElementTree.Element, text: str) -> None:
    _add(parent, "Header", value=text, size="4")


def _about(parent: ElementTree.Element, control: str, text: str) -> ElementTree.Element:
    """A view that is shown while a region of that control is selected."""
    view = _add(parent, "View", visibleWhen="region-selected", whenTagName=control)
    _header(view, text)
    return view


def _control(
    parent: ElementTree.Element,
    tag: str,
    name: str,
    choices: Sequence[str] = (),
    choice_tag: str = "Choice",
    **attributes: str,
) -> None:
    control = _add(parent, tag, name=name, toName=OBJECT, **attributes)
    for value in choices:
        _add(control, choice_tag, value=value)


# Dialogues as tasks.

Result = dict[str, Any]


def task_of(
    dialogue: Dialogue, annotation: Annotation | None, questions: Questions, blind: bool = False
) -> dict[str, Any]:
    """A task to import into Label Studio, with an annotation as prediction.

    blind: show no annotation, so that nobody is influenced by it; only the regions of turns are there, to be answered on."""
    if annotation is None or blind:
        annotation = Annotation("labelgen", "model")
    form = from_annotation(annotation)
    result = [part for t in range(len(dialogue.turns)) for part in _turn(dialogue, t, form, questions)]
    result += _dialogue(form, questions)
    prediction: dict[str, Any] = {"model_version": annotation.annotator, "result": result}
    doubt = max((each.doubt for each in uncertainties(annotation)), default=None)
    if doubt is not None:
        prediction["score"] = 1.0 - doubt
    lines = []
    for t, turn in enumerate(dialogue.turns):
        texts = (("", _turn_line(t)), ("user", turn.request), ("assistant", turn.response))
        lines += [{"author": author, "text": text} for author, text in texts]
    return {"data": {IDENTITY: dialogue.id, LOOK_AT: _look_at(annotation), OBJECT: lines}, "predictions": [prediction]}


def _look_at(annotation: Annotation) -> str:
    """The withheld fields, in words."""
    places: dict[str, list[str]] = {}
    for left in annotation.abstained:
        at = left.field.at
        where = _turn_line(at.turn) if isinstance(at, AtTurn) else "the dialogue"
        places.setdefault(where, []).append(left.field.task)
    if not places:
        return "Look at the whole dialogue."
    named = (f"{where} ({', '.join(dict.fromkeys(tasks))})" for where, tasks in places.items())
    return f"The model was not sure of: {'; '.join(named)}."


def _turn(dialogue: Dialogue, t: int, annotation: AnnotationForm, questions: Questions) -> Iterator[Result]:
    request = dialogue.turns[t].request
    form = next((turn for turn in annotation.turns if turn.turn == t), TurnForm(turn=t))
    identity, place = f"t{t}", _place(LINES * t, _turn_line(t), 0, len(_turn_line(t)))
    yield _result(identity, TURN, "paragraphlabels", {**place, "paragraphlabels": [TURN]})
    none = []
    if form.intents and questions.intents:
        names = list(dict.fromkeys(intent.name for intent in form.intents))
        probabilities = [intent.probability for intent in form.intents if intent.probability is not None]
        yield _result(identity, INTENTS, "choices", {**place, "choices": names}, min(probabilities, default=None))
    elif form.intents == () and "intents" in questions.tasks:
        none.append(NO_INTENT)
    if form.slots == () and "slots" in questions.tasks:
        none.append(NO_SLOT)
    if none:
        yield _result(identity, NONE, "choices", {**place, "choices": none})
    if form.quality is not None and "quality" in questions.tasks:
        yield _result(identity, QUALITY, "rating", {**place, "rating": _stars(form.quality)})
    if annotation.goals is not None and questions.goals:
        goal = next((str(k + 1) for k, goal in enumerate(annotation.goals) if t in goal.turns), NO_GOAL)
        yield _result(identity, GOAL, "choices", {**place, "choices": [goal]})
    for label in annotation.labels:
        if label.task == CAUSE and label.at.turn == t and label.name and CAUSE in questions.tasks:
            yield _result(identity, CAUSE, "choices", {**place, "choices": [label.name]}, label.probability)
    for k, slot in enumerate(form.slots or () if questions.slots else ()):
        place = _place(LINES * t + 1, request, slot.start, slot.end)
        value = {**place, "paragraphlabels": [slot.name]}
        yield _result(f"t{t}s{k}", SLOTS, "paragraphlabels", value, slot.probability)
        if slot.value is not None:
            yield _result(f"t{t}s{k}", VALUE, "textarea", {**place, "text": [slot.value]})


def _dialogue(annotation: AnnotationForm, questions: Questions) -> Iterator[Result]:
    if "outcome" in questions.tasks and questions.goals:
        for k, goal in enumerate(annotation.goals or ()):
            if goal.outcome is not None:
                name = f"{OUTCOME}{k + 1}"
                yield _result(name, name, "choices", {"choices": [goal.outcome]})
    if annotation.quality is not None and "quality" in questions.tasks:
        yield _result(DIALOGUE_QUALITY, DIALOGUE_QUALITY, "rating", {"rating": _stars(annotation.quality)})


def _stars(form: QualityForm) -> int:
    """The nearest whole rating with the same name, bad, fair or good."""
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
    result = {"id": identity, "from_name": control, "to_name": OBJECT, "type": kind, "value": value}
    return result if score is None else {**result, "score": score}


# The export.


class _Value(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    start: str | int | None = None
    end: str | int | None = None
    start_offset: int | None = None
    end_offset: int | None = None
    text: str | list[str] | None = None
    paragraphlabels: list[str] = []
    choices: list[str] = []
    rating: float | None = None


class _Result(msgspec.Struct, kw_only=True, frozen=True):
    from_name: str | None = None
    id: str | None = None
    value: dict[str, Any] = {}


class _Annotation(msgspec.Struct, kw_only=True, frozen=True):
    result: list[_Result]
    completed_by: int | str | dict[str, Any] | None = None
    was_cancelled: bool | None = False
    created_at: str | None = None
    updated_at: str | None = None


class _Line(msgspec.Struct, kw_only=True, frozen=True):
    text: str


class _Data(msgspec.Struct, kw_only=True, frozen=True):
    id: str
    dialogue: list[_Line]


class _Task(msgspec.Struct, kw_only=True, frozen=True):
    data: _Data
    annotations: list[msgspec.Raw] = []


def read_answers(path: Path, ignored: Counter[str]) -> Iterator[ReviewAnswer | Rejected]:
    """Every annotation of the export, in its order; unreadable ones as Rejected with a reason. ignored: counts answers to
    questions that labelgen did not ask, by question.

    Raises InputError where the file is not a complete JSON list."""
    hint = "export the project again, in the format JSON"
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8)
        if (deep := too_deep(text)) is not None:
            raise ValueError(deep)
        tasks = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        raise InputError(f"{path.name} is no whole JSON export of Label Studio: {error}", str(path), hint) from error
    for raw in tasks:
        try:
            task = msgspec.json.decode(raw, type=_Task)
        except (msgspec.MsgspecError, UnicodeError) as error:
            if _is_short(raw):
                what = f"{path.name} is an export of Label Studio in the short form JSON-MIN, which leaves out what is needed to read it"
                raise InputError(what, str(path), hint) from error
            yield Rejected(file=str(path), reason=f"bad_task: {error}", raw=_text_of(raw))
            continue
        for annotation in task.annotations:
            yield _read(annotation, task.data, str(path), ignored)


def _is_short(raw: msgspec.Raw) -> bool:
    """Whether a task has the form of JSON-MIN: the fields of its data and its answers, side by side."""
    try:
        keys = msgspec.json.decode(raw, type=dict[str, Any]).keys()
    except msgspec.MsgspecError:
        return False
    return not {"data", "annotations"} & keys and {"annotation_id", "annotator"} <= keys


def _read(raw: msgspec.Raw, data: _Data, file: str, ignored: Counter[str]) -> ReviewAnswer | Rejected:
    texts = tuple(line.text for line in data.dialogue)
    try:
        answer = msgspec.json.decode(raw, type=_Annotation)
        who = _name(answer.completed_by)
        if answer.was_cancelled:
            raise AnswerError(f"{SKIPPED}: {who} skipped the dialogue")
        form = _form(who, answer.result, texts, ignored)
        if form == AnnotationForm(annotator=who):
            raise AnswerError(f"{EMPTY}: {who} answered nothing")
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Rejected(file=file, dialogue=data.id, reason=f"bad_annotation: {error}", raw=_text_of(raw))
    except AnswerError as error:
        return Rejected(file=file, dialogue=data.id, reason=str(error), raw=_text_of(raw))
    when = answer.updated_at or answer.created_at or ""
    shown = tuple(zip(texts[1::LINES], texts[2::LINES], strict=False))
    return ReviewAnswer(data.id, to_annotation(form), shown, file, when, _text_of(raw))


def _text_of(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _name(completed_by: int | str | dict[str, Any] | None) -> str:
    """An export names a person by number, or by an object that also holds the address."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if completed_by is None or completed_by == "":
        raise AnswerError("no_annotator: completed_by does not say who answered")
    return f"label-studio:{completed_by}" if isinstance(completed_by, int) else str(completed_by)


def _form(who: str, results: list[_Result], texts: tuple[str, ...], ignored: Counter[str]) -> AnnotationForm:
    turns: defaultdict[int, defaultdict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    outcomes: dict[str, str] = {}
    whole: float | None = None
    answers = [(result, _value(result.value)) for result in results]
    values = {r.id: _text(v.text) for r, v in answers if r.from_name == VALUE and r.id is not None}
    for result, value in answers:
        name = result.from_name or "a relation"
        if name == DIALOGUE_QUALITY:
            whole = value.rating
        elif name.startswith(OUTCOME) and len(value.choices) == 1:
            outcomes[name] = value.choices[0]
        elif name in (INTENTS, NONE, QUALITY, GOAL, SLOTS, CAUSE):
            t = _turn_of(name, value, texts)
            if name == QUALITY:
                turns[t][name] = [value.rating]
            elif name == SLOTS:
                turns[t][name] += _slots(t, value, texts, values.get(result.id or ""))
            else:
                turns[t][name] += value.choices
        elif name not in (TURN, VALUE):
            ignored[name] += 1
    goals: dict[str, list[int]] = {}
    for t in sorted(turns):
        for goal in dict.fromkeys(turns[t][GOAL]):
            goals.setdefault(goal, []).append(t)
    forms = (_turn_form(t, turns[t]) for t in sorted(turns))
    return AnnotationForm(
        annotator=who,
        goals=_goals(goals, outcomes) if goals else None,
        quality=_quality(whole),
        turns=tuple(form for form in forms if form != TurnForm(turn=form.turn)),
        labels=tuple(
            cause_form(t, " and ".join(dict.fromkeys(by[CAUSE]))) for t, by in sorted(turns.items()) if by[CAUSE]
        ),
    )


def _turn_form(t: int, answers: Mapping[str, list[Any]]) -> TurnForm:
    # A marked label is more deliberate than a tick at "none" that was there before it.
    intents = tuple(NamedForm(name=name) for name in dict.fromkeys(answers[INTENTS]))
    slots = tuple(dict.fromkeys(answers[SLOTS]))
    return TurnForm(
        turn=t,
        quality=_quality(*answers[QUALITY]),
        intents=intents if intents or NO_INTENT in answers[NONE] else None,
        slots=slots if slots or NO_SLOT in answers[NONE] else None,
    )


def _value(plain: dict[str, Any]) -> _Value:
    return msgspec.convert({key: part for key, part in plain.items() if part is not None}, _Value, strict=False)


def _text(text: str | list[str] | None) -> str | None:
    return ("\n".join(text) or None) if isinstance(text, list) else text


def _quality(rating: float | None = None) -> QualityForm | None:
    """No star is no answer."""
    return QualityForm(rating=rating) if rating else None


def _turn_of(name: str, value: _Value, texts: tuple[str, ...]) -> int:
    if value.start is None or value.end is None:
        raise AnswerError(f"no_region: the answer to {name!r} does not say which turn it is about")
    try:
        first, last = int(value.start), int(value.end)
    except ValueError:
        raise AnswerError(f"bad_span: lines {value.start!r} to {value.end!r} are no numbers") from None
    if not (0 <= first <= last < len(texts) and first // LINES == last // LINES):
        raise AnswerError(
            f"bad_span: lines {first} to {last} are not within one turn; the dialogue has {len(texts)} lines"
        )
    return first // LINES


def _slots(t: int, value: _Value, texts: tuple[str, ...], normalized: str | None) -> list[SlotForm]:
    line, slot = LINES * t + 1, f"the slot {', '.join(value.paragraphlabels)} of turn {t}"
    if not int(value.start or 0) == int(value.end or 0) == line:
        raise AnswerError(f"bad_span: {slot} does not lie within the request")
    if value.start_offset is None or value.end_offset is None:
        raise AnswerError(f"bad_span: {slot} has no offsets")
    try:
        start, end = from_units(texts[line], value.start_offset), from_units(texts[line], value.end_offset)
    except ValueError as error:
        raise AnswerError(f"bad_span: {slot}: {error}") from error
    words = texts[line][start:end]
    # The offsets are those of the text itself, but Label Studio takes the words from what the browser shows of it. That is
    # another text where there are adjacent blanks, line breaks or control characters.
    if isinstance(value.text, str) and value.text != words and " ".join(texts[line].split()) == texts[line]:
        raise AnswerError(f"bad_span: {slot} is said to be {value.text!r}, at its place is {words!r}")
    return [SlotForm(name=name, start=start, end=end, value=normalized) for name in value.paragraphlabels]


def _goals(goals: Mapping[str, Sequence[int]], outcomes: Mapping[str, str]) -> tuple[GoalForm, ...]:
    numbers = [goal for goal in goals if goal != NO_GOAL]
    for goal in numbers:
        if not goal.isdecimal():
            raise AnswerError(f"bad_goal: {goal!r} is no number of a goal")
    return tuple(
        GoalForm(turns=tuple(goals[goal]), outcome=outcomes.get(f"{OUTCOME}{int(goal)}"))
        for goal in sorted(numbers, key=int)
    )
