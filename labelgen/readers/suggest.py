"""A first mapping for a table or JSON that nobody has described yet, by the names and values of its columns.

A suggestion is for people to check: names of columns are a convention, no fact."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from labelgen.readers.cells import MISSING
from labelgen.readers.mapping import (
    COLUMNS,
    COMMENT,
    RATING,
    THUMBS,
    YES_NO,
    ColumnMapping,
    JsonPath,
    Meaning,
    entries_of,
    plain_role,
    plain_word,
    quoted,
)
from labelgen.readers.sources import SourceRow

_NAMES = {
    "dialogue": "dialogue_id dialog_id conversation_id conv_id session_id call_id chat_id thread_id ticket_id interaction_id "
    "dialogue dialog conversation conv session call chat thread ticket uuid",
    "turns": "messages turns utterances conversations conversation dialogue dialog log history",
    "speaker": "speaker role who author sender from participant actor author_role sender_type",
    "text": "text message utterance content body value msg said transcript",
    "request": "request prompt question query instruction user_message user_text user_input user_utterance input utterance asked user",
    "response": "response answer reply completion bot_message assistant_message system_response bot_response output answered "
    "assistant bot",
    "time": "time timestamp ts at created_at sent_at datetime date time_s created event_time",
    "order": "turn_index message_index turn_number turn_id position seq sequence idx",
    "user": "user_id customer_id requester_id contact_id visitor_id uid client_id account_id caller_id user customer requester contact caller email user_email customer_email hashed_ip",
    "device": "device device_type platform channel",
    "locale": "locale language lang",
    "domain": "domain skill topic category",
    "asr_confidence": "asr_confidence asr_conf",
    "nlu_confidence": "nlu_confidence nlu_conf intent_confidence",
    "intent": "intent predicted_intent nlu_intent",
    "slots": "slots entities",
    "audio": "audio audio_path wav",
}
"""Field -> names that its column often has, the most certain first."""

_INPUTS = "text request response device locale domain status asr_confidence nlu_confidence intent slots"
"""Fields that a model reads."""

_BY_WORD = ("dialogue", "speaker", "text", "time")
"""Fields whose column may have one of these words in its name, such as `Message body` or `Ticket No`, where no name is one."""

_GENERIC = ("value", "score", "label", "type", "name")
"""Names of fields that say nothing without the field around them."""

_FEEDBACK = (
    ("comment", r"\bcomments?\b|\bremarks?\b|\bverbatim\b"),
    ("regenerate", r"regenerat"),
    ("retry", r"\bretr(y|ies|ied)\b"),
    ("edit", r"\bedit(ed|s)?\b|\bedited_(prompt|request|text)\b"),
    ("copy", r"\bcop(y|ied)\b"),
    ("barge_in", r"\bbarge|\binterrupt"),
    ("stop", r"\bstop(ped)?\b"),
    ("yes_no", r"\bhelpful\b|\bresolved\b|\bsolved\b|\bdid_(it|i|we)_help"),
    ("thumbs", r"\bthumbs?\b|\bliked?\b|\bvotes?\b|\bupvoted?\b|\bdownvoted?\b|\breactions?\b|\bfeedback\b"),
    ("rating", r"\bratings?\b|\brate\b|\bstars?\b|\bcsat\b|\bnps\b|\bsatisf|\bscores?\b"),
)
"""Kind of feedback and a pattern of the words that name its columns."""

_NO_FEEDBACK = ("id", "ids", "uuid", "at", "time", "timestamp", "date", "by")
"""Last words of names that say something about feedback and are none, such as `feedback_id`."""

_SCALES = ((1.0, 5.0), (0.0, 5.0), (0.0, 10.0), (0.0, 100.0))
_INTERNAL = (
    (re.compile(r"^(?:is )?public$"), ("false", "0", "no")),
    (re.compile(r"^(?:is )?(?:private|internal|note|internal note)$"), ("true", "1", "yes")),
)
"""Columns by name, and the values of their rows that no user sees."""
_MOST_FILLED = 0.8
_KNOWN_SPEAKERS = 0.9
_WORDS_OF_TEXT = 3.0
_MOST_LEVELS = 4
_MOST_NAMES = 64
_FEW_NAMES = 8


def leaves(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Every path of the rows with its values: columns, and within objects `a.b`. Lists of objects and objects by id stay whole."""
    found: dict[str, list[Any]] = {}
    _add_leaves(list(rows), "", 0, found)
    return found


