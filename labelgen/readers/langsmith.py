"""LangSmith exports: runs and feedback as JSON.

path: a `.json` or `.jsonl` file, also packed, or a folder of them. A record is a run, with or without its `child_runs`, or
feedback on a run. Fields are those of langsmith 0.15.0 (`langsmith.schemas`: `Run`, `Feedback`); `inputs`, `outputs` and `extra` may
be text of JSON, as in bulk exports.

A dialogue is a thread (`session_id`, `thread_id` or `conversation_id` of the metadata), else a trace. The inputs and outputs of
a root run, else of the highest runs of the type `llm`, are an exchange. Runs of the types `tool` and `retriever` are steps.
Feedback is user feedback if it is named so and is not by a model or an online evaluator; all other is kept in `extra`. A correction is feedback
`edit_response`. Without feedback records, the means of `feedback_stats` are read."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from labelgen.data.dialogue import TOOL, Feedback, Step
from labelgen.data.json_text import decoded, json_text
from labelgen.data.reader import Items, Reader
from labelgen.data.record import Rejected
from labelgen.readers.cells import CellError, seconds_since_1970
from labelgen.readers.exports import Conversations, ExportRecord, TraceOptions, first_of, latest, page_of, read_export
from labelgen.readers.messages import text_of
from labelgen.readers.traces import GivenScore, Span, step_span

_STEPS = {"tool": TOOL, "retriever": "retrieval"}
_USERS = ("user_id", "user", "userId")
_THREADS = ("session_id", "thread_id", "conversation_id")
_MACHINES = ("model", "auto_eval")
_JSON_FIELDS = ("inputs", "outputs", "extra", "feedback_stats")


_Orphan = tuple[str, int, dict[str, Any]]
"""File, line and record of feedback that names its run and no trace."""


def _read(path: Path, options: TraceOptions) -> Items:
    orphans: dict[str, list[_Orphan]] = {}
    yield from read_export(
        path, options, ExportRecord, partial(_records, orphans=orphans), partial(_add, orphans=orphans)
    )
    for run, each in orphans.items():
        for name, line, record in each:
            reason = f"no_run: feedback on the run {run}, which is not in this export"
            yield Rejected(file=name, line=line, field="run_id", reason=reason, raw=json_text(record) or "")


def _records(
    value: dict[str, Any], name: str, line: int, orphans: dict[str, list[_Orphan]]
) -> Iterator[tuple[str, ExportRecord] | CellError]:
    for record in (run for one in page_of(value) for run in _with_children(one)):
        kind = "run" if "run_type" in record else "feedback" if "key" in record else None
        trace, run = text_of(record.get("trace_id")), text_of(record.get("run_id"))
        key = trace or (text_of(record.get("id")) if kind == "run" else run)
        if kind is None or key is None:
            yield CellError("", "bad_type: neither a run (run_type) nor feedback (key), or one without an id")
        elif kind == "feedback" and run is not None:
            orphans.setdefault(run, []).append((name, line, record))
        else:
            yield key, (name, line, kind, record)


def _with_children(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in record.items() if name != "child_runs"}
    for child in record.get("child_runs") or ():
        if isinstance(child, dict):
            for inner in _with_children(child):
                shared = {"trace_id": first_of(record, "trace_id", "id"), "parent_run_id": record.get("id")}
                yield {**{name: value for name, value in shared.items() if value is not None}, **inner}


def _add(
    key: str, records: list[ExportRecord], conversations: Conversations, orphans: dict[str, list[_Orphan]]
) -> Iterator[Rejected]:
    options, place = conversations.options, records[0][:2]
    runs = {
        name: {**record, **{n: decoded(record.get(n)) for n in _JSON_FIELDS}}
        for name, record in latest(record for _, _, kind, record in records if kind == "run").items()
    }
    given = [record for _, _, kind, record in records if kind == "feedback"]
    given += [record for _, _, record in chain.from_iterable(orphans.pop(name, ()) for name in runs)]
    feedback = latest(given).values()
    scores = [*map(_score, feedback), *(score for record in feedback for score in _correction(record))]
    if not scores:
        scores = [score for name, run in runs.items() for score in _stats(name, run.get("feedback_stats"))]
    root = next((run for run in runs.values() if not run.get("parent_run_id")), next(iter(runs.values()), {}))
    of_any = [item for run in (*reversed(runs.values()), root) for item in _metadata(run).items()]
    metadata = {name: value for name, value in of_any if value is not None}
    thread = text_of(first_of(metadata, *_THREADS)) or text_of(root.get("thread_id"))
    extra = {name: root[name] for name in ("name", "tags") if root.get(name) not in (None, [])}
    shown = {**root, "metadata": metadata}
    user = first_of(metadata, *_USERS)
    made = options.trace(shown, user, {"trace": key, **extra, **({"metadata": metadata} if metadata else {})})
    spans = [_span(name, run, runs, options) for name, run in runs.items()]
    identity = options.text("dialogue", shown) or thread or key
    yield from conversations.add(identity, made, spans, scores, place)


def _metadata(run: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = run.get("extra")
    metadata = extra.get("metadata") if isinstance(extra, dict) else run.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _span(name: str, run: Mapping[str, Any], runs: Mapping[str, Any], options: TraceOptions) -> Span:
    times = seconds_since_1970(run.get("start_time")), seconds_since_1970(run.get("end_time"))
    parent = text_of(run.get("parent_run_id"))
    error = text_of(run.get("error")) or None
    asked, answered = run.get("inputs"), run.get("outputs")
    kind = _STEPS.get(str(run.get("run_type")))
    if kind is not None:
        name_of = text_of(run.get("name"))
        step = Step(kind=kind, name=name_of, arguments=_argument(asked), result=_argument(answered), error=error)
        call = answered.get("tool_call_id") if isinstance(answered, dict) else None
        return step_span(name, parent, times, step, text_of(call))
    is_exchange = parent is None or parent not in runs or run.get("run_type") == "llm"
    metadata = _metadata(run)
    shown = {**run, "metadata": metadata}
    visit = options.visit(shown, asked, answered, times, error) if is_exchange else None
    thread = options.text("dialogue", shown) or text_of(first_of(metadata, *_THREADS))
    user = options.text("user", shown) or text_of(first_of(metadata, *_USERS))
    return Span(name, parent, times[0], visit, conversation=thread, user=user)


def _argument(value: Any) -> str | None:
    """Inputs or outputs of a tool: a single value under `input` or `output` by itself."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("input", "output"):
        value = next(iter(value.values()))
    return json_text(value)


def _score(record: Mapping[str, Any]) -> GivenScore:
    source = record.get("feedback_source")
    by_model = isinstance(source, dict) and source.get("type") in _MACHINES
    value = first_of(record, "score", "value")
    return GivenScore(
        str(record["key"]), value, text_of(record.get("comment")), text_of(record.get("run_id")), not by_model
    )


def _correction(record: Mapping[str, Any]) -> list[GivenScore]:
    text = json_text(record.get("correction"))
    edit = Feedback(kind="edit_response", text=text) if text else None
    return [GivenScore("correction", edit, span=text_of(record.get("run_id")))] if edit else []


def _stats(run: str, stats: Any) -> list[GivenScore]:
    named = stats.items() if isinstance(stats, dict) else ()
    return [
        GivenScore(str(name), one["avg"], span=run)
        for name, one in named
        if isinstance(one, dict) and one.get("avg") is not None
    ]


READER = Reader(_read, options=TraceOptions)
