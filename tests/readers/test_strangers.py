"""Logs of strangers: kinds of mess that public reports describe, several cases each. Every text, thumb and user of a log arrives at its
place, or is rejected or counted with a reason; nothing is guessed."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.json_text import decoded
from labelgen.data.labels import find_words
from labelgen.data.reader import READERS, Reader, Remark
from labelgen.data.record import Rejected, encode
from labelgen.data.redact import mask, redact_dialogue
from labelgen.readers.mapping import ColumnMapping, Meaning, RowFilter
from labelgen.readers.messages import read_messages
from labelgen.readers.sources import SourceRow
from labelgen.readers.suggest import meaning_of, suggest


class Read:
    """What a reader makes of records."""

    def __init__(self, form: str, path: Path, options: Any = {}) -> None:  # noqa: B006
        reader: Reader = resolve(READERS, form, "format")
        items = list(reader.read(path, options))
        self.dialogues = {item.id: item for item in items if isinstance(item, Dialogue)}
        self.reasons = [item.reason.partition(":")[0] for item in items if isinstance(item, Rejected)]
        self.remarks = [item.text for item in items if isinstance(item, Remark)]

    @property
    def texts(self) -> dict[str, list[tuple[str, str]]]:
        return {name: [(turn.request, turn.response) for turn in d.turns] for name, d in self.dialogues.items()}

    @property
    def ratings(self) -> list[float | None]:
        return [
            f.rating for d in self.dialogues.values() for f in (*(f for t in d.turns for f in t.feedback), *d.feedback)
        ]


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def table(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows, ""]))
    return path


def trace(name: str, asked: Any, answered: Any, at: str = "08:00:00", **more: Any) -> dict[str, Any]:
    """A trace of Langfuse."""
    begin = f"2026-03-01T{at}Z"
    return {"id": name, "sessionId": "s", "timestamp": begin, "input": asked, "output": answered, **more}


def score(name: str, value: Any, about: str, identity: str | None = None, at: str = "09:00:00") -> dict[str, Any]:
    made = {"name": name, "value": value, "traceId": about, "source": "API", "dataType": "NUMERIC"}
    return made | ({"id": identity, "updatedAt": f"2026-03-01T{at}Z"} if identity else {})


def span(name: str, attributes: Mapping[str, Any], parent: str | None = None, at: int = 0) -> dict[str, Any]:
    """A span as the SDK prints it."""
    return {
        "name": name,
        "context": {"trace_id": "t", "span_id": name},
        "parent_id": parent,
        "start_time": f"2026-03-01T08:00:{at:02}Z",
        "end_time": f"2026-03-01T08:00:{at + 1:02}Z",
        "attributes": attributes,
    }


# JSON inside texts

DEEP = "[" * 2000 + "]" * 2000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1', '{"a": 1'),
        (DEEP, DEEP),
        ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
        ('{"\\ud83d": [NaN, "\\ud83d\\ude00"]}', {"\ufffd": [None, "\U0001f600"]}),
        ("{a: 1}", "{a: 1}"),
        ("[see above]", "[see above]"),
        ("7", "7"),
    ],
)
def test_decoded_json_is_an_object_that_can_be_written_or_the_text(text: str, value: Any):
    assert decoded(text) == value
    json.dumps(decoded(text)).encode()


CUT = [
    '[{"role": "user", "content": "my inv',
    '{"messages": [{"role": "user", "conte',
    '[{"parts": [{"type": "text", "content": "a"}], "role": "us',
    '[[{"lc": 1, "type": "constructor", "id": ["langchain", "schema"',
    '{"inputs": {"messages": [{"type": "human"',
    '{"role":"assistant","content":"' + "x" * 100,
]
TYPED = ['{"temperature": 21', "[1, 2", '{"rule": "a', "[user] hi {", '{ "roles": ["admin"']


@pytest.mark.parametrize("text", CUT)
def test_cut_messages_are_rejected_and_never_a_request(text: str, tmp_path: Path):
    for asked, answered in ((text, "yes"), ("hi", text)):
        read = Read("langfuse", lines(tmp_path / "a.jsonl", trace("t", asked, answered)))
        assert (read.dialogues, read.reasons) == ({}, ["cut_messages"])


@pytest.mark.parametrize("text", TYPED)
def test_json_that_a_user_typed_is_a_text(text: str, tmp_path: Path):
    read = Read("langfuse", lines(tmp_path / "a.jsonl", trace("t", text, "yes")))
    assert read.texts == {"s": [(text, "yes")]}


# Where a message has its text

SHAPES: dict[str, Any] = {
    "openai chat": {"role": "user", "content": "hi"},
    "openai parts": {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    "openai responses": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    "openai refusal": {"role": "user", "content": None, "refusal": "hi"},
    "anthropic": {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
    "gemini": {"role": "user", "parts": [{"text": "hi"}]},
    "gemini thought": {"role": "user", "parts": [{"text": "hm", "thought": True}, {"text": "hi"}]},
    "vercel": {"role": "user", "content": "", "parts": [{"type": "step-start"}, {"type": "text", "text": "hi"}]},
    "langchain": {"type": "human", "content": "hi", "additional_kwargs": {}},
    "langchain data": {"type": "human", "data": {"content": "hi", "type": "human"}},
    "langchain serialized": {"lc": 1, "id": ["langchain", "HumanMessage"], "kwargs": {"content": "hi"}},
    "opentelemetry": {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
    "sharegpt": {"from": "human", "value": "hi"},
    "empty content beside text": {"role": "user", "content": [], "text": "hi"},
    "unknown part": {"role": "user", "content": [{"type": "widget", "text": "hi"}]},
    "nested part": {"role": "user", "content": [{"type": "x", "content": [{"text": "hi"}]}]},
    "sound with words": {"role": "user", "content": [{"type": "audio", "transcript": "hi"}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_text_of_a_message_is_found_in_each_shape(shape: str):
    assert [(message.role, message.text) for message in read_messages([SHAPES[shape]])] == [("user", "hi")]


PIECES: dict[str, tuple[list[Any], str]] = {
    "chunks": ([{"type": "AIMessageChunk", "id": "r", "content": c} for c in ("Val", "let", "ta.")], "Valletta."),
    "chunks of parts": (
        [{"type": "AIMessageChunk", "id": "r", "content": [{"type": "text", "text": c}]} for c in ("a ", "b")],
        "a b",
    ),
    "chunks without ids": ([{"type": "AIMessageChunk", "content": c} for c in ("a", "b")], "ab"),
    "serialized chunks": (
        [{"lc": 1, "id": ["x", "AIMessageChunk"], "kwargs": {"id": "r", "content": c}} for c in ("a", "b")],
        "ab",
    ),
    "blanks at borders": ([{"role": "ai", "content": [{"text": "Yes, "}, {"text": "green"}, {"text": " now."}]}], "Yes, green now."),
    "citations": ([{"role": "ai", "content": [{"text": "a", "citations": [1]}, {"text": "b"}]}], "ab"),
    "punctuation": ([{"role": "ai", "content": [{"text": "It is"}, {"text": ", I think"}]}], "It is, I think"),
    "two texts": ([{"role": "ai", "content": [{"text": "One"}, {"text": "Two"}]}], "One\nTwo"),
}  # fmt: skip


@pytest.mark.parametrize("case", PIECES)
def test_pieces_of_one_message_are_put_together(case: str):
    items, text = PIECES[case]
    assert [message.text for message in read_messages(items)] == [text]


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize("after", [{"type": "text", "text": "and now?"}, {"text": "and now?"}])
def test_result_of_a_tool_beside_a_text_stays_with_its_call(error: bool, after: Any, tmp_path: Path):
    result = {"type": "tool_result", "tool_use_id": "u", "content": "rain", "is_error": error}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "u", "name": "weather", "input": {}}]},
        {"role": "user", "content": [result, after]},
        {"role": "assistant", "content": "Take a coat."},
    ]
    first, second = Read("chat", lines(tmp_path / "a.jsonl", {"id": "d", "messages": messages})).dialogues["d"].turns
    ((step),) = first.steps
    assert (step.name, step.result, step.error) == ("weather", "rain", "rain" if error else None)
    assert (second.request, second.response) == ("and now?", "Take a coat.")


# Tables

MAPPING = {"dialogue": "c", "speaker": "who", "text": "said", "user": "u"}
CELLS: dict[str, tuple[Any, Any, str]] = {
    "bytes": (pa.array([b"caf\xc3\xa9"] * 2, pa.binary()), "said", "caf\u00e9"),
    "fixed bytes": (pa.array([b"tea"] * 2, pa.binary(3)), "said", "tea"),
    "large texts": (pa.array(["tea"] * 2, pa.large_string()), "said", "tea"),
    "dictionary": (pa.array(["tea"] * 2).dictionary_encode(), "said", "tea"),
    "floats of pandas": (pa.array([17.0, None]), "u", "17"),
    "integers": (pa.array([17, None]), "u", "17"),
    "large numbers": (pa.array([2**63 - 1] * 2), "u", str(2**63 - 1)),
    "decimals": (pa.array(["17.0"] * 2), "u", "17"),
}


@pytest.mark.parametrize("case", CELLS)
def test_cells_of_parquet_are_what_they_are(case: str, tmp_path: Path):
    cells, column, value = CELLS[case]
    columns = {"c": ["d", "d"], "who": ["user", "bot"], "said": ["hi", "yes"], "u": ["x", "x"], column: cells}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    dialogue = Read("mapped", tmp_path / "a.parquet", MAPPING).dialogues["d"]
    assert (dialogue.user if column == "u" else dialogue.turns[0].request) == value


@pytest.mark.parametrize(
    "odd",
    [
        pa.array([1, 2], pa.timestamp("ns")),
        pa.array([1, 2], pa.duration("ns")),
        pa.array([[1], [2]], pa.list_(pa.timestamp("ns", "UTC"))),
        pa.array([{"t": 1}, {"t": 2}], pa.struct([("t", pa.timestamp("ns"))])),
        pa.array([b"\xff\xfe", b"ok"], pa.binary()),
        pa.array([1, 2], pa.time64("ns")),
    ],
)
def test_odd_columns_that_nobody_maps_change_nothing(odd: Any, tmp_path: Path):
    columns = {"c": ["d", "d"], "who": ["user", "bot"], "said": ["hi", "yes"], "u": ["x", "x"]}
    pq.write_table(pa.table({**columns, "odd": odd}), tmp_path / "a.parquet")
    read = Read("mapped", tmp_path / "a.parquet", {**MAPPING, "unmapped": "drop"})
    assert read.texts == {"d": [("hi", "yes")]}


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "<NA>", "NaT", "undefined", "", "n/a"])
def test_words_for_missing_values_are_no_ids(word: str, tmp_path: Path):
    file = table(tmp_path / "a.csv", "c,who,said,u", f"{word},user,lost,x", f"d,user,hi,{word}", f"d,bot,yes,{word}")
    read = Read("mapped", file, MAPPING)
    assert (list(read.texts), read.reasons, read.dialogues["d"].user) == (["d"], ["empty_id"], None)


@pytest.mark.parametrize("place", [1, 40, 70_000])
def test_one_zero_byte_leaves_a_table_readable(place: int, tmp_path: Path):
    said = "x" * place + "\0" + "y"
    file = table(tmp_path / "a.csv", "c,who,said,u", f"d,user,{said},x", "d,bot,yes,x")
    assert Read("mapped", file, MAPPING).texts == {"d": [(said, "yes")]}


# Times


def times_of(tmp_path: Path, *times: str, **options: Any) -> list[str]:
    """The requests in their order, of rows with these times in this order."""
    rows = (f"d,user,{k},{time}" for k, time in enumerate(times))
    file = table(tmp_path / "a.csv", "c,who,said,at", *rows)
    read = Read("mapped", file, {"dialogue": "c", "speaker": "who", "text": "said", "time": "at", **options})
    return read.dialogues["d"].turns[0].request.split("\n") if read.dialogues else read.reasons


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (("2026-10-25T02:59:50", "2026-10-25T02:00:05"), {"zone": "Europe/Berlin"}),
        (("2026-10-25T02:59:50", "2026-10-25T02:00:05"), {}),
        (("2026-11-01T01:30:00", "2026-11-01T01:10:00"), {"zone": "America/New_York"}),
        (("2026-10-25T01:59:00", "2026-10-25T02:30:00", "2026-10-25T02:10:00", "2026-10-25T03:00:00"), {"zone": "Europe/Berlin"}),
        (("2026-10-25T02:59:50+02:00", "2026-10-25T02:00:05+01:00"), {}),
        (("0", "2026-03-01T08:00:00Z", "2026-03-01T08:00:01Z"), {}),
        (("2026-03-01T08:00:00Z", "-1", "2026-03-01T08:00:01Z"), {}),
        (("0001-01-01T00:00:00Z", "2026-03-01T08:00:00Z"), {}),
        (("1900-01-01T00:00:00", "1900-01-01T00:00:00"), {}),
        (("9999-12-31T00:00:00", "2026-03-01T08:00:00"), {}),
    ],
)  # fmt: skip
def test_order_of_the_file_stays_in_a_repeated_hour_and_without_times(times, options, tmp_path: Path):
    assert times_of(tmp_path, *times, **options) == [str(k) for k in range(len(times))]


def test_naive_beside_aware_times_are_rejected(tmp_path: Path):
    assert times_of(tmp_path, "2026-03-01T08:00:00", "2026-03-01T08:00:00Z") == ["mixed_zones"]
    at = ("2026-03-01T08:00:00", "2026-03-01T08:00:01Z")
    messages = [
        {"role": role, "content": "x", "at": time} for role, time in zip(("user", "assistant"), at, strict=True)
    ]
    read = Read("chat", lines(tmp_path / "a.jsonl", {"id": "c", "messages": messages}), {"time": "at"})
    assert read.reasons == ["mixed_zones"]


@pytest.mark.parametrize(("gap", "expected"), [(None, 1), (59.0, 3), (61.0, 2), (7200.0, 1)])
def test_rows_of_a_user_are_split_by_a_gap(gap: float | None, expected: int, tmp_path: Path):
    rows = [f"d,user,{k},2026-03-01T{at}Z" for k, at in enumerate(("08:00:00", "08:01:00", "09:30:00", "09:30:10"))]
    options = {"dialogue": "c", "speaker": "who", "text": "said", "time": "at", "session_gap": gap}
    file = table(tmp_path / "a.csv", "c,who,said,at", *rows)
    read = Read("mapped", file, ColumnMapping(**options))  # type: ignore[arg-type]
    assert len(read.dialogues) == expected
    assert "\n".join(t.request for d in read.dialogues.values() for t in d.turns) == "0\n1\n2\n3"


@pytest.mark.parametrize("timed", [True, False])
def test_rows_of_a_user_are_split_by_an_event(timed: bool, tmp_path: Path):
    rows = [f"d,user,{k},{event},2026-03-01T08:0{k}:00Z" for k, event in enumerate(("start", "", "", "Start", ""))]
    options: dict[str, Any] = {"dialogue": "c", "speaker": "who", "text": "said", "session_start": {"event": "start"}}
    file = table(tmp_path / "a.csv", "c,who,said,event,at", *rows)
    read = Read("mapped", file, ColumnMapping(**options, time="at" if timed else None))
    assert {name: d.turns[0].request for name, d in read.dialogues.items()} == {"d#0": "0\n1\n2", "d#1": "3\n4"}


# Conversations rebuilt from calls


@pytest.mark.parametrize(
    ("answers", "minutes", "turns"),
    [
        (("OK.", "OK.", "OK."), (0, 5, 10), 3),
        (("Elm.", "Oak.", "Ash."), (0, 1, 2), 3),
        (("OK.", "OK."), (0, 0), 1),
        (("OK.", "OK.", "No."), (0, 1440, 2880), 3),
        (("a", "b"), (0, 60), 2),
    ],
)
def test_equal_requests_without_history_are_turns_of_their_own(answers, minutes, turns: int, tmp_path: Path):
    traces = [
        trace(f"t{k}", "next", answer, timestamp=f"2026-03-{1 + m // 1440:02}T{m // 60 % 24:02}:{m % 60:02}:00Z")
        for k, (answer, m) in enumerate(zip(answers, minutes, strict=True))
    ]
    dialogue = Read("langfuse", lines(tmp_path / "a.jsonl", *traces)).dialogues["s"]
    assert len(dialogue.turns) == turns
    assert not any(turn.feedback for turn in dialogue.turns)


def test_conversations_and_users_of_one_trace_are_dialogues_of_their_own(tmp_path: Path):
    def call(name: str, conversation: str, user: str, at: int, parent: str | None = "root") -> dict[str, Any]:
        about = {"gen_ai.conversation.id": conversation, "user.id": user}
        return span(name, {"gen_ai.prompt": name, "gen_ai.completion": "ok", **about}, parent, at)

    calls = [
        call("a", "c1", "u1", 1),
        call("b", "c2", "u2", 3),
        call("c", "c1", "u1", 5),
        call("sub", "c9", "u9", 5, "c"),
    ]
    read = Read("opentelemetry", lines(tmp_path / "a.jsonl", span("root", {}), *calls))
    assert {name: (d.user, [t.request for t in d.turns]) for name, d in read.dialogues.items()} == {
        "c1": ("u1", ["a", "c"]),
        "c2": ("u2", ["b"]),
    }


@pytest.mark.parametrize("gap", [100.0, 10_000.0])
def test_exchanges_under_one_session_are_split_by_a_gap(gap: float, tmp_path: Path):
    traces = [trace(f"t{k}", f"q{k}", "a", f"{8 + k:02}:00:00") for k in range(3)]
    read = Read("langfuse", lines(tmp_path / "a.jsonl", *traces), {"session_gap": str(gap)})
    assert len(read.dialogues) == (3 if gap == 100.0 else 1)


# One id, several times


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_a_score_that_was_changed_counts_once(backwards: bool, nested: bool, tmp_path: Path):
    scores = [score("user_feedback", 1, "t", "x", "09:00:00"), score("user_feedback", 0, "t", "x", "10:00:00")]
    scores = scores[::-1] if backwards else scores
    records = [trace("t", "q", "a", scores=scores[:1] if nested else []), *scores[int(nested) :]]
    assert Read("langfuse", lines(tmp_path / "a.jsonl", *records)).ratings == [1.0]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_two_exports_of_a_record_the_whole_one_counts(backwards: bool, tmp_path: Path):
    part, whole = trace("t", "q", None), trace("t", "q", "a", updatedAt="2026-03-01T08:00:09Z")
    records = [whole, part] if backwards else [part, whole]
    assert Read("langfuse", lines(tmp_path / "a.jsonl", *records)).texts == {"s": [("q", "a")]}
    begun = {**span("x", {"gen_ai.prompt": "q"}), "end_time": None}
    ended = span("x", {"gen_ai.prompt": "q", "gen_ai.completion": "a"})
    spans = [ended, begun] if backwards else [begun, ended]
    assert Read("opentelemetry", lines(tmp_path / "b.jsonl", *spans)).texts == {"t": [("q", "a")]}


def test_feedback_that_names_a_run_finds_its_trace(tmp_path: Path):
    runs = [
        {"id": "r1", "run_type": "chain", "inputs": {"input": "q"}, "outputs": {"output": "a"}, "start_time": "2026-03-01T08:00:00"},
        {"id": "r2", "trace_id": "r1", "parent_run_id": "r1", "run_type": "llm", "start_time": "2026-03-01T08:00:00"},
    ]  # fmt: skip
    thumbs = [{"key": "thumbs", "score": k, "run_id": run, "id": str(k)} for k, run in enumerate(("r2", "r1"))]
    lost = {"key": "thumbs", "score": 1, "run_id": "gone", "id": "lost"}
    judge = {"key": "thumbs", "score": 1, "run_id": "r1", "id": "j", "feedback_source": {"type": "auto_eval"}}
    read = Read("langsmith", lines(tmp_path / "a.jsonl", thumbs[0], *runs, thumbs[1], lost, judge))
    assert (sorted(map(str, read.ratings)), read.reasons) == (["1.0", "5.0"], ["no_run"])


# The meaning of feedback


@pytest.mark.parametrize(
    ("values", "ratings"),
    [
        ([1, 0], [5.0, 1.0]),
        ([1, -1], [5.0, 1.0]),
        ([1, 0, -1], [5.0, 1.0]),
        ([True, False], [5.0, 1.0]),
        (["up", "down"], [5.0, 1.0]),
        ([1, 2, 5], []),
        ([1, 0.5], []),
        (["yes", "perhaps"], []),
    ],
)
def test_values_of_a_score_decide_whether_it_is_a_thumb(values: list[Any], ratings: list[float], tmp_path: Path):
    traces = [trace(f"t{k}", f"q{k}", "a", f"08:{k:02}:00") for k in range(len(values))]
    scores = [score("user_rating", value, f"t{k}") for k, value in enumerate(values)]
    read = Read("langfuse", lines(tmp_path / "a.jsonl", *traces, *scores))
    assert read.ratings == ratings
    assert any("no thumbs" in remark for remark in read.remarks) == (not ratings)


@pytest.mark.parametrize(
    ("kind", "values", "meaning"),
    [
        ("thumbs", ["Good", "Bad", "Offered", "Unoffered"], "thumbs none=offered,unoffered"),
        ("rating", ["Good", "Bad", "", ""], "thumbs"),
        ("rating", ["1", "5", "3"], "rating 1..5"),
        ("rating", ["0", "5", "3"], "rating 0..5"),
        ("rating", ["0", "10"], "rating 0..10"),
        ("rating", ["Extremely satisfied", "dissatisfied"], None),
        ("yes_no", ["Yes", "No", "not sure"], "yes_no none=not sure"),
        ("yes_no", ["Y", "N", "a, b"], 'yes_no none="a, b"'),
        ("thumbs", ["It was far too slow for me", "I would never buy this again"], "comment"),
        ("thumbs", ["1", "-1", "0"], "thumbs none=0"),
    ],
)
def test_meaning_is_suggested_from_values_or_left_open(kind: str, values: list[str], meaning: str | None):
    assert meaning_of(kind, values) == meaning
    if meaning is not None:
        Meaning.of_text("x", meaning)


TICKETS = """\
Ticket ID;Author role;Author;Public;Comment body;Satisfaction;Requester ID;Comment created at
1;end-user;ann@example.org;true;my parcel is lost, what now;;7;03/14/2026 08:00:00 AM
1;agent;Mia;false;INTERNAL: asked the depot;;7;03/14/2026 08:01:00 AM
1;agent;Mia;true;we send another one;Good;7;03/14/2026 08:02:00 AM
2;end-user;bob@example.org;true;and where is my refund please;;8;03/14/2026 09:00:00 AM
2;agent;Jo;true;it comes on Monday;;8;03/14/2026 09:01:00 AM
2;end-user;bob@example.org;true;that is what you said last week;Bad;8;03/14/2026 09:02:00 AM
3;end-user;cy@example.org;true;do you open on Sunday at all;;9;03/14/2026 10:00:00 AM
3;agent;Jo;true;no, on Saturday;Offered;9;03/14/2026 10:01:00 AM
4;end-user;di@example.org;true;thank you very much for that;;9;03/14/2026 11:00:00 AM
"""


def test_tickets_are_mapped_without_a_hand(tmp_path: Path):
    rows = [
        SourceRow("t.csv", k, cells) for k, cells in enumerate(csv.DictReader(io.StringIO(TICKETS), delimiter=";"), 2)
    ]
    found = suggest(rows, ColumnMapping())
    assert (found.speaker, found.text, found.user) == ("Author role", "Comment body", "Requester ID")
    assert found.feedback == {"Satisfaction": "thumbs none=offered of dialogue"}
    assert found.drop == {"Public": "false"}
    (tmp_path / "t.csv").write_text(TICKETS)
    read = Read("mapped", tmp_path / "t.csv", found)
    assert read.texts["1"] == [("my parcel is lost, what now", "we send another one")]
    assert [d.feedback[0].rating for d in read.dialogues.values() if d.feedback] == [5.0, 1.0]


# What no user wrote


@pytest.mark.parametrize(
    ("text", "kept", "left_out"),
    [
        ("a,b", True, {"c", None}),
        ("a,b", False, {"a", "B"}),
        ("/^IN/", False, {"INTERNAL: x"}),
        ('"a, b"', False, {"a, b"}),
        ("true", False, {True, "TRUE"}),
        ("1", True, {2, "x"}),
    ],
)
def test_rows_are_kept_and_dropped_by_values_and_patterns(text: str, kept: bool, left_out: set[Any]):
    some = {"a", "B", "c", None, "INTERNAL: x", "a, b", True, "TRUE", 2, "x"} & (left_out | {"q"}) or left_out
    one = RowFilter.of("k", text, kept)
    assert {value for value in some if one.leaves_out({"k": value})} == left_out
    assert one.leaves_out({}) == kept


@pytest.mark.parametrize(
    "environment", ["langfuse-llm-as-a-judge", "langfuse-prompt-experiment", "langfuse-evaluation"]
)
@pytest.mark.parametrize("alone", [False, True])
def test_traces_of_judges_are_left_out_and_counted(environment: str, alone: bool, tmp_path: Path):
    judge: dict[str, Any] = trace("j", "Evaluate from 0 to 1", "0.7", environment=environment)
    if alone:
        judge = {
            "id": "o", "traceId": "j", "type": "GENERATION", "startTime": "2026-03-01T08:00:00Z", "environment": environment,
            "input": "Evaluate", "output": "1",
        }  # fmt: skip
    read = Read("langfuse", lines(tmp_path / "a.jsonl", trace("t", "q", "a"), judge))
    assert read.texts == {"s": [("q", "a")]}
    assert any(environment in remark for remark in read.remarks)


OPEN_INFERENCE: dict[str, dict[str, Any]] = {
    "flat": {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "be kind",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "hi",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "yes",
    },
    "nested": {
        "llm": {
            "input_messages": [{"message": {"role": "user", "content": "hi"}}],
            "output_messages": [{"message": {"role": "assistant", "content": "yes"}}],
        }
    },
    "lists": {
        "llm.input_messages": [{"message.role": "user", "message.content": "hi"}],
        "llm.output_messages": [{"message.role": "assistant", "message.content": "yes"}],
    },
    "contents": {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.text": "hi",
        "output.value": "yes",
    },
    "values": {"input.value": '{"input": "hi"}', "output.value": '{"output": "yes"}'},
}


@pytest.mark.parametrize("case", OPEN_INFERENCE)
@pytest.mark.parametrize("columns", [False, True])
def test_spans_of_open_inference_are_exchanges(case: str, columns: bool, tmp_path: Path):
    made = span("x", {"openinference.span.kind": "LLM", "session.id": "c", "user.id": "u", **OPEN_INFERENCE[case]})
    tool = span("look", {"openinference.span.kind": "TOOL", "input.value": "{}", "output.value": "rain"}, "x")
    if columns:
        made, tool = (
            {
                **{f"context.{k}": v for k, v in one.pop("context").items()},
                **{f"attributes.{k}": v for k, v in one.pop("attributes").items()},
                **one,
            }
            for one in (made, tool)
        )
    dialogue = Read("opentelemetry", lines(tmp_path / "a.jsonl", made, tool)).dialogues["c"]
    assert [(t.request, t.response, [s.name for s in t.steps]) for t in dialogue.turns] == [("hi", "yes", ["look"])]
    assert dialogue.user == "u"


def test_traces_of_which_nothing_is_read_say_what_they_have(tmp_path: Path):
    read = Read("opentelemetry", lines(tmp_path / "a.jsonl", span("x", {"http.method": "GET", "db.system": "pg"})))
    assert read.reasons == ["no_messages"]


# Text search and offsets


@pytest.mark.parametrize(
    ("words", "text", "place"),
    [
        ("Rome", "play romeo and juliet in Rome", (25, 29)),
        ("east", "is it least busy in the east", (24, 28)),
        ("6", "call line 123567 line 6", (22, 23)),
        ("tea", "steam team", None),
        ("\u6771\u4eac", "\u6771\u4eac\u304b\u3089\u884c\u304f", (0, 2)),
        ("stra\u00dfe", "die STRASSE, die Stra\u00dfe", (17, 23)),
        ("C++", "I like C++.", (7, 10)),
        ("-5", "it is -5 now", (6, 8)),
        ("", "x", None),
        ("i", "\u0130 am i", (0, 1)),
    ],
)
def test_words_are_found_as_whole_words(words: str, text: str, place: tuple[int, int] | None):
    assert find_words(words, text) == place


# Redaction


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "me@x.com " + "0123456789abcdef" * (n // 16),
        lambda n: "\\" * n,
        lambda n: "@---" * (n // 4),
        lambda n: "a%40" * (n // 4),
        lambda n: "a@b.c " * (n // 6),
        lambda n: "x" * n + "@",
    ],
)
def test_masking_of_long_texts_ends(make):
    """Each of these took an hour and more when time grew by the square of the length."""
    text = make(200_000)
    assert len(mask(text)) == len(text)


def test_names_of_annotators_and_labels_are_masked(tmp_path: Path):
    annotations = [
        {"annotator": name, "kind": "person", "turns": [{"turn": 0, "intents": [{"name": "mail ann@example.org"}]}]}
        for name in ("ann@example.org", "bob@example.org")
    ]
    plain = {"id": "d", "turns": [{"request": "hi", "response": ""}], "annotations": annotations}
    hidden = redact_dialogue(Dialogue.from_dict(plain))
    assert "@" not in encode(hidden).decode()
    assert len({one.annotator for one in hidden.annotations}) == 2
