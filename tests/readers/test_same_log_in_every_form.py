"""One log, written as each form has it with the mess of that form: what comes in is what was written, text by text, turn by turn, user by
user and thumb by thumb."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.reader import READERS, Reader

WORDS = (
    "play",
    "no",
    "Rome",
    "caf\u00e9",
    "\u6771\u4eac",
    "I said",
    "thanks",
    '"quoted"',
    "a;b,c",
    "{brace}",
    "[1]",
    "100%",
    "O'Neil",
)
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """One turn. thumb: of the user, on the response."""

    request: str
    response: str
    thumb: bool | None


@dataclass(frozen=True)
class Talk:
    id: str
    user: str
    turns: tuple[Said, ...]
    at: datetime

    def time(self, k: int) -> datetime:
        """When the request of a turn was made; its response comes two seconds later."""
        return self.at + timedelta(minutes=k)


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
turns = st.builds(Said, texts, texts, st.sampled_from([None, None, True, False]))


@st.composite
def logs(draw: st.DrawFn) -> list[Talk]:
    sizes = draw(st.lists(st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=4))
    users = [draw(st.sampled_from(["u1", "u2", "17"])) for _ in sizes]
    return [
        Talk(f"d{k}", user, tuple(said), BEGIN + timedelta(hours=k))
        for k, (user, said) in enumerate(zip(users, sizes, strict=True))
    ]


def clock(at: datetime, seconds: float = 0.0) -> str:
    return (at + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def jsonl(path: Path, records: list[Any]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def utterances(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """A CSV of a help desk: rows in any order, copies, internal notes, and empty rows."""
    rows = []
    for talk in log:
        for k, said in enumerate(talk.turns):
            thumb = "" if said.thumb is None else rng.choice(["up", "Good"] if said.thumb else ["down", "Bad"])
            rows += [
                [talk.id, talk.user, clock(talk.time(k)), "END_USER", "true", said.request, ""],
                [talk.id, talk.user, clock(talk.time(k), 2), "agent", "true", said.response, thumb],
            ]
            if rng.random() < 0.3:
                rows.append([talk.id, talk.user, clock(talk.time(k), 3), "agent", "false", "INTERNAL note", ""])
    rows += rng.sample(rows, len(rows) // 3)
    rng.shuffle(rows)
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["Ticket", "Requester", "At", "Role", "Public", "Body", "Thumb"])
        table.writerows([*rows, [""] * 7])
    return {
        "dialogue": "Ticket", "user": "Requester", "time": "At", "speaker": "Role", "text": "Body",
        "drop": "{Public: 'false'}", "feedback": "{Thumb: 'thumbs good=up,good bad=down,bad'}",
    }  # fmt: skip


def chats(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """Chats in several shapes of messages, with instructions and thoughts."""
    shapes: list[Callable[[str], Any]] = [
        lambda text: {"content": text},
        lambda text: {"content": [{"type": "text", "text": text}]},
        lambda text: {"content": "", "parts": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": text}]},
    ]
    records = []
    for talk in log:
        messages: list[dict[str, Any]] = [{"role": "system", "content": "be kind"}]
        for said in talk.turns:
            messages.append({"role": "user", **rng.choice(shapes)(said.request)})
            thumb = {} if said.thumb is None else {"thumb": rng.choice([int(said.thumb) * 2 - 1, said.thumb])}
            messages.append({"role": "assistant", **rng.choice(shapes)(said.response), **thumb})
        records.append({"id": talk.id, "user": talk.user, "messages": messages})
    jsonl(path.with_suffix(".jsonl"), records)
    return {"feedback": "{thumb: 'thumbs bad=false,-1'}"}


def chatgpt(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """Trees with hidden messages and answers that were replaced."""
    folder = path.with_suffix(".export")
    folder.mkdir()
    made, thumbs = [], []
    for talk in log:
        nodes: dict[str, dict[str, Any]] = {"root": {"id": "root", "message": None, "parent": None, "children": []}}

        def add(
            parent: str, role: str, text: str, at: datetime, nodes: Any = nodes, talk: Talk = talk, **metadata: Any
        ) -> str:
            name = f"{talk.id}-{len(nodes)}"
            content = {"content_type": "text", "parts": [text]}
            message = {
                "author": {"role": role},
                "create_time": at.timestamp(),
                "content": content,
                "metadata": metadata,
            }
            nodes[name] = {"id": name, "parent": parent, "children": [], "message": {**message, "recipient": "all"}}
            nodes[parent]["children"].append(name)
            return name

        at = add("root", "system", "hidden", talk.at, is_visually_hidden_from_conversation=True)
        for k, said in enumerate(talk.turns):
            at = add(at, "user", said.request, talk.time(k))
            if rng.random() < 0.3:
                add(at, "assistant", said.response, talk.time(k))  # the same words: nothing was replaced
            at = add(at, "assistant", said.response, talk.time(k) + timedelta(seconds=2))
            if said.thumb is not None:
                thumbs.append({"message_id": at, "rating": f"thumbs_{'up' if said.thumb else 'down'}"})
        made.append({"id": talk.id, "mapping": nodes, "current_node": at})
    (folder / "conversations.json").write_text(json.dumps(made))
    (folder / "message_feedback.json").write_text(json.dumps(thumbs))
    return {}


def rasa(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """Trackers, some as single events, with actions and payloads."""
    records: list[Any] = []
    for talk in log:
        events: list[dict[str, Any]] = [{"event": "session_started", "timestamp": talk.at.timestamp() - 1}]
        for k, said in enumerate(talk.turns):
            at = talk.time(k).timestamp()
            events.append(
                {"event": "user", "text": said.request, "timestamp": at, "parse_data": {"intent": {"name": "x"}}}
            )
            events += [{"event": "action", "name": "action_listen", "timestamp": at + 1}] * rng.randint(0, 2)
            events.append({"event": "bot", "text": said.response, "timestamp": at + 2})
            if said.thumb is not None:
                value = "up" if said.thumb else "down"
                events.append({"event": "user", "text": f'/rate{{"thumb": "{value}"}}', "timestamp": at + 3})
                events.append({"event": "slot", "name": "thumb", "value": value, "timestamp": at + 4})
        # The sender is the user; here each has one conversation.
        sender = f"{talk.user}/{talk.id}"
        if rng.random() < 0.5:
            records.append({"sender_id": sender, "events": events})
        else:
            records += [{"sender_id": sender, **event} for event in events]
    jsonl(path.with_suffix(".jsonl"), records)
    return {"feedback": "{thumb: thumbs}"}


def langfuse(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """Traces in any order, exported twice, with scores that were changed, and traces of judges."""
    records: list[Any] = []
    for talk in log:
        for k, said in enumerate(talk.turns):
            name = f"{talk.id}-{k}"
            times = {"timestamp": clock(talk.time(k)), "updatedAt": clock(talk.time(k), 2)}
            history = [
                message
                for earlier in talk.turns[:k]
                for message in ({"role": "user", "content": earlier.request}, {"role": "assistant", "content": earlier.response})
            ]  # fmt: skip
            asked: Any = [*history, {"role": "user", "content": said.request}]
            whole = {
                "id": name,
                "sessionId": talk.id,
                "userId": talk.user,
                "input": asked,
                "output": said.response,
                **times,
            }
            records.append(whole)
            if rng.random() < 0.4:
                records.append({**whole, "output": None, "updatedAt": clock(talk.time(k), 1)})
            if said.thumb is not None:
                for step, value in enumerate([not said.thumb, said.thumb][rng.randrange(2) :]):
                    at = clock(talk.time(k), 10 + step + (value == said.thumb))
                    records.append({"id": f"s{name}", "traceId": name, "name": "user_feedback", "value": int(value), "source": "API", "dataType": "NUMERIC", "updatedAt": at})  # fmt: skip
    records.append({"id": "judge", "timestamp": clock(BEGIN), "environment": "langfuse-llm-as-a-judge", "input": "?", "output": "1"})  # fmt: skip
    rng.shuffle(records)
    jsonl(path.with_suffix(".jsonl"), records)
    return {}


def spans(log: list[Talk], path: Path, rng: Random, inference: bool = False) -> dict[str, str]:
    """Spans of many conversations in few traces, exported before they ended and again, between spans of a server."""
    records: list[Any] = []
    for k, talk in enumerate(log):
        trace = f"t{k % 2}"
        records.append(
            {
                "name": "poll",
                "context": {"trace_id": trace, "span_id": f"root{k}"},
                "attributes": {"http.method": "GET"},
            }
        )
        for t, said in enumerate(talk.turns):
            about = {"session.id": talk.id, "user.id": talk.user}
            if inference:
                sides = {"openinference.span.kind": "LLM", "input.value": said.request, "output.value": said.response}
                sides |= {
                    "llm.input_messages.0.message.role": "user",
                    "llm.input_messages.0.message.content": said.request,
                }
            else:
                asked = [{"role": "user", "parts": [{"type": "text", "content": said.request}]}]
                sides = {"gen_ai.input.messages": json.dumps(asked), "gen_ai.completion": said.response}
            context = {"trace_id": trace, "span_id": f"{talk.id}-{t}"}
            events = []
            if said.thumb is not None:
                score = {"gen_ai.evaluation.name": "thumbs", "gen_ai.evaluation.score.value": int(said.thumb)}
                events.append(
                    {"name": "gen_ai.evaluation.result", "attributes": score, "timestamp": clock(talk.time(t), 9)}
                )
            whole = {
                "name": "chat", "context": context, "parent_id": f"root{k}", "start_time": clock(talk.time(t)),
                "end_time": clock(talk.time(t), 2), "attributes": {**sides, **about}, "events": events,
            }  # fmt: skip
            records.append(whole)
            if rng.random() < 0.4:
                records.append({**whole, "end_time": None, "events": [], "attributes": {**about}})
    rng.shuffle(records)
    jsonl(path.with_suffix(".jsonl"), records)
    return {}


def langsmith(log: list[Talk], path: Path, rng: Random) -> dict[str, str]:
    """Runs with children in any order, feedback before its run and on a child without the trace."""
    records: list[Any] = []
    for talk in log:
        for k, said in enumerate(talk.turns):
            name = f"{talk.id}-{k}"
            extra = {"metadata": {"thread_id": talk.id, "user_id": talk.user}}
            times = {"start_time": clock(talk.time(k)), "end_time": clock(talk.time(k), 2)}
            inputs: Any = {"input": said.request}
            root = {
                "id": name,
                "run_type": "chain",
                "inputs": inputs,
                "outputs": {"output": said.response},
                "extra": extra,
                **times,
            }
            records.append({**root, "inputs": json.dumps(inputs)} if rng.random() < 0.5 else root)
            records.append(
                {"id": f"{name}c", "trace_id": name, "parent_run_id": name, "run_type": "llm", "inputs": {}, **times}
            )
            if said.thumb is not None:
                about = {"run_id": rng.choice([name, f"{name}c"])}
                about |= {"trace_id": name} if rng.random() < 0.5 else {}
                records.append(
                    {"id": f"f{name}", "key": "thumbs", "score": int(said.thumb), "created_at": clock(talk.at), **about}
                )
    rng.shuffle(records)
    jsonl(path.with_suffix(".jsonl"), records)
    return {}


FORMS: dict[str, tuple[str, Callable[[list[Talk], Path, Random], dict[str, str]], str]] = {
    "utterances": ("mapped", utterances, ".csv"),
    "chats": ("chat", chats, ".jsonl"),
    "chatgpt": ("chatgpt", chatgpt, ".export"),
    "rasa": ("rasa", rasa, ".jsonl"),
    "langfuse": ("langfuse", langfuse, ".jsonl"),
    "langsmith": ("langsmith", langsmith, ".jsonl"),
    "opentelemetry": ("opentelemetry", spans, ".jsonl"),
    "openinference": ("opentelemetry", lambda log, path, rng: spans(log, path, rng, True), ".jsonl"),
}


def thumb_of(dialogue: Dialogue, turn: int) -> bool | None:
    ratings = [item.rating for item in dialogue.turns[turn].feedback if item.kind == "rating"]
    assert len(ratings) <= 1
    return None if not ratings else ratings[0] == 5.0


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40)
@given(log=logs(), seed=st.integers(0, 10_000))
def test_a_log_comes_in_as_it_was_whatever_its_form(form: str, log: list[Talk], seed: int, tmp_path_factory):
    name, write, suffix = FORMS[form]
    path = tmp_path_factory.mktemp("log") / "log"
    options = write(log, path, Random(seed))
    reader: Reader = resolve(READERS, name, "format")
    items = list(reader.read(path.with_suffix(suffix), options))
    found = {item.id.rpartition("/")[2]: item for item in items if isinstance(item, Dialogue)}
    assert len(found) == len([item for item in items if isinstance(item, Dialogue)]) == len(log)
    for talk in log:
        dialogue = found[talk.id]
        assert [(turn.request, turn.response) for turn in dialogue.turns] == [
            (s.request, s.response) for s in talk.turns
        ]
        assert [thumb_of(dialogue, k) for k in range(len(talk.turns))] == [said.thumb for said in talk.turns]
        assert not dialogue.feedback
        assert not [f.kind for turn in dialogue.turns for f in turn.feedback if f.kind != "rating"]
        if name != "chatgpt":
            assert (dialogue.user or "").partition("/")[0] == talk.user
