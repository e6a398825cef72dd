"""CMU GetGoing, calls to a telephone service for directions (Mehri et al. 2019, "CMU GetGoing: An Understandable and
Memorable Dialog System for Seniors", arXiv:1909.01322).

path: the corpus folder, its `logs` folder, or one call's folder or `log.json`.

A line is a recognized request, or a spoken response without its markup. The calling number is the user, so repeated calls are
known; without `metadata.json` it is unknown. Nobody annotated the calls:
the users' plain yes or no to "were the provided directions useful?" is feedback `answer` of the turn that says it, and
annotator `user` repeats it as the outcome of the call's one goal; that to "would you use GetGoing again?" is feedback
`questionnaire`. Who hung up is not recorded, and lines have no clocks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.json_text import readable
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.reader import Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_SIDES = ("USER", "TTS")
_MARK = re.compile(r"<[^>]*>|^\s*![a-z]\b")
_ASKED = re.compile(
    r"(?:(?P<useful>were the provided directions useful)|would you use getgoing again)\?$", re.IGNORECASE
)
_ANSWER = re.compile(r"(?P<yes>yes|yeah|yep)\b|no\b", re.IGNORECASE)
_OUTCOMES = {"yes": "success", "no": "failure"}


class _GetGoingLine(msgspec.Struct, frozen=True):
    by_user: bool
    text: str


class _GetGoingCall(msgspec.Struct, frozen=True):
    uuid: str
    history: tuple[str, ...]


class _Metadata(msgspec.Struct, frozen=True):
    number: str | None = None
    time: str | None = None


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        name, sidecar = f"{file.parent.name}/{file.name}", file.with_name("metadata.json")
        text = read_bytes(file)
        call = parse(text, _GetGoingCall, name)
        about = parse(
            read_bytes(sidecar) if sidecar.is_file() else b"{}", _Metadata, f"{file.parent.name}/{sidecar.name}"
        )
        if isinstance(call, Rejected):
            yield call
        elif isinstance(about, Rejected):
            yield about
        else:
            yield _dialogue(call, about, name, text)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.rglob("log.json"))
    if not files:
        raise UsageError(f"no GetGoing calls in {path}", str(path), "name the folder with logs/CALL/log.json, ...")
    return files


def _dialogue(call: _GetGoingCall, about: _Metadata, file: str, text: bytes) -> Dialogue | Rejected:
    identity = f"getgoing/{call.uuid}"
    strange = next((k for k, line in enumerate(call.history) if line.partition(" ")[0] not in _SIDES), None)
    if strange is not None:
        reason = f"bad_line: {call.history[strange]!r} begins neither with USER nor with TTS"
        return Rejected(file=file, dialogue=identity, field=f"history[{strange}]", reason=reason, raw=readable(text))
    lines = [_line(line) for line in call.history]
    turns = [
        Turn(request=join_texts(x.text for x in turn.user), response=join_texts(x.text for x in turn.assistant))
        for turn in exchanges((line for line in lines if line.text), lambda line: line.by_user)
    ]
    feedback_at = dict(_closing_answers(turns))
    return validate(
        Dialogue(
            id=identity,
            user=about.number,
            start=about.time,
            source="getgoing",
            turns=tuple(replace(x, feedback=(feedback_at[t],)) if t in feedback_at else x for t, x in enumerate(turns)),
            annotations=tuple(_by_user(turns, feedback_at)),
        ),
        file,
    )


def _line(text: str) -> _GetGoingLine:
    side, _, utterances = text.partition(" ")
    return _GetGoingLine(side == "USER", " ".join(_MARK.sub(" ", utterances).split()))


def _closing_answers(turns: Sequence[Turn]) -> Iterator[tuple[int, Feedback]]:
    """What users said to the closing questions, each with the turn that says it."""
    for t, turn in enumerate(turns[1:], 1):
        question = _ASKED.search(turns[t - 1].response)
        utterances = _ANSWER.match(turn.request)
        if question and utterances:
            kind = "answer" if question["useful"] else "questionnaire"
            answer = "yes" if utterances["yes"] else "no"
            yield t, Feedback(kind=kind, answer=answer, about=t - 1, question=question[0])


def _by_user(turns: Sequence[Turn], feedback_at: Mapping[int, Feedback]) -> Iterator[Annotation]:
    """The last answer, as the outcome of what was asked for before it."""
    last = max((t for t, feedback in feedback_at.items() if feedback.kind == "answer"), default=0)
    goal = AtGoal(tuple(t for t, turn in enumerate(turns[:last]) if turn.request))
    if goal.turns:
        outcome = Label("outcome", goal, _OUTCOMES[feedback_at[last].answer or ""])
        yield Annotation("user", "user", (Label("goals", goal, "goal"), outcome))


READER = Reader(_read)
