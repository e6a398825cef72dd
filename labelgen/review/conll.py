"""Slots and intents in columns, as taggers and text editors read them, and back. docs/how-to/review.md gives the layout.

A token's columns hold its place, so no offset is guessed from its form. Columns have no blanks in them: those stand as
`\\uXXXX`, as control characters and backslashes do."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Field, Label, answers_by_task
from labelgen.data.parse import too_deep
from labelgen.data.quarantine import Rejected
from labelgen.review.returned import EMPTY, Returned
from labelgen.review.tokens import OUTSIDE, Span, overlap, tagged, tags, tokens

HEADER = "# global.columns = FORM START END TAG VALUE\n"

ABSENT = "_"
"""As tag: nobody said what the slots of the turn are. As value: none is given."""

_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def conll(dialogue: Dialogue, annotation: Annotation | None) -> str | None:
    """The turns of a dialogue as blocks, each with a blank line after it. annotation: whose intents and slots are shown;
    None for nobody's. None where slots overlap, which tags of tokens cannot tell."""
    said = answers_by_task(annotation or Annotation("nobody", "model"), ("intents", "slots"))
    out = []
    for t, turn in enumerate(dialogue.turns):
        slots = said["slots"].get(AtTurn(t))
        spans = [(x.at.start, x.at.end) for x in slots or () if isinstance(x.at, AtSpan)]
        if overlap(spans):
            return None
        out += [f"# id = {_json(dialogue.id)}", f"# turn = {t}", f"# request = {_json(turn.request)}"]
        intents = said["intents"].get(AtTurn(t))
        if intents is not None:
            out.append(f"# intents = {_json([label.name for label in intents])}")
        cut = tokens(turn.request, spans)
        if slots == () and not cut:
            out.append("# slots = []")
        named = [(label.name, span) for label, span in zip(slots or (), spans, strict=True)]
        values = {span[0]: label.value for label, span in zip(slots or (), spans, strict=True)}
        for (start, end), tag in zip(cut, tags(cut, named), strict=True):
            value = values.get(start)
            columns = (
                _escape(turn.request[start:end]),
                str(start),
                str(end),
                ABSENT if slots is None else _escape(tag),
                ABSENT if value is None else _escape(_json(str(value))),
            )
            out.append("\t".join(columns))
        out.append("")
    return "".join(f"{line}\n" for line in out)


def _json(value: object) -> str:
    # Line breaks that only some programs know would cut a comment in two.
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _escape(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if _blank(c) or c == "\\" else c for c in text)


def _blank(character: str) -> bool:
    return character.isspace() or character == "\ufeff" or unicodedata.category(character) == "Cc"


def _unescape(column: str) -> str:
    return _whole(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), column))


def _whole(text: str) -> str:
    """The text. Raises ValueError where half of a surrogate pair was escaped, which no file can hold."""
    text.encode("utf-8")
    return text


@dataclass(frozen=True, slots=True)
class _Block:
    """One turn. intents, slots: None where they were not annotated."""

    turn: int
    request: str
    intents: list[str] | None
    slots: list[Label] | None


