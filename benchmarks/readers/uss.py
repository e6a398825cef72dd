"""User Satisfaction Simulation (Sun et al. 2021, "Simulating User Satisfaction for the Evaluation of Task-oriented
Dialogue Systems", SIGIR).

path: the corpus folder, or one of its `.txt` files. A rating on a user's line is about the assistant's previous line,
so it is the quality of the turn which that line ends; several ratings of one turn, from consecutive user lines, become
their mean. A rating before the assistant's first line is ignored. OVERALL is the dialogue's quality. Each rating
column is a separate annotator in each dialogue, because a column is one person within a dialogue only. The acts in the files are
never input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, At, AtDialogue, AtTurn, Label, quality_name
from labelgen.data.reader import Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate


@dataclass(frozen=True, slots=True)
class _UssLine:
    by_user: bool
    text: str
    ratings: tuple[float, ...]

    @property
    def overall(self) -> bool:
        return self.by_user and self.text == "OVERALL"


@dataclass(frozen=True, kw_only=True)
class UssOptions:
    """Options of the reader."""

    part: Literal["train", "valid"] | None = None
    """part of the corpus; all without a value"""


def _read(path: Path, options: UssOptions) -> Iterator[Dialogue | Rejected]:
    part = options.part
    files = _files(path)
    if part is not None:
        # Files of acts alone have no ratings, and no parts.
        files = [file for file in files if file.with_suffix(".splits.json").is_file()] or files
    for file in files:
        wanted = None if part is None else _positions(file, part)
        for position, (number, block) in enumerate(_blocks(file)):
            if wanted is None or position in wanted:
                yield _dialogue(block, f"uss/{file.stem}", position, file.name, number)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "dataset" if (path / "dataset").is_dir() else path
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise UsageError(f"no USS files in {path}", str(path), "name the folder of MWOZ.txt, SGD.txt, ..., or one file")
    return files


def _positions(file: Path, part: str) -> frozenset[int]:
    """Which dialogues of the file belong to the part; the numbers are those of the published file."""
    name = file.with_suffix(".splits.json")
    if not name.is_file():
        raise UsageError(
            f"no parts are known of {file.name}", str(name), "leave --option part out, or name other files"
        )
    item = parse(read_bytes(name), dict[str, object], name.name)
    numbers = None if isinstance(item, Rejected) else item.get(part)
    if not isinstance(numbers, list):
        raise UsageError(f"{name.name} names no part {part!r}", str(name), "take it from the corpus as it was shared")
    return frozenset(numbers)


def _blocks(file: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Dialogues as their lines, each with the number of its first line; an empty line stands before each."""
    block: list[bytes] = []
    first = 1
    for number, line in enumerate(read_bytes(file).split(b"\n"), 1):
        text = line.rstrip(b"\r")
        if text:
            first = first if block else number
            block.append(text)
        elif block:
            yield first, block
            block = []
    if block:
        yield first, block


def _dialogue(block: list[bytes], source: str, position: int, file: str, first: int) -> Dialogue | Rejected:
    identity = f"{source}/{position}"
    lines: list[_UssLine] = []
    for number, text in enumerate(block, first):
        line = _line(text)
        if isinstance(line, str):
            return Rejected(file=file, line=number, dialogue=identity, reason=line, raw=readable(b"\n".join(block)))
        lines.append(line)
    utterances = [line for line in lines if not line.overall]
    columns = {len(line.ratings) for line in lines if line.ratings}
    if len(columns) > 1:
        reason = f"bad_ratings: lines have {' and '.join(map(str, sorted(columns)))} ratings, all need the same"
        return Rejected(file=file, line=first, dialogue=identity, reason=reason, raw=readable(b"\n".join(block)))
    turns = exchanges(utterances, lambda line: line.by_user)
    rated: dict[At, list[tuple[float, ...]]] = {}
    for t, turn in enumerate(turns[1:]):
        rated[AtTurn(t)] = [line.ratings for line in turn.user if line.ratings]
    rated[AtDialogue()] = [line.ratings for line in lines if line.overall and line.ratings]
    return validate(
        Dialogue(
            id=identity,
            source=source,
            turns=tuple(
                Turn(request=join_texts(x.text for x in t.user), response=join_texts(x.text for x in t.assistant))
                for t in turns
            ),
            annotations=tuple(_annotation(identity, k, rated) for column in columns for k in range(column)),
        ),
        file,
        first,
    )


def _annotation(identity: str, column: int, rated: Mapping[At, list[tuple[float, ...]]]) -> Annotation:
    labels = []
    places = sorted(rated, key=lambda at: isinstance(at, AtTurn))
    for at in places:
        if rated[at]:
            rating = fmean(ratings[column] for ratings in rated[at])
            labels.append(Label("quality", at, quality_name(rating), value=rating))
    return Annotation(f"{identity}/r{column + 1}", "person", tuple(labels))


def _line(text: bytes) -> _UssLine | str:
    """A line of the file, or the reason why it is none."""
    try:
        fields = text.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        return f"bad_text: {error}"
    if len(fields) != 4 or fields[0] not in ("USER", "SYSTEM"):
        return "bad_line: a line is USER or SYSTEM, the text, the act and the ratings, with tabs between"
    marks = [mark for mark in fields[3].split(",") if mark]
    if not all(mark in ("1", "2", "3", "4", "5") for mark in marks):
        return f"bad_rating: {fields[3]!r} is not a list of numbers from 1 to 5"
    return _UssLine(fields[0] == "USER", fields[1].strip(), tuple(float(mark) for mark in marks))


READER = Reader(_read, options=UssOptions)
