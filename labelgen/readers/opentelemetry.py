"""OpenTelemetry traces of generative AI: spans with their messages and tools (semantic conventions gen_ai.*).

path: a `.json` or `.jsonl` file, also packed, or a folder of them. A record is an OTLP/JSON export (`resourceSpans`,
`resourceLogs`), a span or log record of it, or a span or log record as the Python SDK prints it. Messages are read from:

- the attributes `gen_ai.input.messages` and `gen_ai.output.messages` of a span, or of the event
  `gen_ai.client.inference.operation.details` (conventions from 1.37 on; opentelemetry-semantic-conventions 0.58b0, whose names
  0.66b2 lists as moved to the repository semantic-conventions-genai);
- the events `gen_ai.user.message`, `gen_ai.assistant.message`, `gen_ai.tool.message` and `gen_ai.choice`, as log records or
  events of the span (conventions 1.28 to 1.36; 0.50b0);
- the events `gen_ai.content.prompt` and `gen_ai.content.completion`, and the attributes `gen_ai.prompt` and `gen_ai.completion`,
  also with an index and a key (conventions before 1.28; deprecated in 0.50b0).

- the attributes `llm.input_messages.N.message.*`, `llm.output_messages...`, `input.value` and `output.value` of OpenInference
  (Phoenix, LlamaIndex; openinference-semantic-conventions 0.1), also of rows of Phoenix with columns such as
  `context.trace_id` and `attributes.input.value`. Spans of the kind TOOL and RETRIEVER are steps, those of the kind EVALUATOR are
  left out and counted.

A dialogue is a `gen_ai.conversation.id`, else a `session.id`, else a trace. Spans of the operation `execute_tool` are steps
(`gen_ai.tool.*`), with `error.type` and their latency. `user.id`, else `enduser.id`, is the user. The event
`gen_ai.evaluation.result` is a score; readers/exports.py says which scores are user feedback. Spans of other kinds are left out."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from labelgen.data.dialogue import TOOL, Step
from labelgen.data.json_text import decoded, json_text, object_of
from labelgen.data.reader import Items, Reader, Remark
from labelgen.data.record import Rejected
from labelgen.readers.cells import CellError, seconds_since_1970
from labelgen.readers.exports import Conversations, TraceOptions, first_of, read_export
from labelgen.readers.messages import Message, messages_in, read_messages, text_of
from labelgen.readers.traces import GivenScore, Span, Visit, step_span, time_or_last

_CALLS = ("chat", "text_completion", "generate_content", "invoke_agent", "completion")
_TOOL_SPANS = {"execute_tool": TOOL, "retrieval": "retrieval"}
_DETAILS = "gen_ai.client.inference.operation.details"
_EVALUATION = "gen_ai.evaluation.result"
_KEPT = re.compile(
    r"gen_ai\.|error\.|exception\.|user\.|enduser\.|session\."
    r"|openinference\.|llm\.(?:input|output)_messages|input\.|output\.|tool\.|tool_call\.|metadata"
)
_NESTED = (
    "llm",
    "llm.input_messages",
    "llm.output_messages",
    "input",
    "output",
    "tool",
    "session",
    "user",
    "openinference",
)
"""Attributes that may be objects and lists in place of dotted names."""
_ARGUMENTS = ("gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text", "input.value", "tool.parameters")
_RESULTS = ("gen_ai.tool.call.result", "gen_ai.retrieval.documents", "output.value")
_KIND = "openinference.span.kind"
_KIND_STEPS = {"TOOL": TOOL, "RETRIEVER": "retrieval"}
_INDEXED = re.compile(
    r"(gen_ai\.prompt|gen_ai\.completion|llm\.input_messages|llm\.output_messages)\.(\d+)\.(?:message\.)?(.+)"
)
_PART_OF = re.compile(r"contents\.\d+\.message_content\.text")
_CALL_OF = re.compile(r"tool_calls\.(\d+)\.(?:tool_call\.)?(?:function\.)?(\w+)")
_MESSAGE_EVENT = re.compile(r"gen_ai\.(user|system|assistant|tool)\.message")
_BATCHES = (
    (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"), ("spans",)),
    (("resourceLogs", "resource_logs"), ("scopeLogs", "scope_logs"), ("logRecords", "log_records")),
)
"""Names of the lists of an OTLP export: of resources, of scopes within them, and of records within those."""
_NO_CONTENT = (
    "no_messages: spans of a model without messages; instrumentations record them only on request, "
    "for example with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
)


class _Event(msgspec.Struct, frozen=True):
    name: str
    attributes: dict[str, Any] = {}
    body: Any = None
    time_s: float | None = None


class _Item(msgspec.Struct, frozen=True):
    """A span, or a log record with the span that it belongs to."""

    file: str
    line: int
    span: str | None
    is_span: bool
    parent: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    error: str | None = None
    attributes: dict[str, Any] = {}
    events: tuple[_Event, ...] = ()
    name: str | None = None


def _read(path: Path, options: TraceOptions) -> Items:
    keep = re.compile("|".join([_KEPT.pattern, *(re.escape(name) for name in options.named())]))
    spans = Counter[str]()
    names = Counter[str]()
    some = False

    def items_of(value: dict[str, Any], name: str, line: int) -> Iterator[tuple[str, _Item] | CellError]:
        try:
            yield from _items(value, name, line, keep, names)
        except CellError as error:
            yield error

    for item in read_export(path, options, _Item, items_of, partial(_add, counts=spans)):
        some = some or not isinstance(item, Remark)
        yield item
    if spans and not some:
        seen = ", ".join(name for name, _ in names.most_common(8)) or "none"
        reason = f"no_messages: none of {spans.total():,} spans has messages; their attributes begin with: {seen}"
        yield Rejected(
            file=str(path), reason=reason, hint="instrument the calls of the model, or name the form by --format"
        )
    if spans:
        parts = ", ".join(f"{spans[kind]:,} {kind}" for kind in _KINDS if spans[kind])
        yield Remark(f"{spans.total():,} spans: {parts}")


_KINDS = (
    "with messages",
    "of tools",
    "of gen_ai without messages",
    "of evaluators, left out since no user wrote them",
    "without attributes of gen_ai (they only connect others)",
    "copies, dropped",
    "rejected",
)


def _items(
    value: dict[str, Any], file: str, line: int, keep: re.Pattern[str], names: Counter[str]
) -> Iterator[tuple[str, _Item]]:
    """The spans and log records of one object, each with the id of its trace. names: first words of attributes, which grow."""
    value = _of_columns(value)
    known = False
    for resources, scopes, records in _BATCHES:
        for resource in _lists(value, resources):
            known = True
            shared = _attributes(object_of(resource.get("resource")).get("attributes"))
            for scope in _lists(resource, scopes):
                for record in _lists(scope, records):
                    yield from _record(record, shared, file, line, keep, names)
    if known or any(key in value for key in ("resourceSpans", "resourceLogs")):
        return
    if not first_of(value, "spanId", "span_id", "context", "traceId", "trace_id"):
        raise CellError("", "bad_type: neither an OTLP export (resourceSpans, resourceLogs) nor a span or log record")
    yield from _record(value, {}, file, line, keep, names)


def _of_columns(value: dict[str, Any]) -> dict[str, Any]:
    """A row of Phoenix, whose columns are paths such as `context.trace_id`, as an object."""
    if "context.trace_id" not in value:
        return value
    parts: dict[str, dict[str, Any]] = {"context": {}, "attributes": {}}
    for name, cell in value.items():
        head, _, rest = name.partition(".")
        if rest and head in parts:
            parts[head][rest] = cell
    return {**{name: cell for name, cell in value.items() if name.partition(".")[0] not in parts}, **parts}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested attributes under dotted names, as OpenTelemetry has them."""
    inner: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        inner = enumerate(value)
    if not inner:
        yield name, value
    for key, one in inner:
        yield from _flat(f"{name}.{key}", one)


