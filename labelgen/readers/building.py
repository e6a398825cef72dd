"""One dialogue of the rows that a mapping reads, and what is remarked about all of them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from labelgen.data.dialogue import (
    Audio,
    Category,
    Dialogue,
    Feedback,
    Hypothesis,
    HypothesisIntent,
    HypothesisSlot,
    Number,
    Turn,
)
from labelgen.data.json_text import decoded
from labelgen.data.labels import find_words
from labelgen.data.reader import Exchange, exchanges, join_texts, named_parts
from labelgen.data.record import Rejected, validate
from labelgen.readers.cells import MISSING, CellError, Moment, cell_id, cell_text, is_empty
from labelgen.readers.mapping import FILTER, RATING, ColumnMapping, JsonPath, Meaning, plain_role
from labelgen.readers.messages import Content
from labelgen.readers.sources import SourceRow
from labelgen.readers.suggest import warnings

_FEW_RATINGS = 20
_LONG_GAP_S = 600.0
_SLOTS = 'give JSON such as {"city": "Rome"}'
_SYSTEM = "system"
_NOTES = {
    "moved": "rows have another place by their times than in the file",
    "parts": "parts of utterances have no text and were left out",
    "placeholders": "times are placeholders, such as the year 1 or the first second of 1970, and were left out",
    "slots": "slot values are not in their request and were left out",
    "files": "dialogues have rows in several files, which were joined",
}


class MappedRow(msgspec.Struct, frozen=True, array_like=True):
    """A row on disk. cells: as JSON. broken: a bad row stood before it, in the same dialogue. fault: column, reason and
    hint."""

    file: str
    line: int
    cells: msgspec.Raw
    broken: bool = False
    fault: tuple[str, str, str | None] | None = None


@dataclass
class Counts:
    """What is remarked at the end of a pass."""

    rows: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)
    neither: Counter[str] = field(default_factory=Counter)
    nobody: Counter[str] = field(default_factory=Counter)
    filtered: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    ratings: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    unseen: dict[str, tuple[bool, JsonPath]] | None = None
    file: str | None = None
    first: list[SourceRow] = field(default_factory=list)
    known: dict[str, None] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=lambda: [0.0, 0.0])


@dataclass(frozen=True, slots=True)
class _Line:
    """One utterance or turn: its cells and time."""

    cells: Mapping[str, Any]
    moment: Moment | None


class DialogueBuilder:
    """Makes dialogues from rows, and counts what is remarked."""

    def __init__(self, mapping: ColumnMapping, counts: Counts) -> None:
        self.mapping = mapping
        self.counts = counts
        self.paths = mapping.paths
        self._left_out: Counter[str] = Counter()
        self._filtered: Counter[str] = Counter()
        self._consumed = _consumed(mapping)
        self._feedback_paths = {column: JsonPath.of(column) for column in mapping.feedback}
        self._users = set(map(plain_role, mapping.is_user))
        self._assistants = set(map(plain_role, mapping.is_assistant))
        self._neither = set(map(plain_role, mapping.is_neither))

    def distinct(self, rows: Sequence[MappedRow]) -> list[MappedRow]:
        """The rows without exact copies. A row that says neither when nor where it stood may be a repetition, and is kept."""
        seen: set[bytes] = set()
        kept = []
        for row in rows:
            cells = bytes(row.cells)
            if cells not in seen:
                seen.add(cells)
                kept.append(row)
            elif self._is_placed(row):
                self.counts.kept["copies"] += 1
            else:
                self.counts.kept["repeated"] += 1
                kept.append(row)
        return kept

    def _is_placed(self, row: MappedRow) -> bool:
        cells = msgspec.json.decode(row.cells)
        places = (path.get(cells) for name in ("time", "order") if (path := self.paths.get(name)) is not None)
        return self.mapping.turns is not None or not all(map(is_empty, places))

    def sessions(self, identity: str, rows: list[MappedRow]) -> list[tuple[str, list[MappedRow]]]:
        """The rows of each dialogue of an id, in order: those between pauses of more than `session_gap` and rows of `session_start`."""
        gap, starts = self.mapping.session_gap or math.inf, self.mapping.starts
        if not starts and ("time" not in self.paths or gap == math.inf):
            return [(identity, rows)]
        timed: list[tuple[float, bool, MappedRow]] = []
        last = -math.inf
        for row in rows:
            cells = {} if row.fault else msgspec.json.decode(row.cells)
            column, value = self._cell([cells], "time")
            with suppress(CellError):
                moment = None if value is None else self.mapping.clock.read(column, value)
                last = last if moment is None else moment.seconds
            timed.append((last, not row.fault and any(one.leaves_out(cells) for one in starts), row))
        timed.sort(key=lambda one: one[0])
        parts: list[list[MappedRow]] = []
        for k, (seconds, begins, row) in enumerate(timed):
            if not k or begins or seconds - timed[k - 1][0] > gap:
                parts.append([])
            parts[-1].append(row)
        return named_parts(identity, parts)

    def dialogue(self, identity: str, rows: Sequence[MappedRow]) -> Dialogue | Rejected | None:
        """One dialogue of all its rows, or the reason why not; None where the mapping keeps none of them."""
        first = rows[0]
        self._left_out, self._filtered = Counter(), Counter()
        if self.mapping.turns is None:
            rows = self.distinct(rows)
        made: Dialogue | Rejected | None
        try:
            for row in rows:
                if row.fault is not None:
                    raise CellError(*row.fault)
                if row.broken:
                    column = self.mapping.dialogue or ""
                    raise CellError(column, "lacks_row: a row between those of this dialogue was rejected")
            cells = [msgspec.json.decode(row.cells) for row in rows]
            built = self._build(identity, cells)
            made = None if built is None else validate(built, first.file, first.line)
        except CellError as bad:
            raw = msgspec.json.encode([msgspec.json.decode(row.cells) for row in rows]).decode()
            made = bad.rejected(first.file, first.line, identity, raw)
        if isinstance(made, Rejected):
            self.counts.kept["of rejected"] += len(rows)
            return made
        self.counts.filtered += self._filtered
        out = self._left_out.total() + self._filtered.total() if self.mapping.turns is None else 0
        self.counts.kept["used"] += len(rows) - out
        self.counts.neither += self._left_out
        self.counts.kept["files"] += len({row.file for row in rows}) > 1
        return made

    def _build(self, identity: str, rows: Sequence[Mapping[str, Any]]) -> Dialogue | None:
        entries: list[Mapping[str, Any]] = []
        for row in rows:
            listed = self.mapping.entries(row)
            if listed is None:
                reason, hint = "bad_turns: this is no list of objects", "give the path of the list"
                raise CellError(self.paths["turns"].text, reason, hint)
            entries += listed
        reasons = [self.mapping.leaves_out(cells) for cells in entries]
        self._filtered.update(column for column in reasons if column is not None)
        kept = [cells for cells, column in zip(entries, reasons, strict=True) if column is None]
        if entries and not kept:
            return None
        lines = self._in_order([_Line(cells, self._moment(cells, "time")) for cells in kept])
        if self.mapping.by_utterance:
            turns = exchanges([line for line in lines if not self._is_neither(line.cells)], self._by_user)
        else:
            turns = [Exchange((line,), (line,)) for line in lines]
        moments = [line.moment for line in lines if line.moment is not None]
        first = min(moments, key=lambda moment: moment.seconds, default=None)
        start = None if first is None else first.seconds
        if first is not None:
            self.counts.kinds[first.kind] += 1
            if first.kind == "relative":
                self.counts.gaps[0] += len(moments) - 1
                self.counts.gaps[1] += max(moment.seconds for moment in moments) - first.seconds
        return Dialogue(
            id=identity,
            user=self._user(rows),
            start=self._start(rows) or (None if first is None else first.iso()),
            locale=self._first_text(rows, "locale") or self.mapping.default_locale,
            device=self._first_text(rows, "device"),
            turns=tuple(self._turn(t, turn, start) for t, turn in enumerate(turns)),
            # A value of the dialogue often stands in each of its rows.
            feedback=tuple(dict.fromkeys(one for _, one in self._feedback(rows, True))),
            extra=self._extra(rows, True) if self.mapping.turns is not None else None,
        )

    def _user(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        _, value = self._cell(rows, "user")
        user = cell_id(value, of_user=True)
        if user is None and value is not None:
            self.counts.nobody[str(value)[:40]] += 1
        return user

    def _start(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        column, value = self._cell(rows, "start")
        moment = None if value is None else self.mapping.clock.read(column, value)
        if moment is not None and moment.kind == "relative":
            raise CellError(column, f"bad_time: {value!r} is no date", "name a column with dates")
        return None if moment is None else moment.iso()

    def _moment(self, cells: Mapping[str, Any], name: str) -> Moment | None:
        column, value = self._cell([cells], name)
        if value is None:
            return None
        moment = self.mapping.clock.read(column, value)
        self.counts.kept["placeholders"] += moment is None
        return moment

    def _in_order(self, lines: Sequence[_Line]) -> list[_Line]:
        """The lines by their place or time; one without stays behind the one before it. In an hour that occurs twice, when summer
        time ends, the order of the rows decides."""
        kinds = {line.moment.kind for line in lines if line.moment is not None}
        if len(kinds) > 1 and "relative" in kinds:
            # Beside dates, 0 and -1 stand for none.
            dated = [_Line(x.cells, None) if x.moment is not None and x.moment.seconds in (0, -1) else x for x in lines]
            self.counts.kept["placeholders"] += sum(a is not b for a, b in zip(lines, dated, strict=True))
            lines, kinds = dated, {line.moment.kind for line in dated if line.moment is not None}
        if len(kinds) > 1:
            column = self.paths["time"].text
            if kinds == {"epoch", "local"}:
                reason = "mixed_zones: some times of this dialogue name a time zone and some do not"
                raise CellError(column, reason, "state zone, that of times without one")
            reason = "mixed_times: some times of this dialogue are dates and some count from its start"
            raise CellError(column, reason, "name a column with times of one kind")
        last = -math.inf
        placed: list[tuple[float, _Line]] = []
        path = self.paths.get("order")
        if path is None:
            lines = _repeated_hour(lines)
        for line in lines:
            if path is not None:
                value = path.get(line.cells)
                last = last if cell_id(value) is None else self.mapping.number(path.text, value)
            elif line.moment is not None:
                last = line.moment.seconds
            placed.append((last, line))
        ordered = [line for _, line in sorted(placed, key=lambda one: one[0])]
        if path is None:
            self.counts.kept["moved"] += sum(a is not b for a, b in zip(lines, ordered, strict=True))
        return ordered

    def _word(self, cells: Mapping[str, Any]) -> str:
        return plain_role(cell_text(self.paths["speaker"].get(cells)) or "")

    def _is_neither(self, cells: Mapping[str, Any]) -> bool:
        """Whether a line is of neither side. In chats `system` gives instructions, in other logs it is the assistant: where nobody else
        is."""
        word = self._word(cells)
        named = _SYSTEM in self._users | self._assistants
        instructs = word == _SYSTEM and not named and any(one in self._assistants for one in self.counts.speakers)
        if word in self._neither or instructs:
            self._left_out[word] += 1
            return True
        return False

    def _by_user(self, line: _Line) -> bool:
        word = self._word(line.cells)
        if word in self._users:
            return True
        if word in self._assistants or word == _SYSTEM:
            return False
        reason = f"bad_speaker: {word!r} is neither user nor assistant"
        hint = "name it in is_user, is_assistant or is_neither"
        if not word:
            reason, hint = (
                "bad_speaker: nobody is named",
                "name the speaker, or give is_neither '' to leave out such rows",
            )
        raise CellError(self.paths["speaker"].text, reason, hint)

    def _turn(self, t: int, turn: Exchange[_Line], start: float | None) -> Turn:
        user, assistant = ("text", "text") if self.mapping.by_utterance else ("request", "response")
        lines = turn.user if not self.mapping.by_utterance else (*turn.user, *turn.assistant)
        rows = [line.cells for line in lines]

        def since(moment: Moment | None) -> float | None:
            return None if moment is None or start is None else moment.seconds - start

        if self.mapping.by_utterance:
            replied = turn.assistant[0].moment if turn.assistant else None
        else:
            replied = self._moment(rows[0], "response_time")
            if start is None and replied is not None:
                start = replied.seconds
        request = join_texts(self._words(line, user) for line in turn.user)
        confidence = self._confidence(rows, "nlu_confidence")
        return Turn(
            request=request,
            response=join_texts(self._words(line, assistant) for line in turn.assistant),
            time_s=since(turn.user[0].moment if turn.user else None),
            response_time_s=since(replied),
            domain=self._first_text(rows, "domain"),
            status=self._first_text(rows, "status"),
            asr_confidence=self._confidence(rows, "asr_confidence"),
            nlu_confidence=confidence,
            categories=tuple(
                Category(name=path.text, value=text)
                for path in self.mapping.list_paths["categories"]
                if (text := cell_text(self._first(rows, path))) is not None
            ),
            numbers=tuple(
                Number(name=path.text, value=self.mapping.number(path.text, value))
                for path in self.mapping.list_paths["numbers"]
                if (value := self._first(rows, path)) is not None
            ),
            hypothesis=self._hypothesis(rows, request, confidence),
            audio=self._audio(rows),
            feedback=tuple(
                msgspec.structs.replace(one, about=t - 1) if meaning.of == "previous" and t else one
                for meaning, one in self._feedback(rows, False)
            ),
            extra=self._extra(rows, False),
        )

    def _words(self, line: _Line, name: str) -> str:
        path = self.paths.get(name)
        value = None if path is None else path.get(line.cells)
        if path is not None and isinstance(value, list | dict):
            content = Content.of(value, path.text)
            if isinstance(value, dict) and not content.texts:
                raise CellError(path.text, "bad_text: this is an object and no text", "give the path to its text")
            self.counts.kept["parts"] += len(content.attachments)
            return content.text
        return "" if is_empty(value) else str(value)

    def _first(self, rows: Sequence[Mapping[str, Any]], path: JsonPath) -> Any:
        """The first value that is not empty; None without one. Another one is counted."""
        values = [value for row in rows if not is_empty(value := path.get(row))]
        if any(value != values[0] for value in values[1:]):
            self.counts.conflicts[path.text] += 1
        return values[0] if values else None

    def _cell(self, rows: Sequence[Mapping[str, Any]], name: str) -> tuple[str, Any]:
        """The column of a field, and its first value that is not empty; None without one."""
        path = self.paths.get(name)
        return ("", None) if path is None else (path.text, self._first(rows, path))

    def _first_text(self, rows: Sequence[Mapping[str, Any]], name: str) -> str | None:
        return cell_text(self._cell(rows, name)[1])

    def _number(self, rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
        column, value = self._cell(rows, name)
        return None if value is None else self.mapping.number(column, value)

    def _confidence(self, rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
        column, value = self._cell(rows, name)
        if value is None:
            return None
        share = self.mapping.number(column, value) / self.mapping.confidence_scale
        if not 0.0 <= share <= 1.0:
            scale = f"0..{self.mapping.confidence_scale:g}"
            raise CellError(column, f"bad_confidence: {value} is outside of {scale}", "state confidence_scale")
        return share

    def _hypothesis(
        self, rows: Sequence[Mapping[str, Any]], request: str, confidence: float | None
    ) -> Hypothesis | None:
        intent = self._first_text(rows, "intent")
        column, value = self._cell(rows, "slots")
        if intent is None and value is None:
            return None
        intents = () if intent is None else (HypothesisIntent(name=intent, confidence=confidence),)
        return Hypothesis(intents=intents, slots=self._slots(column, value, request) if column else None)

    def _slots(self, column: str, value: Any, request: str) -> tuple[HypothesisSlot, ...]:
        value = decoded(value)
        if isinstance(value, str):
            raise CellError(column, f"bad_slots: {value[:40]!r} is no JSON", _SLOTS)
        if isinstance(value, dict):
            slots = []
            after: dict[str, int] = {}
            for name, cell in value.items():
                words = cell_text(cell)
                if words is None:
                    continue
                key = words.casefold()
                place = find_words(words, request, after.get(key, 0)) or find_words(words, request)
                if place is None:
                    self.counts.kept["slots"] += 1
                else:
                    after[key] = place[1]
                    slots.append(HypothesisSlot(name=name, start=place[0], end=place[1], value=words))
            return tuple(sorted(slots, key=lambda slot: slot.start))
        try:
            return msgspec.convert(value or (), tuple[HypothesisSlot, ...])
        except msgspec.ValidationError as error:
            raise CellError(column, f"bad_slots: {error}", _SLOTS) from error

    def _audio(self, rows: Sequence[Mapping[str, Any]]) -> Audio | None:
        path = self._first_text(rows, "audio")
        if path is None:
            return None
        start_s, end_s = self._number(rows, "audio_start"), self._number(rows, "audio_end")
        return Audio(path=path, start_s=start_s, end_s=end_s)

    def _feedback(self, rows: Sequence[Mapping[str, Any]], of_dialogue: bool) -> Iterator[tuple[Meaning, Feedback]]:
        """The feedback in these rows, on the dialogue or on turns."""
        for column, path in self._feedback_paths.items():
            meaning = self.mapping.meanings[column]
            values = (path.get(row) for row in rows if (meaning.of == "dialogue") == of_dialogue)
            for value in values:
                for one in () if value is MISSING else meaning.read(column, value, self.mapping.number):
                    if meaning.kind == RATING:
                        assert one.rating is not None
                        low, high, count = self.counts.ratings.get(column, (one.rating, one.rating, 0.0))
                        self.counts.ratings[column] = min(low, one.rating), max(high, one.rating), count + 1
                    yield meaning, one

    def _extra(self, rows: Sequence[Mapping[str, Any]], root: bool) -> str | None:
        """Columns without a place in the mapping, as JSON text; several rows with several values have them as a list."""
        if self.mapping.unmapped == "drop":
            return None
        gathered: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            for name, value in row.items():
                if (root, name) not in self._consumed and not is_empty(value) and value not in gathered[name]:
                    gathered[name].append(value)
        rest = {name: values[0] if len(values) == 1 else values for name, values in gathered.items() if values}
        return msgspec.json.encode(rest, order="sorted").decode() if rest else None

    def remarks(self) -> Iterator[str]:
        """What a user should know of this pass, one sentence each."""
        counts, kept = self.counts, self.counts.kept
        left = {
            "in dialogues": kept["used"],
            "of other speakers": counts.neither.total() if self.mapping.turns is None else 0,
            "left out by keep and drop": counts.filtered.total() if self.mapping.turns is None else 0,
            "exact copies, dropped": kept["copies"],
            "empty": kept["empty"],
            "in rejected dialogues": kept["of rejected"],
            "rejected": kept["rejected"],
        }
        parts = ", ".join(f"{count:,} {what}" for what, count in left.items() if count)
        yield f"{sum(left.values()):,} rows: {parts}"
        if kept["repeated"]:
            yield (
                f"{kept['repeated']:,} rows equal an earlier row of their dialogue; they are kept, because without time or order "
                "a repetition and a copy look the same"
            )
        for column, count in sorted(counts.filtered.items()):
            yield f"{count:,} rows are left out by their {column!r}"
        for word, count in sorted(counts.neither.items()):
            yield f"{count:,} utterances of the speaker {word!r} are no turns and were left out"
        for column, count in sorted(counts.conflicts.items()):
            yield f"{column}: {count:,} turns or dialogues have several values; the first counts"
        for word, count in sorted(counts.nobody.items()):
            yield f"{count:,} dialogues have the user {word!r}, who is nobody: their user is unknown"
        yield from (f"{kept[name]:,} {what}" for name, what in _NOTES.items() if kept[name])
        if self.mapping.dialogue is None and self.mapping.turns is None:
            yield "without a column of the dialogue each row is a dialogue"
        if counts.kinds["epoch"] and counts.kinds["local"]:
            yield f"times of {counts.kinds['local']:,} dialogues name no time zone, those of others do; state zone"
        if counts.gaps[0] and counts.gaps[1] / counts.gaps[0] > _LONG_GAP_S:
            yield "rows are more than ten minutes apart on average; if times are milliseconds, state time_unit ms"
        for column, (low, high, number) in sorted(counts.ratings.items()):
            worst, best = sorted(self.mapping.meanings[column].scale)
            if number >= _FEW_RATINGS and high - low < (best - worst) / 2:
                yield f"{column}: all {number:,.0f} ratings are within {low:g}..{high:g} of a scale {worst:g}..{best:g}; is it the right one?"
        consumed = {name for _, name in self._consumed}
        dropped = [name for name in counts.known if name.partition("[")[0] not in consumed]
        if self.mapping.unmapped == "drop" and dropped:
            yield f"columns that were dropped: {', '.join(dropped)}"
        for _, path in (counts.unseen or {}).values():
            yield f"warning: none of these rows has {path.text!r}"
        yield from (f"warning: {text}" for text in warnings(self.mapping, counts.first))


def _repeated_hour(lines: Sequence[_Line]) -> Sequence[_Line]:
    """The lines with later times where they go back by an hour that occurred twice, if all are in order then; else as they are."""
    last, made = -math.inf, []
    for line in lines:
        moment = line.moment
        if moment is not None:
            if moment.seconds < last <= moment.seconds + moment.repeated_s:
                moment = replace(moment, seconds=moment.seconds + moment.repeated_s)
            if moment.seconds < last:
                return lines
            last = moment.seconds
        made.append(_Line(line.cells, moment))
    return made


def _consumed(mapping: ColumnMapping) -> set[tuple[bool, str]]:
    """The top-level columns that the mapping reads whole: whether they are of the record, and their names."""
    consumed = set()
    for name, (root, path) in mapping.all_paths.items():
        if name.startswith(FILTER):
            continue
        if len(path.steps) == 1:
            consumed.add((root and mapping.turns is not None, str(path.steps[0])))
        consumed.add((root and mapping.turns is not None, path.text))
    return consumed


def is_blank(value: Any) -> bool:
    return is_empty(value) or (isinstance(value, str) and value.isspace())
