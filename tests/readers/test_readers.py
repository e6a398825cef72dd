"""Readers: what they make of small samples, and what holds for each of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from reader_laws import Samples, check_rejected

from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log

HERE = Path(__file__).parent
LINES = {
    "dialogue": "conversation",
    "speaker": "who",
    "text": "said",
    "time": "when",
    "domain": "topic",
    "numbers": "loudness",
}
TURNS = {"dialogue": "id", "user": "caller", "request": "asked", "response": "answered", "nlu_confidence": "sure"}

CASES: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "chat": ("chat", "chat", {}),
    "chatgpt": ("chatgpt", "chatgpt", {}),
    "rasa": ("rasa", "rasa", {}),
    "opentelemetry": ("opentelemetry", "opentelemetry", {}),
    "langfuse": ("langfuse", "langfuse", {}),
    "langsmith": ("langsmith", "langsmith", {}),
    "lines": ("mapped", "tables/lines.csv", LINES),
    "turns": ("mapped", "tables/turns.tsv", TURNS),
}
"""name -> (format, sample, options)."""


LAWS = Samples(HERE, CASES)


@pytest.mark.parametrize("case", CASES)
def test_reader_output_equals_golden_file(case: str):
    LAWS.check_golden(case)


@pytest.mark.parametrize("case", CASES)
def test_reader_records_have_unique_ids_and_are_valid(case: str):
    LAWS.check_records(case)


@pytest.mark.parametrize("case", CASES)
def test_reader_unknown_option_or_missing_path_raises(case: str, tmp_path: Path):
    LAWS.check_refusals(case, tmp_path)


BAD = [
    ("chat", "a.jsonl", b'{"messages":[{"role":"robot","content":"x"}]}', "bad_type", "messages[0].role"),
    ("chat", "a.jsonl", b'{"messages":[{"role":"user","content":"\\ud800"}]}', "lone_surrogate", "messages[0].content"),
    ("chat", "a.jsonl", b'{"text":"x"}', "bad_type", None),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,hi,nan,,\n", "bad_time", "when"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "data", "reason", "field"), BAD)
def test_reader_bad_record_is_rejected_with_reason_and_field(
    name: str, path: str, data: bytes, reason: str, field: str | None, tmp_path: Path
):
    assert check_rejected(tmp_path, path, name, LINES if name == "mapped" else {}, data) == (reason, field)


@pytest.mark.parametrize("case", CASES)
def test_reader_damaged_file_raises_usage_error_only(case: str, tmp_path: Path):
    LAWS.check_damaged(case, tmp_path)


def test_log_folder_is_read_in_order_of_names(tmp_path: Path):
    for k, name in enumerate(("b.jsonl", "a.parquet", "quarantine-ward.jsonl", "sub/c.jsonl")):
        write_log(tmp_path / name, [Dialogue(id=f"d{k}", turns=())])
    for name in (".hidden.jsonl", "quarantine.jsonl", "a.jsonl.quarantine.jsonl"):
        (tmp_path / name).write_text("no record")
    (tmp_path / "labels.json").write_text("{}")
    assert [d.id for d in Log([tmp_path], max_bad_rate=0)] == ["d1", "d0", "d2", "d3"]
