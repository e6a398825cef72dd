"""Labels go back to where traces came from, under the ids that they had there."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label
from labelgen.data.log import Log, write_log

TRACES = [
    {"id": f"t{k}", "sessionId": f"s{k // 2}", "timestamp": f"2026-03-01T08:0{k}:00Z", "input": f"q{k}", "output": "a"}
    for k in range(4)
]


def labeled(folder: Path, form: str, records: list[Any]) -> Path:
    """A log of that form with labels of a model: each turn is good, the goal of all turns was reached."""
    (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    def annotated(dialogue: Dialogue) -> Dialogue:
        turns = tuple(range(len(dialogue.turns)))
        labels = (
            *(Label("quality", AtTurn(t), "good", probability=0.75) for t in turns),
            Label("goals", AtGoal(turns), "goal"),
            Label("outcome", AtGoal(turns), "success", probability=0.5),
            Label("quality", AtDialogue(), "fair", probability=0.25),
        )
        return replace(dialogue, annotations=(Annotation("model", "model", labels),))

    write_log(folder / "labeled.jsonl", map(annotated, Log([folder / "in.jsonl"], form)))
    return folder / "labeled.jsonl"


def push(log: Path, form: str) -> list[dict[str, Any]]:
    out = log.parent / "scores.jsonl"
    assert main(["data", "export", str(log), str(out), "--form", form, "--force"]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_scores_come_back_to_the_traces_that_they_are_about(tmp_path: Path):
    scores = push(labeled(tmp_path, "langfuse", TRACES), "langfuse")
    assert [one["traceId"] for one in scores if one["name"] == "labelgen.quality" and "traceId" in one] == [
        trace["id"] for trace in TRACES
    ]
    assert [one["traceId"] for one in scores if one["name"] == "labelgen.outcome.goal"] == ["t1", "t3"]
    assert {one["sessionId"] for one in scores if "sessionId" in one} == {"s0", "s1"}
    # Back through the reader, as an export would have them, each at its dialogue.
    again = tmp_path / "again.jsonl"
    exported = [{**one, "source": "API"} for one in scores]
    again.write_text("".join(json.dumps(one) + "\n" for one in [*TRACES, *exported]))
    dialogues = {one.id: one for one in Log([again], "langfuse")}
    assert sorted(dialogues) == ["s0", "s1"]
    assert all((one.extra or "").count("labelgen") + sum((t.extra or "").count("labelgen") for t in one.turns) == 4 for one in dialogues.values())  # fmt: skip


def test_pushing_twice_gives_the_same_ids_and_no_two_alike(tmp_path: Path):
    log = labeled(tmp_path, "langfuse", TRACES)
    first = [one["id"] for one in push(log, "langfuse")]
    assert first == [one["id"] for one in push(log, "langfuse")]
    assert len(set(first)) == len(first)


SPANS = [
    {
        "name": "chat",
        "context": {"trace_id": "a" * 32, "span_id": "b" * 16},
        "start_time": "2026-03-01T08:00:00Z",
        "attributes": {"gen_ai.prompt": "q", "gen_ai.completion": "a", "gen_ai.conversation.id": "c"},
    }
]
RUNS = [
    {"id": "r", "run_type": "chain", "inputs": {"input": "q"}, "outputs": {"output": "a"}, "start_time": "2026-03-01T08:00:00"}
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "source", "records", "path"),
    [
        ("phoenix", "opentelemetry", SPANS, ("data", 0, "span_id", "b" * 16)),
        ("opentelemetry", "opentelemetry", SPANS, ("resourceLogs", 0, "scopeLogs", 0, "logRecords", 0, "spanId", "b" * 16)),
        ("opentelemetry", "opentelemetry", SPANS, ("resourceLogs", 0, "scopeLogs", 0, "logRecords", 0, "traceId", "a" * 32)),
        ("langsmith", "langsmith", RUNS, ("run_id", "r")),
        ("langfuse", "opentelemetry", SPANS, ("observationId", "b" * 16)),
    ],
)  # fmt: skip
def test_each_form_names_the_span(form: str, source: str, records: list[Any], path: tuple[Any, ...], tmp_path: Path):
    value: Any = push(labeled(tmp_path, source, records), form)[0]
    for step in path[:-1]:
        value = value[step]
    assert value == path[-1]


def test_labels_of_turns_without_traces_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    chat = {"id": "c", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    assert [one["sessionId"] for one in push(labeled(tmp_path, "chat", [chat]), "langfuse")] == ["c"]
    assert "the turn names no trace, 2" in capsys.readouterr().out
