"""Exports of traces: their records, grouped into conversations; what their scores mean; the options of their readers."""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec.structs import replace

from labelgen.base.options import Range
from labelgen.data.dialogue import Feedback
from labelgen.data.json_text import decoded, readable, too_deep
from labelgen.data.reader import Groups, Items, Remark, lines_of, named_files, named_parts, open_input
from labelgen.data.record import Rejected, parse, validate
from labelgen.readers.cells import CellError, cell_number, is_empty, seconds_since_1970
from labelgen.readers.mapping import ColumnMapping, JsonPath, Meaning, note_value
from labelgen.readers.messages import ASSISTANT, USER, messages_in, text_of
from labelgen.readers.sources import READ, form_of
from labelgen.readers.suggest import meaning_of
from labelgen.readers.traces import (
    GivenScore,
    Of,
    Span,
    Trace,
    Visit,
    dialogue_of,
    given_on,
    homes_of,
    sessions_of,
    time_or_last,
    visits_of,
)

_SHOWN = 8


class Conversations:
    """Groups traces by conversation, in bounded memory: add, then iterate once. traces: an open group, which becomes filled."""

    def __init__(self, options: "TraceOptions", traces: Groups[Trace]) -> None:
        self.options = options
        self._traces = traces
        self.others: Counter[str] = Counter()
        """Scores that are no user feedback, by name."""
        self.left_out: Counter[str] = Counter()
        """Traces that no user wrote, by what shows it."""
        self.values: dict[str, dict[str, Any]] = {}
        """The first values of each score whose meaning is not stated, by their plain words."""

    def add(
        self, identity: str, trace: Trace, spans: Sequence[Span], scores: Iterable[GivenScore], place: tuple[str, int]
    ) -> Iterator[Rejected]:
        """Add the spans and scores of a trace to its conversation; yields what of it cannot be read.

        place: file and line of the trace. Scores without spans are about the whole dialogue."""
        file, line = place
        given: list[tuple[str | None, Feedback | GivenScore]] = []
        for score in scores:
            if self.options.is_open(score):
                note_value(self.values, score.name, score.value)
                given.append((score.span, score))
                continue
            try:
                items = read_score(self.options.meanings.get(score.name), score)
            except CellError as error:
                yield Rejected(file=file, line=line, dialogue=identity, field=f"scores.{score.name}", reason=str(error))
                continue
            given += [(score.span, score)] if items is None else [(score.span, one) for one in items]
        if not spans:
            self._traces.add(identity, given_on(trace, [item for _, item in given]))
            return
        homes = homes_of(spans, identity)
        parts: dict[str, list[Span]] = {}
        for span in spans:
            parts.setdefault(homes[span.id], []).append(span)
        parts = {home: own for home, own in parts.items() if any(span.visit for span in own)}
        if not parts:
            reason = "no_messages: a trace whose requests and responses are not where this form has them; see the options request and response"
            yield Rejected(file=file, line=line, dialogue=identity, reason=reason)
            return
        # Feedback on the trace, or on what belongs to no exchange, is about its last exchange.
        last = homes[max((time_or_last(span.start_s), span.id) for span in spans if span.visit is not None)[1]]
        about: dict[str, list[tuple[str, Feedback | GivenScore]]] = {}
        for name, item in given:
            home = homes.get(name or "")
            about.setdefault(home if home in parts else last, []).append((name or "", item))
        for home, own in parts.items():
            visits, belongs = visits_of(own)
            each: list[list[Feedback | GivenScore]] = [[] for _ in visits]
            for name, item in about.get(home, ()):
                each[belongs.get(name, len(each) - 1)].append(item)
            visits = tuple(given_on(visit, items) for visit, items in zip(visits, each, strict=True))
            named = {name: value for name, value in trace.extra.items() if name == "trace"}
            visits = tuple(replace(visit, extra={**visit.extra, **named}) for visit in visits)
            visits = (*visits[:-1], replace(visits[-1], extra={**visits[-1].extra, **trace.extra}))
            user = next((span.user for span in own if span.user is not None), trace.user)
            self._traces.add(home, replace(trace, visits=visits, user=user, extra={}))

    def dialogues(self, name: str) -> Items:
        """name: of the log in rejected records. Remarks at the end count what is left out, and the scores that are no user feedback."""
        meanings = {score: _thumbs(score, list(values.values())) for score, values in self.values.items()}
        for identity, traces in self._traces:
            read = [
                self._with_scores(
                    replace(one, visits=tuple(self._with_scores(x, meanings) for x in one.visits)), meanings
                )
                for one in traces
            ]
            for own, session in named_parts(identity, sessions_of(read, self.options.session_gap)):
                dialogue = dialogue_of(own, session)
                if dialogue.turns:
                    yield validate(dialogue, name)
                else:
                    yield Rejected(file=name, dialogue=own, reason="no_messages: feedback or steps, but no messages")
        for score, values in self.values.items():
            if meanings[score] is None:
                seen = ", ".join(sorted(values)[:_SHOWN])
                meaning = meaning_of("thumbs", list(values.values()), score) or "rating WORST..BEST"
                yield Remark(
                    f"the score {score!r} has the values {seen}, which are no thumbs, so nothing is read of it; say what they mean, as in "
                    f"--option feedback='{{{score}: {meaning}}}'"
                )
        for what, count in self.left_out.items():
            yield Remark(f"{count:,} traces of the {what} were left out, since no user wrote them")
        if self.others:
            counts = ", ".join(f"{score} {count:,}" for score, count in self.others.most_common(_SHOWN))
            more = f" and {len(self.others) - _SHOWN} more names" if len(self.others) > _SHOWN else ""
            hint = "the option feedback names those that users gave, as in --option feedback='{stars: rating 1..5}'"
            yield Remark(f"scores that are kept in extra and are no user feedback: {counts}{more}; {hint}")

    def _with_scores(self, of: Of, meanings: Mapping[str, Meaning | None]) -> Of:
        """A trace or visit whose scores are read by these meanings; others are kept in `extra`."""
        if not of.scores:
            return of
        feedback: list[Feedback] = []
        others: list[dict[str, Any]] = []
        for score in of.scores:
            if (meaning := meanings.get(score.name)) is not None and self.options.is_open(score):
                feedback += read_score(meaning, score) or []
                continue
            plain = {"name": score.name, "value": score.value, "comment": score.comment}
            others.append({name: value for name, value in plain.items() if value is not None})
            if score.name not in self.values:
                self.others[score.name] += 1
        extra = {**of.extra, "scores": others} if others else of.extra
        return replace(of, feedback=(*of.feedback, *feedback), scores=(), extra=extra)


