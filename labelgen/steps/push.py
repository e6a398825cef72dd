"""The step from labels back to where people look at traces: scores, annotations, feedback and events of the tools that they came from.

Forms, each in the body that the tool's API takes:
- langfuse: scores (`POST /api/public/scores`, langfuse 5.0.4 `CreateScoreRequest`) on a trace, an observation or a session;
- phoenix: annotations (`POST /v1/span_annotations`, `/v1/trace_annotations`, arize-phoenix-client 1.19) on a span or a trace;
- langsmith: feedback (`POST /feedback`, langsmith 0.15.0 `FeedbackCreate`) on a run;
- opentelemetry: events `gen_ai.evaluation.result` as OTLP/JSON logs (`POST /v1/logs`; semantic-conventions-genai)."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from labelgen.base.errors import StorageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import decoded, object_of
from labelgen.data.label_table import label_rows
from labelgen.data.log import require_annotators

Form = Literal["langfuse", "phoenix", "langsmith", "opentelemetry"]
_UNITS = ("turn", "goal", "dialogue")
_NAMESPACE = uuid.UUID("6f1f6b0e-2c1c-4f6e-9f0a-5d2d8b1c7a10")
_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Write labels as scores or evaluations for the tool that the traces came from, one a line, with the ids of the source; to a server
    only if it is named. The ids of scores follow from what they are about, so pushing again replaces and never doubles them. Labels of
    goals are about the last turn of the goal. Slots, divisions into goals and labels that were withheld are left out."""

    form: Form
    """tool: langfuse, phoenix, langsmith or opentelemetry"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator whose labels are written"""


class PushedLabel(NamedTuple):
    """One label and what it is about. session: of a label of a whole dialogue, which then has no trace. id: the same for the same label
    of the same place."""

    id: str
    name: str
    label: str
    probability: float | None
    trace: str | None
    span: str | None
    session: str | None


@dataclass(frozen=True, slots=True)
class Pushed:
    """Bodies that are made while a log is read, once. left_out: reasons and counts, complete after the last one."""

    bodies: Iterator[tuple[str, dict[str, Any]]]
    left_out: Counter[str] = field(default_factory=Counter)


def push(dialogues: Iterable[Dialogue], options: PushOptions) -> Pushed:
    """The path of the API and the body of each label. Raises UsageError for an annotator that no dialogue has."""

    def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
        for dialogue in require_annotators(dialogues, (options.annotator,), "--annotator"):
            for score in _scores(dialogue, options, made.left_out):
                if (body := _FORMS[options.form](score)) is None:
                    made.left_out[f"{options.form} takes none of a whole dialogue"] += 1
                else:
                    yield body

    made = Pushed(bodies())
    return made


def _scores(dialogue: Dialogue, options: PushOptions, left_out: Counter[str]) -> Iterator[PushedLabel]:
    annotation = dialogue.annotation(options.annotator)
    places = [_place(turn) for turn in dialogue.turns]
    for row in label_rows(dialogue, annotation) if annotation is not None else ():
        if row["label"] is None or row["task"] == "goals" or row["unit"] not in _UNITS or row["abstained"]:
            left_out["slots, divisions into goals, labels that were withheld, and none"] += 1
            continue
        whole = row["unit"] == "dialogue"
        turn = row["turn"] if row["turn"] is not None else int((row["turns"] or "0").split()[-1])
        trace, span = (None, None) if whole else places[turn]
        if not whole and trace is None:
            left_out["the turn names no trace"] += 1
            continue
        name = f"labelgen.{row['task']}" if row["unit"] != "goal" else f"labelgen.{row['task']}.goal"
        about = "\x00".join((dialogue.id, name, row["unit"], str(row["turns"]), str(turn), options.annotator))
        # Several intents of one turn are several scores.
        key = f"{about}\x00{row['label']}" if row["task"] not in ("outcome", "quality") else about
        identity = str(uuid.uuid5(_NAMESPACE, key))
        session = dialogue.id if whole else None
        yield PushedLabel(identity, name, row["label"], row["probability"], trace, span, session)


def _place(turn: Turn) -> tuple[str | None, str | None]:
    """Trace and span of a turn, as the readers of traces keep them."""
    spans = object_of(decoded(turn.extra)).get("spans")
    known = [one for one in map(object_of, spans if isinstance(spans, list) else ()) if one.get("trace")]
    return (str(known[-1]["trace"]), known[-1].get("span")) if known else (None, None)


def _langfuse(score: PushedLabel) -> tuple[str, dict[str, Any]]:
    about = {"sessionId": score.session, "traceId": score.trace, "observationId": score.span}
    comment = None if score.probability is None else f"probability {score.probability:.3f}"
    body = {"id": score.id, "name": score.name, "value": score.label, "dataType": "CATEGORICAL", "comment": comment}
    return "/api/public/scores", _filled({**body, **about})


def _phoenix(score: PushedLabel) -> tuple[str, dict[str, Any]] | None:
    if score.trace is None:
        return None
    of = {"trace_id": score.trace} if score.span is None else {"span_id": score.span}
    result = _filled({"label": score.label, "score": score.probability})
    body = {**of, "name": score.name, "annotator_kind": "CODE", "result": result, "identifier": score.id}
    return f"/v1/{'trace' if score.span is None else 'span'}_annotations", {"data": [body]}


def _langsmith(score: PushedLabel) -> tuple[str, dict[str, Any]] | None:
    if score.trace is None:
        return None
    body = {"id": score.id, "run_id": score.span or score.trace, "trace_id": score.trace, "key": score.name}
    source = {"type": "model", "metadata": {"annotator": "labelgen"}}
    return "/feedback", _filled({**body, "value": score.label, "score": score.probability, "feedback_source": source})


def _opentelemetry(score: PushedLabel) -> tuple[str, dict[str, Any]]:
    named = {
        "gen_ai.evaluation.name": score.name,
        "gen_ai.evaluation.score.label": score.label,
        "gen_ai.conversation.id": score.session,
        "labelgen.score.id": score.id,
    }
    attributes: list[dict[str, Any]] = [
        {"key": name, "value": {"stringValue": text}} for name, text in named.items() if text is not None
    ]
    if score.probability is not None:
        attributes.append({"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": score.probability}})
    record = {"traceId": score.trace, "spanId": score.span, "eventName": "gen_ai.evaluation.result"}
    logs = [{"logRecords": [_filled({**record, "attributes": attributes})]}]
    return "/v1/logs", {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": logs}]}


def _filled(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


_FORMS: Mapping[str, Callable[[PushedLabel], tuple[str, dict[str, Any]] | None]] = {
    "langfuse": _langfuse,
    "phoenix": _phoenix,
    "langsmith": _langsmith,
    "opentelemetry": _opentelemetry,
}


def send(url: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Send one body to a server. Raises StorageError for an answer that is no success."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    where = url.rstrip("/") + path
    request = Request(where, msgspec.json.encode(body), {"Content-Type": "application/json", **headers}, method="POST")
    try:
        with urlopen(request, timeout=_TIMEOUT_S):
            pass
    except (HTTPError, URLError, TimeoutError) as error:
        if isinstance(error, HTTPError):
            error.close()
        hint = "check the address and --header; the same command goes on, since scores that are there are replaced"
        raise StorageError(f"the server refused: {error}", where, hint) from error