def read_conll(path: Path, annotator: str) -> Iterator[Returned | Rejected]:
    """What a person answered in a file of that form, by dialogue; turns that are not there were not answered. A dialogue of
    which a turn cannot be read is rejected whole, with the reason. Raises InputError where the file is no UTF-8 text."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot read {path.name}: {error}", str(path), "save it as UTF-8 text") from error
    dialogues: dict[str, list[str]] = {}
    for raw in re.split(r"\n(?:[ \t\r]*\n)+", text.removeprefix("\ufeff")):
        comments = _comments(raw)
        if not raw.strip() or set(comments) == {"global.columns"}:
            continue
        try:
            dialogues.setdefault(_typed(comments, "id", str), []).append(raw)
        except ValueError as error:
            yield Rejected(file=str(path), reason=str(error), raw=raw)
    for identity, blocks in dialogues.items():
        whole = "\n\n".join(blocks) + "\n\n"
        try:
            yield _returned(identity, [_block(raw) for raw in blocks], annotator, str(path), whole)
        except ValueError as error:
            yield Rejected(file=str(path), dialogue=identity, reason=str(error), raw=whole)


def _returned(identity: str, blocks: Sequence[_Block], annotator: str, file: str, raw: str) -> Returned:
    labels: list[Label] = []
    none: list[Field] = []
    requests: dict[int, str] = {}
    for block in sorted(blocks, key=lambda b: b.turn):
        if block.turn in requests:
            raise ValueError(f"doubled_turn: turn {block.turn} stands twice")
        requests[block.turn] = block.request
        at = AtTurn(block.turn)
        intents = [Label("intents", at, name) for name in block.intents or ()]
        labels += [*intents, *(block.slots or ())]
        none += [Field("intents", at)] if block.intents == [] else []
        none += [Field("slots", at)] if block.slots == [] else []
    if not labels and not none:
        raise ValueError(f"{EMPTY}: {annotator} answered nothing")
    shown = tuple(requests.get(t) for t in range(max(requests) + 1))
    return Returned(identity, Annotation(annotator, "person", tuple(labels), tuple(none)), shown, None, file, raw=raw)


def _block(raw: str) -> _Block:
    comments = _comments(raw)
    turn, request = _typed(comments, "turn", int), _typed(comments, "request", str)
    if turn < 0:
        raise ValueError(f"no_such_turn: {turn}")
    rows = [line.rstrip("\r").split("\t") for line in raw.split("\n") if line.strip() and not _is_comment(line)]
    cut: list[Span] = []
    for row in rows:
        if len(row) != 5 or not (row[1].isdecimal() and row[2].isdecimal()):
            raise ValueError(f"bad_row: turn {turn} has a row that is not FORM START END TAG VALUE: {row!r}")
        start, end = int(row[1]), int(row[2])
        before = cut[-1][1] if cut else 0
        if not before <= start < end or request[start:end] != _unescape(row[0]):
            raise ValueError(f"bad_span: [{start}, {end}) of turn {turn} is {request[start:end]!r}, not {row[0]!r}")
        if request[before:start].strip():
            raise ValueError(f"cut_block: {request[before:start]!r} of turn {turn} is missing")
        cut.append((start, end))
    rest = request[cut[-1][1] if cut else 0 :]
    if rest.strip():
        raise ValueError(f"cut_block: {rest!r} of turn {turn} is missing")
    intents = _typed(comments, "intents", list) if "intents" in comments else None
    if not all(isinstance(name, str) and name for name in intents or ()):
        raise ValueError(f"bad_comment: the intents of turn {turn} are no list of names")
    return _Block(turn, request, intents, _slots(turn, cut, rows, comments))


def _slots(
    turn: int, cut: Sequence[Span], rows: Sequence[Sequence[str]], comments: dict[str, str]
) -> list[Label] | None:
    if all(row[3] == ABSENT for row in rows):
        return [] if comments.get("slots") == "[]" else None
    try:
        given = [_unescape(row[3]) for row in rows]
        found = list(tagged(cut, [OUTSIDE if tag == ABSENT else tag for tag in given]))
        return [Label("slots", AtSpan(turn, *span), name, None, _value(rows[k][4])) for name, span, k in found]
    except ValueError as error:
        raise ValueError(f"bad_tag: turn {turn}: {error}") from error


def _value(column: str) -> str | None:
    if column == ABSENT:
        return None
    text = _unescape(column)
    if (deep := too_deep(text)) is not None:
        raise ValueError(deep)
    value = json.loads(text)
    if not isinstance(value, str) or not _whole(value) == value:
        raise ValueError(f"the value {column} is no text in quotes")
    return value


def _is_comment(line: str) -> bool:
    # A token may be the character # itself; its row has columns.
    return line.startswith("#") and "\t" not in line


def _comments(raw: str) -> dict[str, str]:
    pairs = (line[1:].partition("=") for line in raw.split("\n") if _is_comment(line))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _typed(comments: dict[str, str], key: str, kind: type) -> Any:
    try:
        value = json.loads(comments[key])
        _whole(json.dumps(value, ensure_ascii=False))
    except (KeyError, ValueError, RecursionError):
        value = None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"bad_comment: no line `# {key} = ...` that can be read")
    return value
