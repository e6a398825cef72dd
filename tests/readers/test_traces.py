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
from labelgen.readers import exports
from labelgen.readers.exports import json_objects
from labelgen.readers.messages import Message
from labelgen.readers.traces import Trace, Visit, dialogue_of

START = 1_772_352_000
"""2026-03-01T08:00:00Z"""

Json = dict[str, Any]
CONVERSATION = Path(__file__).parent / "conversation"
"""One conversation, as each form of traces records it: with a tool, a thumb up, and calls that repeat the history."""
FORMS = {
    "current": "opentelemetry",
    "details": "opentelemetry",
    "earlier": "opentelemetry",
    "first": "opentelemetry",
    "langfuse": "langfuse",
    "langsmith": "langsmith",
}
"""Records of the conversation and the reader of their form. Of OpenTelemetry there are the conventions of today, those with an event
of details, those of 1.28 to 1.36 with an event for each message, and the first ones."""

HTTP = {"http.request.method": "POST"}


def records_of(form: str) -> list[Json]:
    return [json.loads(line) for line in (CONVERSATION / f"{form}.jsonl").read_text().splitlines()]


def iso(second: float) -> str:
    return f"2026-03-01T08:00:{second:06.3f}Z"


def nano(second: float) -> str:
    return str(int((START + second) * 1000) * 1_000_000)


def otlp(trace: str, identity: str, start: float, end: float, values: Mapping[str, str]) -> Json:
    """A batch of one span."""
    span = {
        "traceId": trace,
        "spanId": identity,
        "name": "chat m",
        "startTimeUnixNano": nano(start),
        "endTimeUnixNano": nano(end),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in values.items()],
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


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
        ("tool", "weather", '{"place": "Ely"}', '{"rain": true}', None)
    ]
    assert first.steps[0].latency_s == pytest.approx(0.5)
    assert first.feedback == (Feedback(kind="rating", rating=5.0, scale=(1.0, 5.0)),)
    assert (second.steps, second.feedback, second.status) == ((), (), None)


@pytest.mark.parametrize("form", FORMS)
def test_conversation_in_any_form_order_and_layout_gives_the_same_dialogue(form: str, tmp_path: Path) -> None:
    reader, records = FORMS[form], records_of(form)
    whole = read(reader, CONVERSATION / f"{form}.jsonl")
    check(whole)
    for name, text in {
        "reversed.jsonl": "\n".join(map(json.dumps, records[::-1])),
        "array.json": json.dumps(records, indent=2),
        "objects.json": "\n".join(json.dumps(record, indent=2) for record in records),
    }.items():
        (tmp_path / name).write_text(text)
        assert read(reader, tmp_path / name) == whole, name


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


def test_every_span_is_counted_by_its_kind(tmp_path: Path) -> None:
    """A batch that a collector sent twice, a span of a server, and one without messages."""
    (first, second) = records_of("current")
    others = otlp("t1", "s", 0, 9, HTTP), otlp("t1", "e", 0, 1, {"gen_ai.operation.name": "embeddings"})
    path = written(tmp_path, [first, second, second, *others])
    (remark,) = [x.text for x in read_all("opentelemetry", path) if isinstance(x, Remark) and "spans:" in x.text]
    assert remark == (
        "8 spans: 3 with messages, 1 of tools, 1 of gen_ai without messages, "
        "2 without attributes of gen_ai (they only connect others), 1 copies, dropped"
    )
    check([x for x in read_all("opentelemetry", path) if not isinstance(x, Remark)])


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
        patch.setattr(exports, "_CHUNK", chunk)
        assert [value for _, value in texts(path)] == objects


def test_number_of_any_size_is_kept(tmp_path: Path) -> None:
    trace = {"id": "t", "timestamp": iso(0), "input": "Hi", "output": "Hello", "metadata": {"n": 10**30}}
    (dialogue,) = read("langfuse", written(tmp_path, [trace]))
    assert isinstance(dialogue, Dialogue)
    assert json.loads(dialogue.turns[0].extra or "")["spans"][0]["metadata"] == {"n": 10**30}
