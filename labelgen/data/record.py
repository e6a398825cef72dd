"""One record: JSON text or a Parquet row to a dialogue and back, and the schemas of both forms.

What does not fit becomes a Rejected and never an exception."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import inspect

from labelgen.data.check import Fault, faults
from labelgen.data.dialogue import Dialogue
from labelgen.data.groups import Record, TargetForm, to_dialogue, to_record
from labelgen.data.quarantine import Rejected

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

Value = TypeVar("Value")

MOST_LEVELS = 64
"""Maximum nesting of lists and objects; code that walks through a record may recurse once for each level."""

_DECODER = msgspec.json.Decoder(Record)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPEN_AND_CLOSE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PATH = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(text: str | bytes, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one JSON record. Never raises for bad input: the Rejected says what is wrong.

    Text is decoded straight into Structs; only a record with unknown fields, or a fault, is read by way of plain dicts."""
    data = text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text
    if (deep := too_deep(data)) is not None:
        return Rejected(file=file, line=line, reason=deep, raw=shown(data))
    try:
        record = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        return _decode_plain(data, file, line)
    fault = _deep_extra(record.extra, [turn.extra for turn in record.turns]) or next(faults(record), None)
    if fault is not None:
        return _rejected(fault, record.id, file, line, shown(data))
    return to_dialogue(record)


def _decode_plain(data: bytes, file: str, line: int | None) -> Dialogue | Rejected:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason, field = unreadable(data, error)
        return Rejected(file=file, line=line, field=field, reason=reason, raw=shown(data))
    result = _read(plain)
    return result if isinstance(result, Dialogue) else _rejected(result, _id_of(plain), file, line, shown(data))


def convert(plain: Any, file: str, line: int | None = None) -> Dialogue | Rejected:
    """Read one record from plain dicts and lists, such as a row of a Parquet file."""
    fault = unwritable(plain)
    result = Fault(fault[1], fault[0]) if fault else _read(plain)
    if isinstance(result, Dialogue):
        return result
    return _rejected(result, _id_of(plain), file, line, json.dumps(plain, default=repr))


def checked(dialogue: Dialogue, file: str, line: int | None = None) -> Dialogue | Rejected:
    """The dialogue, if its record is valid; the last step of a corpus reader."""
    record = to_record(dialogue)
    fault = next(faults(record), None)
    if fault is None:
        return dialogue
    return _rejected(fault, dialogue.id, file, line, msgspec.json.encode(record).decode())


def encode(dialogue: Dialogue) -> bytes:
    """One line of JSON without its line break; equal dialogues give equal bytes."""
    return msgspec.json.encode(to_record(dialogue))


def to_plain(dialogue: Dialogue) -> dict[str, Any]:
    """Every field, null for absent, [] for none, in the order of the record."""
    plain: dict[str, Any] = msgspec.to_builtins(to_record(dialogue))
    return plain


def _read(plain: Any) -> Dialogue | Fault:
    if not isinstance(plain, dict):
        return Fault("", "bad_type: a record is a JSON object")
    if deep := _deep_extra_of_plain(plain):
        return deep
    known = _known(plain, Record)
    if deep := _deep_extra_of_plain(known):
        return deep
    try:
        record = msgspec.convert(known, Record)
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
        try:
            extra = msgspec.json.decode(before)
        except msgspec.MsgspecError:
            extra = None
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


def _deep_extra_of_plain(plain: dict[str, Any]) -> Fault | None:
    turns = plain.get("turns")
    turns = turns if isinstance(turns, list) else []
    return _deep_extra(plain.get("extra"), [turn.get("extra") if isinstance(turn, dict) else None for turn in turns])


def _deep_extra(extra: Any, of_turns: Iterable[Any]) -> Fault | None:
    """The text in `extra` is JSON too, and others decode it to look for a field."""
    for k, text in enumerate((extra, *of_turns)):
        if isinstance(text, str) and (reason := too_deep(text)) is not None:
            return Fault(f"turns[{k - 1}].extra" if k else "extra", reason)
    return None


def _id_of(plain: Any) -> str | None:
    identity = plain.get("id") if isinstance(plain, dict) else None
    return identity if isinstance(identity, str) else None


def _rejected(fault: Fault, dialogue: str | None, file: str, line: int | None, raw: str) -> Rejected:
    return Rejected(file=file, line=line, dialogue=dialogue, field=fault.field or None, reason=fault.reason, raw=raw)


