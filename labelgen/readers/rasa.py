"""Conversations of Rasa bots: tracker stores as JSON, and events one by one.

path: a `.json` or `.jsonl` file, also packed, a `.csv` or `.parquet` of the table `events`, or a folder of them. A record is a
tracker (`sender_id`, `events`: what `GET /conversations/ID/tracker` and a Mongo store have), a list of these, or one event with its
`sender_id` (an event broker, `rasa export`; a row of an SQL store has it in `data`). Events are those of Rasa 3
(https://rasa.com/docs/rasa/events, `rasa.shared.core.events`).

A dialogue is a session: it ends at `session_started` and at a restart. What the bot understood is the hypothesis, with intents,
entities and their confidences; its actions are steps. A request that a button sent, such as `/inform{"size": "XL"}`, has the
title of the button as its text, if the bot had shown it. Feedback is read of slots and of payloads that look like it by name
(`/feedback{"rating": 5}`), when all their values have been seen; the option `feedback` names others. A payload of feedback is no
request."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from labelgen.data.dialogue import (
    TOOL,
    Category,
    Dialogue,
    Feedback,
    Hypothesis,
    HypothesisIntent,
    HypothesisSlot,
    Step,
    Turn,
)
from labelgen.data.json_text import decoded, json_text, object_of
from labelgen.data.reader import Groups, Items, Reader, Remark, exchanges, join_texts, named_parts
from labelgen.data.record import Rejected, validate
from labelgen.readers.cells import CellError, Moment, cell_id, cell_number, is_empty, seconds_since_1970
from labelgen.readers.exports import json_objects
from labelgen.readers.mapping import Meaning, note_value
from labelgen.readers.suggest import feedback_kind, meaning_of

_PAYLOAD = re.compile(r"/([\w.+/-]+)\s*(\{.*\})?\s*", re.DOTALL)
_NO_ACTION = ("action_listen", "action_session_start", "action_restart", "action_extract_slots")
_COMMAND = re.compile(r"/(?:session_start|restart|back)\b|EXTERNAL:")
"""How requests begin that no user made."""
_BORDERS = ("session_started", "restart")


class _Event(msgspec.Struct, frozen=True):
    file: str
    line: int
    event: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RasaOptions:
    """Which slots and payloads are feedback."""

    feedback: Annotated[Mapping[str, str], "MEANING"] = field(default_factory=dict)
    """name of a slot, or of an intent or entity of a payload, and what its values mean, such as 'rating 1..5 of dialogue'; without any,
    those that look like feedback by their names"""

    @cached_property
    def meanings(self) -> Mapping[str, Meaning]:
        """The meaning of each."""
        return {name: Meaning.of_text(name, text) for name, text in self.feedback.items()}


def _read(path: Path, options: RasaOptions) -> Items:
    values: dict[str, dict[str, Any]] = {}
    waiting: dict[str, set[str]] = {}
    inside: set[str] = set()
    spoken: set[str] = set()
    with Groups[_Event](_Event) as senders:
        for name, line, text, value in json_objects(path):
            if isinstance(value, Rejected):
                yield value
                continue
            found = list(_events(value))
            if not found:
                reason = "bad_type: neither a tracker (sender_id, events) nor an event of Rasa"
                yield Rejected(file=name, line=line, reason=reason, raw=text.decode("utf-8", "replace"))
            for sender, event in found:
                senders.add(sender, _Event(name, line, event))
                named = [
                    (key, given)
                    for key, given in _given(event)
                    if (key in options.feedback if options.feedback else feedback_kind(key) is not None)
                ]
                for key, given in named:
                    note_value(values, key, given)
                    if sender in spoken:
                        waiting.setdefault(sender, set()).add(key)
                if event["event"] in _BORDERS:
                    waiting.pop(sender, None)
                    spoken.discard(sender)
                elif _speaks(event) and event["event"] == "user" and not named:
                    spoken.add(sender)
                    # What users say something after is about a turn.
                    inside |= waiting.pop(sender, set())
        meanings = dict(options.meanings)
        for key, seen in values.items():
            if key not in meanings:
                meaning = meaning_of(feedback_kind(key) or "thumbs", list(seen.values()), key)
                shown = ", ".join(list(seen)[:8])
                if meaning is None:
                    yield Remark(
                        f"{key!r} looks like feedback, and what its values {shown} mean is not known; say it with "
                        f"--option feedback='{{{key}: thumbs good=... bad=...}}'"
                    )
                    continue
                kind = meaning + ("" if key in inside else " of dialogue")
                meanings[key] = Meaning.of_text(key, kind)
                yield Remark(
                    f"{key!r} with the values {shown} is read as {kind}; for another meaning give --option feedback='{{{key}: ...}}'"
                )
        for sender, events in senders:
            yield from _sessions(sender, events, meanings)


def _events(value: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a record, each with the id of its sender."""
    data = decoded(value.get("data"))
    if isinstance(data, dict) and "event" in data and "event" not in value:
        value = {**data, "sender_id": value.get("sender_id", data.get("sender_id"))}
    sender = cell_id(value.get("sender_id"))
    listed = decoded(value.get("events"))
    events = listed if isinstance(listed, list) else [value]
    for event in events:
        own = cell_id(event.get("sender_id")) if isinstance(event, dict) else None
        if isinstance(event, dict) and isinstance(event.get("event"), str) and (sender or own):
            yield sender or own or "", event


