"""One conversation, as every form of traces records it, is one dialogue; what cannot be read is named."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.reader import READERS, Reader, Remark
from labelgen.data.record import Rejected
from labelgen.readers import traces
from labelgen.readers.messages import Message
from labelgen.readers.traces import Trace, Visit, dialogue_of, json_objects

START = 1_772_352_000
"""2026-03-01T08:00:00Z"""

Json = dict[str, Any]
PLACE = '{"place": "Ely"}'
RAIN = '{"rain": true}'
ASK = {"role": "user", "content": "Rain in Ely?"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": PLACE}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": RAIN}
YES = {"role": "assistant", "content": "Yes."}
WIND = {"role": "user", "content": "And wind?"}
NO = {"role": "assistant", "content": "No."}
SYSTEM = {"role": "system", "content": "Be kind."}


def iso(second: float) -> str:
    return f"2026-03-01T08:00:{second:06.3f}Z"


def nano(second: float) -> str:
    return str(int((START + second) * 1000) * 1_000_000)


def any_value(value: Any) -> Json:
    """A value in the JSON form of OTLP."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    if isinstance(value, dict):
        return {
            "kvlistValue": {"values": [{"key": k, "value": any_value(v)} for k, v in value.items() if v is not None]}
        }
    return {"stringValue": value}


