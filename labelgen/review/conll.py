"""CoNLL columns: slots as IOB2 tags of tokens, and intents, as taggers and text editors read them; and back.

The how-to page on review describes the layout. A token's columns hold its offsets, so none is guessed from its form. Columns
have no blanks: those become `\\uXXXX`, as control characters and backslashes do."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, NoLabel, answers_by_task
from labelgen.data.record import Rejected, too_deep
from labelgen.review.merge import EMPTY, ReviewAnswer

HEADER = "# global.columns = FORM START END TAG VALUE\n"

ABSENT = "_"
"""As tag: the slots of the turn were not annotated. As value: none was given."""

OUTSIDE = "O"

Span = tuple[int, int]
"""`[start, end)` in code points."""

_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")
_UNSEEN = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


# Tokens and tags.


def tokens(text: str, spans: Sequence[Span] = ()) -> list[Span]:
    """The tokens of a text with marked spans that do not overlap, in order.

    Words are runs of letters, digits and marks; every other visible character is a token. The borders of a span cut too, so
    that no slot begins or ends within a token. Blanks are left out, except where a slot begins or ends with them."""
    borders = sorted({0, len(text), *(border for span in spans for border in span)})
    result = []
    for start, end in pairwise(borders):
        for _, run in groupby(range(start, end), key=lambda k: _kind(text[k], k)):
            places = list(run)
            token = (places[0], places[-1] + 1)
            if not text[slice(*token)].isspace() or _opens_or_closes(token, spans):
                result.append(token)
    return result


def _kind(character: str, place: int) -> object:
    """Equal for characters that one token may hold."""
    if character.isspace():
        return "blank"
    if character.isalnum() or character == "_" or unicodedata.category(character).startswith("M"):
        return "word"
    return place


def _opens_or_closes(token: Span, spans: Sequence[Span]) -> bool:
    return any(a <= token[0] and token[1] <= b and (token[0] == a or token[1] == b) for a, b in spans)


def overlap(spans: Sequence[Span]) -> bool:
    """Whether two spans share a character, so that tags cannot represent them."""
    return any(first[1] > second[0] for first, second in pairwise(sorted(spans)))


def to_tags(cut: Sequence[Span], slots: Sequence[tuple[str, Span]]) -> list[str]:
    """IOB2 tags: for each token `B-name` where a slot begins, `I-name` where it continues, else OUTSIDE."""
    tags = []
    for start, end in cut:
        name, span = next(((n, s) for n, s in slots if s[0] <= start and end <= s[1]), ("", None))
        tags.append(OUTSIDE if span is None else f"{'B' if start == span[0] else 'I'}-{name}")
    return tags


def from_tags(cut: Sequence[Span], tags: Sequence[str]) -> Iterator[tuple[str, Span, int]]:
    """The slots of IOB2 tags: name, span from the first to the last token, index of the first token. Raises ValueError for an
    invalid tag, or one that continues a slot which did not begin."""
    slot: tuple[str, Span, int] | None = None
    for k, ((start, end), tag) in enumerate(zip(cut, tags, strict=True)):
        kind, _, name = tag.partition("-")
        if kind == "I" and name and slot is not None and slot[0] == name:
            slot = (name, (slot[1][0], end), slot[2])
            continue
        if slot is not None:
            yield slot
        if kind == "B" and name:
            slot = (name, (start, end), k)
        elif tag == OUTSIDE:
            slot = None
        else:
            raise ValueError(f"{tag!r} at token {k} is not O, does not begin a slot, and continues none")
    if slot is not None:
        yield slot


# Writing.


def conll(dialogue: Dialogue, annotation: Annotation | None) -> str | None:
    """The turns of a dialogue as blocks, each with a blank line after it; None where slots overlap.

    annotation: whose intents and slots are shown; None for nobody's."""
    answers = answers_by_task(annotation or Annotation("nobody", "model"), ("intents", "slots"))
    out = []
    for t, turn in enumerate(dialogue.turns):
        slots = answers["slots"].get(AtTurn(t))
        spans = [(x.at.start, x.at.end) for x in slots or () if isinstance(x.at, AtSpan)]
        if overlap(spans):
            return None
        out += [f"# id = {_json(dialogue.id)}", f"# turn = {t}", f"# request = {_json(turn.request)}"]
        intents = answers["intents"].get(AtTurn(t))
        if intents is not None:
            out.append(f"# intents = {_json([label.name for label in intents])}")
        cut = tokens(turn.request, spans)
        if slots == () and not cut:
            out.append("# slots = []")
        named = [(label.name, span) for label, span in zip(slots or (), spans, strict=True)]
        values = {span[0]: label.value for label, span in zip(slots or (), spans, strict=True)}
        for (start, end), tag in zip(cut, to_tags(cut, named), strict=True):
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
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def _escape(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if _is_blank(c) or c == "\\" else c for c in text)


