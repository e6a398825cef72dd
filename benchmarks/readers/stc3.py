"""STC-3, customers and helpdesks on Weibo, each dialogue judged by the same 19 people (Zeng, Kato and Sakai 2019, "Overview of
the NTCIR-14 Short Text Conversation Task: Dialogue Quality and Nugget Detection Subtasks", NTCIR-14).

path: the corpus folder, its `data` folder, or one `.json` of dialogues. `source` is the file, `stc3/train_data_cn`.

Some copies have no texts; then turns are empty, and only the annotations are useful. A position among the
annotations is a person, `stc3/a01` to `stc3/a19`. A dialogue is one goal; task accomplishment (A) above 0 is its outcome `success`, below
0 `failure`, and 0 `unknown`. Customer satisfaction (S) is the dialogue's quality, on -2..2 as it was given. Effectiveness and
nuggets are not read."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, Label, NoLabel, Rating, from_scale, quality_name
from labelgen.data.reader import Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_SCALE = (-2.0, 2.0)


class _Quality(msgspec.Struct, frozen=True, rename="upper"):
    a: float
    s: float


class _StcJudgment(msgspec.Struct, frozen=True):
    quality: _Quality


class _StcLine(msgspec.Struct, frozen=True):
    sender: str
    utterances: tuple[str, ...]

    @property
    def by_user(self) -> bool:
        return self.sender == "customer"


class _StcDialogue(msgspec.Struct, frozen=True):
    id: str
    turns: tuple[_StcLine, ...]
    annotations: tuple[_StcJudgment, ...] = ()


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        dialogues = parse(read_bytes(file), list[msgspec.Raw], file.name)
        if isinstance(dialogues, Rejected):
            yield dialogues
            continue
        source = f"stc3/{file.stem}"
        for position, raw in enumerate(dialogues):
            item = parse(bytes(raw), _StcDialogue, file.name, dialogue=f"{source}/[{position}]")
            yield item if isinstance(item, Rejected) else validate(_dialogue(item, source), file.name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted((path / "data" if (path / "data").is_dir() else path).glob("t*_data_*.json"))
    if not files:
        raise UsageError(
            f"no STC-3 dialogues in {path}", str(path), "name the folder with data/train_data_cn.json, ..."
        )
    return files


def _dialogue(item: _StcDialogue, source: str) -> Dialogue:
    turns = exchanges(item.turns, lambda line: line.by_user)
    goal = AtGoal(tuple(t for t, turn in enumerate(turns) if turn.user))
    return Dialogue(
        id=f"{source}/{item.id}",
        source=source,
        turns=tuple(
            Turn(
                request=join_texts(text for line in turn.user for text in line.utterances if text),
                response=join_texts(text for line in turn.assistant for text in line.utterances if text),
            )
            for turn in turns
        ),
        annotations=tuple(_annotation(f"stc3/a{k:02}", x.quality, goal) for k, x in enumerate(item.annotations, 1)),
    )


def _annotation(annotator: str, judged: _Quality, goal: AtGoal) -> Annotation:
    rating = from_scale(judged.s, _SCALE)
    labels = [Label("quality", AtDialogue(), quality_name(rating), value=rating, given=Rating(judged.s, _SCALE))]
    if not goal.turns:
        return Annotation(annotator, "person", tuple(labels))
    labels.insert(0, Label("goals", goal, "goal"))
    if judged.a == 0:
        return Annotation(annotator, "person", tuple(labels), (NoLabel("outcome", goal),))
    labels.insert(1, Label("outcome", goal, "success" if judged.a > 0 else "failure"))
    return Annotation(annotator, "person", tuple(labels))


READER = Reader(_read)