def _add_leaves(objects: Sequence[Mapping[str, Any]], prefix: str, level: int, found: dict[str, list[Any]]) -> None:
    columns: dict[str, list[Any]] = {}
    for one in objects:
        for name, value in one.items():
            columns.setdefault(str(name), []).append(value)
    for name, values in columns.items():
        path = f"{prefix}.{name}" if prefix else name
        inner = [value for value in values if isinstance(value, dict) and value and entries_of(value) is None]
        if level == _MOST_LEVELS or _are_by_id(inner):
            inner = []
        if len(inner) < len(values):
            found[path] = [value for value in values if not inner or not isinstance(value, dict)]
        if inner:
            _add_leaves(inner, path, level + 1, found)


def _are_by_id(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the names in these objects are ids of further objects, as in `{"messages": {"m1": {...}, "m2": {...}}}`."""
    names = Counter(name for one in objects for name in one)
    if len(names) > _MOST_NAMES:
        return True
    if not all(isinstance(value, dict) for one in objects for value in one.values()):
        return False
    # Fields occur in most objects, an id in one.
    return names.total() < 2 * len(names) if len(objects) > 1 else len(names) > _FEW_NAMES


def feedback_kind(path: str, values: Sequence[Any] = ()) -> str | None:
    """The kind of feedback that a column has by its name, or by values that are all thumbs; None where it looks like something
    else."""
    last = _plain(path.rpartition(".")[2])
    named = last.split()[-1:] and last.split()[-1] not in _NO_FEEDBACK
    words = _plain(path) if last.strip() in _GENERIC else last
    kind = next((kind for kind, pattern in _FEEDBACK if named and re.search(pattern, words)), None)
    thumbs = {str(value).strip().casefold() for value in values if not _empty(value)}
    return kind or ("thumbs" if thumbs and thumbs <= set(_THUMBS.split()) else None)


_THUMBS = "up down thumbs_up thumbs_down thumbsup thumbsdown 👍 👎 like dislike liked disliked upvote downvote"


def _plain(path: str) -> str:
    # camelCase and every sign that separates words become one form; `\b` is then a border of words.
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path).casefold())


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == []


def suggest(rows: Sequence[SourceRow], given: ColumnMapping) -> ColumnMapping:
    """A mapping for these rows: that which is given, and where it says nothing what the names of the columns suggest.

    Nothing is suggested for a column that a field of `given` has."""
    cells = [row.cells for row in rows]
    roots = leaves(cells)
    choice = _Choice(given)
    choice.pick({path: values for path, values in roots.items() if _is_turns(values)}, "turns")
    turns = choice.of("turns")
    entries = roots if turns is None else leaves(_entries(turns, cells))
    choice.pick(roots, "dialogue")
    if turns is not None and choice.of("dialogue") is None and not all(map(_empty, roots.get("id", ()))):
        choice.chosen["dialogue"] = "id"
    if given.request is None and given.response is None:
        choice.pick_speaker(entries)
        if choice.of("speaker") is None:
            choice.pick(entries, "speaker")
        if choice.of("speaker"):
            choice.pick(entries, "text")
            choice.pick_text(entries)
        if choice.of("text") is None:
            choice.taken.discard(choice.chosen.pop("speaker", None))
    if not (choice.of("speaker") or choice.of("text")):
        choice.pick(entries, "request", "response")
    choice.pick(roots, "user", "device", "locale")
    choice.pick(entries, "time")
    if choice.of("time") is None:
        choice.pick(entries, "order")
    choice.pick(entries, "domain", "asr_confidence", "nlu_confidence", "intent", "slots", "audio")
    if choice.of("time") is None:
        # A name says little in a language that is not known, a date is one in all.
        moments = (path for path, values in entries.items() if path not in choice.taken and _are_moments(values))
        choice.take("time", next(moments, None))
    if not given.time_format and (time := choice.of("time")) is not None:
        choice.chosen["time_format"] = _time_formats(entries.get(time, ()))
    if given.decimal == "." and any(map(_have_decimal_commas, entries.values())):
        choice.chosen["decimal"] = ","
    if turns is None:
        column = choice.of("dialogue")
        exchange = 2 if choice.of("speaker") else 1
        groups = [] if column is None else _by_dialogue(column, cells)
        whole = _of_dialogue([rows for rows in groups if len(rows) > exchange])
        feedback = {**given.feedback, **choice.feedback(entries, lambda path: " of dialogue" if whole(path) else "")}
    else:
        feedback = {**given.feedback, **choice.feedback(entries, lambda path: "")}
        feedback |= choice.feedback(roots, lambda path: " of dialogue")
    drop = {**given.drop, **_internal(entries)} if choice.of("speaker") else given.drop
    return replace(given, **choice.chosen, feedback=feedback, drop=drop)


def _by_dialogue(column: str, cells: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The rows of each dialogue but the last, which may be cut; without exact copies."""
    path = JsonPath.of(column)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in {repr(row): row for row in cells}.values():
        groups.setdefault(str(path.get(row)), []).append(row)
    last = str(path.get(cells[-1])) if cells else ""
    return [rows for name, rows in groups.items() if name != last or len(groups) == 1]


def _of_dialogue(dialogues: Sequence[Sequence[Mapping[str, Any]]]) -> Callable[[str], bool]:
    """Whether a column speaks of whole dialogues: it is filled in their last rows alone, or alike in all rows. dialogues: those of more
    than one exchange."""

    def whole(column: str) -> bool:
        path = JsonPath.of(column)
        filled = 0
        for rows in dialogues:
            values = [path.get(row) for row in rows]
            known = [k for k, value in enumerate(values) if value is not MISSING and not _empty(value)]
            alike = len(known) == len(rows) and len({str(value) for value in values}) == 1
            if known and not alike and known != [len(rows) - 1]:
                return False
            filled += bool(known)
        return filled > 0

    return whole


def _internal(paths: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Columns that say which rows no user sees, and their values."""
    found = {}
    for path, values in paths.items():
        words = {str(value).strip().casefold() for value in values if not _empty(value)}
        for pattern, hidden in _INTERNAL:
            unseen = [word for word in hidden if word in words]
            if pattern.fullmatch(_plain(path).strip()) and unseen and len(words) == len(unseen) + 1:
                found[path] = ",".join(unseen)
    return found


class _Choice:
    """The columns that are chosen for the fields of a mapping; each column is taken once."""

    def __init__(self, given: ColumnMapping) -> None:
        self.given = given
        self.chosen: dict[str, Any] = {}
        self.taken = {getattr(given, name) for name in COLUMNS} | {*given.feedback, *given.categories, *given.numbers}

    def of(self, field: str) -> str | None:
        """The column of a field, as it is given or chosen."""
        column: str | None = getattr(self.given, field) or self.chosen.get(field)
        return column

    def take(self, field: str, path: str | None) -> None:
        """Choose a column for a field; None for none."""
        if path is not None:
            self.chosen[field] = path
            self.taken.add(path)

    def pick(self, paths: Mapping[str, Sequence[Any]], *fields_: str) -> None:
        """Choose for each field that is not given the first free column with one of its names."""
        for field in fields_:
            free = [path for path, values in paths.items() if path not in self.taken and not all(map(_empty, values))]
            if getattr(self.given, field) is None:
                self.take(field, _by_name(field, free))

    def pick_speaker(self, paths: Mapping[str, Sequence[Any]]) -> None:
        """Choose the speaker by its values: nearly all are words for one of the two sides, and both sides speak."""
        if self.given.speaker is not None:
            return
        users, assistants = set(map(plain_role, self.given.is_user)), set(map(plain_role, self.given.is_assistant))
        for path, values in paths.items():
            words = [plain_role(str(value)) for value in values if not _empty(value)]
            known = sum(word in users or word in assistants or word == "system" for word in words)
            sides = bool(users.intersection(words)) and bool(assistants.intersection(words))
            if path not in self.taken and sides and known >= _KNOWN_SPEAKERS * len(words):
                self.take("speaker", path)
                return

    def pick_text(self, paths: Mapping[str, Sequence[Any]]) -> None:
        """Choose for the text, if none is chosen by name, the free column with the longest texts in nearly all rows."""
        if self.of("text") is not None:
            return
        rows = max(map(len, paths.values()), default=0)
        lengths = {}
        for path, values in paths.items():
            texts = [value for value in values if isinstance(value, str) and value]
            if path not in self.taken and len(texts) >= _MOST_FILLED * rows:
                lengths[path] = sum(len(text.split()) for text in texts) / len(texts)
        longest = max(lengths, key=lambda path: lengths[path], default=None)
        if longest is not None and lengths[longest] >= _WORDS_OF_TEXT:
            self.take("text", longest)

    def feedback(self, paths: Mapping[str, Sequence[Any]], of: Callable[[str], str]) -> dict[str, str]:
        """The free columns that look like feedback, with their meanings. of: what a column is about."""
        found = {}
        for path, values in paths.items():
            kind = feedback_kind(path, values)
            if (
                kind is not None
                and path not in self.taken
                and not any(isinstance(value, list | dict) for value in values)
            ):
                meaning = meaning_of(kind, values, path)
                if meaning is not None:
                    found[path] = meaning + of(path)
        return found


def _by_name(field: str, paths: Sequence[str]) -> str | None:
    """The path that is called like the field: the whole path, its last part, or for some fields a word of that."""
    names = _NAMES[field].split()
    for form in (_underscored, _last):
        for name in names:
            if (path := next((path for path in paths if form(path) == name), None)) is not None:
                return path
    if field not in _BY_WORD:
        return None
    words = (path for path in paths if set(names).intersection(_last(path).split("_")))
    return next((path for path in words if feedback_kind(path) is None), None)


def _entries(turns: str, cells: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The utterances or turns in the lists at that path."""
    path = JsonPath.of(turns)
    for row in cells:
        yield from entries_of(path.get(row)) or ()


def _underscored(path: str) -> str:
    return _plain(path).strip().replace(" ", "_")


def _last(path: str) -> str:
    return _underscored(path.rpartition(".")[2])


def _is_turns(values: Sequence[Any]) -> bool:
    filled = [value for value in values if not _empty(value)]
    return bool(filled) and all(map(entries_of, filled))


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+\s*%?")


def _have_decimal_commas(values: Sequence[Any]) -> bool:
    filled = [value for value in values if not _empty(value)]
    return bool(filled) and all(isinstance(v, str) and _DECIMAL_COMMA.fullmatch(v.strip()) for v in filled)


def _are_moments(values: Sequence[Any]) -> bool:
    """Whether all values are dates with a time of day, in forms that can be read."""
    texts = _texts(values)
    return bool(texts) and all(":" in text for text in texts) and not _odd(texts, _time_formats(values))


def _texts(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(str(value).strip() for value in values if not _empty(value)))


def _odd(texts: Sequence[str], forms: Sequence[str] = ()) -> list[str]:
    """The texts that are neither numbers nor ISO 8601, nor of these forms."""
    return [text for text in texts if not any(_fits(text, form) for form in (None, *forms))]


def _fits(text: str, form: str | None) -> bool:
    try:
        if form is not None:
            datetime.strptime(text, form)
        elif not _NUMBER.fullmatch(text):
            datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def _time_formats(values: Sequence[Any]) -> tuple[str, ...]:
    """The formats of times that are not ISO 8601, each the one that fits most of them. Of two that fit as many, the month is first
    with slashes (3/4/2026) and the day with dots (3.4.2026)."""
    odd = _odd(_texts(values))
    forms: list[str] = []
    for text in odd:
        if not any(_fits(text, form) for form in forms):
            guesses = [_guess(text, first) for first in (re.match(r"\d+\.", text) is not None, True)]
            fitting = [form for form in guesses if form is not None and _fits(text, form)]
            if fitting:
                forms.append(max(fitting, key=lambda form: sum(_fits(one, form) for one in odd)))
    return tuple(forms)


def _guess(text: str, day_first: bool) -> str | None:
    from warnings import catch_warnings, simplefilter

    from pandas.tseries.api import guess_datetime_format

    with catch_warnings():
        # It warns where a date fits the other order only, which is what is asked here. It takes no 12 AM.
        simplefilter("ignore")
        form: str | None = guess_datetime_format(re.sub(r"\b12(?=:)", "11", text), dayfirst=day_first)
    return form


def ambiguous_dates(given: ColumnMapping, rows: Sequence[SourceRow]) -> Iterator[str]:
    """Sentences about times whose day and month may be exchanged."""
    if given.time is None:
        return
    texts = _odd(_texts(_values(given.time, [row.cells for row in rows], given)))
    for form in given.time_format:
        exchanged = re.sub("%[dm]", lambda found: "%m" if found[0] == "%d" else "%d", form)
        fitting = [text for text in texts if _fits(text, form)]
        if "%m" in form and fitting and all(_fits(text, exchanged) for text in fitting):
            yield f"{fitting[0]!r} is read by time_format {form}; if day and month are exchanged, write {exchanged}"


def meaning_of(kind: str, values: Sequence[Any], name: str = "") -> str | None:
    """What these values of a column or score may mean, where its name suggests this kind of feedback; None where they say nothing
    of that kind, so that only a person can tell."""
    numbers = [float(str(value)) for value in values if re.fullmatch(r"-?\d+(\.\d+)?", str(value).strip())]
    filled = [value for value in values if not _empty(value)]
    if kind == "thumbs" and numbers and len(numbers) == len(filled) and not set(numbers) <= {-1.0, 0.0, 1.0}:
        kind = "rating"
    if kind == "rating" and filled and (not numbers or ({-1.0, 1.0} <= set(numbers) <= {-1.0, 0.0, 1.0})):
        kind = "thumbs"
    if kind == "rating":
        low, high = min(numbers, default=1.0), max(numbers, default=5.0)
        scales = _SCALES[2:] if re.search(r"\bnps\b", _plain(name)) else _SCALES
        scale = next((s for s in scales if s[0] <= low and high <= s[1]), (low, high))
        return f"rating {scale[0]:g}..{scale[1]:g}"
    if kind not in (THUMBS, YES_NO):
        return kind
    if kind == THUMBS and -1.0 in numbers and 0.0 in numbers:
        return "thumbs none=0"
    if kind == THUMBS and any(value is False for value in values):
        # Where others are empty, false is an answer; else it may stand for no answer, which is more frequent.
        return "thumbs bad=false" if len(filled) < len(values) else "thumbs none=false"
    usual = Meaning.of_text(name, kind)
    words = {plain_word(str(value)) for value in filled} - usual.none
    unknown = sorted(words - usual.good - usual.bad - ({"0", "0.0"} if kind == THUMBS else set()))
    if not unknown:
        return f"{kind} bad=0,0.0" if kind == THUMBS and 0.0 in numbers else kind
    if len(unknown) < len(words):
        return f"{kind} none={','.join(map(quoted, unknown))}"
    long = sum(len(word.split()) for word in words) >= _WORDS_OF_TEXT * len(words)
    return COMMENT if long else None


def feedback_lines(given: ColumnMapping, rows: Sequence[SourceRow]) -> Iterator[str]:
    """One line about each column of feedback: what its values mean, and how many there are of each."""
    for column, meaning in given.meanings.items():
        if meaning.kind == COMMENT:
            continue
        values = _values(column, [row.cells for row in rows], given)
        counts = Counter(str(value).strip() for value in values if not _empty(value))
        silent = sum(map(_empty, values))
        sides: dict[str, list[str]] = {"good": [], "bad": [], "no feedback": [], "": []}
        for word, count in counts.most_common(_SHOWN_VALUES):
            named = {"no feedback": meaning.none, "good": meaning.good, "bad": meaning.bad}
            side = next((side for side, words in named.items() if plain_word(word) in words), "")
            sides[side].append(f"{word[:_SHOWN_LETTERS]} ({count:,})")
        sides["no feedback"] += [f"empty ({silent:,})"] if silent else []
        parts = [f"{side}: {', '.join(words)}".removeprefix(": ") for side, words in sides.items() if words]
        rest = f", and {len(counts) - _SHOWN_VALUES:,} more values" if len(counts) > _SHOWN_VALUES else ""
        zero = ""
        if meaning.kind == RATING and min(meaning.scale) == 0 and max(meaning.scale) == max(_SCALES[0]):
            zero = "; if 0 means that nobody rated, write 'rating 1..5 none=0'"
        yield f"{column!r} is {given.feedback[column]}: {'; '.join(parts)}{rest}{zero}"


_SHOWN_VALUES = 12
_SHOWN_LETTERS = 24


_BUTTON = re.compile(r"^/\w+\{")
_ASK = "KIND good=VALUE,... bad=VALUE,..."


def warnings(given: ColumnMapping, rows: Sequence[SourceRow]) -> Iterator[str]:
    """Sentences about columns that look like feedback: those that a model would read, and those that nothing reads."""
    cells = [row.cells for row in rows]
    roots = leaves(cells)
    entries = roots if given.turns is None else leaves(_entries(given.turns, cells))
    inputs = {getattr(given, name): name for name in _INPUTS.split() if getattr(given, name) is not None}
    inputs |= {column: name for name in ("categories", "numbers") for column in getattr(given, name)}
    for column, name in inputs.items():
        values = _values(column, cells, given)
        looks = feedback_kind(column, values)
        if looks is not None and name not in ("text", "request", "response"):
            kind = meaning_of(looks, values, column) or _ASK
            yield (
                f"{column!r} looks like feedback and is mapped to {name}, which a model reads: it would learn from the answer; "
                f"map it by feedback {column}='{kind}'"
            )
    for field in ("text", "request"):
        column = getattr(given, field)
        pressed = next((v for v in (_texts(_values(column, cells, given)) if column else ()) if _BUTTON.match(v)), None)
        if pressed is not None:
            yield (
                f"{column!r} has payloads of buttons such as {pressed[:40]!r}, which no user wrote and which may tell the answer; to leave "
                f"them out add drop {column}='/{_BUTTON.pattern}/'"
            )
    used = {*inputs, *given.feedback, *(getattr(given, name) for name in COLUMNS)}
    for column, values in {**roots, **entries}.items():
        looks = feedback_kind(column)
        if column not in used and looks is not None and not _is_turns(values):
            seen = ", ".join(_texts(values)[:_SHOWN_VALUES])
            kind = meaning_of(looks, values, column) or _ASK
            yield f"{column!r} (values {seen}) looks like feedback and is not mapped; if it is, add feedback {column}='{kind}'"


def _values(column: str, cells: Sequence[Mapping[str, Any]], given: ColumnMapping) -> list[Any]:
    """The values of a column in these rows, also within their turns."""
    path = JsonPath.of(column)
    rows = [*cells, *(_entries(given.turns, cells) if given.turns else ())]
    return [value for row in rows if (value := path.get(row)) is not MISSING]