def _lists(value: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name in names:
        found = value.get(name)
        if isinstance(found, list):
            yield from (one for one in found if isinstance(one, dict))


def _record(
    record: dict[str, Any], shared: Mapping[str, Any], file: str, line: int, keep: re.Pattern[str], names: Counter[str]
) -> Iterator[tuple[str, _Item]]:
    context = object_of(record.get("context")) or record
    trace, span = first_of(context, "traceId", "trace_id"), first_of(context, "spanId", "span_id")
    own = _attributes(decoded(record.get("attributes")))
    for name in _NESTED:
        if isinstance(own.get(name), (dict, list)):
            own = {**dict(_flat(name, own[name])), **own}
    if _KIND not in own and isinstance(record.get("span_kind"), str):
        own = {**own, _KIND: record["span_kind"]}
    names.update({name.partition(".")[0] for name in own})
    attributes = {name: x for name, x in {**shared, **own}.items() if keep.match(name)}
    if trace is None:
        raise CellError("traceId", "bad_type: a span or log record without the id of its trace")
    if "body" in record or first_of(record, "eventName", "event_name") or first_of(own, "event.name"):
        event = _event(record)
        if event.name.startswith("gen_ai."):
            yield str(trace), _Item(file, line, text_of(span), False, attributes=attributes, events=(event,))
        return
    if span is None:
        raise CellError("spanId", "bad_type: a span without an id")
    status = object_of(record.get("status"))
    failed = str(first_of(status, "code", "status_code") or "") in ("2", "STATUS_CODE_ERROR", "ERROR")
    events = [_event(one) for one in _lists(record, ("events",))]
    raised = next((e.attributes for e in events if e.name == "exception"), {})
    error = first_of(status, "message", "description") or raised.get("exception.message") or own.get("error.type")
    yield (
        str(trace),
        _Item(
            file,
            line,
            str(span),
            True,
            parent=text_of(first_of(record, "parentSpanId", "parent_span_id", "parent_id")),
            start_s=seconds_since_1970(first_of(record, "startTimeUnixNano", "start_time_unix_nano", "start_time")),
            end_s=seconds_since_1970(first_of(record, "endTimeUnixNano", "end_time_unix_nano", "end_time")),
            error=text_of(error) or "error" if failed or own.get("error.type") else None,
            attributes=attributes,
            events=tuple(event for event in events if event.name.startswith("gen_ai.")),
            name=text_of(record.get("name")),
        ),
    )


def _event(record: Mapping[str, Any]) -> _Event:
    attributes = _attributes(record.get("attributes"))
    name = first_of(record, "eventName", "event_name", "name") or attributes.get("event.name") or ""
    time = first_of(record, "timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "timestamp")
    body = record.get("body")
    if isinstance(body, dict) and len(body) == 1 and str(next(iter(body))).endswith(("Value", "_value")):
        body = _any(body)
    return _Event(str(name), attributes, body, seconds_since_1970(time))


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes as a mapping, of OTLP's list of keys and values, or as they are."""
    if isinstance(value, dict):
        return value
    pairs = value if isinstance(value, list) else []
    return {str(one["key"]): _any(one.get("value")) for one in pairs if isinstance(one, dict) and "key" in one}


def _any(value: Any) -> Any:
    """An AnyValue of OTLP/JSON as plain JSON."""
    if not isinstance(value, dict):
        return value
    kinds = {name.removesuffix("_value").removesuffix("Value"): one for name, one in value.items()}
    for name in ("string", "bool", "double", "bytes"):
        if name in kinds:
            return kinds[name]
    if (whole := first_of(kinds, "int")) is not None:
        try:
            return int(whole)
        except (TypeError, ValueError):
            return whole
    if isinstance(array := kinds.get("array"), dict):
        return [_any(one) for one in array.get("values", [])]
    return _attributes(kinds["kvlist"].get("values")) if isinstance(kinds.get("kvlist"), dict) else None


def _add(trace: str, items: list[_Item], conversations: Conversations, counts: Counter[str]) -> Iterator[Rejected]:
    """Add one trace to its conversation; yields what of it cannot be read. counts: spans by their kind, which grow."""
    options = conversations.options
    with_messages, of_tools, other, judges, plain, copies, rejected = _KINDS
    logs: dict[str | None, list[_Event]] = {}
    whole: dict[str | None, _Item] = {}
    for item in items:
        if not item.is_span:
            logs.setdefault(item.span, []).extend(item.events)
        elif item.span not in whole or _says(item) > _says(whole[item.span]):
            whole[item.span] = item
    spans: list[Span] = []
    scores: list[GivenScore] = []
    wanting: _Item | None = None
    ids: set[str] = set()
    for each in items:
        if each.span is None or (not each.is_span and each.span in whole) or each.span in ids:
            counts[copies] += each.is_span
            continue
        # The span of a log record may be in no file.
        ids.add(each.span)
        item = whole.get(each.span, each)
        if item.attributes.get(_KIND) == "EVALUATOR":
            counts[judges] += 1
            continue
        said = (*item.events, *logs.get(item.span, ())) if item.is_span else logs[item.span]
        events = sorted(said, key=lambda event: time_or_last(event.time_s))
        try:
            span = _span(item, events, options)
        except CellError as error:
            yield error.rejected(item.file, item.line, trace)
            counts[rejected] += item.is_span
            continue
        spans.append(span)
        if item.is_span:
            kind = with_messages if span.visit else of_tools if span.step else other if item.attributes else plain
            counts[kind] += 1
        scores += [_score(event.attributes, item.span) for event in events if event.name == _EVALUATION]
        if span.visit is None and str(item.attributes.get("gen_ai.operation.name")) in _CALLS:
            wanting = wanting or item
    scores += [_score(event.attributes, None) for event in logs.get(None, ()) if event.name == _EVALUATION]
    if not any(span.visit for span in spans):
        if wanting is not None:
            yield Rejected(file=wanting.file, line=wanting.line, dialogue=trace, reason=_NO_CONTENT)
        return
    merged = {name: value for item in reversed(items) for name, value in item.attributes.items()}
    identity, user = _whose(merged, options)
    made = options.trace(merged, user, {"trace": trace})
    place = (items[0].file, items[0].line)
    yield from conversations.add(identity or trace, made, spans, scores, place)


def _says(span: _Item) -> tuple[bool, int]:
    """Of two exports of one span, that which has ended and that which says more is whole."""
    return span.end_s is not None, len(span.attributes) + len(span.events)


def _score(attributes: Mapping[str, Any], span: str | None) -> GivenScore:
    value = first_of(attributes, "gen_ai.evaluation.score.value")
    label = attributes.get("gen_ai.evaluation.score.label")
    comment = text_of(attributes.get("gen_ai.evaluation.explanation"))
    return GivenScore(
        str(attributes.get("gen_ai.evaluation.name", "")), label if value is None else value, comment, span
    )


def _span(item: _Item, events: list[_Event], options: TraceOptions) -> Span:
    attributes = dict(item.attributes)
    for event in events:
        if event.name == _DETAILS:
            attributes |= event.attributes
    operation = str(attributes.get("gen_ai.operation.name") or "")
    kind = _TOOL_SPANS.get(operation) or (TOOL if not operation and attributes.get("gen_ai.tool.name") else None)
    if kind := kind or _KIND_STEPS.get(str(attributes.get(_KIND))):
        name = text_of(first_of(attributes, "gen_ai.tool.name", "gen_ai.data_source.id", "tool.name"))
        step = Step(
            kind=kind,
            name=name or (None if operation else item.name),
            arguments=json_text(first_of(attributes, *_ARGUMENTS)),
            result=json_text(first_of(attributes, *_RESULTS)),
            error=item.error,
        )
        call = text_of(attributes.get("gen_ai.tool.call.id"))
        return step_span(item.span or "", item.parent, (item.start_s, item.end_s), step, call)
    asked = _said(attributes, events, "input") or messages_in(options.path("request", attributes), "user")
    answered = _said(attributes, events, "output") or messages_in(options.path("response", attributes), "assistant")
    visit = Visit(asked, answered[:1], item.start_s, item.end_s, item.error) if asked or answered else None
    conversation, user = _whose(attributes, options)
    return Span(item.span or "", item.parent, item.start_s, visit, conversation=conversation, user=user)


def _whose(attributes: Mapping[str, Any], options: TraceOptions) -> tuple[str | None, str | None]:
    """Conversation and user that a span names."""
    conversation = options.text("dialogue", attributes) or text_of(
        first_of(attributes, "gen_ai.conversation.id", "session.id")
    )
    user = options.text("user", attributes) or text_of(
        first_of(attributes, "user.id", "enduser.id", "enduser.pseudo.id", "user.hash")
    )
    return conversation, user


def _said(attributes: Mapping[str, Any], events: list[_Event], side: str) -> tuple[Message, ...]:
    """The messages of a side, `input` or `output`, in the newest form that the span has; of choices the first."""
    role, word = ("user", "prompt") if side == "input" else ("assistant", "completion")
    name = f"gen_ai.{side}.messages"
    if (now := attributes.get(name)) is not None:
        return _messages(now, name, role)
    choices = [event for event in events if event.name == "gen_ai.choice"]
    if side == "output" and choices:
        return (_of_event(min(choices, key=_choice_index)),)
    asked = [_of_event(event) for event in events if side == "input" and _MESSAGE_EVENT.fullmatch(event.name)]
    if asked:
        return tuple(asked)
    name = f"gen_ai.{word}"
    for event in events:
        if event.name == f"gen_ai.content.{word}":
            return _messages(event.attributes.get(name), name, role)
    return (
        _indexed(attributes, name, role)
        or _messages(attributes.get(name), name, role)
        or _indexed(attributes, f"llm.{side}_messages", role)
        or messages_in(attributes.get(f"{side}.value"), role)
    )


def _indexed(attributes: Mapping[str, Any], field: str, role: str) -> tuple[Message, ...]:
    """Messages in attributes such as `gen_ai.prompt.0.content` and `llm.input_messages.0.message.content`."""
    found: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[int, dict[str, Any]]] = {}
    for name, value in sorted(attributes.items()):
        match = _INDEXED.fullmatch(name)
        if match is None or match[1] != field:
            continue
        index, key = int(match[2]), match[3]
        message = found.setdefault(index, {"role": role})
        if _PART_OF.fullmatch(key):
            message["content"] = [*message.get("content", ()), {"type": "text", "text": value}]
        elif call := _CALL_OF.fullmatch(key):
            calls.setdefault(index, {}).setdefault(int(call[1]), {})[call[2]] = value
        elif key == "content" and field.startswith("gen_ai") and isinstance(parts := decoded(value), list):
            message["content"] = parts
        elif key in ("role", "content", "tool_call_id", "name"):
            message[key] = value
    for index, of_message in calls.items():
        found[index]["tool_calls"] = [call for _, call in sorted(of_message.items())]
    return tuple(read_messages([found[index] for index in sorted(found)], field))


def _choice_index(event: _Event) -> int:
    index = _fields(event).get("index", 0)
    return index if isinstance(index, int) else 0


def _fields(event: _Event) -> dict[str, Any]:
    """What an event of the earlier conventions says; its content is the body, or attributes."""
    fields = {name: x for name, x in event.attributes.items() if "." not in name}
    return fields | (
        event.body if isinstance(event.body, dict) else {} if event.body is None else {"content": event.body}
    )


def _of_event(event: _Event) -> Message:
    """The message of an event of the earlier conventions."""
    fields = _fields(event)
    if event.name == "gen_ai.choice":
        message = decoded(fields.get("message"))
        kept = {"tool_calls": fields["tool_calls"]} if fields.get("tool_calls") else {}
        fields = (
            {**kept, **message} if isinstance(message, dict) else {**kept, "content": message or fields.get("content")}
        )
        role = "assistant"
    else:
        match = _MESSAGE_EVENT.fullmatch(event.name)
        role = match[1] if match else "assistant"
    fields["tool_calls"] = decoded(fields.get("tool_calls"))
    content = decoded(fields.get("content"))
    # JSON that a user typed is text; a list of parts is not.
    fields["content"] = content if role != "tool" and isinstance(content, list) else json_text(fields.get("content"))
    if role == "tool":
        fields.setdefault("tool_call_id", fields.get("id"))
    known = ("content", "tool_calls", "tool_call_id", "name", "function_call", "refusal")
    plain = {"role": role, **{name: fields[name] for name in known if fields.get(name) is not None}}
    return read_messages([plain], event.name)[0]


def _messages(value: Any, field: str, role: str) -> tuple[Message, ...]:
    """Messages of an attribute: structured, JSON text, or a bare text."""
    plain = decoded(value)
    if isinstance(plain, list) and plain and all(isinstance(one, dict) for one in plain):
        return tuple(read_messages(plain, field))
    return messages_in(value, role)


READER = Reader(_read, options=TraceOptions)
