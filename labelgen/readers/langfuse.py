"""Langfuse exports: traces, observations and scores as JSON.

path: a `.json` or `.jsonl` file, also packed, a `.csv` or `.parquet`, or a folder of them, such as that of a blob storage export. A record is a trace, with
or without its observations and scores, an observation, a score, or a page of the API with them in `data`; keys are in camel case or
with underscores. Fields are those of langfuse 5.0.4 (`langfuse.api.commons.types`: `observation_v2`, `score`) and, for traces, of
langfuse 3.3.0 (`Trace`, `TraceWithFullDetails`).

A dialogue is a session, else a trace. The input and output of a trace, else of its highest observations, are an exchange.
Observations of the types TOOL, RETRIEVER and GUARDRAIL are steps. Scores of the source API are user feedback if they are named
so; those of evaluators and reviewers, and all others, are kept in `extra`. A correction is feedback `edit_response`. Traces in the
environments of Langfuse itself (`langfuse-...`: judges, prompt experiments) are left out and counted."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labelgen.data.dialogue import TOOL, Feedback, Step
from labelgen.data.json_text import json_text
from labelgen.data.reader import Items, Reader
from labelgen.data.record import Rejected
from labelgen.readers.cells import CellError, seconds_since_1970
from labelgen.readers.exports import Conversations, ExportRecord, TraceOptions, first_of, latest, page_of, read_export
from labelgen.readers.messages import text_of
from labelgen.readers.traces import NO_SPAN, GivenScore, Span, Trace, step_span

_STEPS = {"TOOL": TOOL, "RETRIEVER": "retrieval", "GUARDRAIL": "guardrail"}
_OF_SESSION = "\x00session "
"""Before the key of scores of a session, which no id of a trace begins with."""
_OWN = "langfuse-"
"""Begins the environments of Langfuse's own traces, such as those of its judges."""


def _read(path: Path, options: TraceOptions) -> Items:
    return read_export(path, options, ExportRecord, _records, _add)


def _records(value: dict[str, Any], name: str, line: int) -> Iterator[tuple[str, ExportRecord] | CellError]:
    for record in page_of(value):
        kind = _kind(record)
        key = _key(record, kind) if kind else None
        if kind is None or key is None:
            yield CellError(
                "", "bad_type: neither a trace, an observation nor a score, or one without the id of its trace"
            )
        else:
            yield key, (name, line, kind, record)


def _kind(record: Mapping[str, Any]) -> str | None:
    if "dataType" in record or "data_type" in record or ("source" in record and "value" in record):
        return "score"
    if first_of(record, "startTime", "start_time") is not None and "type" in record:
        return "observation"
    has_trace = first_of(record, "traceId", "trace_id") is not None
    return "trace" if "id" in record and not has_trace and ("input" in record or "timestamp" in record) else None


def _key(record: Mapping[str, Any], kind: str) -> str | None:
    if kind == "trace":
        return text_of(record["id"])
    trace = text_of(first_of(record, "traceId", "trace_id"))
    if trace is not None or kind != "score":
        return trace
    session = text_of(first_of(record, "sessionId", "session_id"))
    return None if session is None else _OF_SESSION + session


def _add(key: str, records: list[ExportRecord], conversations: Conversations) -> Iterator[Rejected]:
    options, place = conversations.options, records[0][:2]
    of_kind: dict[str, list[dict[str, Any]]] = {"trace": [], "observation": [], "score": []}
    for _, _, kind, record in records:
        of_kind[kind].append(record)
    named = []
    for trace in of_kind["trace"]:
        of_kind["observation"] += [one for one in trace.get("observations") or () if isinstance(one, dict)]
        listed = trace.get("scores")
        if isinstance(listed, list):
            of_kind["score"] += [one for one in listed if isinstance(one, dict)]
        else:
            named += _named_scores(listed)
    scores = [*map(_score, latest(of_kind["score"]).values()), *named]
    if key.startswith(_OF_SESSION):
        yield from conversations.add(key.removeprefix(_OF_SESSION), Trace(), [], scores, place)
        return
    trace = next(iter(latest(of_kind["trace"]).values()), {})
    observations = latest(of_kind["observation"])
    of_any = [*reversed(observations.values()), trace]
    environments = {
        str(one.get("environment")) for one in ([trace] if trace.get("environment") else observations.values())
    }
    if environments and all(name.startswith(_OWN) for name in environments):
        conversations.left_out.update(f"environment {name}" for name in environments)
        return
    spans = _spans(key, trace, observations, options)
    shared = {name: value for record in of_any for name, value in record.items() if value is not None}
    session = options.text("dialogue", shared) or text_of(first_of(shared, "sessionId", "session_id"))
    extra = {name: trace[name] for name in ("name", "metadata", "tags") if trace.get(name) not in (None, {}, [])}
    made = options.trace(shared, first_of(shared, "userId", "user_id"), {"trace": key, **extra})
    yield from conversations.add(session or key, made, spans, scores, place)


def _spans(
    key: str, trace: Mapping[str, Any], observations: Mapping[str, dict[str, Any]], options: TraceOptions
) -> list[Span]:
    spans = []
    start_s = seconds_since_1970(trace.get("timestamp"))
    ends = [_times(one)[1] for one in observations.values()]
    end_s = max((end for end in ends if end is not None), default=None)
    visit = options.visit(trace, trace.get("input"), trace.get("output"), (start_s, end_s), None)
    root = f"{NO_SPAN}{key}" if visit is not None else None
    if root is not None:
        spans.append(Span(root, None, start_s, visit))
    for name, one in observations.items():
        times = _times(one)
        parent = text_of(first_of(one, "parentObservationId", "parent_observation_id"))
        above = parent if parent in observations else root
        failed = one.get("level") == "ERROR"
        error = (text_of(first_of(one, "statusMessage", "status_message")) or "error") if failed else None
        kind = str(one.get("type")).upper()
        asked, answered = one.get("input"), one.get("output")
        if kind in _STEPS:
            step = Step(
                kind=_STEPS[kind],
                name=text_of(one.get("name")),
                arguments=json_text(asked),
                result=json_text(answered),
                error=error,
            )
            spans.append(step_span(name, above, times, step))
        else:
            is_exchange = kind == "GENERATION" or parent is None
            visit = options.visit(one, asked, answered, times, error) if is_exchange else None
            spans.append(Span(name, above, times[0], visit))
    return spans


def _times(observation: Mapping[str, Any]) -> tuple[float | None, float | None]:
    begin, end = first_of(observation, "startTime", "start_time"), first_of(observation, "endTime", "end_time")
    return seconds_since_1970(begin), seconds_since_1970(end)


def _score(record: Mapping[str, Any]) -> GivenScore:
    kind = str(first_of(record, "dataType", "data_type") or "")
    words = first_of(record, "stringValue", "string_value")
    comment = text_of(record.get("comment"))
    span = text_of(first_of(record, "observationId", "observation_id"))
    if kind == "CORRECTION":
        return GivenScore(
            "correction", Feedback(kind="edit_response", text=str(words)) if words else None, comment, span
        )
    value = words if kind in ("CATEGORICAL", "TEXT") and words is not None else record.get("value", words)
    source = str(record.get("source", "API"))
    return GivenScore(str(record.get("name", "")), value, comment, span, by_user=source == "API")


def _named_scores(value: Any) -> list[GivenScore]:
    """Scores within a trace as values by name, as in a table of traces."""
    named = value.items() if isinstance(value, dict) else ()
    return [GivenScore(str(name), one) for name, each in named for one in (each if isinstance(each, list) else [each])]


READER = Reader(_read, options=TraceOptions)
