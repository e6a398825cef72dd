"""Taskmaster, rewards that people gave to single actions of an agent: TicketTalk (TM-3) and coffee orders (TM-4) (Byrne et al. 2021,
"TicketTalk"; Sidahmed et al. 2024, "PERL: Parameter Efficient Reinforcement Learning from Human Feedback").

path: a folder such as `TM-3-2020`, or one `reward_00.json`. A row is a dialogue up to an action. `source` is `taskmaster/TM-3-2020`.

A turn is an action of the agent. Its request is what the agent answers to: the user's words, or as JSON what a service returned; the category
`from` says which. Its response is a text, or as JSON a call, which is a step too. The last turn is judged: the reward 1 is a quality of 5, 0 one
of 1, by the annotator `people`. Users have no names; rows with equal first messages are of one family (`opening_of`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import TOOL, Category, Dialogue, Step, Turn
from labelgen.data.json_text import json_text
from labelgen.data.labels import Annotation, AtTurn, Label, quality_name
from labelgen.data.reader import Exchange, Options, Reader, exchanges, join_texts, read_bytes
from labelgen.data.record import Rejected, parse, validate

PEOPLE, AGENT = "people", "agent"
_OPENING = 2
"""Messages that make a family."""


class _TaskmasterRow(msgspec.Struct, frozen=True):
    conversation_id: str
    context: str
    generation: str
    reward: float


class TaskmasterMessage(msgspec.Struct, frozen=True):
    """One message. api: of the agent, tool -> arguments. response: of a service, tool -> result."""

    role: str
    text: str = ""
    api: dict[str, Any] = {}
    response: dict[str, Any] = {}


def _read(path: Path, options: Options) -> Iterator[Dialogue | Rejected]:
    files = [path] if path.is_file() else sorted((path / "reward").glob("reward_*.json"))
    if not files:
        raise UsageError(f"no rewards of Taskmaster in {path}", str(path), "name the folder TM-3-2020 or TM-4-2024")
    for file in files:
        corpus = file.parent.parent.name
        name, text = f"{corpus}/{file.name}", read_bytes(file)
        rows = parse(text, list[msgspec.Raw], name)
        if isinstance(rows, Rejected):
            yield rows
            continue
        for k, raw in enumerate(rows, 1):
            row = parse(bytes(raw), _TaskmasterRow, name, k)
            yield row if isinstance(row, Rejected) else _dialogue(row, f"taskmaster/{corpus}", name, k)


def _dialogue(row: _TaskmasterRow, source: str, file: str, k: int) -> Dialogue | Rejected:
    try:
        context = msgspec.json.decode(row.context, type=list[TaskmasterMessage])
        action = msgspec.json.decode(row.generation, type=TaskmasterMessage)
    except msgspec.MsgspecError as error:
        raw = json.dumps({"context": row.context, "generation": row.generation})
        return Rejected(file=file, line=k, dialogue=row.conversation_id, reason=f"bad_json: {error}", raw=raw)
    if row.reward not in (0.0, 1.0):
        reason = f"bad_rating: {row.reward:g} is neither 0 nor 1"
        return Rejected(file=file, line=k, dialogue=row.conversation_id, field="reward", reason=reason)
    turns = [_turn(x) for x in exchanges([*context, action], lambda message: message.role != AGENT)]
    rating = 5.0 if row.reward else 1.0
    label = Label("quality", AtTurn(len(turns) - 1), quality_name(rating), value=rating)
    return validate(
        Dialogue(
            id=f"{source}/{row.conversation_id}",
            turns=tuple(turns),
            source=source,
            annotations=(Annotation(PEOPLE, "person", (label,)),),
        ),
        file,
        k,
    )


def _turn(exchange: Exchange[TaskmasterMessage]) -> Turn:
    asked, done = exchange
    calls = [Step(kind=TOOL, name=name, arguments=json_text(x)) for message in done for name, x in message.api.items()]
    by = Category(name="from", value="service" if any(message.response for message in asked) else "user")
    return Turn(
        request=join_texts(map(_said, asked)),
        response=join_texts(map(_said, done)),
        categories=(by,),
        steps=tuple(calls),
    )


def _said(message: TaskmasterMessage) -> str:
    """The words of a message, or the JSON of a call or of a result."""
    return message.text or msgspec.json.encode(message.api or message.response).decode()


def opening_of(dialogue: Dialogue) -> str:
    """The family of a dialogue: its first two messages, most often the agent's greeting and the user's wish."""
    said = [text for turn in dialogue.turns[:_OPENING] for text in (turn.request, turn.response) if text]
    return json.dumps(said[:_OPENING])


READER = Reader(_read)
