"""Argilla: turns and dialogues as two datasets, and people's responses back into annotations.

A dataset is a folder in the form of `rg.Dataset.to_disk`: `records.json` for `rg.Record.from_dict`, `.argilla/settings.json` for
`rg.Settings.from_json` and `.argilla/dataset.json`; the types are those of argilla 2.8.0. Responses are the list that
`dataset.records(with_responses=True).to_list(flatten=True)` returns, since only that form has the status of a response. Argilla's page
counts spans in UTF-16 code units and its server compares them with code points (argilla issue 5729), so texts with spans end in as many
blanks as the two counts differ."""

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

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
from labelgen.data.labels import Annotation
from labelgen.data.record import Rejected, too_deep
from labelgen.review.label_studio import NO_INTENT, Questions, from_units, stars, to_units
from labelgen.review.merge import EMPTY, SKIPPED, SUPERSEDED, ReviewAnswer

RECORDS_FILE, SETTINGS_FILE, DATASET_FILE = "records.json", ".argilla/settings.json", ".argilla/dataset.json"

TURNS, DIALOGUES = "turns", "dialogues"
"""Names of the datasets."""

# Names of fields, metadata and questions. They differ, since the flat form of a record has all of them side by side.
BEFORE, REQUEST, RESPONSE, AFTER, DIALOGUE = "before", "request", "response", "after", "dialogue"
IDENTITY, TURN = "dialogue_id", "turn"
INTENTS, HAS_SLOTS, SLOTS, VALUES, QUALITY = "intents", "has_slots", "slots", "slot_values", "quality"
HAS_GOALS, GOALS, OUTCOME = "has_goals", "goals", "outcome_"
"""The number of the goal follows on OUTCOME, from 1."""

YES, NO = "yes", "no"
OUTCOMES = ("success", "failure", "unknown")
RATINGS = (1, 2, 3, 4, 5)

_CONTEXT = 10
"""Number of turns shown before and after a turn."""
_PEOPLE = 3
"""Number of people who answer each record."""
_LONGEST_MESSAGE, _LONGEST_NAME = 20_000, 200
"""Limits of Argilla's server, in characters."""
_AGENT = re.compile(r"(?=.*[a-zA-Z0-9])[a-zA-Z0-9_:./\s-]{1,200}")
"""Names that Argilla's server takes for the source of a suggestion."""
_BETWEEN = " = "
"""Between the words of a slot and its normalized value."""

_T = TypeVar("_T")
Suggestions = dict[str, dict[str, Any]]


# Datasets.


def datasets_of(
    dialogues: Sequence[Dialogue], annotations: Sequence[Annotation | None], questions: Questions
) -> dict[str, str]:
    """The files of the datasets, by name.

    Args:
        dialogues: those with turns.
        annotations: for each dialogue, whose labels are suggested; None for no suggestions.
        questions: names may be any text (`questions_of(..., plain=True)`).

    Raises UsageError for a label that Argilla cannot offer."""
    _check_names(questions)
    pairs = list(zip(dialogues, annotations, strict=True))
    files: dict[str, str] = {}
    if asked := _turn_questions(questions):
        records = [_turn_record(d, t, a, questions) for d, a in pairs for t in range(len(d.turns))]
        fields = [
            _field(BEFORE, "Before", "chat"),
            _field(REQUEST, "Request", "text", required=True),
            _field(RESPONSE, "Response", "text"),
            _field(AFTER, "After", "chat"),
        ]
        files |= _dataset(TURNS, fields, asked, [_metadata(IDENTITY, "terms"), _metadata(TURN, "integer")], records)
    if asked := _dialogue_questions(questions):
        records = [_dialogue_record(d, a, questions) for d, a in pairs]
        fields = [_field(DIALOGUE, "Dialogue", "text", required=True)]
        files |= _dataset(DIALOGUES, fields, asked, [_metadata(IDENTITY, "terms")], records)
    return files


