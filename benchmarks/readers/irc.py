"""Ubuntu IRC, a channel whose conversations interleave (Kummerfeld et al. 2019, "A Large-Scale Corpus for Conversation
Disentanglement", github.com/jkkummerfeld/irc-disentanglement).

path: the corpus folder, its `data` folder, a folder of `.ascii.txt` files, or one such file. `--option part=train` reads the files of
that folder. `source` is the part, `irc/train`.

A file is a dialogue and a message a turn, its text the request. The category `speaker` names who wrote it; a system line has none.
Times are those of the file, to the minute. Only the messages from 1,000 on are annotated; `--option context=150` is how many
messages before them are kept.

A goal is a conversation: annotated messages that links connect, also by way of messages before them. Annotator `published` gives
the links of `.annotation.txt`: one person's, or where several annotated a file (`annotation-process`), what was adjudicated between
them; then it is of kind `truth`, and the others stand under their own names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from labelgen.base.errors import UsageError
from labelgen.base.options import WholeNumber
from labelgen.data.dialogue import SPEAKER, Category, Dialogue, Turn
from labelgen.data.labels import GOALS, Annotation, AtGoal, Label
from labelgen.data.reader import Reader, read_bytes
from labelgen.data.record import Rejected, validate

_PARTS = ("train", "dev", "test")
_TEXTS, _LINKS = ".ascii.txt", ".annotation"
_MESSAGE = re.compile(r"\[(\d\d):(\d\d)\] (?:<(?P<speaker>\S*)>| \* (?P<actor>\S+)) ?(?P<text>.*)")
_LINK = re.compile(r":?(\d+) (\d+) -? *")
_DAY = 24 * 60


class _IrcLink(NamedTuple):
    """A message and one that it answers; both are equal where it answers none."""

    earlier: int
    later: int


@dataclass(frozen=True, kw_only=True)
class IrcOptions:
    """Options of the reader."""

    part: Literal["train", "dev", "test"] | None = None
    """part of the corpus; all without a value"""
    context: WholeNumber = 150
    """messages before the annotated ones"""


def _read(path: Path, options: IrcOptions) -> Iterator[Dialogue | Rejected]:
    for file in _files(path, options.part):
        yield _dialogue(file, options.context)


def _files(path: Path, part: str | None) -> list[Path]:
    if path.is_file():
        return [path]
    folder = path / "data" if (path / "data").is_dir() else path
    parts = [folder / name for name in ([part] if part else _PARTS)]
    files = [file for of_part in parts for file in sorted(of_part.glob(f"*{_TEXTS}"))]
    files = files or ([] if part else sorted(folder.glob(f"*{_TEXTS}")))
    if not files:
        raise UsageError(
            f"no IRC files in {path}", str(path), f"name the folder of train and dev, or one {_TEXTS} file"
        )
    return files


def _dialogue(file: Path, context: int) -> Dialogue | Rejected:
    file = file.absolute()
    name = file.name.removesuffix(_TEXTS)
    source = f"irc/{file.parent.name}"
    lines = read_bytes(file).decode("ascii", "backslashreplace").splitlines()
    published = file.with_name(f"{name}{_LINKS}.txt")
    single = file.parents[1] / "annotation-process"
    names = {published: "published"}
    for answers in sorted(single.glob(f"*-individual/{name}{_LINKS}.*.txt")):
        names[answers] = answers.name.removesuffix(".txt").rpartition(".")[2]
    links: dict[str, list[_IrcLink]] = {}
    for answers, annotator in names.items():
        if not answers.is_file():
            continue
        read = _links(answers, len(lines))
        if isinstance(read, Rejected):
            return read
        links[annotator] = read
    first = min((link.later for of in links.values() for link in of), default=0)
    start = max(0, first - context)
    annotations = [_annotation(annotator, of, start, len(links) > 1) for annotator, of in links.items() if of]
    turns = _turns(lines)[start:]
    return validate(Dialogue(id=f"{source}/{name}", source=source, turns=turns, annotations=tuple(annotations)), name)


def _links(file: Path, messages: int) -> list[_IrcLink] | Rejected:
    links = []
    for number, line in enumerate(read_bytes(file).decode("utf-8", "backslashreplace").splitlines(), 1):
        match = _LINK.fullmatch(line)
        pair = sorted(map(int, match.groups())) if match else [0, messages]
        if pair[1] >= messages:
            reason = f"bad_link: {line!r} is no link `A B -` between two of {messages:,} messages"
            return Rejected(file=file.name, line=number, reason=reason, raw=line)
        links.append(_IrcLink(*pair))
    return links


def _annotation(annotator: str, links: Sequence[_IrcLink], start: int, one_of_several: bool) -> Annotation:
    """The conversations among messages from the first annotated one on, with turns counted from `start`."""
    covered = sorted({link.later for link in links})
    conversation = {message: message for link in links for message in link}

    def root(message: int) -> int:
        while conversation[message] != message:
            message = conversation[message]
        return message

    for link in links:
        one, other = sorted(map(root, link))
        conversation[other] = one
    goals: dict[int, list[int]] = {}
    for message in covered:
        goals.setdefault(root(message), []).append(message - start)
    labels = tuple(Label(GOALS, AtGoal(tuple(turns)), "goal") for turns in goals.values())
    kind = "truth" if one_of_several and annotator == "published" else "person"
    return Annotation(annotator, kind, labels, covered_turns=tuple(message - start for message in covered))


def _turns(lines: Sequence[str]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    minutes = None
    for line in lines:
        categories: tuple[Category, ...] = ()
        text = line
        if match := _MESSAGE.fullmatch(line):
            of_day = 60 * int(match[1]) + int(match[2])
            day = 0 if minutes is None else minutes // _DAY
            minutes = of_day + _DAY * (day + (minutes is not None and of_day < minutes % _DAY - _DAY // 2))
            text = match["text"]
            if name := match["speaker"] or match["actor"]:
                categories = (Category(name=SPEAKER, value=name),)
        time = None if minutes is None else 60.0 * minutes
        turns.append(Turn(request=text, response="", time_s=time, categories=categories))
    return tuple(turns)


READER = Reader(_read, options=IrcOptions)
