"""Dialogue Breakdown Detection Challenge 3, chats with four bots (Higashinaka et al. 2017, "Overview of Dialogue Breakdown
Detection Challenge 3", DSTC6).

path: the corpus folder (of it the revised English part is read), the folder of one bot, or one `.log.json`. `source` is the
bot's folder, `dbdc3/CIC_115`.

Each of 30 annotators of a dialogue labels whether a bot's utterance is a breakdown: no (O), possibly (T) or yes (X). This
becomes the quality of the turn: 5, 3 or 1. Annotators have their published ids, also across dialogues. Utterances of a bot
before the user are rarely annotated; they are turns with an empty request."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Literal

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, AtTurn, Label, quality_name
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_REVISED = Path("dbdc3_revised") / "en"
_RATING = {"O": 5.0, "T": 3.0, "X": 1.0}


class _Vote(msgspec.Struct, frozen=True, rename="kebab"):
    breakdown: Literal["O", "T", "X"]
    annotator_id: str


class _DbdcLine(msgspec.Struct, frozen=True):
    speaker: Literal["U", "S"]
    utterance: str
    annotations: tuple[_Vote, ...] = ()
    time: str = ""


class _DbdcChat(msgspec.Struct, frozen=True, rename="kebab"):
    dialogue_id: str
    turns: tuple[_DbdcLine, ...]
    speaker_id: str = ""


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        bot = file.parent.name
        name, text = f"{bot}/{file.name}", read_bytes(file)
        item = parse(text, _DbdcChat, name)
        wrong = item if isinstance(item, Rejected) else _fault(item, f"dbdc3/{bot}", name, text)
        if wrong is not None:
            yield wrong
        elif isinstance(item, _DbdcChat):
            yield validate(_dialogue(item, f"dbdc3/{bot}"), name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = next((f for f in (path / "DBDC3" / _REVISED, path / _REVISED) if f.is_dir()), path)
    files = sorted(folder.rglob("*.log.json"))
    if not files:
        raise UsageError(f"no DBDC3 chats in {path}", str(path), f"name the folder that holds {_REVISED.as_posix()}")
    return files


def _fault(item: _DbdcChat, source: str, file: str, text: bytes) -> Rejected | None:
    """Rejected where someone annotates an utterance twice, or a time is none."""

    def rejected(field: str, reason: str) -> Rejected:
        identity = f"{source}/{item.dialogue_id}"
        return Rejected(file=file, dialogue=identity, field=field, reason=reason, raw=readable(text))

    for k, line in enumerate(item.turns):
        annotators = [vote.annotator_id for vote in line.annotations]
        for j, annotator in enumerate(annotators):
            if not annotator or annotator in annotators[:j]:
                reason = f"doubled_annotator: {annotator!r} is nobody, or stands twice"
                return rejected(f"turns[{k}].annotations[{j}].annotator-id", reason)
        try:
            _moment(line)
        except ValueError:
            return rejected(f"turns[{k}].time", f"bad_time: {line.time!r} is not ISO 8601")
    return None


def _moment(line: _DbdcLine) -> datetime | None:
    """When it was said, in the bot's own zone, which is not known; None where it is not told."""
    return datetime.fromisoformat(line.time).replace(tzinfo=None) if line.time else None


def _dialogue(item: _DbdcChat, source: str) -> Dialogue:
    start = next((moment for line in item.turns if (moment := _moment(line)) is not None), None)
    turns = exchanges(item.turns, lambda line: line.speaker == "U")
    return Dialogue(
        id=f"{source}/{item.dialogue_id}",
        user=item.speaker_id or None,
        start=None if start is None else start.isoformat(),
        source=source,
        turns=tuple(
            Turn(
                request=join_texts(line.utterance for line in turn.user),
                response=join_texts(line.utterance for line in turn.assistant),
                time_s=_since(start, turn.user),
                response_time_s=_since(start, turn.assistant),
            )
            for turn in turns
        ),
        annotations=_annotations(turns),
    )


def _since(start: datetime | None, lines: Sequence[_DbdcLine]) -> float | None:
    """Seconds from the dialogue's start to the first of the lines."""
    moment = _moment(lines[0]) if lines else None
    return None if moment is None or start is None else (moment - start).total_seconds()


def _annotations(turns: Sequence[Exchange[_DbdcLine]]) -> tuple[Annotation, ...]:
    """One of each annotator, in the order in which they come; several utterances of a turn count as their mean."""
    votes: dict[str, dict[int, list[float]]] = {}
    for t, turn in enumerate(turns):
        for vote in (vote for line in turn.assistant for vote in line.annotations):
            votes.setdefault(vote.annotator_id, {}).setdefault(t, []).append(_RATING[vote.breakdown])
    return tuple(
        Annotation(
            f"dbdc3/{annotator}",
            "person",
            tuple(_label(t, fmean(ratings)) for t, ratings in of_turn.items()),
        )
        for annotator, of_turn in votes.items()
    )


def _label(turn: int, rating: float) -> Label:
    return Label("quality", AtTurn(turn), quality_name(rating), value=rating)


READER = Reader(_read)
