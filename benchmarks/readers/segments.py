"""Dialogues cut into segments, an utterance a turn, in two published forms.

path: a `.json` or `.jsonl` file (also packed), or a folder of them. A record is

- `{"utterances": [...], "segments": [3, 4]}`, with the number of utterances of each segment in order; `dial_id` names it
  (github.com/lxing532/Dialogue-Topic-Segmenter, folder data; also there: DialSeg711, Doc2Dial, TIAGE and others), or
- `{"turns": [{"utterance", "role", "segmentation_label"}, ...]}`, where the label is 1 at the last utterance of a segment;
  that of the dialogue's last utterance is ignored (SuperDialseg, github.com/Coldog2333/SuperDialseg).

A file holds a list of records, one record a line, or SuperDialseg's `{"dial_data": {NAME: [records]}}`. An utterance is a
text, or an object with `text` and `speaker`. An utterance of the role `user` (`human`, `customer`) is the request of a turn, one of
another role the response of a turn; without roles all are requests. Annotator `segments` gives each segment as
a goal, so the borders between turns are those between utterances. `segments` of other kinds (ids, marks) are rejected."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec

from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label
from labelgen.data.reader import Options, Reader, files_of, lines_of, open_input
from labelgen.data.record import Rejected, parse, readable, validate

_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst")
_USERS = frozenset({"user", "human", "customer"})


class _SegmentUtterance(msgspec.Struct, frozen=True):
    text: str
    speaker: str | None = None


class _Segmented(msgspec.Struct, frozen=True):
    utterances: tuple[str | _SegmentUtterance, ...]
    segments: tuple[int, ...]
    dial_id: str | int | None = None


class _LabeledTurn(msgspec.Struct, frozen=True):
    utterance: str
    segmentation_label: Literal[0, 1]
    role: str | None = None


class _SegmentLabeledDialogue(msgspec.Struct, frozen=True):
    turns: tuple[_LabeledTurn, ...]
    dial_id: str | int | None = None


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in files_of(path, _SUFFIXES):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        lines = ".jsonl" in file.name
        for number, record in lines_of(file) if lines else _records(file, name):
            fallback = f"{name.partition('.json')[0]}/{number}"
            item = (
                record if isinstance(record, Rejected) else _dialogue(record, name, number if lines else None, fallback)
            )
            yield item


def _records(file: Path, name: str) -> Iterator[tuple[int, bytes | Rejected]]:
    """The records of a file that is one JSON text, each as JSON, numbered from 1."""
    with open_input(file) as opened:
        value: Any = parse(opened.read(), Any, name)
    if isinstance(value, Rejected):
        yield 1, value
        return
    if isinstance(value, dict) and isinstance(value.get("dial_data"), dict):
        value = [record for records in value["dial_data"].values() for record in records]
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield number, msgspec.json.encode(record)


def _dialogue(text: bytes, file: str, line: int | None, fallback: str) -> Dialogue | Rejected:
    plain = parse(text, dict[str, Any], file, line, fallback)
    if isinstance(plain, Rejected):
        return plain
    item: _SegmentLabeledDialogue | _Segmented | Rejected
    if "turns" in plain:
        item = parse(text, _SegmentLabeledDialogue, file, line, fallback)
    else:
        item = parse(text, _Segmented, file, line, fallback)
    if isinstance(item, Rejected):
        return item
    identity = fallback if item.dial_id in (None, "") else f"{fallback.rpartition('/')[0]}/{item.dial_id}"
    if isinstance(item, _SegmentLabeledDialogue):
        texts = [_SegmentUtterance(turn.utterance, turn.role) for turn in item.turns]
        ends = [t for t, turn in enumerate(item.turns[:-1], 1) if turn.segmentation_label]
    else:
        texts = [x if isinstance(x, _SegmentUtterance) else _SegmentUtterance(x) for x in item.utterances]
        ends = list(accumulate(item.segments))[:-1]
        if min(item.segments, default=1) < 1 or sum(item.segments) != len(texts):
            reason = f"bad_segments: lengths of segments that sum to {sum(item.segments)}, for {len(texts)} utterances"
            return Rejected(
                file=file, line=line, dialogue=identity, field="segments", reason=reason, raw=readable(text)
            )
    borders = [0, *ends, len(texts)] if texts else []
    labels = tuple(Label(GOALS, AtGoal(tuple(range(a, b))), "goal") for a, b in pairwise(borders))
    annotations = (Annotation("segments", "person", labels),) if labels else ()
    return validate(Dialogue(id=identity, turns=_turns(texts), annotations=annotations), file, line)


def _turns(texts: Sequence[_SegmentUtterance]) -> tuple[Turn, ...]:
    by_user = [x.speaker is None or x.speaker.casefold() in _USERS for x in texts]
    return tuple(
        Turn(request=x.text if user else "", response="" if user else x.text)
        for x, user in zip(texts, by_user, strict=True)
    )


READER = Reader(_read)