def attributes(values: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def span(trace: str, identity: str, start: float, end: float, values: Mapping[str, Any], **more: Any) -> Json:
    return {
        "traceId": trace,
        "spanId": identity,
        "name": "chat m",
        "startTimeUnixNano": nano(start),
        "endTimeUnixNano": nano(end),
        "attributes": attributes(values),
        **more,
    }


def parts(message: Json) -> Json:
    """A message in the form of gen_ai.input.messages."""
    if message["role"] == "tool":
        inner = [{"type": "tool_call_response", "id": message["tool_call_id"], "response": message["content"]}]
    else:
        inner = [{"type": "text", "content": message["content"]}] if message["content"] else []
        for call in message.get("tool_calls", ()):
            inner.append({"type": "tool_call", "id": call["id"], **call["function"]})
    return {"role": message["role"], "parts": inner}


CALLS: list[tuple[str, str, float, float, list[Json], Json]] = [
    ("t1", "a1", 0.0, 1.0, [SYSTEM, ASK], CALL),
    ("t1", "a2", 2.0, 3.0, [SYSTEM, ASK, CALL, RESULT], YES),
    ("t2", "a3", 20.0, 21.0, [SYSTEM, ASK, CALL, RESULT, YES, WIND], NO),
]
BASE = {"gen_ai.operation.name": "chat", "gen_ai.conversation.id": "c7", "user.id": "u3"}
TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "weather",
    "gen_ai.tool.call.id": "c1",
}
SCORE = {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.value": 1.0}
HTTP = {"http.request.method": "POST"}


def otlp(spans: list[Json], logs: list[Json] | None = None) -> Json:
    value: Json = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": spans}]}]}
    if logs:
        value["resourceLogs"] = [{"scopeLogs": [{"logRecords": logs}]}]
    return value


def tools_and_score() -> list[Json]:
    scored = [{"timeUnixNano": nano(5), "name": "gen_ai.evaluation.result", "attributes": attributes(SCORE)}]
    return [
        span("t1", "a0", 0.0, 3.0, HTTP, events=scored),
        span("t1", "b1", 1.25, 1.75, TOOL, parentSpanId="a0"),
    ]


def current() -> list[Json]:
    """Conventions of today: messages in attributes, as JSON text or structured."""
    spans = []
    for trace, name, start, end, asked, answer in CALLS:
        messages: Any = [parts(message) for message in asked]
        output: Any = [{**parts(answer), "finish_reason": "stop"}]
        if name == "a2":
            messages, output = json.dumps(messages), json.dumps(output)
        values = {**BASE, "gen_ai.input.messages": messages, "gen_ai.output.messages": output}
        spans.append(span(trace, name, start, end, values, parentSpanId="a0"))
    return [otlp([*spans[1:], *tools_and_score()]), otlp(spans[:1])]


def details() -> list[Json]:
    """Messages in an event of today's conventions."""
    logs = []
    for trace, name, _, end, asked, answer in CALLS:
        values = {"gen_ai.input.messages": [parts(m) for m in asked], "gen_ai.output.messages": [parts(answer)]}
        event = "gen_ai.client.inference.operation.details"
        logs.append(
            {
                "timeUnixNano": nano(end),
                "eventName": event,
                "traceId": trace,
                "spanId": name,
                "attributes": attributes(values),
            }
        )
    spans = [span(trace, name, start, end, BASE) for trace, name, start, end, _, _ in CALLS]
    return [otlp([*tools_and_score()], logs), otlp(spans)]


def earlier() -> list[Json]:
    """Conventions 1.28 to 1.36: an event for each message, as log records."""
    logs = []
    for trace, name, start, end, asked, answer in CALLS:
        message: Json
        for k, message in enumerate(asked):
            body = {key: value for key, value in message.items() if key != "role"}
            if message["role"] == "tool":
                body["id"] = body.pop("tool_call_id")
            event = attributes({"event.name": f"gen_ai.{message['role']}.message"})
            time = nano(start + k / 1000)
            logs.append(
                {"timeUnixNano": time, "attributes": event, "body": any_value(body), "traceId": trace, "spanId": name}
            )
        choice = {"index": 0, "finish_reason": "stop", "message": answer}
        event = attributes({"event.name": "gen_ai.choice"})
        logs.append(
            {
                "timeUnixNano": nano(end),
                "attributes": event,
                "body": any_value(choice),
                "traceId": trace,
                "spanId": name,
            }
        )
    spans = [span(trace, name, start, end, BASE) for trace, name, start, end, _, _ in CALLS]
    return [otlp([*spans, *tools_and_score()], logs[::-1])]


def first_conventions() -> list[Json]:
    """Events of the span with the prompt and the completion as JSON text, as the SDK of Python prints spans."""
    shown = []
    for trace, name, start, end, asked, answer in CALLS:
        events = [
            {
                "name": "gen_ai.content.prompt",
                "timestamp": iso(start),
                "attributes": {"gen_ai.prompt": json.dumps(asked)},
            },
            {
                "name": "gen_ai.content.completion",
                "timestamp": iso(end),
                "attributes": {"gen_ai.completion": json.dumps([answer])},
            },
        ]
        shown.append(
            {
                "name": "chat m",
                "context": {"trace_id": trace, "span_id": name, "trace_state": "[]"},
                "parent_id": None,
                "start_time": iso(start),
                "end_time": iso(end),
                "status": {"status_code": "UNSET"},
                "attributes": BASE,
                "events": events,
            }
        )
    scored = [{"name": "gen_ai.evaluation.result", "timestamp": iso(5), "attributes": SCORE}]
    context = {"trace_id": "t1", "span_id": "b1"}
    tool = {"context": context, "start_time": iso(1.25), "end_time": iso(1.75), "attributes": TOOL, "events": scored}
    return [*shown, tool]


def langfuse() -> list[Json]:
    trace = {"sessionId": "c7", "userId": "u3", "input": None, "output": None}
    found: list[Json] = [
        {"id": "t1", "timestamp": iso(0), **trace},
        {"id": "t2", "timestamp": iso(20), **trace},
        {
            "id": "s1",
            "traceId": "t1",
            "name": "user-feedback",
            "value": 1,
            "dataType": "NUMERIC",
            "source": "API",
            "timestamp": iso(5),
        },
    ]
    for name, identity, start, end, asked, answer in CALLS:
        found.append(
            {
                "id": identity,
                "traceId": name,
                "type": "GENERATION",
                "startTime": iso(start),
                "endTime": iso(end),
                "input": asked if identity == "a1" else {"messages": asked},
                "output": json.dumps(answer) if identity == "a1" else answer,
            }
        )
    tool = {
        "id": "b1",
        "trace_id": "t1",
        "type": "TOOL",
        "name": "weather",
        "start_time": iso(1.25),
        "end_time": iso(1.75),
    }
    return [*found[::-1], tool]


def langsmith() -> list[Json]:
    metadata = {"metadata": {"thread_id": "c7", "user_id": "u3"}}
    runs: list[Json] = []
    for trace, identity, start, end, asked, answer in CALLS:
        runs.append(
            {
                "id": identity,
                "trace_id": trace,
                "parent_run_id": "a0" if trace == "t1" else None,
                "run_type": "llm",
                "start_time": iso(start),
                "end_time": iso(end),
                "inputs": json.dumps({"messages": [asked]}) if identity == "a2" else {"messages": asked},
                "outputs": {"choices": [{"message": answer}]},
                "extra": metadata,
            }
        )
    tool = {
        "id": "b1",
        "run_type": "tool",
        "name": "weather",
        "start_time": iso(1.25),
        "end_time": iso(1.75),
        "inputs": None,
    }
    root = {"id": "a0", "trace_id": "t1", "run_type": "chain", "start_time": iso(0), "inputs": {}, "child_runs": [tool]}
    thumb = {
        "id": "f",
        "run_id": "a2",
        "trace_id": "t1",
        "key": "thumbs",
        "score": 1.0,
        "feedback_source": {"type": "app"},
    }
    judged = {
        "id": "g",
        "run_id": "a2",
        "trace_id": "t1",
        "key": "user_score",
        "score": 0.0,
        "feedback_source": {"type": "model"},
    }
    return [thumb, *runs, root, judged]


FORMS = {
    "current": ("opentelemetry", current()),
    "details": ("opentelemetry", details()),
    "earlier": ("opentelemetry", earlier()),
    "first": ("opentelemetry", first_conventions()),
    "langfuse": ("langfuse", langfuse()),
    "langsmith": ("langsmith", langsmith()),
}


def read(form: str, path: Path, **options: str) -> list[Dialogue | Rejected]:
    return [item for item in read_all(form, path, **options) if not isinstance(item, Remark)]


def read_all(form: str, path: Path, **options: str) -> list[Dialogue | Rejected | Remark]:
    reader: Reader = resolve(READERS, form, "format")
    return list(reader.read(path, options))


def written(folder: Path, records: list[Json]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def check(found: list[Dialogue | Rejected]) -> None:
    (dialogue,) = found
    assert isinstance(dialogue, Dialogue), dialogue
    assert (dialogue.id, dialogue.user, dialogue.start) == ("c7", "u3", "2026-03-01T08:00:00Z")
    first, second = dialogue.turns
    assert [(t.request, t.response) for t in dialogue.turns] == [("Rain in Ely?", "Yes."), ("And wind?", "No.")]
    assert [(t.time_s, t.response_time_s) for t in dialogue.turns] == [(0.0, 3.0), (20.0, 21.0)]
    assert [(s.kind, s.name, s.arguments, s.result, s.error) for s in first.steps] == [
        ("tool", "weather", PLACE, RAIN, None)
    ]
    assert first.steps[0].latency_s == pytest.approx(0.5)
    assert first.feedback == (Feedback(kind="rating", rating=5.0, scale=(1.0, 5.0)),)
    assert (second.steps, second.feedback, second.status) == ((), (), None)


@pytest.mark.parametrize("form", FORMS)
def test_conversation_in_any_form_of_traces_gives_the_same_dialogue(form: str, tmp_path: Path) -> None:
    reader, records = FORMS[form]
    check(read(reader, written(tmp_path, records)))


@pytest.mark.parametrize("form", FORMS)
def test_order_of_the_records_does_not_matter(form: str, tmp_path: Path) -> None:
    reader, records = FORMS[form]
    check(read(reader, written(tmp_path, records[::-1])))


@pytest.mark.parametrize("form", FORMS)
def test_array_and_pretty_objects_give_what_lines_give(form: str, tmp_path: Path) -> None:
    reader, records = FORMS[form]
    (tmp_path / "log.json").write_text(json.dumps(records, indent=2))
    check(read(reader, tmp_path))
    (tmp_path / "log.json").write_text("\n".join(json.dumps(record, indent=2) for record in records))
    check(read(reader, tmp_path))


def say(role: str, text: str) -> Message:
    return Message(role, text)


def visit(second: float, asked: list[Message], answer: str) -> Visit:
    return Visit(tuple(asked), (say("assistant", answer),), START + second, START + second + 1)


def lines(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(turn.request, turn.response) for turn in dialogue.turns]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=6), st.integers(0, 12))
@settings(max_examples=60)
def test_calls_with_any_window_of_the_history_give_each_turn_once(said: list[tuple[str, str]], window: int) -> None:
    """The texts are numbered, so that no two turns are equal."""
    said = [(f"{a}{k}", f"{b}{k}") for k, (a, b) in enumerate(said)]
    history: list[Message] = []
    visits = []
    for k, (request, response) in enumerate(said):
        history.append(say("user", request))
        visits.append(visit(k * 10, [say("system", "s"), *history[-1 - 2 * window :]], response))
        history.append(say("assistant", response))
    assert lines(dialogue_of("d", [Trace(tuple(visits))])) == said


