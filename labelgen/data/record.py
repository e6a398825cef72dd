"""One record: decode, validate and encode it as JSON or a Parquet row, and the JSON and Arrow schemas.

An invalid record becomes a Rejected and never an exception."""

import json
import math
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import inspect

from labelgen.base.files import digest_bytes
from labelgen.data.dialogue import Dialogue, Feedback, Step, Turn
from labelgen.data.groups import (
    AnnotationForm,
    GoalForm,
    NamedForm,
    OutcomeProbabilities,
    PlaceForm,
    QualityForm,
    QualityProbabilities,
    Record,
    TargetForm,
    TurnForm,
    to_dialogue,
    to_record,
)
from labelgen.data.json_text import decoded, explain, readable, too_deep, unreadable, unwritable
from labelgen.data.labels import QUALITY_NAMES

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

Value = TypeVar("Value")

_DECODER = msgspec.json.Decoder(Record)
_DAMAGE = ("bad_gzip", "bad_zstd", "bad_parquet")
"""First words of the reasons that stand for the rest of a damaged file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that could not be used, with its reason and location.

    file: its name. line: line or row, from 1. field: path of the bad field. raw: the original text, to fix and read again. hint:
    what to do, where that depends on the reason."""

    file: str
    reason: str
    line: int | None = None
    dialogue: str | None = None
    field: str | None = None
    raw: str | None = None
    hint: str | None = None

    @property
    def is_damage(self) -> bool:
        """Whether it represents the unreadable rest of a damaged file; the number of its records is unknown."""
        return self.line is None and self.reason.partition(":")[0] in _DAMAGE

    def where(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.dialogue is not None:
            parts.append(f"dialogue {self.dialogue}")
        if self.field is not None:
            parts.append(f"field {self.field}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Fault:
    """field: the path of the field in the record. reason: starts with a stable word, by which faults are counted."""

    field: str
    reason: str


def decode(text: str | bytes, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one JSON record. Never raises for bad input: the Rejected says what is wrong.

    Text is decoded straight into Structs; only a record with unknown fields, or a fault, is read by way of plain dicts."""
    data = text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text
    if (deep := too_deep(data)) is not None:
        return Rejected(file=file, line=line, reason=deep, raw=readable(data))
    try:
        record = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        plain = parse(data, Any, file, line)
        return plain if isinstance(plain, Rejected) else _checked(plain, _read(plain), file, line, readable(data))
    fault = next(faults(record), None)
    return to_dialogue(record) if fault is None else _rejected(fault, record.id, file, line, readable(data))


def convert(plain: Any, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one record from plain dicts and lists, such as a row of a Parquet file."""
    fault = unwritable(plain)
    result = Fault(fault[1], fault[0]) if fault else _read(plain)
    raw = "" if isinstance(result, Dialogue) else json.dumps(plain, default=repr)
    return _checked(plain, result, file, line, raw)


def _checked(plain: Any, result: Dialogue | Fault, file: str, line: int | None, raw: str) -> Dialogue | Rejected:
    if isinstance(result, Dialogue):
        return result
    identity = plain.get("id") if isinstance(plain, dict) else None
    return _rejected(result, identity if isinstance(identity, str) else None, file, line, raw)


def validate(dialogue: Dialogue, file: str, line: int | None = None) -> Dialogue | Rejected:
    """The dialogue, if its record is valid; the last step of a corpus reader."""
    record = to_record(dialogue)
    fault = next(faults(record), None)
    if fault is None:
        return dialogue
    return _rejected(fault, dialogue.id, file, line, msgspec.json.encode(record).decode())


def encode(dialogue: Dialogue) -> bytes:
    """One line of JSON without its line break: every field, null for absent, [] for none. Equal dialogues give equal bytes."""
    return msgspec.json.encode(to_record(dialogue))


def to_plain(dialogue: Dialogue) -> dict[str, Any]:
    """The record as plain dicts with every field, as on disk."""
    plain: dict[str, Any] = msgspec.to_builtins(to_record(dialogue))
    return plain


def _read(plain: Any) -> Dialogue | Fault:
    if not isinstance(plain, dict):
        return Fault("", "bad_type: a record is a JSON object")
    try:
        record = msgspec.convert(_known(plain, Record), Record)
    except msgspec.ValidationError as error:
        reason, field = explain(error)
        return Fault(field or "", reason)
    return next(faults(record), None) or to_dialogue(record)


def _known(plain: Any, kind: Any) -> Any:
    """Plain values without nulls, which mean absent, and without fields that labelgen does not know.

    The record and its turns keep those in `extra`. kind: the Struct type of the objects in `plain`; None for none."""
    if kind is None:
        return plain
    if isinstance(plain, list):
        return [_known(value, kind) for value in plain]
    if not isinstance(plain, dict):
        return plain
    fields = _nested(kind)
    known = {name: _known(value, fields[name]) for name, value in plain.items() if name in fields and value is not None}
    unknown = {name: value for name, value in plain.items() if name not in fields}
    if unknown and "extra" in fields:
        known["extra"] = _joined_extra(plain.get("extra"), unknown)
    return known


def _joined_extra(before: Any, unknown: dict[str, Any]) -> str:
    if isinstance(before, str):
        if too_deep(before) is not None:
            return before  # `faults` names it
        extra = decoded(before)
        unknown = {**extra, **unknown} if isinstance(extra, dict) else {"extra": before, **unknown}
    return msgspec.json.encode(unknown, order="sorted").decode()


@cache
def _nested(kind: Any) -> Mapping[str, Any]:
    """Each field of a Struct type by its name on disk, with the Struct type of the objects in it; None for none."""
    struct = inspect.type_info(kind)
    assert isinstance(struct, inspect.StructType)
    return {field.encode_name: _struct_in(field.type) for field in struct.fields}


def _struct_in(kind: inspect.Type) -> Any:
    match kind:
        case inspect.StructType():
            return kind.cls
        case inspect.VarTupleType():
            return _struct_in(kind.item_type)
        case inspect.UnionType():
            return next(filter(None, map(_struct_in, kind.types)), None)
    return None


def drop_null(plain: Any) -> Any:
    """Plain dicts and lists without the fields that are null."""
    if isinstance(plain, dict):
        return {key: drop_null(value) for key, value in plain.items() if value is not None}
    if isinstance(plain, list):
        return [drop_null(value) for value in plain]
    return plain


def _rejected(fault: Fault, dialogue: str | None, file: str, line: int | None, raw: str) -> Rejected:
    return Rejected(file=file, line=line, dialogue=dialogue, field=fault.field or None, reason=fault.reason, raw=raw)


@dataclass(frozen=True, slots=True)
class LocatedDialogue:
    """A valid record with its place, so that later steps can still reject it.

    file: its name in rejected records. line: or row, from 1. source: the line, or the row, that it was read from. Both
    are None where a reader of another format made it of several."""

    dialogue: Dialogue
    file: str
    line: int | None = None
    source: bytes | Mapping[str, Any] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the record as it was read: the line without its line break, or the row as JSON."""
        if isinstance(self.source, bytes):
            return digest_bytes(self.source.rstrip(b"\r\n"))
        return digest_bytes(
            encode(self.dialogue) if self.source is None else msgspec.json.encode(self.source, enc_hook=repr)
        )

    def rejected(self, field: str, reason: str) -> Rejected:
        """The record as a rejected one."""
        if self.source is None:
            raw = encode(self.dialogue).decode()
        elif isinstance(self.source, bytes):
            raw = readable(self.source.rstrip(b"\r\n"))
        else:
            raw = json.dumps(self.source, default=repr, ensure_ascii=False)
        return Rejected(file=self.file, line=self.line, dialogue=self.dialogue.id, field=field, reason=reason, raw=raw)


def locate(
    item: Dialogue | Rejected, file: str, line: int, source: bytes | Mapping[str, Any]
) -> LocatedDialogue | Rejected:
    """The record with its place, where it is valid."""
    return item if isinstance(item, Rejected) else LocatedDialogue(item, file, line, source)


def parse(
    text: bytes, kind: type[Value], file: str, line: int | None = None, dialogue: str | None = None
) -> Value | Rejected:
    """Decode JSON text as `kind`. dialogue: the id that the Rejected names, where it is known."""
    reason, field = too_deep(text), None
    if reason is None:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.ValidationError as error:
            reason, field = explain(error)
        except (msgspec.MsgspecError, UnicodeError) as error:
            reason, field = unreadable(text, error)
    return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=readable(text))


def faults(record: Record) -> Iterator[Fault]:
    """Every fault of a record, in the order of its fields; none for a valid one."""
    for field, text in [("extra", record.extra), *((f"turns[{k}].extra", t.extra) for k, t in enumerate(record.turns))]:
        # It is JSON too, and others decode it to look for a field.
        if text is not None and (deep := too_deep(text)) is not None:
            yield Fault(field, deep)
    if not record.id:
        yield Fault("id", "empty_id: a dialogue needs an id")
    lengths = [len(turn.request) for turn in record.turns]
    for k, turn in enumerate(record.turns):
        yield from _turn(f"turns[{k}]", k, turn, lengths)
    yield from _feedback("", record.feedback, len(lengths))
    names: set[tuple[str, str]] = set()
    for a, annotation in enumerate(record.annotations):
        yield from _annotation(f"annotations[{a}]", annotation, lengths)
        pair = annotation.annotator, annotation.kind
        if pair in names:
            yield Fault(f"annotations[{a}].annotator", f"doubled_annotator: {pair[0]} stands twice")
        names.add(pair)
    for s, signal in enumerate(record.signals):
        yield from _indices(f"signals[{s}].turns", (*signal.turns, *signal.evidence), len(lengths))
        yield from _probability(f"signals[{s}].strength", signal.strength)
        if signal.span is not None:
            for seen in signal.evidence:
                if 0 <= seen < len(lengths):
                    yield from _span(f"signals[{s}].span", seen, *signal.span, lengths)
    for t, target in enumerate(record.targets):
        yield from _target(f"targets[{t}]", target, lengths)


def _turn(at: str, index: int, turn: Turn, lengths: list[int]) -> Iterator[Fault]:
    for name in ("time_s", "response_time_s", "asr_confidence", "nlu_confidence"):
        value = getattr(turn, name)
        if value is not None and not math.isfinite(value):
            yield Fault(f"{at}.{name}", f"not_finite: {value}")
    if turn.audio is not None and not _stays_within(turn.audio.path):
        yield Fault(f"{at}.audio.path", f"bad_path: {turn.audio.path!r} does not stay within the record's folder")
    for j, number in enumerate(turn.numbers):
        if not math.isfinite(number.value):
            yield Fault(f"{at}.numbers[{j}].value", f"not_finite: {number.value}")
    for j, slot in enumerate((turn.hypothesis.slots or ()) if turn.hypothesis else ()):
        yield from _span(f"{at}.hypothesis.slots[{j}]", index, slot.start, slot.end, lengths)
    yield from _feedback(f"{at}.", turn.feedback, len(lengths))
    for j, step in enumerate(turn.steps):
        yield from _step(f"{at}.steps[{j}]", step)


def _step(at: str, step: Step) -> Iterator[Fault]:
    if not step.kind:
        yield Fault(f"{at}.kind", "bad_name: a step needs a kind")
    if step.latency_s is not None and not math.isfinite(step.latency_s):
        yield Fault(f"{at}.latency_s", f"not_finite: {step.latency_s}")
    yield from _probability(f"{at}.confidence", step.confidence)
    for name, text in (("arguments", step.arguments), ("result", step.result)):
        if text is not None and (deep := too_deep(text)) is not None:
            yield Fault(f"{at}.{name}", deep)


def _feedback(prefix: str, feedback_items: Sequence[Feedback], count: int) -> Iterator[Fault]:
    for j, feedback in enumerate(feedback_items):
        if feedback.about is not None:
            yield from _indices(f"{prefix}feedback[{j}].about", (feedback.about,), count)


def _stays_within(path: str) -> bool:
    """Whether a relative path names something below its start, by the rules of any system."""
    plain = path.replace("\\", "/")
    if not path or "\0" in path or plain.startswith("/") or PureWindowsPath(path).drive:
        return False
    inner = posixpath.normpath(plain)
    return inner not in (".", "..") and not inner.startswith("../")


def _annotation(at: str, annotation: AnnotationForm, lengths: list[int]) -> Iterator[Fault]:
    yield from _goals(f"{at}.goals", annotation.goals or (), len(lengths))
    if annotation.covered_turns is not None:
        yield from _covered(at, annotation.covered_turns, annotation.goals, len(lengths))
    if annotation.quality is not None:
        yield from _quality(f"{at}.quality", annotation.quality)
    yield from _turns(f"{at}.turns", annotation.turns, lengths)
    for n, label in enumerate(annotation.labels):
        field = f"{at}.labels[{n}]"
        yield from _place(f"{field}.at", label.at, lengths)
        yield from _probability(f"{field}.probability", label.probability)
        yield from _probabilities(f"{field}.distribution", label.distribution)
    for n, abstained in enumerate(annotation.abstained):
        field = f"{at}.abstained[{n}]"
        yield from _place(field, PlaceForm(turn=abstained.turn, turns=abstained.turns), lengths)
        for g, guess in enumerate(abstained.best):
            place = PlaceForm(turn=abstained.turn, start=guess.start, end=guess.end, turns=guess.turns)
            yield from _place(f"{field}.best[{g}]", place, lengths)
            yield from _probability(f"{field}.best[{g}].probability", guess.probability)


def _goals(at: str, goals: Sequence[GoalForm], count: int) -> Iterator[Fault]:
    goal_of: dict[int, int] = {}
    for g, goal in enumerate(goals):
        field = f"{at}[{g}]"
        if not goal.turns or list(goal.turns) != sorted(set(goal.turns)):
            yield Fault(f"{field}.turns", "bad_goal: the turns of a goal are ascending, each once, and at least one")
        for turn in goal.turns:
            if not 0 <= turn < count:
                yield _no_such_turn(f"{field}.turns", turn, count)
            if goal_of.setdefault(turn, g) != g:
                yield Fault(f"{field}.turns", f"goals_overlap: turn {turn} serves goals {goal_of[turn]} and {g}")
        if goal.outcome not in (None, "success", "failure", "unknown"):
            yield Fault(f"{field}.outcome", f"bad_outcome: {goal.outcome!r} is not success, failure or unknown")
        yield from _probability(f"{field}.probability", goal.probability)
        if goal.outcome_probabilities is not None:
            yield from _shares(f"{field}.outcome_probabilities", goal.outcome_probabilities)


def _covered(at: str, covered: Sequence[int], goals: Sequence[GoalForm] | None, count: int) -> Iterator[Fault]:
    field = f"{at}.covered_turns"
    yield from _indices(field, covered, count)
    if goals is None:
        yield Fault(field, "bad_cover: covered turns without goals; give goals, [] for none")
    if list(covered) != sorted(set(covered)):
        yield Fault(field, "bad_cover: covered turns are ascending, each once")
    turns = set(covered)
    for g, goal in enumerate(goals or ()):
        if outside := [turn for turn in goal.turns if turn not in turns]:
            yield Fault(f"{at}.goals[{g}].turns", f"bad_cover: turn {outside[0]} is not among the covered turns")


def _turns(at: str, turns: Sequence[TurnForm], lengths: list[int]) -> Iterator[Fault]:
    seen: set[int] = set()
    for t, form in enumerate(turns):
        turn = form.turn
        is_turn = 0 <= turn < len(lengths)
        if not is_turn:
            yield _no_such_turn(f"{at}[{t}].turn", turn, len(lengths))
        if turn in seen:
            yield Fault(f"{at}[{t}].turn", f"doubled_turn: turn {turn} is annotated twice")
        seen.add(turn)
        if form.quality is not None:
            yield from _quality(f"{at}[{t}].quality", form.quality)
        yield from _probabilities(f"{at}[{t}].intents", form.intents)
        for s, slot in enumerate((form.slots or ()) if is_turn else ()):
            yield from _span(f"{at}[{t}].slots[{s}]", turn, slot.start, slot.end, lengths)
            yield from _probability(f"{at}[{t}].slots[{s}].probability", slot.probability)


def _target(field: str, target: TargetForm, lengths: list[int]) -> Iterator[Fault]:
    yield from _place(f"{field}.at", target.at, lengths)
    if (target.labels is None) == (target.not_ is None):
        yield Fault(field, "bad_target: give exactly one of labels and not")
    yield from _probabilities(f"{field}.labels", target.labels)
    yield from _probability(f"{field}.weight", target.weight)


def _quality(field: str, quality: QualityForm) -> Iterator[Fault]:
    low, high = (1.0, 5.0) if quality.scale is None else sorted(quality.scale)
    if low == high:
        yield Fault(f"{field}.scale", "bad_scale: worst and best are equal")
    if not low <= quality.rating <= high:
        yield Fault(f"{field}.rating", f"bad_rating: {quality.rating} is not within {low:g}..{high:g}")
    if quality.name is not None and quality.name not in QUALITY_NAMES:
        yield Fault(f"{field}.name", f"bad_name: {quality.name!r} is none of {', '.join(QUALITY_NAMES)}")
    if quality.name is not None and quality.probabilities is None:
        yield Fault(f"{field}.name", "bad_name: a name without probabilities; the rating names the quality")
    if quality.probabilities is not None:
        yield from _shares(f"{field}.probabilities", quality.probabilities)


def _shares(field: str, shares: QualityProbabilities | OutcomeProbabilities) -> Iterator[Fault]:
    for name in shares.__struct_fields__:
        yield from _probability(f"{field}.{name}", getattr(shares, name))


def _probability(field: str, value: float | None) -> Iterator[Fault]:
    if value is not None and not 0.0 <= value <= 1.0:
        yield Fault(field, f"bad_probability: {value} is not within 0..1")


def _probabilities(field: str, names: Sequence[NamedForm] | None) -> Iterator[Fault]:
    for n, one in enumerate(names or ()):
        yield from _probability(f"{field}[{n}].probability", one.probability)


def _indices(field: str, turns: Iterable[int], count: int) -> Iterator[Fault]:
    for turn in turns:
        if not 0 <= turn < count:
            yield _no_such_turn(field, turn, count)


def _no_such_turn(field: str, turn: int, count: int) -> Fault:
    return Fault(field, f"no_such_turn: {turn}, the dialogue has {count} turns, counted from 0")


def _span(field: str, turn: int, start: int, end: int, lengths: list[int]) -> Iterator[Fault]:
    if not 0 <= start < end:
        yield Fault(field, f"bad_span: [{start}, {end}) of turn {turn} is empty or negative")
    elif end > lengths[turn]:
        reason = f"bad_span: the span of turn {turn} ends at {end}, its request has {lengths[turn]} characters"
        yield Fault(f"{field}.end", reason)


def _place(field: str, at: PlaceForm, lengths: list[int]) -> Iterator[Fault]:
    if (at.start is None) != (at.end is None) or (at.start is not None and at.turn is None):
        yield Fault(field, "bad_span: a span needs turn, start and end")
    yield from _indices(f"{field}.turns", at.turns or (), len(lengths))
    if at.turn is None:
        return
    if not 0 <= at.turn < len(lengths):
        yield _no_such_turn(f"{field}.turn", at.turn, len(lengths))
    elif at.start is not None and at.end is not None:
        yield from _span(field, at.turn, at.start, at.end, lengths)


@cache
def arrow_schema() -> "pa.Schema":
    """The Arrow schema of a Parquet file: every field nullable but those that a record needs."""
    import pyarrow as pa

    return pa.schema(list(_arrow_type(inspect.type_info(Record))))


def features() -> "datasets.Features":
    """The record for Hugging Face datasets: `load_dataset("json", data_files=..., features=features())`.

    Parquet carries its schema itself. JSON Lines does not, and datasets would guess the type of a field that is null in
    the first part of a file."""
    import datasets

    return datasets.Features.from_arrow_schema(arrow_schema())


def _arrow_type(kind: inspect.Type) -> Any:
    import pyarrow as pa

    match kind:
        case inspect.StructType():
            fields = list(kind.fields)
            if kind.cls is TargetForm:
                # JSON has `not` last, Parquet behind `labels`.
                fields.insert(3, fields.pop())
            return pa.struct([pa.field(field.encode_name, _arrow_type(field.type)) for field in fields])
        case inspect.UnionType():
            return next(_arrow_type(one) for one in kind.types if not isinstance(one, inspect.NoneType))
        case inspect.VarTupleType():
            return pa.list_(_arrow_type(kind.item_type))
        case inspect.TupleType():
            return pa.list_(_arrow_type(kind.item_types[0]))
        case inspect.LiteralType() | inspect.StrType():
            return pa.string()
        case inspect.IntType():
            return pa.int64()
        case inspect.FloatType():
            return pa.float64()
        case inspect.BoolType():
            return pa.bool_()
    raise TypeError(f"no Arrow type for {kind}")
