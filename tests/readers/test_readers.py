"""Readers: what they make of small samples, and what holds for each of them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from reader_laws import Samples

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, write_log
from labelgen.data.reader import READERS, Reader, Remark
from labelgen.data.record import Rejected

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
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
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,hi,soon,,\n", "bad_time", "when"),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,hi,nan,,\n", "bad_time", "when"),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,hi,1,,loud\n", "bad_number", "loudness"),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Robot,hi,1,,\n", "bad_speaker", "who"),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer\n", "bad_row", None),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,\"h\"i,1,,\n", "bad_row", None),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\nc1,Customer,h\xffi,1,,\n", "bad_text", "said"),
    ("mapped", "a.csv", b"conversation,who,said,when,topic,loudness\n,Customer,hi,1,,\n", "empty_id", "conversation"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "data", "reason", "field"), BAD)
def test_reader_bad_record_is_rejected_with_reason_and_field(
    name: str, path: str, data: bytes, reason: str, field: str | None, tmp_path: Path
):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    reader: Reader = resolve(READERS, name, "format")
    options = LINES if name == "mapped" else {}
    (found,) = (item for item in reader.read(tmp_path, options) if not isinstance(item, Remark))
    assert isinstance(found, Rejected)
    assert (found.reason.partition(":")[0], found.field) == (reason, field)
    assert found.file.endswith(file.name)
    msgspec.json.encode(found)


@pytest.mark.parametrize("case", CASES)
def test_reader_damaged_file_raises_usage_error_only(case: str, tmp_path: Path):
    """Each sample, cut and with bytes changed: records that are still whole are read, the others rejected."""
    name, sample, options = CASES[case]
    source = SAMPLES / sample
    files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file() and p.name != "schema.json"]
    for file in files:
        data = file.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 12)):
            for damaged in (
                data[:place],
                data[:place] + b"\xff" + data[place + 1 :],
                data[:place] + b'"' + data[place:],
            ):
                copy = tmp_path / name / file.relative_to(source if source.is_dir() else source.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(damaged)
                with suppress(UsageError):
                    for item in resolve(READERS, name, "format").read(tmp_path / name, options):
                        assert isinstance(item, (Dialogue, Rejected, Remark))


def test_log_folder_is_read_in_order_of_names(tmp_path: Path):
    for k, name in enumerate(("b.jsonl", "a.parquet", "sub/c.jsonl")):
        write_log(tmp_path / name, [Dialogue(id=f"d{k}", turns=())])
    (tmp_path / ".hidden.jsonl").write_text("no record")
    (tmp_path / "quarantine.jsonl").write_text("no record")
    (tmp_path / "labels.json").write_text("{}")
    assert [d.id for d in Log([tmp_path], max_bad_rate=0)] == ["d1", "d0", "d2"]