def test_same_history_with_another_answer_is_a_regeneration() -> None:
    asked = [say("user", "a")]
    visits = (
        visit(0, asked, "x"),
        visit(5, asked, "y"),
        visit(9, [*asked, say("assistant", "y"), say("user", "b")], "z"),
    )
    dialogue = dialogue_of("d", [Trace(visits)])
    assert lines(dialogue) == [("a", "y"), ("b", "z")]
    assert [turn.feedback for turn in dialogue.turns] == [(Feedback(kind="regenerate", text="x"),), ()]


def test_history_with_another_last_request_is_an_edit_of_the_prompt() -> None:
    before = [say("user", "a"), say("assistant", "x")]
    visits = (
        visit(0, before[:1], "x"),
        visit(5, [*before, say("user", "b")], "y"),
        visit(9, [*before, say("user", "c")], "z"),
    )
    dialogue = dialogue_of("d", [Trace(visits)])
    assert lines(dialogue) == [("a", "x"), ("b", "y"), ("c", "z")]
    assert [turn.feedback for turn in dialogue.turns] == [(), (Feedback(kind="edit", text="c"),), ()]


def test_failed_call_without_an_answer_has_the_status_error(tmp_path: Path) -> None:
    values = {**BASE, "gen_ai.input.messages": [parts(ASK)], "error.type": "timeout"}
    (dialogue,) = read("opentelemetry", written(tmp_path, [otlp([span("t", "a", 0, 1, values)])]))
    assert isinstance(dialogue, Dialogue)
    assert (dialogue.turns[0].status, json.loads(dialogue.turns[0].extra or "")["error"]) == ("error", "timeout")


