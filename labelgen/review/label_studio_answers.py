"""What people answered in Label Studio, from its JSON export (https://labelstud.io/guide/export: "JSON", with every result
as it was given; JSON_MIN leaves out which turn an answer is about)."""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import InputError
from labelgen.data.form import AnnotationForm, GoalForm, NamedForm, QualityForm, SlotForm, TurnForm
from labelgen.data.grouping import to_annotation
from labelgen.data.parse import too_deep
from labelgen.data.quarantine import Rejected
from labelgen.review import sheet
from labelgen.review.offsets import from_units
from labelgen.review.returned import EMPTY, SKIPPED, Returned


class _Value(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    start: str | int | None = None
    end: str | int | None = None
    start_offset: int | None = None
    end_offset: int | None = None
    text: str | list[str] | None = None
    paragraphlabels: list[str] = []
    choices: list[str] = []
    rating: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    from_name: str | None = None
    id: str | None = None
    value: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotation:
    result: list[_Result]
    completed_by: int | str | dict[str, Any] | None = None
    was_cancelled: bool | None = False
    created_at: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    id: str
    dialogue: list[_Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    data: _Data
    annotations: list[msgspec.Raw] = field(default_factory=list)


class _AnswerError(Exception):
    """Says what is wrong with an annotation; its first word is that by which faults are counted."""


def read_answers(path: Path, ignored: Counter[str]) -> Iterator[Returned | Rejected]:
    """Every annotation of the export, in its order; what cannot be read is rejected with a reason. ignored: answers to
    questions that labelgen did not ask are counted here, by question.

    Raises InputError where the file is no JSON list, as when it was cut."""
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8)
        if (deep := too_deep(text)) is not None:
            raise ValueError(deep)
        tasks = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        raise InputError(
            f"{path.name} is no whole JSON export of Label Studio: {error}",
            str(path),
            "export the project again, in the format JSON",
        ) from error
    for raw in tasks:
        try:
            task = msgspec.json.decode(raw, type=_Task)
        except (msgspec.MsgspecError, UnicodeError) as error:
            if _is_short(raw):
                raise InputError(
                    f"{path.name} is an export of Label Studio in the short form JSON-MIN, which leaves out what is needed to read it",
                    str(path),
                    "export the project again, in the format JSON",
                ) from error
            yield Rejected(file=str(path), reason=f"bad_task: {error}", raw=_shown(raw))
            continue
        texts = tuple(line.text for line in task.data.dialogue)
        for own in task.annotations:
            yield _read(own, task.data.id, texts, str(path), ignored)


def _is_short(raw: msgspec.Raw) -> bool:
    """Whether a task is as JSON-MIN has it: the fields of its data and its answers, side by side."""
    try:
        plain = msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return False
    return (
        isinstance(plain, dict)
        and not {"data", "annotations"} & plain.keys()
        and {"annotation_id", "annotator"} <= plain.keys()
    )


def _read(
    raw: msgspec.Raw, dialogue: str, texts: tuple[str, ...], file: str, ignored: Counter[str]
) -> Returned | Rejected:
    who = None
    try:
        given = msgspec.json.decode(raw, type=_Annotation)
        who = _name(given.completed_by)
        if given.was_cancelled:
            raise _AnswerError(f"{SKIPPED}: {who} skipped the dialogue")
        form = _form(who, given.result, texts, ignored)
        if form == AnnotationForm(annotator=who):
            raise _AnswerError(f"{EMPTY}: {who} answered nothing")
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Rejected(file=file, dialogue=dialogue, reason=f"bad_annotation: {error}", raw=_shown(raw))
    except _AnswerError as error:
        return Rejected(file=file, dialogue=dialogue, reason=str(error), raw=_shown(raw))
    when = given.updated_at or given.created_at or ""
    seen = sheet.requests(texts), sheet.responses(texts)
    return Returned(dialogue, to_annotation(form), *seen, file, when, _shown(raw))


def _shown(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")


def _name(completed_by: int | str | dict[str, Any] | None) -> str:
    """An export names a person by number, or by an object that also holds the address."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if completed_by is None or completed_by == "":
        raise _AnswerError("no_annotator: completed_by does not say who answered")
    return f"label-studio:{completed_by}" if isinstance(completed_by, int) else str(completed_by)


@dataclass(slots=True)
class _Turn:
    quality: QualityForm | None = None
    intents: list[str] = field(default_factory=list)
    none: set[str] = field(default_factory=set)
    slots: list[SlotForm] = field(default_factory=list)

    def form(self, turn: int) -> TurnForm:
        # What is marked is said more deliberately than a tick that was there before it.
        intents = tuple(NamedForm(name=name) for name in dict.fromkeys(self.intents))
        slots = tuple(dict.fromkeys(self.slots))
        return TurnForm(
            turn=turn,
            quality=self.quality,
            intents=intents if intents or sheet.NO_INTENT in self.none else None,
            slots=slots if slots or sheet.NO_SLOT in self.none else None,
        )


def _form(who: str, results: list[_Result], texts: tuple[str, ...], ignored: Counter[str]) -> AnnotationForm:
    turns: dict[int, _Turn] = {}
    goals: dict[str, set[int]] = {}
    outcomes: dict[str, str] = {}
    whole: QualityForm | None = None
    said = [(result, _value(result.value)) for result in results]
    values = {r.id: _text(v.text) for r, v in said if r.from_name == sheet.VALUE and r.id is not None}
    for result, value in said:
        name = result.from_name or "a relation"
        if name == sheet.DIALOGUE_QUALITY:
            whole = _quality(value)
        elif name.startswith(sheet.OUTCOME) and len(value.choices) == 1:
            outcomes[name] = value.choices[0]
        elif name in (sheet.INTENTS, sheet.NONE, sheet.QUALITY, sheet.GOAL, sheet.SLOTS):
            t = _turn_of(name, value, texts)
            turn = turns.setdefault(t, _Turn())
            if name == sheet.INTENTS:
                turn.intents += value.choices
            elif name == sheet.NONE:
                turn.none.update(value.choices)
            elif name == sheet.QUALITY:
                turn.quality = _quality(value)
            elif name == sheet.GOAL:
                for goal in value.choices:
                    goals.setdefault(goal, set()).add(t)
            else:
                turn.slots += _slots(t, value, texts, values.get(result.id or ""))
        elif name not in (sheet.TURN, sheet.VALUE):
            ignored[name] += 1
    forms = (turns[t].form(t) for t in sorted(turns))
    return AnnotationForm(
        annotator=who,
        goals=_goals(goals, outcomes) if goals else None,
        quality=whole,
        turns=tuple(form for form in forms if form != TurnForm(turn=form.turn)),
    )


def _value(given: dict[str, Any]) -> _Value:
    return msgspec.convert({key: part for key, part in given.items() if part is not None}, _Value, strict=False)


def _text(text: str | list[str] | None) -> str | None:
    if isinstance(text, list):
        return "\n".join(text) if text else None
    return text


def _quality(value: _Value) -> QualityForm | None:
    """No star is no answer."""
    return QualityForm(rating=value.rating) if value.rating else None


def _turn_of(name: str, value: _Value, texts: tuple[str, ...]) -> int:
    if value.start is None or value.end is None:
        raise _AnswerError(f"no_region: the answer to {name!r} does not say which turn it is about")
    try:
        first, last = int(value.start), int(value.end)
    except ValueError:
        raise _AnswerError(f"bad_span: lines {value.start!r} to {value.end!r} are no numbers") from None
    if not (0 <= first <= last < len(texts) and first // sheet.LINES == last // sheet.LINES):
        raise _AnswerError(
            f"bad_span: lines {first} to {last} are not within one turn; the dialogue has {len(texts)} lines"
        )
    return first // sheet.LINES


def _slots(t: int, value: _Value, texts: tuple[str, ...], normalized: str | None) -> list[SlotForm]:
    line = sheet.LINES * t + 1
    if not int(value.start or 0) == int(value.end or 0) == line:
        raise _AnswerError(f"bad_span: the slot {_named(value)} of turn {t} does not lie within the request")
    if value.start_offset is None or value.end_offset is None:
        raise _AnswerError(f"bad_span: the slot {_named(value)} of turn {t} has no offsets")
    try:
        start, end = from_units(texts[line], value.start_offset), from_units(texts[line], value.end_offset)
    except ValueError as error:
        raise _AnswerError(f"bad_span: the slot {_named(value)} of turn {t}: {error}") from error
    words = texts[line][start:end]
    # The offsets are those of the text itself, but Label Studio takes the words from what the browser shows of it, which
    # is another text where there are blanks beside each other, line breaks or control characters.
    if isinstance(value.text, str) and value.text != words and " ".join(texts[line].split()) == texts[line]:
        raise _AnswerError(
            f"bad_span: the slot {_named(value)} of turn {t} is said to be {value.text!r}, at its place is {words!r}"
        )
    return [SlotForm(name=name, start=start, end=end, value=normalized) for name in value.paragraphlabels]


def _named(value: _Value) -> str:
    return ", ".join(value.paragraphlabels)


def _goals(goals: dict[str, set[int]], outcomes: dict[str, str]) -> tuple[GoalForm, ...]:
    numbers = [goal for goal in goals if goal != sheet.NO_GOAL]
    for goal in numbers:
        if not goal.isdecimal():
            raise _AnswerError(f"bad_goal: {goal!r} is no number of a goal")
    return tuple(
        GoalForm(turns=tuple(sorted(goals[goal])), outcome=outcomes.get(sheet.outcome_of(int(goal))))
        for goal in sorted(numbers, key=int)
    )
