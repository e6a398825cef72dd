"""Each mistake of an import ends with its exit code, and says what happened, where, and what to do."""

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from labelgen.cli.main import main
from labelgen.readers import mapped

TURNS = ("--dialogue", "call", "--request", "asked", "--response", "answered")
LINES = ("--dialogue", "call", "--speaker", "who", "--text", "said")
CHATS = ("--dialogue", "id", "--turns", "messages", "--speaker", "role", "--text", "content")


@dataclass(frozen=True)
class Mistake:
    """A file with its content, options of the import, the exit code, and parts of what, where and hint."""

    name: str
    data: bytes
    options: tuple[str, ...]
    code: int
    what: str
    where: str
    hint: str


def table(*rows: str) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"call": ["c"], "asked": ["hi"], "answered": ["ho"]}), out)
    return out.getvalue()


def excel() -> bytes:
    out = io.BytesIO()
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Calls"
    sheet.append(["call", "asked", "answered"])
    sheet.append(["c", "hi", "ho"])
    book.save(out)
    return out.getvalue()


def chats(*records: object) -> bytes:
    return table(*map(json.dumps, records))


MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
GOOD = table("call,asked,answered", "c,hi,ho")
MISTAKES = {
    "wrong column of the dialogue": Mistake(
        "t.csv", GOOD, ("--dialogue", "calls", *TURNS[2:]), 2, "no column 'calls'", "calls", "did you mean 'call'?"
    ),
    "unknown kind of feedback": Mistake(
        "t.csv", GOOD, (*TURNS, "--feedback", "asked=thumb"), 2, "'thumb' is no kind", "asked", "known: thumbs, rating"
    ),
    "wrong scale": Mistake(
        "t.csv", table("call,asked,answered,stars", "c,hi,ho,7"), (*TURNS, "--feedback", "stars=rating 1..5"), 3,
        "bad_rating 1", "t.csv, line 2, dialogue c, field stars: bad_rating: 7 is outside of its scale 1..5", "rating 1..10",
    ),
    "zero as a thumb": Mistake(
        "t.csv", table("call,asked,answered,liked", "c,hi,ho,0"), (*TURNS, "--feedback", "liked=thumbs"), 3,
        "bad_feedback 1", "field liked: bad_feedback: what '0' means", "none=0",
    ),
    "two time zones": Mistake(
        "t.csv", table("call,asked,answered,at", "c,hi,ho,2026-03-01T08:00:00Z", "c,hi,ho,2026-03-01T08:00:09"),
        (*TURNS, "--time", "at"), 3, "mixed_zones 1", "dialogue c, field at: mixed_zones", "state zone",
    ),
    "dates and seconds": Mistake(
        "t.csv", table("call,asked,answered,at", "c,hi,ho,2026-03-01T08:00:00Z", "c,hi,ho,9"), (*TURNS, "--time", "at"), 3,
        "mixed_times 1", "dialogue c, field at", "times of one kind",
    ),
    "another form of dates": Mistake(
        "t.csv", table("call,asked,answered,at", "c,hi,ho,01.03.2026 08:00"), (*TURNS, "--time", "at"), 3,
        "bad_time 1", "field at: bad_time: '01.03.2026 08:00'", "state time_format",
    ),
    "half a JSON Lines file": Mistake(
        "t.jsonl", chats({"id": "c", "messages": MESSAGES}) + b'{"id": "d", "mess', CHATS, 3, "bad_json 1", "t.jsonl, line 2",
        "fix the records",
    ),
    "half a packed file": Mistake(
        "t.csv.gz", gzip.compress(GOOD * 200)[:40], TURNS, 5, "bad_gzip", "t.csv.gz", "check that the file is whole"
    ),
    "half a Parquet file": Mistake("t.parquet", parquet()[:200], TURNS, 3, "t.parquet", "0 records were read", "a whole copy"),
    "binary as CSV": Mistake("t.csv", bytes(range(256)) * 4, TURNS, 2, "t.csv is binary", "t.csv", "true form"),
    "Excel as JSON": Mistake("t.json", excel(), CHATS, 2, "t.json is an Excel file", "t.json", "true form"),
    "empty file": Mistake("t.csv", b"", TURNS, 2, "t.csv is empty", "t.csv", "a table with a header"),
    "header alone": Mistake("t.csv", b"call,asked,answered\n", TURNS, 2, "there are no rows", "t.csv", "name a file with rows"),
    "two columns of one name": Mistake(
        "t.csv", table("call,asked,asked", "c,hi,ho"), TURNS, 2, "two columns 'asked'", "t.csv", "rename one"
    ),
    "another encoding": Mistake(
        "t.csv", "call,asked,answered\nc,Grüße,ho\n".encode("cp1252"), TURNS, 3, "bad_text 1", "field asked", "cp1252"
    ),
    "unknown encoding": Mistake("t.csv", GOOD, (*TURNS, "--encoding", "utf-9"), 2, "'utf-9'", "encoding", "cp1252"),
    "decimal comma": Mistake(
        "t.csv", table("call;asked;answered;sure", "c;hi;ho;0,93"), (*TURNS, "--asr-confidence", "sure"), 3,
        "bad_number 1", "field sure: bad_number: '0,93'", "decimal ','",
    ),
    "confidence in percent": Mistake(
        "t.csv", table("call,asked,answered,sure", "c,hi,ho,93"), (*TURNS, "--asr-confidence", "sure"), 3,
        "bad_confidence 1", "field sure: bad_confidence: 93 is outside of 0..1", "confidence_scale",
    ),
    "row without a cell": Mistake(
        "t.csv", table("call,asked,answered", "c,hi"), TURNS, 3, "bad_row 1", "t.csv, line 2: bad_row: 2 cells", "fix the records"
    ),
    "unknown speaker": Mistake(
        "t.csv", table("call,who,said", "c,robot,hi"), LINES, 3, "bad_speaker 1", "field who: bad_speaker: 'robot'", "is_user, is_assistant"
    ),
    "rows without a dialogue": Mistake(
        "t.csv", table("call,asked,answered", ",hi,ho"), TURNS, 3, "empty_id 1", "t.csv, line 2, field call", "fix the records"
    ),
    "one dialogue for all": Mistake(
        "t.csv", table("call,asked,answered", *["c,hi,ho"] * 20), TURNS, 2, "'c' has more than 10 rows", "dialogue: call", "another one"
    ),
    "no mapping": Mistake("t.csv", GOOD, (), 2, "does not say what a row is", "mapping", "labelgen init shows the columns"),
    "user and assistant at once": Mistake(
        "t.csv", GOOD, (*LINES, "--is-user", "bot"), 2, "'bot' is the user and the assistant", "is_user", "one of the two"
    ),
    "unknown field of a mapping": Mistake(
        "t.csv", GOOD, ("--dialogs", "call"), 2, "", "", "did you mean"
    ),
    "unknown time zone": Mistake("t.csv", GOOD, (*TURNS, "--zone", "Berlin"), 2, "'Berlin'", "zone", "Europe/Berlin"),
    "unknown sheet": Mistake("t.xlsx", excel(), (*TURNS, "--sheet", "May"), 2, "no sheet 'May'", "t.xlsx", "it has: Calls"),
    "no list of records": Mistake(
        "t.json", json.dumps({"data": []}).encode(), (*CHATS, "--records", "items"), 2, "no list at 'items'", "t.json", "it has: data"
    ),
    "turns that are no list": Mistake(
        "t.jsonl", chats({"id": "c", "messages": MESSAGES}, {"id": "d", "messages": "hi"}), CHATS, 3, "bad_turns 1", "dialogue d",
        "path of the list",
    ),
    "text that is an object": Mistake(
        "t.jsonl", chats({"id": "c", "messages": [{"role": "user", "content": {"body": "hi"}}]}), CHATS, 3, "bad_text 1",
        "field content", "path to its text",
    ),
    "slots that are no JSON": Mistake(
        "t.csv", table("call,asked,answered,slots", "c,hi,ho,city=Rome"), (*TURNS, "--slots", "slots"), 3, "bad_slots 1",
        "field slots: bad_slots: 'city=Rome'", "give JSON",
    ),
    "lines before the header": Mistake(
        "t.csv", table("Report of March", "call,asked,answered", "c,hi,ho"), TURNS, 3, "bad_row 2",
        "t.csv, line 2: bad_row: 3 cells, the header has 1", "the first line is the header (here 'Report of March')",
    ),
    "format of times in words": Mistake(
        "t.csv", GOOD, (*TURNS, "--time-format", "dd.mm.yyyy"), 2, "'dd.mm.yyyy' names no part of a time", "time_format", "%d.%m.%Y"
    ),
    "list of numbers": Mistake("t.json", b"[1, 2]", CHATS, 3, "bad_type 2", "t.json", "the list of records by records"),
    "unknown file of a mapping": Mistake(
        "t.csv", GOOD, ("--config", "nowhere.yaml"), 2, "nowhere.yaml does not exist", "config=nowhere.yaml", "name a file"
    ),
    "rating without a scale": Mistake(
        "t.csv", GOOD, (*TURNS, "--feedback", "asked=rating"), 2, "scale of the rating 'asked'", "asked", "rating WORST..BEST"
    ),
    "id as a time": Mistake(
        "t.csv", table("call,asked,answered,at", "c,hi,ho,1772352000000000000000"), (*TURNS, "--time", "at"), 3, "bad_time 1",
        "field at: bad_time: 1.772352e+21 ns since 1970 is no date", "column of times",
    ),
    "half an Excel file": Mistake("t.xlsx", excel()[:900], TURNS, 3, "no whole Excel file", "t.xlsx", "copy it again"),
    "half a saved dataset": Mistake("state.json", b"{}", TURNS, 3, "no whole saved dataset", "", "save_to_disk"),
    "utterances without a dialogue": Mistake("t.csv", GOOD, LINES[2:], 2, "which dialogue", "mapping", "give dialogue"),
    "request and response of one column": Mistake(
        "t.csv", GOOD, (*TURNS[:4], "--response", "asked"), 2, "one column, 'asked'", "mapping", "the two columns"
    ),
    "records of labelgen": Mistake(
        "t.parquet", b"", TURNS, 2, "no column 'call'", "call", "records of labelgen"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_import_mistake_has_exit_code_what_where_and_hint(mistake: str, tmp_path: Path, capsys, monkeypatch):
    case = MISTAKES[mistake]
    monkeypatch.setattr(mapped, "MOST_ROWS", 10)
    source = tmp_path / "log" / case.name
    source.parent.mkdir()
    source.write_bytes(case.data)
    if mistake == "records of labelgen":
        pq.write_table(pa.table({"id": ["c"], "turns": [[]], "annotations": [[]]}), source)
    read = source.parent if mistake == "half a saved dataset" else source
    out = tmp_path / "out.jsonl"
    assert main(["data", "import", str(read), str(out), *case.options]) == case.code
    lines = capsys.readouterr().err.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("labelgen data: "))
    what, where, hint = lines[start : start + 3]
    assert case.what in what
    assert where.startswith("  where: ")
    assert case.where in where
    assert hint.startswith("  hint:  ")
    assert case.hint in hint
    assert not out.exists()


def _missing(folder: Path) -> list[str]:
    return [str(folder / "no.csv"), str(folder / "out.jsonl"), *TURNS]


def _no_tables(folder: Path) -> list[str]:
    (folder / "empty").mkdir()
    return [str(folder / "empty"), str(folder / "out.jsonl"), *TURNS]


def _no_output(folder: Path) -> list[str]:
    (folder / "t.csv").write_bytes(GOOD)
    return [str(folder / "t.csv"), *TURNS]


def _input_as_output(folder: Path) -> list[str]:
    (folder / "t.jsonl").write_bytes(chats({"call": "c", "asked": "hi", "answered": "ho"}))
    return [str(folder / "t.jsonl"), str(folder / "t.jsonl"), "--force", *TURNS]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (_missing, "does not exist"),
        (_no_tables, "no records in"),
        (_no_output, "OUT is required"),
        (_input_as_output, "would be overwritten"),
    ],
)
def test_import_wrong_source_or_output_is_refused(
    words: Callable[[Path], list[str]], what: str, tmp_path: Path, capsys
):
    assert main(["data", "import", *words(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert what in shown
    assert "hint:" in shown