def _dataset(
    name: str, fields: list[Any], questions: list[Any], metadata: list[Any], records: list[dict[str, Any]]
) -> dict[str, str]:
    distribution = {"strategy": "overlap", "min_submitted": _PEOPLE}
    settings = {
        "guidelines": None,
        "questions": questions,
        "fields": fields,
        "vectors": [],
        "metadata": metadata,
        "allow_extra_metadata": False,
        "distribution": distribution,
        "mapping": None,
    }
    dataset = {"name": f"labelgen-{name}", "allow_extra_metadata": False, "distribution": distribution}
    parts = {RECORDS_FILE: records, SETTINGS_FILE: settings, DATASET_FILE: dataset}
    return {f"{name}/{file}": f"{_json(part)}\n" for file, part in parts.items()}


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()


def _field(name: str, title: str, kind: str, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "required": required,
        "settings": {"type": kind, "use_markdown": False},
    }


def _metadata(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "title": name, "settings": {"type": kind, "visible_for_annotators": True}}


def _check_names(questions: Questions) -> None:
    for name in (*questions.intents, *questions.slots):
        if len(name) > _LONGEST_NAME or "\0" in name or name == NO_INTENT:
            raise UsageError(
                f"Argilla cannot ask for a label named {name[:80]!r}",
                "the label sets and annotations of the sample",
                f"give it another name, of at most {_LONGEST_NAME} characters, or export to conll",
            )


def _turn_questions(questions: Questions) -> list[dict[str, Any]]:
    asked = []
    if questions.intents:
        options = _options((*questions.intents, NO_INTENT))
        asked.append(_question(INTENTS, "What the request asks for", "multi_label_selection", options))
    if "slots" in questions.tasks:
        asked.append(_question(HAS_SLOTS, "Does the request have slots?", "label_selection", _options((YES, NO))))
    if questions.slots:
        span = {"field": REQUEST, "allow_overlapping": True}
        asked.append(_question(SLOTS, "Slots", "span", _options(questions.slots), required=False, **span))
        title = "Normalized values where they differ, each on a line: words = value"
        asked.append(_question(VALUES, title, "text", required=False))
    if "quality" in questions.tasks:
        asked.append(_rating(QUALITY, "How well the response served the request"))
    return asked


def _dialogue_questions(questions: Questions) -> list[dict[str, Any]]:
    asked = []
    numbers = [str(k + 1) for k in range(questions.goals)]
    if numbers:
        options = [{"value": number, "text": f"goal {number}"} for number in numbers]
        asked.append(_question(HAS_GOALS, "Does the user have a goal?", "label_selection", _options((YES, NO))))
        title = "Goals: mark the turns that serve each"
        asked.append(_question(GOALS, title, "span", options, required=False, field=DIALOGUE, allow_overlapping=False))
    if "outcome" in questions.tasks:
        for number in numbers:
            title = f"Outcome of goal {number}"
            asked.append(
                _question(OUTCOME + number, title, "label_selection", _options(OUTCOMES), required=False),
            )
    if "quality" in questions.tasks:
        asked.append(_rating(QUALITY, "How well the dialogue as a whole went"))
    return asked


def _question(
    name: str, title: str, kind: str, options: list[dict[str, Any]] | None = None, required: bool = True, **more: object
) -> dict[str, Any]:
    settings = {"type": kind, **({} if options is None else {"options": options}), **more}
    return {"name": name, "title": title, "required": required, "settings": settings}


def _options(values: Sequence[str]) -> list[dict[str, Any]]:
    return [{"value": value, "text": value} for value in values]


def _rating(name: str, title: str) -> dict[str, Any]:
    return _question(name, f"{title}, 1 to 5", "rating", [{"value": value} for value in RATINGS])


# Records.


def _turn_record(dialogue: Dialogue, t: int, annotation: Annotation | None, questions: Questions) -> dict[str, Any]:
    turns = dialogue.turns
    fields: dict[str, Any] = {REQUEST: _spannable(turns[t].request), RESPONSE: turns[t].response}
    first = max(t - _CONTEXT, 0)
    for name, context in ((BEFORE, turns[first:t]), (AFTER, turns[t + 1 : t + 1 + _CONTEXT])):
        messages = [m for turn in context for m in (("user", turn.request), ("assistant", turn.response)) if m[1]]
        if messages:
            fields[name] = [{"role": role, "content": text[:_LONGEST_MESSAGE]} for role, text in messages]
    return {
        "id": f"{dialogue.id}/{t}",
        "fields": fields,
        "metadata": {IDENTITY: dialogue.id, TURN: t},
        "suggestions": {} if annotation is None else _turn_suggestions(dialogue, t, annotation, questions),
    }


