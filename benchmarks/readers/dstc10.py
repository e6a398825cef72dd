"""DSTC10 track 2, task 2: spoken dialogues with a recognizer's n-best lists (Kim et al. 2021, "How Robust R U?": Evaluating
Task-Oriented Dialogue Systems on Spoken Conversations", arXiv:2109.13489).

path: the corpus folder, the folder of one part (`task2/data/val`), or one `logs.json`. `source` is the part, `dstc10/val`.

A record is a dialogue up to one turn of the user, so several records may begin the same; it ends with a request and an
empty response. A request is the best hypothesis, and all of them, with their log-probabilities, are its `nbest`; there are no
transcripts. If `labels.json` is in the same folder, annotator `dstc10` labels whether the last request asks for knowledge outside of
the database: intent `knowledge_seeking`, or none. The response and its knowledge are not read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Recognition, Turn
from labelgen.data.labels import Annotation, AtTurn, Label, NoLabel
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_SEEKING = "knowledge_seeking"


class _Hypothesis(msgspec.Struct, frozen=True):
    hyp: str
    score: float


class _DstcLine(msgspec.Struct, frozen=True):
    speaker: Literal["U", "S"]
    text: str
    nbest: tuple[_Hypothesis, ...] = ()


class _DstcLabel(msgspec.Struct, frozen=True):
    target: bool


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        name, sidecar = f"{file.parent.name}/{file.name}", file.with_name("labels.json")
        logs = parse(read_bytes(file), list[msgspec.Raw], name)
        labels = (
            parse(read_bytes(sidecar), list[_DstcLabel], f"{file.parent.name}/{sidecar.name}")
            if sidecar.is_file()
            else None
        )
        if isinstance(logs, Rejected):
            yield logs
            continue
        if isinstance(labels, Rejected):
            yield labels
            continue
        if labels is not None and len(labels) != len(logs):
            reason = f"bad_labels: {len(labels)} labels for {len(logs)} dialogues"
            yield Rejected(file=f"{file.parent.name}/{sidecar.name}", reason=reason)
            continue
        source = f"dstc10/{file.parent.name}"
        for position, raw in enumerate(logs):
            identity = f"{source}/{position}"
            lines = parse(bytes(raw), tuple[_DstcLine, ...], name, dialogue=identity)
            if isinstance(lines, Rejected):
                yield lines
            else:
                yield validate(_dialogue(lines, None if labels is None else labels[position], identity, source), name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.rglob("logs.json"))
    if not files:
        raise UsageError(f"no DSTC10 logs in {path}", str(path), "name the folder with task2/data/val/logs.json, ...")
    return files


def _dialogue(lines: Sequence[_DstcLine], label: _DstcLabel | None, identity: str, source: str) -> Dialogue:
    turns = tuple(_turn(turn) for turn in exchanges(lines, lambda line: line.speaker == "U"))
    annotations: tuple[Annotation, ...] = ()
    if label is not None and turns:
        at = AtTurn(len(turns) - 1)
        seeks = (Label("intents", at, _SEEKING),) if label.target else ()
        annotations = (Annotation("dstc10", "person", seeks, () if seeks else (NoLabel("intents", at),)),)
    return Dialogue(id=identity, source=source, turns=turns, annotations=annotations)


def _turn(turn: Exchange[_DstcLine]) -> Turn:
    # Two utterances in a row make one request, of which no list of hypotheses is known.
    heard = turn.user[0].nbest if len(turn.user) == 1 else ()
    return Turn(
        request=join_texts(line.text for line in turn.user),
        response=join_texts(line.text for line in turn.assistant),
        nbest=tuple(Recognition(text=x.hyp, score=x.score) for x in heard),
    )


READER = Reader(_read)
