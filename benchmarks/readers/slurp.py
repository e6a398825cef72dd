"""SLURP, single requests to a home assistant (Bastianelli et al. 2020, "SLURP: A Spoken Language Understanding Resource
Package", arXiv:2011.13205).

path: the corpus folder, its `dataset/slurp` folder, or one `.jsonl` file. `source` is the file: `slurp/devel`.

An utterance is a dialogue of one turn with an empty response. Slots are the marked parts of `sentence_annotation`, located in
`sentence`. The two texts may differ in case, and in one stretch with a corrected spelling: if the border of a slot is inside
that stretch, the utterance is rejected. Scenario and action are in `extra`. Recordings are not read."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.reader import Options, Reader, lines_of
from labelgen.data.record import Rejected, parse, validate

_MARKED = re.compile(r"\[\s*(?P<type>[^\[\]:]+?)\s*:\s*(?P<words>[^\[\]]+?)\s*\]")


class _SlurpUtterance(msgspec.Struct, frozen=True):
    slurp_id: int
    sentence: str
    sentence_annotation: str
    intent: str
    scenario: str
    action: str


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        for line, text in lines_of(file):
            utterance = parse(text, _SlurpUtterance, file.name, line)
            if isinstance(utterance, Rejected):
                yield utterance
                continue
            source = f"slurp/{file.stem}"
            identity = f"{source}/{utterance.slurp_id}"
            slots = _slots(utterance)
            if isinstance(slots, str):
                where = {"file": file.name, "dialogue": identity, "field": "sentence_annotation"}
                yield Rejected(**where, line=line, reason=slots, raw=readable(text))
            else:
                yield validate(_dialogue(utterance, identity, source, slots), file.name, line)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "dataset" / "slurp"
    files = sorted((folder if folder.is_dir() else path).glob("*.jsonl"))
    if not files:
        raise UsageError(f"no SLURP utterances in {path}", str(path), "name the folder with devel.jsonl, ...")
    return files


def _dialogue(utterance: _SlurpUtterance, identity: str, source: str, slots: tuple[Label, ...]) -> Dialogue:
    none = () if slots else (NoLabel("slots", AtTurn(0)),)
    return Dialogue(
        id=identity,
        source=source,
        turns=(Turn(request=utterance.sentence, response=""),),
        annotations=(Annotation("slurp", "person", (Label("intents", AtTurn(0), utterance.intent), *slots), none),),
        extra=msgspec.json.encode({"scenario": utterance.scenario, "action": utterance.action}).decode(),
    )


def _slots(utterance: _SlurpUtterance) -> tuple[Label, ...] | str:
    """Slots with spans of the sentence, or the reason why there are none to be had."""
    marks = list(_MARKED.finditer(utterance.sentence_annotation))
    plain = _MARKED.sub(lambda mark: mark["words"], utterance.sentence_annotation)
    if "[" in plain or "]" in plain:
        return "bad_annotation: a piece is not marked as [type : words]"
    places = _places(plain, utterance.sentence)
    slots = []
    taken = 0
    for mark in marks:
        start = mark.start() - taken
        words = mark["words"]
        taken += len(mark[0]) - len(words)
        spans = sorted(product(places(start), places(start + len(words))), key=lambda span: span[0] - span[1])
        same = [span for span in spans if _whole(utterance.sentence, *span) == words.lower()]
        if not spans:
            return f"bad_annotation: {words!r} is not in the sentence"
        # What was written into the sentence between two words belongs to neither; what took a word's place is that word.
        start, end = (same or spans)[0]
        slots.append(Label("slots", AtSpan(0, start, end), mark["type"]))
    return tuple(slots)


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """How many letters they have in common from the start."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(first), len(second)))


def _whole(sentence: str, start: int, end: int) -> str | None:
    """What the span cuts, in small letters; None where it cuts through a word."""
    cuts = (sentence[max(0, at - 1) : at + 1] for at in (start, end))
    return None if any(len(pair) == 2 and pair.isalnum() for pair in cuts) else sentence[start:end].lower()


def _places(plain: str, sentence: str) -> Callable[[int], set[int]]:
    """Where an offset of `plain` lies in `sentence`, which differs from it in one stretch: nowhere within that stretch, and
    in two places at an edge between which something was written in."""
    first, second = ([letter.lower() for letter in text] for text in (plain, sentence))
    before = _shared(first, second)
    after = min(_shared(first[::-1], second[::-1]), min(len(first), len(second)) - before)
    grown = len(second) - len(first)

    def places(offset: int) -> set[int]:
        from_start = {offset} if offset <= before else set()
        return from_start | ({offset + grown} if offset >= len(first) - after else set())

    return places


READER = Reader(_read)
