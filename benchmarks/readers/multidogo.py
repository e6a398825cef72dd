"""MultiDoGO, customers of six trades with trained agents (Peskov et al. 2019, "Multi-Domain Goal-Oriented Dialogues
(MultiDoGO): Strategies toward Curating and Annotating Large Scale Dialogue Data", D19-1460).

path: the corpus folder, its `splits_annotated_at_turn_level` folder, the folder of one domain, or one `.tsv` file.
`--option part=train` reads the files of that name. `source` is the domain, `multidogo/airline`, since each has labels of its own.

A row is an utterance of the customer, with its intents and a tag for each word, and becomes a turn. The agents' utterances are
not in these files, so responses are empty; agents spoke at gaps in the turn numbers (kept in `extra`). A slot is a run of
words with one tag, so two adjacent slots of one name are merged. A row without exactly one tag a word is rejected, and its
conversation continues without it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.reader import Reader
from labelgen.data.record import Rejected, validate
from labelgen.data.tables import rows_of
from labelgen.readers.cells import undecoded

_TURNS = Path("data") / "paper_splits" / "splits_annotated_at_turn_level"
_COLUMNS = ("conversationId", "turnNumber", "utterance", "slot-labels", "intent")
_OUTSIDE = "O"
_BETWEEN = "<div>"


class _MultiDogoRow(NamedTuple):
    """A row: the number of its turn, text, intents, and each slot as name, start and end in code points."""

    conversation: str
    number: int
    text: str
    intents: tuple[str, ...]
    slots: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class MultiDogoOptions:
    """Options of the reader."""

    part: Literal["train", "dev", "test"] | None = None
    """part of the corpus; all without a value"""


def _read(path: Path, options: MultiDogoOptions) -> Iterator[Dialogue | Rejected]:
    part = options.part
    for file in _files(path, part):
        name, domain = f"{file.parent.name}/{file.name}", f"multidogo/{file.parent.name}"
        utterances: list[_MultiDogoRow] = []
        first = 0
        for line, row in rows_of(file, name, _COLUMNS):
            item = row if isinstance(row, Rejected) else _parse_row(row, name, line, utterances)
            if isinstance(item, Rejected):
                yield item
                continue
            if utterances and utterances[0].conversation != item.conversation:
                yield validate(_dialogue(utterances, domain, file.stem), name, first)
                utterances = []
            first = first if utterances else line
            utterances.append(item)
        if utterances:
            yield validate(_dialogue(utterances, domain, file.stem), name, first)


def _files(path: Path, part: str | None) -> list[Path]:
    folder = path / _TURNS if (path / _TURNS).is_dir() else path
    files = [path] if path.is_file() else sorted(folder.rglob("*.tsv"))
    chosen = [file for file in files if part is None or file.stem == part]
    if not chosen:
        hint = f"name the folder that holds {_TURNS.as_posix()}, or one with train.tsv, dev.tsv, ..."
        raise UsageError(f"no MultiDoGO turns in {path}", str(path), hint)
    return chosen


def _parse_row(
    row: Mapping[str, str], file: str, line: int, before: Sequence[_MultiDogoRow]
) -> _MultiDogoRow | Rejected:
    def rejected(field: str, reason: str) -> Rejected:
        raw = "\t".join(row.values()).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        dialogue = row["conversationId"] or None
        return Rejected(file=file, line=line, dialogue=dialogue, field=field, reason=reason, raw=raw)

    if (column := next((name for name, cell in row.items() if undecoded(cell)), None)) is not None:
        return rejected(column, "bad_text: this is not UTF-8")
    if not row["conversationId"]:
        return rejected("conversationId", "empty_id: a turn needs a conversation")
    # Some files write whole numbers as 4.0.
    number = row["turnNumber"].removesuffix(".0")
    if not (number.isascii() and number.isdigit()):
        return rejected("turnNumber", f"bad_turn: {row['turnNumber']!r} is no number")
    if before and before[-1].conversation == row["conversationId"] and before[-1].number >= int(number):
        return rejected("turnNumber", f"bad_turn: {number} does not come after {before[-1].number}")
    words, tags = row["utterance"].split(" "), row["slot-labels"].split(" ")
    if len(words) != len(tags):
        return rejected("slot-labels", f"bad_tags: {len(tags)} tags for {len(words)} words")
    intents = tuple(dict.fromkeys(name for name in row["intent"].split(_BETWEEN) if name))
    slots = tuple(_slots(words, tags))
    return _MultiDogoRow(row["conversationId"], int(number), row["utterance"], intents, slots)


def _slots(words: Sequence[str], tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Runs of words with one tag. What is between two blanks in a row, or a line break, is a word with a tag too, and
    belongs to no slot."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    plain = [tag if word.strip() else _OUTSIDE for word, tag in zip(words, tags, strict=True)]
    for tag, run in groupby(range(len(words)), key=plain.__getitem__):
        if tag != _OUTSIDE:
            inside = list(run)
            yield tag, starts[inside[0]], starts[inside[-1]] + len(words[inside[-1]])


def _dialogue(utterances: Sequence[_MultiDogoRow], source: str, part: str) -> Dialogue:
    labels: list[Label] = []
    none: list[NoLabel] = []
    for t, row in enumerate(utterances):
        labels += [Label("intents", AtTurn(t), name) for name in row.intents]
        labels += [Label("slots", AtSpan(t, start, end), name) for name, start, end in row.slots]
        none += [NoLabel("intents", AtTurn(t))] * (not row.intents) + [NoLabel("slots", AtTurn(t))] * (not row.slots)
    return Dialogue(
        id=f"{source}/{part}/{utterances[0].conversation}",
        source=source,
        turns=tuple(
            Turn(request=row.text, response="", extra=msgspec.json.encode({"turnNumber": row.number}).decode())
            for row in utterances
        ),
        annotations=(Annotation("multidogo", "person", tuple(labels), tuple(none)),),
    )


READER = Reader(_read, options=MultiDogoOptions)