def _spannable(text: str) -> str:
    """The text, with blanks for the code units that Argilla's server does not count."""
    return text + " " * (to_units(text, len(text)) - len(text))


def _turn_suggestions(dialogue: Dialogue, t: int, annotation: Annotation, questions: Questions) -> Suggestions:
    form = next((turn for turn in from_annotation(annotation).turns if turn.turn == t), TurnForm(turn=t))
    request, out = dialogue.turns[t].request, _Suggestions(annotation.annotator)
    if questions.intents and form.intents is not None:
        intents = list({intent.name: intent for intent in form.intents}.values())
        out.several(INTENTS, [x.name for x in intents] or [NO_INTENT], [x.probability for x in intents])
    if "slots" in questions.tasks and form.slots is not None:
        out.one(HAS_SLOTS, YES if form.slots else NO)
    if questions.slots and form.slots:
        slots = sorted(form.slots, key=_place)
        spans = [_span(request, x.start, x.end, x.name) for x in slots]
        out.several(SLOTS, spans, [x.probability for x in slots])
        if any(slot.value is not None for slot in slots):
            out.one(VALUES, "\n".join(_value_line(request, slot) for slot in slots))
    if "quality" in questions.tasks and form.quality is not None:
        out.one(QUALITY, stars(form.quality))
    return out.by_question


class _Suggestions:
    def __init__(self, annotator: str) -> None:
        self.by_question: Suggestions = {}
        self._agent = annotator if _AGENT.fullmatch(annotator) else None

    def one(self, question: str, value: object) -> None:
        self.by_question[question] = {"value": value, "score": None, "agent": self._agent}

    def several(self, question: str, values: Sequence[object], scores: Sequence[float | None]) -> None:
        self.one(question, list(values))
        if len(scores) == len(values) and None not in scores:
            self.by_question[question]["score"] = list(scores)


def _span(text: str, start: int, end: int, label: str) -> dict[str, Any]:
    return {"start": to_units(text, start), "end": to_units(text, end), "label": label}


def _place(slot: SlotForm) -> tuple[int, int, str]:
    return slot.start, slot.end, slot.name


def _value_line(request: str, slot: SlotForm) -> str:
    return f"{_words(request, slot)}{_BETWEEN}{_value_text(slot.value)}"


def _words(request: str, slot: SlotForm) -> str:
    return " ".join(request[slot.start : slot.end].split())


def _value_text(value: str | None) -> str:
    """The value, as JSON where a line cannot hold it. `=` is escaped, so the last one of a line is the separator."""
    if value is None or (value and value == " ".join(value.split()) and value[0] != '"' and "=" not in value):
        return value or ""
    return json.dumps(value).replace("=", "\\u003d")


def _dialogue_record(dialogue: Dialogue, annotation: Annotation | None, questions: Questions) -> dict[str, Any]:
    text, _ = _lines(dialogue)
    return {
        "id": dialogue.id,
        "fields": {DIALOGUE: _spannable(text)},
        "metadata": {IDENTITY: dialogue.id},
        "suggestions": {} if annotation is None else _dialogue_suggestions(dialogue, annotation, questions),
    }


def _lines(dialogue: Dialogue) -> tuple[str, list[tuple[int, int]]]:
    """A dialogue as one text, and the place of each turn in it."""
    text, places = "", []
    for t, turn in enumerate(dialogue.turns):
        start = len(text)
        text += f"turn {t}\nuser: {turn.request}\nassistant: {turn.response}\n"
        places.append((start, len(text) - 1))
        text += "\n"
    return text, places