Item = TypeVar("Item")
ExportRecord = tuple[str, int, str, dict[str, Any]]
"""File, line, kind and content of a record of an export."""


def read_export(
    path: Path,
    options: "TraceOptions",
    kind: Any,
    items_of: Callable[[dict[str, Any], str, int], Iterator[tuple[str, Item] | CellError]],
    add: Callable[[str, list[Item], Conversations], Iterator[Rejected]],
) -> Items:
    """The dialogues of an export of traces.

    items_of: the items of a JSON object of a file and line, each with the id of its trace, or why one cannot be used. kind: their
    type. add: adds the items of a trace to the conversations."""
    with Groups[Item](kind) as by_trace, Groups[Trace](Trace) as traces:
        conversations = Conversations(options, traces)
        for name, line, text, value in json_objects(path):
            if isinstance(value, Rejected):
                yield value
                continue
            for item in items_of(value, name, line):
                if isinstance(item, CellError):
                    yield item.rejected(name, line, raw=readable(text))
                else:
                    by_trace.add(*item)
        for key, items in by_trace:
            try:
                yield from add(key, items, conversations)
            except CellError as error:
                first: Any = items[0]
                yield error.rejected(first[0], first[1], key)
        yield from conversations.dialogues(str(path))


SUFFIXES = (
    *(f".{form}{packed}" for form in ("jsonl", "json", "ndjson", "csv") for packed in ("", ".gz", ".zst")),
    ".parquet",
)

Column = Annotated[str | None, "PATH"]