@dataclass(frozen=True, slots=True)
class Placed:
    """A valid record with its place, so that later steps can still reject it.

    file: its name in rejected records. line: or row, from 1. came: the line, or the row, that it was read from. Both are
    None where a reader of another format made it of several."""

    dialogue: Dialogue
    file: str
    line: int | None = None
    came: bytes | Mapping[str, Any] | None = None

    def rejected(self, field: str, reason: str) -> Rejected:
        """The record as a rejected one."""
        if self.came is None:
            raw = encode(self.dialogue).decode()
        elif isinstance(self.came, bytes):
            raw = shown(self.came.rstrip(b"\r\n"))
        else:
            raw = json.dumps(self.came, default=repr, ensure_ascii=False)
        return Rejected(file=self.file, line=self.line, dialogue=self.dialogue.id, field=field, reason=reason, raw=raw)


def placed(item: Dialogue | Rejected, file: str, line: int, came: bytes | Mapping[str, Any]) -> Placed | Rejected:
    """The record with its place, where it is valid."""
    return item if isinstance(item, Rejected) else Placed(item, file, line, came)


def too_deep(text: str | bytes) -> str | None:
    """The reason to reject JSON that lies deeper than MOST_LEVELS; None for any other text. Nothing is decoded."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _may_be_deep(data):
        brackets = _STRING.sub(b"", data).translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
        if max(accumulate(1 if one == ord("[") else -1 for one in brackets), default=0) > MOST_LEVELS:
            return f"too_deep: lists and objects lie within each other on more than {MOST_LEVELS} levels"
    return None


def _may_be_deep(data: bytes) -> bool:
    """Quick, and wrong at most where strings hold brackets or brackets are missing: whether any are left once the innermost pairs
    were taken away MOST_LEVELS times."""
    brackets = data.translate(_OPEN_AND_CLOSE, _NO_BRACKETS)
    if brackets.count(b"[") <= MOST_LEVELS:
        return False
    for _ in range(MOST_LEVELS):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def parse(
    text: bytes, kind: type[Value], file: str, line: int | None = None, dialogue: str | None = None
) -> Value | Rejected:
    """Decode JSON text as `kind`. `dialogue` is named in what is rejected, where the text itself is not needed for it."""
    if (deep := too_deep(text)) is not None:
        return Rejected(file=file, line=line, dialogue=dialogue, reason=deep, raw=shown(text))
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        reason, field = explain(error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason, field = unreadable(text, error)
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=shown(text))


def explain(error: msgspec.ValidationError) -> tuple[str, str | None]:
    """Reason and field of what has the wrong type."""
    found = _PATH.match(str(error))
    return (f"bad_type: {found['reason']}", found["path"]) if found else (f"bad_type: {error}", None)


def unreadable(text: str | bytes, error: Exception) -> tuple[str, str | None]:
    """Reason and field of JSON that cannot be decoded, and is not too deep. Texts that are JSON but for a lone surrogate or a NaN are common
    enough in logs to be told apart."""
    try:
        fault = unwritable(json.loads(text))
    except ValueError:
        fault = None
    return fault or (f"bad_json: {error}", None)


def unwritable(plain: Any, at: str = "") -> tuple[str, str] | None:
    """The first thing in plain dicts and lists that has no place in a JSON file: a lone surrogate, or a number that is
    not finite; as reason and field, or None."""
    if isinstance(plain, str):
        found = _SURROGATE.search(plain)
        return (f"lone_surrogate: U+{ord(found[0]):04X} at {found.start()} is no character", at) if found else None
    if isinstance(plain, float):
        return None if math.isfinite(plain) else (f"not_finite: {plain}", at)
    if isinstance(plain, dict):
        inner = ((value, f"{at}.{key}" if at else str(key)) for key, value in plain.items())
    elif isinstance(plain, (list, tuple)):
        inner = ((value, f"{at}[{k}]") for k, value in enumerate(plain))
    else:
        return None
    return next((fault for value, field in inner if (fault := unwritable(value, field))), None)


def shown(text: bytes) -> str:
    """Bytes as text that can be written again, whatever they are."""
    return text.decode("utf-8", errors="backslashreplace")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one record. Fields that labelgen does not know are allowed."""
    schema = msgspec.json.schema(Record)
    definitions = schema["$defs"]
    record = {**definitions.pop(schema["$ref"].rpartition("/")[2]), "title": "Record"}
    schema = {"$ref": "#/$defs/Record", "$defs": {"Record": record, **definitions}}
    for definition in schema["$defs"].values():
        del definition["additionalProperties"]
        for field in definition["properties"].values():
            if isinstance(field.get("default"), dict):
                del field["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "labelgen record", **schema}


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