def _dialogue_suggestions(dialogue: Dialogue, annotation: Annotation, questions: Questions) -> Suggestions:
    form, out = from_annotation(annotation), _Suggestions(annotation.annotator)
    if questions.goals and form.goals is not None:
        text, places = _lines(dialogue)
        out.one(HAS_GOALS, YES if form.goals else NO)
        numbered = [(t, str(k + 1)) for k, goal in enumerate(form.goals) for t in goal.turns]
        spans = [_span(text, *places[t], number) for t, number in sorted(numbered)]
        if spans:
            out.one(GOALS, spans)
        for k, goal in enumerate(form.goals):
            if goal.outcome is not None and "outcome" in questions.tasks:
                out.one(f"{OUTCOME}{k + 1}", goal.outcome)
    if form.quality is not None and "quality" in questions.tasks:
        out.one(QUALITY, stars(form.quality))
    return out.by_question


# Responses.


class _Span(msgspec.Struct, frozen=True):
    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class _Record:
    """A record with responses. turn: None for a record about the dialogue. columns: question -> its values, users and statuses."""

    identity: str
    turn: int | None
    texts: Mapping[str, Any]
    columns: Mapping[str, tuple[Sequence[Any], Sequence[Any], Sequence[Any]]]
    raw: str


class _AnswerError(Exception):
    """A response that cannot be used; the first word of the message is the reason by which faults are counted."""


def ids_in(path: Path) -> frozenset[str]:
    """Ids of the dialogues that the readable records are about. Raises InputError for a file that is no list of records."""
    found = set()
    for raw in _rows(path):
        try:
            found.add(_record(raw).identity)
        except _AnswerError:
            continue
    return frozenset(found)


def _rows(path: Path) -> list[msgspec.Raw]:
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8)
        if (deep := too_deep(text)) is not None:
            raise ValueError(deep)
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        hint = "write the list that records(with_responses=True).to_list(flatten=True) returns as JSON"
        raise InputError(f"{path.name} is no list of Argilla's records: {error}", str(path), hint) from error


def read_responses(
    path: Path, dialogues: Mapping[str, Dialogue], ignored: Counter[str]
) -> Iterator[ReviewAnswer | Rejected]:
    """For each dialogue and person all submitted responses as one answer; those that cannot be used as Rejected with a reason.

    Args:
        path: JSON list of records of both datasets, in any order.
        dialogues: by id; those that the records are about.
        ignored: counts responses to questions that labelgen did not ask, by question.

    Raises InputError for a file that is no list of records."""
    answers: dict[tuple[str, str], _Answers] = {}
    for raw in _rows(path):
        try:
            record = _record(raw)
            people = _people(record)
        except _AnswerError as error:
            yield Rejected(file=str(path), reason=str(error), raw=bytes(raw).decode("utf-8", "replace"))
            continue
        for who, responses in people.items():
            try:
                part = _part(record, who, responses, dialogues.get(record.identity), ignored)
            except _AnswerError as error:
                yield Rejected(file=str(path), dialogue=record.identity, reason=str(error), raw=record.raw)
                continue
            parts = answers.setdefault((record.identity, who), _Answers())
            if record.turn in parts.raw:
                reason = f"{SUPERSEDED}: {who} answered again"
                yield Rejected(file=str(path), dialogue=record.identity, reason=reason, raw=parts.raw[record.turn])
            parts.add(record, part)
    for (identity, who), parts in answers.items():
        raw_text = "\n".join(parts.raw.values())
        yield ReviewAnswer(identity, to_annotation(parts.form(who)), (), None, str(path), raw=raw_text)


@dataclass(slots=True)
class _Answers:
    """What one person answered about one dialogue."""

    turns: dict[int, TurnForm] = field(default_factory=dict)
    whole: AnnotationForm | None = None
    raw: dict[int | None, str] = field(default_factory=dict)

    def add(self, record: _Record, part: TurnForm | AnnotationForm) -> None:
        if isinstance(part, TurnForm):
            self.turns[part.turn] = part
        else:
            self.whole = part
        self.raw[record.turn] = record.raw

    def form(self, who: str) -> AnnotationForm:
        turns = tuple(form for _, form in sorted(self.turns.items()))
        whole = self.whole or AnnotationForm(annotator=who)
        return AnnotationForm(annotator=who, goals=whole.goals, quality=whole.quality, turns=turns)