@dataclass(frozen=True, kw_only=True)
class TraceOptions:
    """Options of the readers of traces; a PATH is a key of the span, trace or run, such as `metadata.tenant` or `user.id`."""

    dialogue: Column = None
    """PATH of the id of the conversation, where it is not where the format has it"""
    user: Column = None
    """PATH of the id of the user"""
    device: Column = None
    """PATH of the device"""
    locale: Column = None
    """PATH of language and country, such as en-US"""
    request: Column = None
    """PATH of the request, where it is neither text nor messages"""
    response: Column = None
    """PATH of the response"""
    session_gap: Annotated[float | None, Range(0, least_out=True)] = None
    """seconds of silence after which the exchanges of one conversation are another dialogue, such as 1800, where the id is that of a
    user or the same in all traces"""
    feedback: Annotated[Mapping[str, str], "MEANING"] = field(default_factory=dict)
    """name of a score and what it means: thumbs, 'rating 1..5', yes_no, regenerate, retry, edit, edit_response, copy, barge_in, stop
    or disconnect; without any, scores that are called thumbs or user feedback are thumbs"""

    def check(self) -> None:
        """Raises UsageError for feedback without a meaning."""
        _ = self.meanings

    def named(self) -> list[str]:
        """The paths that are named."""
        return [path.text for path in self._paths.values()]

    def path(self, name: str, row: Mapping[str, Any]) -> Any:
        """The value at the path of an option, or None."""
        path = self._paths.get(name)
        value = None if path is None else path.get(row)
        return value if isinstance(value, (str, int, float, dict, list)) else None

    def text(self, name: str, row: Mapping[str, Any]) -> str | None:
        """The same as text."""
        return text_of(self.path(name, row))

    def visit(
        self,
        row: Mapping[str, Any],
        asked: Any,
        answered: Any,
        times: tuple[float | None, float | None],
        error: str | None,
    ) -> Visit | None:
        """The messages of a record; None where it has no request, or neither response nor error.

        asked, answered: what the format has as request and response; paths of the options go before them."""
        requests = messages_in(self.path("request", row), USER) or messages_in(asked, USER)
        responses = messages_in(self.path("response", row), ASSISTANT) or messages_in(answered, ASSISTANT)
        return Visit(requests, responses[-1:], *times, error) if requests and (responses or error) else None

    def trace(self, row: Mapping[str, Any], user: Any, extra: dict[str, Any]) -> Trace:
        """A trace whose visits are not known yet. user: where the format has the user."""
        device, locale = self.text("device", row), self.text("locale", row)
        return Trace(user=self.text("user", row) or text_of(user), device=device, locale=locale, extra=extra)

    @cached_property
    def _paths(self) -> Mapping[str, JsonPath]:
        return {name: JsonPath.of(text) for name in _PATHS if (text := getattr(self, name)) is not None}

    @cached_property
    def meanings(self) -> Mapping[str, Meaning]:
        """The meaning of each named score."""
        return {name: Meaning.of_text(name, text) for name, text in self.feedback.items()}

    def is_open(self, score: GivenScore) -> bool:
        """Whether it looks like user feedback, and nothing says what its values mean."""
        name = re.sub(r"[\W_]+", "", score.name.casefold())
        stated = bool(self.feedback) or isinstance(score.value, Feedback)
        return not stated and score.by_user and _USER_SCORE.fullmatch(name) is not None


def read_score(meaning: Meaning | None, score: GivenScore) -> list[Feedback] | None:
    """The feedback that a score is by this meaning, with its comment; None where it is no user feedback. Raises CellError for a value
    without a meaning."""
    if isinstance(score.value, Feedback):
        return [score.value]
    if meaning is None:
        return None
    found = meaning.read(score.name, score.value, cell_number)
    if not score.comment:
        return found
    if not found:
        return [Feedback(kind="comment", text=score.comment)]
    return [replace(found[0], text=found[0].text or score.comment), *found[1:]]


_PATHS = ("dialogue", "user", "device", "locale", "request", "response")
_USER_SCORE = re.compile(
    r"(?:user|human|end ?user)?(?:thumbs?(?:up|down|updown)?|feedback|userscore|userrating|like|vote)"
)


_BAD = "down,thumbs_down,thumbsdown,thumbs-down,👎,negative,dislike,bad,false,no,-1,-1.0"


def _thumbs(name: str, values: Sequence[Any]) -> Meaning | None:
    """Thumbs, if all these values are some; where there is a -1, 0 is neither up nor down."""
    lowest = min((value for value in values if isinstance(value, (int, float))), default=0)
    zero = " none=0,0.0" if lowest < 0 else ",0,0.0"
    meaning = Meaning.of_text(name, f"thumbs bad={_BAD}{zero}")
    try:
        for value in values:
            meaning.read(name, value, cell_number)
    except CellError:
        return None
    return meaning