def _is_blank(character: str) -> bool:
    return character.isspace() or character == "\ufeff" or unicodedata.category(character) == "Cc"


def _unescape(column: str) -> str:
    return _encodable(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), column))


def _encodable(text: str) -> str:
    """The text. Raises ValueError where half of a surrogate pair was escaped, which no file can hold."""
    text.encode("utf-8")
    return text


# Reading.


@dataclass(frozen=True, slots=True)
class _Block:
    """One turn. intents, slots: None where they were not annotated."""

    turn: int
    request: str
    intents: list[str] | None
    slots: list[Label] | None


def read_conll(path: Path, annotator: str) -> Iterator[ReviewAnswer | Rejected]:
    """A person's answers from a file of columns, by dialogue; missing turns were not answered. A dialogue with an unreadable
    turn is rejected with the reason. Raises InputError where the file is no UTF-8 text."""
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
            yield _answer(identity, [_block(raw) for raw in blocks], annotator, str(path), whole)
        except ValueError as error:
            yield Rejected(file=str(path), dialogue=identity, reason=str(error), raw=whole)


def _answer(identity: str, blocks: Sequence[_Block], annotator: str, file: str, raw: str) -> ReviewAnswer:
    labels: list[Label] = []
    none: list[NoLabel] = []
    requests: dict[int, str] = {}
    for block in sorted(blocks, key=lambda b: b.turn):
        if block.turn in requests:
            raise ValueError(f"doubled_turn: turn {block.turn} stands twice")
        requests[block.turn] = block.request
        at = AtTurn(block.turn)
        intents = [Label("intents", at, name) for name in block.intents or ()]
        labels += [*intents, *(block.slots or ())]
        none += [NoLabel("intents", at)] if block.intents == [] else []
        none += [NoLabel("slots", at)] if block.slots == [] else []
    if not labels and not none:
        raise ValueError(f"{EMPTY}: {annotator} answered nothing")
    shown = tuple(requests.get(t) for t in range(max(requests) + 1))
    return ReviewAnswer(
        identity, Annotation(annotator, "person", tuple(labels), tuple(none)), shown, None, file, raw=raw
    )


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
        tags = [_unescape(row[3]) for row in rows]
        slots = list(from_tags(cut, [OUTSIDE if tag == ABSENT else tag for tag in tags]))
        return [Label("slots", AtSpan(turn, *span), name, None, _value(rows[k][4])) for name, span, k in slots]
    except ValueError as error:
        raise ValueError(f"bad_tag: turn {turn}: {error}") from error


def _value(column: str) -> str | None:
    if column == ABSENT:
        return None
    text = _unescape(column)
    if (deep := too_deep(text)) is not None:
        raise ValueError(deep)
    value = json.loads(text)
    if not isinstance(value, str) or not _encodable(value) == value:
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
        _encodable(json.dumps(value, ensure_ascii=False))
    except (KeyError, ValueError, RecursionError):
        value = None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"bad_comment: no line `# {key} = ...` that can be read")
    return value