def test_every_span_is_counted_by_its_kind(tmp_path: Path) -> None:
    """A batch that a collector sent twice, a span of a server, and one without messages."""
    (first, second) = current()
    others = otlp([span("t1", "s", 0, 9, HTTP), span("t1", "e", 0, 1, {"gen_ai.operation.name": "embeddings"})])
    path = written(tmp_path, [first, second, second, others])
    (remark,) = [x.text for x in read_all("opentelemetry", path) if isinstance(x, Remark) and "spans:" in x.text]
    assert remark == (
        "8 spans: 3 with messages, 1 of tools, 1 of gen_ai without messages, "
        "2 without attributes of gen_ai (they only connect others), 1 copies, dropped"
    )
    check([x for x in read_all("opentelemetry", path) if not isinstance(x, Remark)])


def test_model_spans_without_messages_are_rejected_and_other_spans_left_out(tmp_path: Path) -> None:
    log = [otlp([span("t1", "a", 0, 1, BASE)]), otlp([span("t2", "b", 0, 1, HTTP)])]
    (rejected,) = read("opentelemetry", written(tmp_path, log))
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith("no_messages")
    assert (rejected.line, rejected.dialogue) == (1, "t1")


@pytest.mark.parametrize(
    ("form", "record"),
    [
        ("opentelemetry", {"text": "hi"}),
        ("opentelemetry", {"spanId": "a", "attributes": []}),
        ("langfuse", {"text": "hi"}),
        ("langfuse", {"id": "o", "type": "SPAN", "startTime": iso(0)}),
        ("langsmith", {"text": "hi"}),
        ("langsmith", {"key": "thumbs", "score": 1}),
    ],
)
def test_record_of_another_form_is_rejected_with_its_place(form: str, record: Json, tmp_path: Path) -> None:
    (rejected,) = read(form, written(tmp_path, [record]))
    assert isinstance(rejected, Rejected)
    assert (rejected.reason.partition(":")[0], rejected.line) == ("bad_type", 1)