def _record(raw: msgspec.Raw) -> _Record:
    try:
        row = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _AnswerError(f"bad_record: {error}") from error
    identity, turn = row.get(IDENTITY), row.get(TURN)
    if not isinstance(identity, str) or isinstance(turn, bool) or not isinstance(turn, int | None):
        raise _AnswerError(f"bad_record: no {IDENTITY}, or no number as {TURN}; is the list flat?")
    columns: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
    for key, values in row.items():
        question, _, rest = key.partition(".")
        if rest == "responses" and values:
            users, statuses = row.get(f"{key}.users"), row.get(f"{key}.status")
            lists = [one for one in (values, users, statuses) if isinstance(one, list)]
            if len(lists) < 3 or len({len(one) for one in lists}) > 1:
                raise _AnswerError(f"bad_record: {key} has not as many users and statuses as values")
            columns[question] = (lists[0], lists[1], lists[2])
    return _Record(identity, turn, row, columns, bytes(raw).decode("utf-8", "replace"))


def _people(record: _Record) -> dict[str, dict[str, tuple[Any, str | None]]]:
    """Person -> question -> value and status."""
    people: dict[str, dict[str, tuple[Any, str | None]]] = {}
    for question, column in record.columns.items():
        for value, user, status in zip(*column, strict=True):
            if not isinstance(user, str) or user in ("", "None"):
                raise _AnswerError(f"no_annotator: a response to {question!r} does not say who answered")
            people.setdefault(_name(user), {})[question] = (value, status)
    return people


def _name(user: str) -> str:
    try:
        return f"argilla:{UUID(user)}"
    except ValueError:
        return user


def _part(
    record: _Record,
    who: str,
    responses: Mapping[str, tuple[Any, str | None]],
    dialogue: Dialogue | None,
    ignored: Counter[str],
) -> TurnForm | AnnotationForm:
    statuses = {status for _, status in responses.values()}
    if statuses - {"submitted"}:
        raise _AnswerError(f"{SKIPPED}: {who} did not submit the record ({', '.join(sorted(map(str, statuses)))})")
    if dialogue is None:
        raise _AnswerError("unknown_id: no dialogue of the log has this id")
    values = {question: value for question, (value, _) in responses.items() if value is not None}
    t = record.turn
    if t is None:
        text, places = _lines(dialogue)
        _check_text(record, DIALOGUE, _spannable(text), "the dialogue")
        asked: Collection[str] = {HAS_GOALS, GOALS, QUALITY}
        part: TurnForm | AnnotationForm = AnnotationForm(
            annotator=who,
            goals=_goals(values, text, places),
            quality=_quality(values, "the dialogue"),
        )
        empty = part == AnnotationForm(annotator=who)
    else:
        if not 0 <= t < len(dialogue.turns):
            raise _AnswerError(f"no_such_turn: {t}; the dialogue has {len(dialogue.turns)} turns")
        turn = dialogue.turns[t]
        _check_text(record, REQUEST, _spannable(turn.request), f"the request of turn {t}")
        _check_text(record, RESPONSE, turn.response, f"the response of turn {t}")
        asked = {INTENTS, HAS_SLOTS, SLOTS, VALUES, QUALITY}
        quality = _quality(values, f"turn {t}")
        part = TurnForm(turn=t, quality=quality, intents=_intents(values), slots=_slots(values, turn.request))
        empty = part == TurnForm(turn=t)
    for question in values:
        if question not in asked and not (t is None and question.startswith(OUTCOME)):
            ignored[question] += 1
    if empty:
        raise _AnswerError(f"{EMPTY}: {who} answered nothing")
    return part


def _check_text(record: _Record, name: str, expected: str, where: str) -> None:
    seen = record.texts.get(name)
    if seen != expected:
        raise _AnswerError(f"changed_text: {where} was {seen!r}, the record has {expected!r}")


def _typed(values: Mapping[str, Any], question: str, kind: type[_T]) -> _T | None:
    if question not in values:
        return None
    try:
        return msgspec.convert(values[question], kind)
    except msgspec.ValidationError as error:
        raise _AnswerError(f"bad_record: the response to {question!r}: {error}") from error


