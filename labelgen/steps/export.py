"""The step from a labeled log to records for other tools: training data for the next assistant, and scores of the tools that traces came from.

Scores are in the body that the tool's API takes:
- langfuse: scores (`POST /api/public/scores`, langfuse 5.0.4 `CreateScoreRequest`) on a trace, an observation or a session;
- phoenix: annotations (`POST /v1/span_annotations`, `/v1/trace_annotations`, arize-phoenix-client 1.19) on a span or a trace;
- langsmith: feedback (`POST /feedback`, langsmith 0.15.0 `FeedbackCreate`) on a run;
- opentelemetry: events `gen_ai.evaluation.result` as OTLP/JSON logs (`POST /v1/logs`; semantic-conventions-genai)."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, cast

from labelgen.base.options import Choices, Share
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.json_text import decoded, object_of
from labelgen.data.log import require_annotators
from labelgen.data.tables import label_rows
from labelgen.feedback.training_data import FORMS, Form, training_records

Body = dict[str, Any]
_UNITS = ("turn", "goal", "dialogue")
_NAMESPACE = uuid.UUID("6f1f6b0e-2c1c-4f6e-9f0a-5d2d8b1c7a10")


def forms() -> list[str]:
    """Names of the forms."""
    return [*FORMS, *_SCORES]


@dataclass(frozen=True, kw_only=True)
class RecordsOptions:
    """Export a labeled log as JSON Lines. Training data for the next assistant: chats that reached their goal, pairs of a preferred and a
    rejected response, or requests with intents and slots. Or scores for the tool that the traces came from, in the body of its API, with
    the ids of the source; the ids of scores follow from what they are about, so sending them again replaces and never doubles them. Labels
    of goals are about the last turn of the goal. Slots, divisions into goals and labels that were withheld give no score."""

    form: Annotated[str, Choices("form", forms)]
    """sft: `messages` of each goal that was reached; preferences: `prompt`, `chosen` and `rejected`, from regenerations, edits and requests
    that were made again; nlu: `text`, `intents` and `slots` of each turn; langfuse, phoenix, langsmith, opentelemetry: scores of that tool"""
    annotator: Annotated[str, "NAME"] = "model"
    """annotator whose labels are used"""
    min_probability: Share = 0.0
    """probability below which a label gives no record of training data"""


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
class Exported:
    """Records that are made while a log is read, once. left_out: reasons for what gave no record, complete after the last one."""

    records: Iterator[Body]
    left_out: Counter[str] = field(default_factory=Counter)


def exported(dialogues: Iterable[Dialogue], options: RecordsOptions) -> Exported:
    """The records of the dialogues. Raises UsageError for an annotator that no dialogue has; preferences need none."""
    needed = () if options.form == "preferences" else (options.annotator,)

    def records() -> Iterator[Body]:
        for dialogue in require_annotators(dialogues, needed, "--annotator"):
            if make := _SCORES.get(options.form):
                for score in _scores(dialogue, options.annotator, made.left_out):
                    if (body := make(score)) is None:
                        made.left_out[f"{options.form} takes none of a whole dialogue"] += 1
                    else:
                        yield body
            else:
                least = options.min_probability
                yield from training_records(dialogue, cast(Form, options.form), options.annotator, made.left_out, least)

    made = Exported(records())
    return made


def label_table(dialogues: Iterable[Dialogue], annotators: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The labels of the dialogues, a row for each (labelgen.data.tables.COLUMNS). annotators: whose; all without a name.

    Raises UsageError for an annotator that no dialogue has."""
    for dialogue in require_annotators(dialogues, annotators, "--annotator"):
        for annotation in dialogue.annotations:
            if not annotators or annotation.annotator in annotators:
                yield from label_rows(dialogue, annotation)


def _scores(dialogue: Dialogue, annotator: str, left_out: Counter[str]) -> Iterator[PushedLabel]:
    annotation = dialogue.annotation(annotator)
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
        about = "\x00".join((dialogue.id, name, row["unit"], str(row["turns"]), str(turn), annotator))
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


def _langfuse(score: PushedLabel) -> Body:
    about = {"sessionId": score.session, "traceId": score.trace, "observationId": score.span}
    comment = None if score.probability is None else f"probability {score.probability:.3f}"
    body = {"id": score.id, "name": score.name, "value": score.label, "dataType": "CATEGORICAL", "comment": comment}
    return _filled({**body, **about})


def _phoenix(score: PushedLabel) -> Body | None:
    if score.trace is None:
        return None
    of = {"trace_id": score.trace} if score.span is None else {"span_id": score.span}
    result = _filled({"label": score.label, "score": score.probability})
    body = {**of, "name": score.name, "annotator_kind": "CODE", "result": result, "identifier": score.id}
    return {"data": [body]}


def _langsmith(score: PushedLabel) -> Body | None:
    if score.trace is None:
        return None
    body = {"id": score.id, "run_id": score.span or score.trace, "trace_id": score.trace, "key": score.name}
    source = {"type": "model", "metadata": {"annotator": "labelgen"}}
    return _filled({**body, "value": score.label, "score": score.probability, "feedback_source": source})


def _opentelemetry(score: PushedLabel) -> Body:
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
    return {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": logs}]}


def _filled(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


_SCORES: Mapping[str, Callable[[PushedLabel], Body | None]] = {
    "langfuse": _langfuse,
    "phoenix": _phoenix,
    "langsmith": _langsmith,
    "opentelemetry": _opentelemetry,
}