def _given(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The slots that an event sets, and what a payload says, by name."""
    if event["event"] == "slot" and not is_empty(event.get("value")):
        yield str(event.get("name")), event["value"]
    elif event["event"] == "user" and (payload := _payload(event)) is not None:
        name, entities = payload
        alone = len(entities) == 1 and not any(map(feedback_kind, entities))
        if alone and feedback_kind(name) is not None:
            yield name, next(iter(entities.values()))
        else:
            yield from entities.items()


def _text(event: Mapping[str, Any]) -> str:
    return str(event.get("text") or "")


def _payload(event: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Intent and entities of a request that a button sent; None where a user wrote it."""
    match = _PAYLOAD.fullmatch(_text(event))
    entities = decoded(match[2]) if match and match[2] else {}
    return (match[1], entities) if match and isinstance(entities, dict) else None


def _sessions(sender: str, events: Sequence[_Event], meanings: Mapping[str, Meaning]) -> Iterator[Dialogue | Rejected]:
    """The dialogues of a sender."""
    sessions: list[list[_Event]] = [[]]
    for one in events:
        if one.event["event"] in _BORDERS and any(_speaks(x.event) for x in sessions[-1]):
            sessions.append([])
        sessions[-1].append(one)
    sessions = [session for session in sessions if any(_speaks(x.event) for x in session)]
    for identity, session in named_parts(sender, sessions):
        first = session[0]
        try:
            made = _dialogue(identity, sender, [one.event for one in session], meanings)
        except CellError as error:
            yield error.rejected(first.file, first.line, identity)
        else:
            yield validate(made, first.file, first.line)


def _speaks(event: Mapping[str, Any]) -> bool:
    return event["event"] == "bot" or (event["event"] == "user" and not _COMMAND.match(_text(event)))


def _dialogue(
    identity: str, sender: str, events: Sequence[dict[str, Any]], meanings: Mapping[str, Meaning]
) -> Dialogue:
    titles: dict[str, str] = {}
    lines: list[dict[str, Any]] = []
    of_dialogue: list[Feedback] = []
    start_s = next((s for event in events if (s := seconds_since_1970(event.get("timestamp"))) is not None), None)
    said: set[tuple[str, str]] = set()
    for event in events:
        kind = event["event"]
        named = [(name, value) for name, value in _given(event) if name in meanings]
        said = set() if kind == "user" else said
        # Slots of an earlier session are set again before anything is said, and those of a payload after it.
        for name, value in named if lines else ():
            if (name, str(value)) not in said:
                said.add((name, str(value)))
                feedback = meanings[name].read(name, value, cell_number)
                # Users judge what they were answered last.
                (of_dialogue if meanings[name].of == "dialogue" else lines[-1].setdefault("feedback", [])).extend(
                    feedback
                )
        if (kind == "user" and named and _payload(event) is not None) or (_COMMAND.match(_text(event))):
            continue
        if kind == "user":
            text = _text(event)
            lines.append({**event, "said": text if _payload(event) is None else titles.get(text, text)})
        elif kind == "bot":
            buttons = map(object_of, object_of(event.get("data")).get("buttons") or ())
            titles |= {str(button.get("payload")): str(button.get("title")) for button in buttons}
            lines.append({**event, "said": _text(event)})
        elif kind == "action" and lines and event.get("name") not in _NO_ACTION:
            lines[-1].setdefault("actions", []).append(event)
    turns = exchanges(lines, lambda line: line["event"] == "user")
    return Dialogue(
        id=identity,
        user=cell_id(sender, of_user=True),
        start=None if start_s is None else Moment(start_s, "epoch").iso(),
        turns=tuple(_turn((*turn.user, *turn.assistant), start_s or 0.0) for turn in turns),
        feedback=tuple(dict.fromkeys(of_dialogue)),
    )


def _turn(lines: Sequence[dict[str, Any]], start_s: float) -> Turn:
    user = [line for line in lines if line["event"] == "user"]
    bot = [line for line in lines if line["event"] == "bot"]
    request = join_texts(line["said"] for line in user)
    actions = [action for line in lines for action in line.get("actions", ())]
    parsed = user[-1].get("parse_data") if user else None
    # Places in a payload are none in the title of its button.
    said = user[-1]["said"] if user and _payload(user[-1]) is None else ""
    hypothesis = _hypothesis(parsed, said, request) if isinstance(parsed, dict) else None
    channel = next((str(line["input_channel"]) for line in user if line.get("input_channel")), None)
    return Turn(
        request=request,
        response=join_texts(line["said"] for line in bot if line["said"]),
        time_s=_since(user, start_s),
        response_time_s=_since(bot, start_s),
        nlu_confidence=None if hypothesis is None or not hypothesis.intents else hypothesis.intents[0].confidence,
        hypothesis=hypothesis,
        categories=() if channel is None else (Category(name="channel", value=channel),),
        steps=tuple(
            Step(kind=TOOL, name=str(action.get("name")), confidence=_share(action.get("confidence")))
            for action in actions
        ),
        feedback=tuple(one for line in lines for one in line.get("feedback", ())),
    )


def _since(lines: Sequence[Mapping[str, Any]], start_s: float) -> float | None:
    times = (seconds_since_1970(line.get("timestamp")) for line in lines)
    return next((time - start_s for time in times if time is not None), None)


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0.0 <= value <= 1.0 else None


def _hypothesis(parsed: Mapping[str, Any], said: str, request: str) -> Hypothesis | None:
    """What the bot understood. said: the last message of the request, in which the places of entities count."""
    intent, entities = object_of(parsed.get("intent")), parsed.get("entities")
    intents: tuple[HypothesisIntent, ...] = ()
    if isinstance(intent.get("name"), str):
        intents = (HypothesisIntent(name=intent["name"], confidence=_share(intent.get("confidence"))),)
    if not intents and not isinstance(entities, list):
        return None
    offset = len(request) - len(said)
    slots = []
    for one in map(object_of, entities if isinstance(entities, list) else ()):
        start, end = one.get("start"), one.get("end")
        if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(said):
            slots.append(
                HypothesisSlot(
                    name=str(one.get("entity")),
                    start=offset + start,
                    end=offset + end,
                    value=json_text(one.get("value")),
                    confidence=_share(one.get("confidence_entity")),
                )
            )
    return Hypothesis(intents=intents, slots=tuple(slots) if isinstance(entities, list) else None)


READER = Reader(_read, options=RasaOptions)
