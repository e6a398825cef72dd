"""One record between its JSON text and the dialogue it holds."""

import json
from dataclasses import fields
from typing import Any

import msgspec

from labelgen.data.check import Fault, faults
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.form import Record
from labelgen.data.grouping import from_annotation, from_target, to_annotation, to_target
from labelgen.data.parse import explain, shown, too_deep, unreadable, unwritable
from labelgen.data.quarantine import Rejected

_RECORD_FIELDS = frozenset(f.name for f in fields(Record))
_TURN_FIELDS = frozenset(f.name for f in fields(Turn))


def decode(text: str | bytes, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one JSON record. Never raises for bad input: what is wrong with it stands in the Rejected."""
    data = text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text
    if (deep := too_deep(data)) is not None:
        return Rejected(file=file, line=line, reason=deep, raw=shown(data))
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason, field = unreadable(data, error)
        return Rejected(file=file, line=line, field=field, reason=reason, raw=shown(data))
    found = _read(plain)
    return found if isinstance(found, Dialogue) else _rejected(found, plain, file, line, shown(data))


def convert(plain: Any, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one record from plain dicts and lists, such as a row of a Parquet file."""
    fault = unwritable(plain)
    found = Fault(fault[1], fault[0]) if fault else _read(plain)
    if isinstance(found, Dialogue):
        return found
    return _rejected(found, plain, file, line, json.dumps(plain, default=repr))


def checked(dialogue: Dialogue, file: str, line: int | None = None) -> Dialogue | Rejected:
    """The dialogue, if its record obeys what any record must; readers of corpora end with it."""
    record = to_record(dialogue)
    for fault in faults(record):
        raw = msgspec.json.encode(record).decode()
        return Rejected(file=file, line=line, dialogue=dialogue.id, field=fault.field, reason=fault.reason, raw=raw)
    return dialogue


def _read(plain: Any) -> Dialogue | Fault:
    if not isinstance(plain, dict):
        return Fault("", "bad_type: a record is a JSON object")
    if deep := _deep_extra(plain):
        return deep
    kept = _keep_extra(plain)
    if deep := _deep_extra(kept):
        return deep
    try:
        try:
            record = msgspec.convert(kept, Record)
        except msgspec.ValidationError:
            # Null is absent. Most nulls are read as such; only those in the place of a list or of a default are not.
            record = msgspec.convert(drop_null(kept), Record)
    except msgspec.ValidationError as error:
        reason, field = explain(error)
        return Fault(field or "", reason)
    return next(faults(record), None) or to_dialogue(record)


def _deep_extra(plain: dict[str, Any]) -> Fault | None:
    """What stands in `extra` is JSON too, and is decoded by those who look for a field in it."""
    turns = plain.get("turns")
    places = [
        ("extra", plain),
        *((f"turns[{k}].extra", turn) for k, turn in enumerate(turns if isinstance(turns, list) else ())),
    ]
    for field, held in places:
        text = held.get("extra") if isinstance(held, dict) else None
        if isinstance(text, str) and (reason := too_deep(text)) is not None:
            return Fault(field, reason)
    return None


def drop_null(plain: Any) -> Any:
    """Plain dicts and lists without the fields that are null."""
    if isinstance(plain, dict):
        return {key: drop_null(value) for key, value in plain.items() if value is not None}
    if isinstance(plain, list):
        return [drop_null(value) for value in plain]
    return plain


def _rejected(fault: Fault, plain: Any, file: str, line: int | None, raw: str) -> Rejected:
    identity = plain.get("id") if isinstance(plain, dict) else None
    return Rejected(
        file=file,
        line=line,
        dialogue=identity if isinstance(identity, str) else None,
        field=fault.field or None,
        reason=fault.reason,
        raw=raw,
    )


def _keep_extra(plain: dict[str, Any]) -> dict[str, Any]:
    """Move fields that labelgen does not know into `extra`; Python spells the target's `not` as `not_`."""
    out = _fold(plain, _RECORD_FIELDS)
    turns = out.get("turns")
    if isinstance(turns, list):
        out["turns"] = [_fold(turn, _TURN_FIELDS) if isinstance(turn, dict) else turn for turn in turns]
    targets = out.get("targets")
    if isinstance(targets, list):
        out["targets"] = [
            {"not_" if key == "not" else key: value for key, value in t.items()} if isinstance(t, dict) else t
            for t in targets
        ]
    return out


def _fold(plain: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    unknown = {key: value for key, value in plain.items() if key not in known}
    out = {key: value for key, value in plain.items() if key in known}
    if unknown:
        before = out.get("extra")
        if isinstance(before, str):
            try:
                held = msgspec.json.decode(before)
            except msgspec.MsgspecError:
                held = None
            unknown = {**held, **unknown} if isinstance(held, dict) else {"extra": before, **unknown}
        out["extra"] = msgspec.json.encode(unknown, order="sorted").decode()
    return out


def to_dialogue(record: Record) -> Dialogue:
    return Dialogue(
        id=record.id,
        turns=record.turns,
        user=record.user,
        start=record.start,
        locale=record.locale,
        device=record.device,
        source=record.source,
        feedback=record.feedback,
        annotations=tuple(to_annotation(a) for a in record.annotations),
        signals=record.signals,
        targets=tuple(to_target(t) for t in record.targets),
        extra=record.extra,
    )


def to_record(dialogue: Dialogue) -> Record:
    return Record(
        id=dialogue.id,
        turns=dialogue.turns,
        user=dialogue.user,
        start=dialogue.start,
        locale=dialogue.locale,
        device=dialogue.device,
        source=dialogue.source,
        feedback=dialogue.feedback,
        annotations=tuple(from_annotation(a) for a in dialogue.annotations),
        signals=dialogue.signals,
        targets=tuple(from_target(t) for t in dialogue.targets),
        extra=dialogue.extra,
    )


def to_plain(dialogue: Dialogue) -> dict[str, Any]:
    """Every field, null for absent, [] for none, in the order of the form."""
    plain: dict[str, Any] = msgspec.to_builtins(to_record(dialogue))
    for target in plain["targets"]:
        target["not"] = target.pop("not_")
    return plain


def encode(dialogue: Dialogue) -> bytes:
    """One line of JSON without its line break; equal dialogues give equal bytes."""
    # Only a target's field has another name on disk than in Python; to go through plain dicts takes twice as long.
    return msgspec.json.encode(to_plain(dialogue) if dialogue.targets else to_record(dialogue))
