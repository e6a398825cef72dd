"""BETOLD, calls to an assistant that books appointments (Terragni et al. 2022, "BETOLD: A Task-Oriented Dialog Dataset for
Breakdown Detection", 2022.cai-1.4).

path: the corpus folder, or one of its `BETOLD_*.json`.

The corpus has no words, only acts: the assistant's understanding of a request (NLU) and its response (NLG), each an intent
with entities. A turn's texts are its acts in words, a line each: `ask for battery health`, `inform: numeric`.

A call is one goal. If the user hung up or was forwarded late in the call (LUHF), the dialogue has feedback `disconnect` about
the last turn. It belongs to the dialogue, so masking it (feedback/signal.py) removes no turn. Annotator `user` repeats it as the outcome of the call: failure; success otherwise, as
the corpus has it.

How a published call ends tells who ended it: nearly all LUHFs end with the assistant's words, two other calls in three with
the user's; and only in the others the last words may announce what follows. So every call is cut after the last response
that waits for the user. Requests without a response, and announcements that nothing follows, are not read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.reader import Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_ANNOUNCEMENTS = ("inform_schedule_inspection", "working_on_previous_request")


class _Entity(msgspec.Struct, frozen=True):
    entity: str


class _Act(msgspec.Struct, frozen=True):
    caller_name: Literal["nlu", "nlg"]
    intent: str
    entities: tuple[_Entity, ...] = ()

    @property
    def by_user(self) -> bool:
        return self.caller_name == "nlu"

    @property
    def waits(self) -> bool:
        """The assistant has said what it had to say, and it is the user's turn."""
        return not self.by_user and self.intent not in _ANNOUNCEMENTS

    @property
    def words(self) -> str:
        # Sorted: the corpus lists the entities of equal acts in any order.
        entities = ", ".join(sorted(_words(x.entity) for x in self.entities))
        return f"{_words(self.intent)}: {entities}" if entities else _words(self.intent)


class _BetoldCall(msgspec.Struct, frozen=True):
    luhf: Literal["luhf", "not_luhf"] = msgspec.field(name="LUHF")
    acts: tuple[_Act, ...] = msgspec.field(name="utterances_annotations")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for file in _files(path):
        calls = parse(read_bytes(file), list[msgspec.Raw], file.name)
        if isinstance(calls, Rejected):
            yield calls
            continue
        for position, raw in enumerate(calls):
            identity = f"betold/{file.stem.removeprefix('BETOLD_')}/{position}"
            call = parse(bytes(raw), _BetoldCall, file.name, dialogue=identity)
            yield call if isinstance(call, Rejected) else validate(_dialogue(call, identity), file.name)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.glob("BETOLD_*.json"))
    if not files:
        raise UsageError(f"no BETOLD calls in {path}", str(path), "name the folder with BETOLD_valid.json, ...")
    return files


def _dialogue(call: _BetoldCall, identity: str) -> Dialogue:
    turns = tuple(
        Turn(
            request=join_texts(act.words for act in turn.user), response=join_texts(act.words for act in turn.assistant)
        )
        for turn in exchanges(_cut(call.acts), lambda act: act.by_user)
    )
    left = call.luhf == "luhf"
    return Dialogue(
        id=identity,
        source="betold",
        turns=turns,
        feedback=(Feedback(kind="disconnect", about=len(turns) - 1),) if left and turns else (),
        annotations=tuple(_by_user(len(turns), "failure" if left else "success")),
    )


def _cut(acts: Sequence[_Act]) -> Sequence[_Act]:
    """The acts up to the last one that waits for the user."""
    return acts[: max((k + 1 for k, act in enumerate(acts) if act.waits), default=0)]


def _by_user(turns: int, outcome: str) -> Iterator[Annotation]:
    if turns:
        at = AtGoal(tuple(range(turns)))
        yield Annotation("user", "user", (Label("goals", at, "goal"), Label("outcome", at, outcome)))


READER = Reader(_read)