def _quality(values: Mapping[str, Any], where: str) -> QualityForm | None:
    rating = _typed(values, QUALITY, int)
    if rating is not None and rating not in RATINGS:
        raise _AnswerError(f"bad_rating: {rating} of {where} is not within {RATINGS[0]} to {RATINGS[-1]}")
    return None if rating is None else QualityForm(rating=rating)


def _intents(values: Mapping[str, Any]) -> tuple[NamedForm, ...] | None:
    # A named intent is more deliberate than a tick at "no intent".
    names = _typed(values, INTENTS, list[str])
    if not names:
        return None
    return tuple(NamedForm(name=name) for name in dict.fromkeys(names) if name != NO_INTENT)


def _slots(values: Mapping[str, Any], request: str) -> tuple[SlotForm, ...] | None:
    spans = _typed(values, SLOTS, list[_Span]) or []
    if not spans:
        return () if _typed(values, HAS_SLOTS, str) == NO else None
    slots = [SlotForm(name=x.label, start=start, end=end) for x in spans for start, end in [_offsets(x, request)]]
    slots = sorted(dict.fromkeys(slots), key=_place)
    normalized = _values(_typed(values, VALUES, str) or "", [_words(request, slot) for slot in slots])
    return tuple(msgspec.structs.replace(x, value=value) for x, value in zip(slots, normalized, strict=True))


def _offsets(span: _Span, text: str) -> tuple[int, int]:
    """Code points. The blanks at the end of a shown text are not part of it."""
    length = to_units(text, len(text))
    try:
        start, end = from_units(text, span.start), from_units(text, min(span.end, length))
    except ValueError as error:
        raise _AnswerError(f"bad_span: {span.label!r}: {error}") from error
    if not start < end or span.end > length + length - len(text):
        raise _AnswerError(f"bad_span: {span.label!r} is at {span.start} to {span.end} of {length} code units")
    return start, end


def _values(text: str, words: Sequence[str]) -> list[str | None]:
    """The normalized value of each slot, from lines `words = value`; equal words stand in the order of their slots."""
    lines: dict[str, list[str | None]] = {key: [] for key in words}
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        line += " " if line.endswith(_BETWEEN.rstrip()) else ""
        ends = [match.start() for match in re.finditer(f"(?={_BETWEEN})", line)]
        cut = next((k for k in reversed(ends) if line[:k] in lines), None)
        if cut is None:
            raise _AnswerError(f"bad_value: the line {line!r} does not begin with the words of a slot")
        lines[line[:cut]].append(_value(line[cut + len(_BETWEEN) :]))
    for key, of_words in lines.items():
        if len(of_words) > words.count(key):
            raise _AnswerError(f"bad_value: {key!r} has more values than slots")
    queues = {key: iter(of_words) for key, of_words in lines.items()}
    return [next(queues[key], None) for key in words]


def _value(text: str) -> str | None:
    text = text.strip()
    if not text.startswith('"'):
        return text or None
    try:
        return msgspec.json.decode(text.encode(), type=str)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _AnswerError(f"bad_value: {text} is no text in quotation marks: {error}") from error


def _goals(values: Mapping[str, Any], text: str, places: Sequence[tuple[int, int]]) -> tuple[GoalForm, ...] | None:
    """A turn serves a goal where a span of the goal covers a part of it."""
    spans = _typed(values, GOALS, list[_Span]) or []
    if not spans:
        return () if _typed(values, HAS_GOALS, str) == NO else None
    turns: dict[int, set[int]] = {}
    for span in spans:
        if not span.label.isdecimal():
            raise _AnswerError(f"bad_goal: {span.label!r} is no number of a goal")
        start, end = _offsets(span, text)
        served = {t for t, (first, last) in enumerate(places) if start < last and first < end}
        if served:
            turns.setdefault(int(span.label), set()).update(served)
    return tuple(
        GoalForm(turns=tuple(sorted(turns[number])), outcome=_typed(values, f"{OUTCOME}{number}", str))
        for number in sorted(turns)
    )
