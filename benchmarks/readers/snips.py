"""SNIPS, single requests to a voice assistant in seven intents (Coucke et al. 2018, "Snips Voice Platform: an embedded
Spoken Language Understanding system for private-by-design voice interfaces", arXiv:1805.10190).

path: the corpus folder, a folder of its intents, or one of its files. `source` is the part that the file's name begins
with: `snips/train`, `snips/validate`. Where there are `train_INTENT_full.json` and `train_INTENT.json`, the smaller one is
a subset and left out. `--option part=validate` reads the files of that part.

An utterance is a dialogue of one turn with an empty response. Texts are kept as published, with
blanks and line breaks at their ends; spans of slots exclude blanks at their ends. One emoji of `PlayMusic` is
encoded as two surrogates (CESU-8). Reading the file as Latin-1 for that reason would corrupt 29 other characters."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.reader import Reader, read_bytes
from labelgen.data.record import Rejected, parse, validate

_FOLDER = "2017-06-custom-intent-engines"
_NAME = re.compile(r"(?P<part>train|validate)_(?P<intent>.+?)(?P<full>_full)?\.json")
_SURROGATES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")


class _Piece(msgspec.Struct, frozen=True):
    text: str
    entity: str | None = None


class _SnipsUtterance(msgspec.Struct, frozen=True):
    data: tuple[_Piece, ...]


@dataclass(frozen=True, kw_only=True)
class SnipsOptions:
    """Options of the reader."""

    part: Literal["train", "validate"] | None = None
    """part of the corpus; all without a value"""


def _read(path: Path, options: SnipsOptions) -> Iterator[Dialogue | Rejected]:
    wanted = options.part
    for file, part in _files(path, wanted):
        intents = parse(_utf8(read_bytes(file)), dict[str, list[msgspec.Raw]], file.name)
        if isinstance(intents, Rejected):
            yield intents
            continue
        for intent, utterances in intents.items():
            for position, raw in enumerate(utterances):
                identity = f"snips/{part}/{intent}/{position}"
                utterance = parse(bytes(raw), _SnipsUtterance, file.name, dialogue=identity)
                if isinstance(utterance, Rejected):
                    yield utterance
                elif not any(piece.text.strip() for piece in utterance.data):
                    yield Rejected(
                        file=file.name, dialogue=identity, field="data", reason="empty_text", raw=readable(bytes(raw))
                    )
                else:
                    yield validate(_dialogue(identity, f"snips/{part}", intent, utterance.data), file.name)


def _files(path: Path, part: str | None) -> list[tuple[Path, str]]:
    """The files at `path`, sorted, each with its part; of one part alone where one is named."""
    folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
    files = [path] if path.is_file() else sorted(folder.rglob("*.json"))
    named = [(file, match) for file in files if (match := _NAME.fullmatch(file.name))]
    full = {(file.parent, match["part"], match["intent"]) for file, match in named if match["full"]}
    chosen = [
        (file, match["part"])
        for file, match in named
        if part in (None, match["part"])
        and (match["full"] or (file.parent, match["part"], match["intent"]) not in full)
    ]
    if not chosen:
        hint = f"name the folder with {_FOLDER}/INTENT/train_INTENT_full.json, ..., or one such file"
        raise UsageError(f"no SNIPS utterances in {path}", str(path), hint)
    return chosen


def _utf8(data: bytes) -> bytes:
    """The file with every emoji that was written as two surrogates of three bytes each in the four bytes of UTF-8."""
    return _SURROGATES.sub(lambda pair: _joined(pair[0]), data)


def _joined(pair: bytes) -> bytes:
    halves = pair.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
    return halves.decode("utf-16-le").encode("utf-8")


def _dialogue(identity: str, source: str, intent: str, pieces: Sequence[_Piece]) -> Dialogue:
    slots = tuple(_slots(pieces))
    none = () if slots else (NoLabel("slots", AtTurn(0)),)
    return Dialogue(
        id=identity,
        source=source,
        turns=(Turn(request="".join(piece.text for piece in pieces), response=""),),
        annotations=(Annotation("snips", "person", (Label("intents", AtTurn(0), intent), *slots), none),),
    )


def _slots(pieces: Sequence[_Piece]) -> Iterator[Label]:
    start = 0
    for piece in pieces:
        end = start + len(piece.text)
        if piece.entity is not None and piece.text.strip():
            left, right = (len(piece.text) - len(text) for text in (piece.text.lstrip(), piece.text.rstrip()))
            yield Label("slots", AtSpan(0, start + left, end - right), piece.entity)
        start = end


READER = Reader(_read, options=SnipsOptions)