def test_scores_are_feedback_by_their_meaning_and_kept_otherwise(tmp_path: Path) -> None:
    trace = {
        "id": "t",
        "timestamp": iso(0),
        "input": "Hi",
        "output": {"answer": "Hello"},
        "metadata": {"who": {"id": 5}},
    }
    given = [("stars", 4, "API"), ("user-feedback", 0, "API"), ("toxicity", 0.1, "EVAL"), ("thumbs", 1, "EVAL")]
    scores = [
        {"id": n, "traceId": "t", "name": n, "value": v, "source": s, "dataType": "NUMERIC", "comment": "so so"}
        for n, v, s in given
    ]
    fixed = {
        "id": "x",
        "traceId": "t",
        "name": "output",
        "stringValue": "Hey",
        "source": "ANNOTATION",
        "dataType": "CORRECTION",
    }
    log = written(tmp_path, [trace, *scores, fixed])
    (plain,) = read("langfuse", log)
    assert isinstance(plain, Dialogue)
    assert set(plain.turns[0].feedback) == {
        Feedback(kind="rating", rating=1.0, scale=(1.0, 5.0), text="so so"),
        Feedback(kind="edit_response", text="Hey"),
    }
    kept = json.loads(plain.turns[0].extra or "")["spans"][0]["scores"]
    assert [score["name"] for score in kept] == ["stars", "toxicity", "thumbs"]
    (remark,) = [item for item in read_all("langfuse", log) if isinstance(item, Remark)]
    assert "stars 1, toxicity 1, thumbs 1" in remark.text
    (named,) = read("langfuse", log, feedback="{stars: rating 1..5}", user="metadata.who.id")
    assert isinstance(named, Dialogue)
    assert named.user == "5"
    assert named.turns[0].feedback[0] == Feedback(kind="rating", rating=4.0, scale=(1.0, 5.0), text="so so")
    rejected, dialogue = read("langfuse", log, feedback="{stars: rating 1..3}")
    assert isinstance(rejected, Rejected)
    assert isinstance(dialogue, Dialogue)
    assert (rejected.field, rejected.reason.partition(":")[0]) == ("scores.stars", "bad_rating")
    with pytest.raises(UsageError, match="kind of feedback"):
        read("langfuse", log, feedback="{stars: stares}")


def test_score_of_a_session_is_about_the_dialogue(tmp_path: Path) -> None:
    trace = {"id": "t", "timestamp": iso(0), "sessionId": "s", "input": "Hi", "output": "Hello"}
    score = {"id": "x", "sessionId": "s", "name": "thumbs", "value": 0, "source": "API", "dataType": "BOOLEAN"}
    (dialogue,) = read("langfuse", written(tmp_path, [score, {"data": [trace], "meta": {}}]))
    assert isinstance(dialogue, Dialogue)
    assert (dialogue.id, dialogue.feedback) == ("s", (Feedback(kind="rating", rating=1.0, scale=(1.0, 5.0)),))


def test_request_of_an_unusual_input_is_read_by_its_path(tmp_path: Path) -> None:
    trace = {
        "id": "t",
        "timestamp": iso(0),
        "input": {"a": {"b": "Hi"}, "c": "x", "d": "y"},
        "output": {"e": ["Hello"], "f": 1},
    }
    log = written(tmp_path, [trace])
    (rejected,) = read("langfuse", log)
    assert isinstance(rejected, Rejected)
    assert rejected.reason.startswith("no_messages")
    (dialogue,) = read("langfuse", log, request="input.a.b", response="output.e[0]")
    assert isinstance(dialogue, Dialogue)
    assert lines(dialogue) == [("Hi", "Hello")]


def texts(path: Path) -> Iterator[tuple[int, Any]]:
    for _, line, _, value in json_objects(path):
        yield line, value


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3), max_size=5),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
    st.integers(1, 40),
)
def test_objects_of_any_layout_are_read_whatever_the_size_of_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, objects: list[Json], indent: int | None, in_array: bool, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("objects") / "log.json"
    text = json.dumps(objects, indent=indent) if in_array else "\n".join(json.dumps(o, indent=indent) for o in objects)
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "_CHUNK", chunk)
        assert [value for _, value in texts(path)] == objects


def test_number_of_any_size_is_kept(tmp_path: Path) -> None:
    trace = {"id": "t", "timestamp": iso(0), "input": "Hi", "output": "Hello", "metadata": {"n": 10**30}}
    (dialogue,) = read("langfuse", written(tmp_path, [trace]))
    assert isinstance(dialogue, Dialogue)
    assert json.loads(dialogue.turns[0].extra or "")["spans"][0]["metadata"] == {"n": 10**30}
