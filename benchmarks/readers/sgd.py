"""Schema-Guided Dialogue (Rastogi et al. 2020, "Towards Scalable Multi-Domain Conversational Agents", AAAI).

path: the folder of one part (`sgd/dev`) or of the whole release. A goal is one service in a
dialogue; its outcome is the last NOTIFY_SUCCESS or NOTIFY_FAILURE of that service, and unknown without one. Acts,
states, service calls and results are never input."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.label_sets import LabelName, Sources
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

_PARTS = ("train", "dev", "test")
_OUTCOME = {"NOTIFY_SUCCESS": "success", "NOTIFY_FAILURE": "failure"}
_NO_INTENT = "NONE"


class _Action(msgspec.Struct, frozen=True):
    act: str
    slot: str = ""
    values: tuple[str, ...] = ()
    canonical_values: tuple[str, ...] = ()


class _Span(msgspec.Struct, frozen=True):
    slot: str
    start: int
    exclusive_end: int


class _SgdState(msgspec.Struct, frozen=True):
    active_intent: str


class _Frame(msgspec.Struct, frozen=True):
    service: str
    actions: tuple[_Action, ...] = ()
    slots: tuple[_Span, ...] = ()
    state: _SgdState | None = None

    @property
    def intent(self) -> str | None:
        """What the user wants here, where this frame has something that the user did."""
        if not self.actions or self.state is None or self.state.active_intent == _NO_INTENT:
            return None
        return self.state.active_intent


class _SgdLine(msgspec.Struct, frozen=True):
    speaker: Literal["USER", "SYSTEM"]
    utterance: str
    frames: tuple[_Frame, ...]


class _SgdDialogue(msgspec.Struct, frozen=True):
    dialogue_id: str
    services: tuple[str, ...]
    turns: tuple[_SgdLine, ...]


class _SgdName(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    is_categorical: bool = False


class _Service(msgspec.Struct, frozen=True):
    service_name: str
    intents: tuple[_SgdName, ...]
    slots: tuple[_SgdName, ...]


def _parts(path: Path) -> list[Path]:
    parts = [path / name for name in _PARTS if any((path / name).glob("dialogues_*.json"))]
    if not parts and any(path.glob("dialogues_*.json")):
        parts = [path]
    if not parts:
        hint = "name a folder with dialogues_001.json, ..., or the one that holds train, dev and test"
        raise UsageError(f"no SGD dialogues in {path}", str(path), hint)
    return parts


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    for part in _parts(path):
        for file in sorted(part.glob("dialogues_*.json")):
            name = f"{part.name}/{file.name}"
            texts = parse(read_bytes(file), list[msgspec.Raw], name)
            if isinstance(texts, Rejected):
                yield texts
                continue
            for position, text in enumerate(texts):
                item = parse(bytes(text), _SgdDialogue, name)
                if isinstance(item, Rejected):
                    yield replace(item, field=f"[{position}].{item.field or ''}".rstrip("."))
                else:
                    yield validate(_dialogue(item, f"sgd/{part.name}"), name)


def _dialogue(item: _SgdDialogue, source: str) -> Dialogue:
    turns = exchanges(item.turns, lambda line: line.speaker == "USER")
    return Dialogue(
        id=f"{source}/{item.dialogue_id}",
        source=source,
        turns=tuple(
            Turn(request=join_texts(x.utterance for x in t.user), response=join_texts(x.utterance for x in t.assistant))
            for t in turns
        ),
        annotations=(_annotation(turns),),
        extra=msgspec.json.encode({"services": item.services}).decode(),
    )


def _annotation(turns: Sequence[Exchange[_SgdLine]]) -> Annotation:
    labels: list[Label] = []
    none: list[NoLabel] = []
    outcomes = {
        frame.service: _OUTCOME[action.act]
        for turn in turns
        for line in turn.assistant
        for frame in line.frames
        for action in frame.actions
        if action.act in _OUTCOME
    }
    for service, members in _goals(turns).items():
        labels.append(Label("goals", AtGoal(members), "goal"))
        if service in outcomes:
            labels.append(Label("outcome", AtGoal(members), outcomes[service]))
    if not labels:
        none.append(NoLabel("goals", AtDialogue()))
    for t, turn in enumerate(turns):
        if not any(line.utterance for line in turn.user):
            continue
        frames = [frame for line in turn.user for frame in line.frames]
        intents = dict.fromkeys(f"{frame.service}.{frame.intent}" for frame in frames if frame.intent)
        labels += [Label("intents", AtTurn(t), name) for name in intents]
        if not intents:
            none.append(NoLabel("intents", AtTurn(t)))
        slots = sorted(_slots(t, turn), key=lambda label: (label.at, label.name))
        labels += slots
        if not slots:
            none.append(NoLabel("slots", AtTurn(t)))
    return Annotation("sgd", "person", tuple(labels), tuple(none))


def _goals(turns: Sequence[Exchange[_SgdLine]]) -> dict[str, tuple[int, ...]]:
    """service -> turns that serve it, in the order of their first turns.

    A turn with several services serves the one whose intent was just told or has just changed, else the last."""
    goals: dict[str, tuple[int, ...]] = {}
    before: dict[str, str] = {}
    for t, turn in enumerate(turns):
        serves = None
        for line in turn.user:
            asking = [frame for frame in line.frames if frame.intent]
            opening = [
                frame
                for frame in asking
                if before.get(frame.service) != frame.intent or any(a.act == "INFORM_INTENT" for a in frame.actions)
            ]
            serves = next((frame.service for frame in reversed(opening or asking)), serves)
            before.update({frame.service: frame.state.active_intent for frame in line.frames if frame.state})
        if serves is not None:
            goals[serves] = (*goals.get(serves, ()), t)
    return goals


def _slots(t: int, turn: Exchange[_SgdLine]) -> Iterator[Label]:
    """Spans of the user's frames; value: the normalized form, where it is not the span's own text."""
    shift = 0
    for line in turn.user:
        for frame in line.frames:
            for span in frame.slots:
                text = line.utterance[span.start : span.exclusive_end]
                value = _normal(frame, span.slot, text)
                at = AtSpan(t, shift + span.start, shift + span.exclusive_end)
                yield Label("slots", at, f"{frame.service}.{span.slot}", value=value)
        shift += len(line.utterance) + 1


def _normal(frame: _Frame, slot: str, text: str) -> str | None:
    for action in frame.actions:
        if action.slot == slot and text in action.values and len(action.canonical_values) == len(action.values):
            value = action.canonical_values[action.values.index(text)]
            return value if value != text else None
    return None


def _labels(path: Path, options: Options) -> Sources:
    """Intents, and the slots that are said in words, of all services in the part's schema."""
    sources: Sources = {}
    for part in _parts(path):
        services = parse(read_bytes(part / "schema.json"), list[_Service], f"{part.name}/schema.json")
        if isinstance(services, Rejected):
            raise InputError(services.reason, services.where(), "take schema.json from the published release")
        intents = [_name(s, x) for s in services for x in s.intents]
        slots = [_name(s, x) for s in services for x in s.slots if not x.is_categorical]
        sources = {**sources, f"sgd/{part.name}": {"intents": _sorted(intents), "slots": _sorted(slots)}}
    return sources


def _name(service: _Service, named: _SgdName) -> LabelName:
    return LabelName(f"{service.service_name}.{named.name}", named.description or None)


def _sorted(names: list[LabelName]) -> tuple[LabelName, ...]:
    return tuple(sorted(names, key=lambda label: label.name))


READER = Reader(_read, _labels)