_ENDS = ("endTime", "end_time")
_CHANGES = ("updatedAt", "updated_at", "modified_at", "timestamp", "created_at", "createdAt")


def latest(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records by id, those without one each by itself. Of several with one id the last version counts: that which has ended, then
    that which was changed last, then that which says more; what it leaves empty is taken from the others."""
    found: dict[str, list[dict[str, Any]]] = {}
    for k, record in enumerate(records):
        found.setdefault(text_of(record.get("id")) or f"\x00{k}", []).append(record)
    return {
        name: {key: value for one in sorted(each, key=_version) for key, value in one.items() if value is not None}
        if len(each) > 1
        else each[0]
        for name, each in found.items()
    }


def _version(record: Mapping[str, Any]) -> tuple[bool, float, int]:
    changed = seconds_since_1970(first_of(record, *_CHANGES))
    return (
        first_of(record, *_ENDS) is not None,
        -math.inf if changed is None else changed,
        sum(value not in (None, "", [], {}) for value in record.values()),
    )


def page_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a page of an API, which has them in `data`; else the value itself."""
    data = value.get("data")
    if isinstance(data, list) and "id" not in value:
        return [one for one in data if isinstance(one, dict)]
    return [value]


def first_of(record: Mapping[str, Any], *names: str) -> Any:
    """The value of the first of these names that has one, or None."""
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


_CHUNK = 1 << 16
_LARGEST = 1 << 28
"""Characters of a value that is not whole after which its file is given up."""
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"\A[\s,\[\]]*")


def json_objects(path: Path) -> Iterator[tuple[str, int, bytes, dict[str, Any] | Rejected]]:
    """File, line, text and value of each JSON object at `path`: of JSON Lines, of a JSON array, of objects one after the other, or
    of the rows of Parquet and CSV, whose cells may be text of JSON.

    Memory is that of the largest object. What cannot be read is Rejected; in a file that is no JSON Lines it ends the file."""
    for name, file in named_files(path, SUFFIXES):
        if (form := form_of(file, ColumnMapping())) in ("parquet", "csv"):
            yield from _rows(file, name, form)
            continue
        pieces = lines_of(file) if ".jsonl" in file.name or ".ndjson" in file.name else _values(file)
        for line, text in pieces:
            found = parse(text, Any, name, line)
            for value in found if isinstance(found, list) else [found]:
                if not isinstance(value, (dict, Rejected)):
                    raw = text.decode("utf-8", "replace")
                    value = Rejected(file=name, line=line, reason="bad_type: Expected `object`", raw=raw)
                yield name, line, text, value


def _rows(file: Path, name: str, form: str) -> Iterator[tuple[str, int, bytes, dict[str, Any] | Rejected]]:
    for row in READ[form](file, name, ColumnMapping()):
        if isinstance(row, Rejected):
            yield name, row.line or 0, b"", row
            continue
        cells = {column: decoded(cell) for column, cell in row.cells.items() if not is_empty(cell)}
        try:
            yield name, row.line, msgspec.json.encode(cells, enc_hook=str), cells
        except UnicodeEncodeError:
            reason = "bad_text: this is not in the encoding that is read"
            yield name, row.line, b"", Rejected(file=name, line=row.line, reason=reason)


def _values(file: Path) -> Iterator[tuple[int, bytes]]:
    """The JSON values of a file with the lines that they begin at; brackets of arrays and commas around them are passed over.

    A value that is not whole is yielded as it is."""
    line, buffer, size = 1, "", _CHUNK
    with open_input(file) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        ended = False
        while True:
            rest = _BETWEEN.sub("", buffer)
            line += buffer.count("\n", 0, len(buffer) - len(rest))
            buffer = rest
            end = _end_of(buffer) if buffer else None
            if end is None or (end == len(buffer) and not ended):
                if ended or len(buffer) > _LARGEST:
                    if buffer:
                        yield line, buffer.encode("utf-8", "surrogateescape")
                    return
                more = text.read(size)
                size *= 2
                ended = not more
                buffer += more
                continue
            yield line, buffer[:end].encode("utf-8", "surrogateescape")
            line += buffer.count("\n", 0, end)
            buffer, size = buffer[end:], _CHUNK


def _end_of(text: str) -> int | None:
    """Where the JSON value at the start of a text ends; None where it is not whole."""
    if too_deep(text) is not None:
        return None
    try:
        return _DECODER.raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None
