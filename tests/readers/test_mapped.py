"""Dialogues by a mapping: the same from every form, in order of time, with feedback, and every row counted."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from labelgen.base.errors import UsageError
from labelgen.data import reader
from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.log import Log
from labelgen.data.reader import Remark
from labelgen.data.record import Rejected
from labelgen.readers import suggest
from labelgen.readers.mapped import read_mapped
from labelgen.readers.mapping import ColumnMapping, JsonPath, Meaning
from labelgen.readers.sources import HUB, SourceRow

UP = Feedback(kind="rating", rating=5.0, scale=(1.0, 5.0))
DOWN = Feedback(kind="rating", rating=1.0, scale=(1.0, 5.0))
ROWS: list[dict[str, Any]] = [
    {"call": "c1", "at": "2026-03-01T08:00:00Z", "who": "user", "said": "Grüße, where is it?", "liked": None},
    {"call": "c2", "at": "2026-03-01T08:00:01Z", "who": "user", "said": "cancel; please", "liked": None},
    {"call": "c1", "at": "2026-03-01T08:00:03Z", "who": "bot", "said": "It is\nin Köln.", "liked": "up"},
    {"call": "c2", "at": "2026-03-01T08:00:05Z", "who": "bot", "said": 'No "orders".', "liked": "down"},
]
MAPPING = ColumnMapping(dialogue="call", time="at", speaker="who", text="said", feedback={"liked": "thumbs"})


def parts(source: Path | str, mapping: ColumnMapping) -> tuple[list[Dialogue], list[Rejected], list[str]]:
    items = list(read_mapped(source, mapping))
    return (
        [x for x in items if isinstance(x, Dialogue)],
        [x for x in items if isinstance(x, Rejected)],
        [x.text for x in items if isinstance(x, Remark)],
    )


def as_csv(delimiter: str, encoding: str, packed: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        out = io.StringIO(newline="")
        table = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(ROWS)
        data = out.getvalue().encode(encoding)
        path.write_bytes(gzip.compress(data) if packed else data)

    return write


def as_excel(path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(ROWS[0]))
    for row in ROWS:
        sheet.append(list(row.values()))
    book.save(path)


def as_saved(path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(str(path))


FORMS: dict[str, tuple[Callable[[Path], object], Mapping[str, Any]]] = {
    "t.csv": (as_csv(",", "utf-8"), {}),
    "semicolon.csv": (as_csv(";", "cp1252"), {"encoding": "cp1252"}),
    "bar.txt": (as_csv("|", "utf-8-sig"), {}),
    "wide.csv": (as_csv(",", "utf-16"), {}),
    "t.tsv": (as_csv("\t", "utf-8"), {}),
    "caret.csv": (as_csv("^", "utf-8"), {"delimiter": "^"}),
    "t.csv.gz": (as_csv(",", "utf-8", packed=True), {}),
    "t.xlsx": (as_excel, {}),
    "t.json": (lambda path: path.write_text(json.dumps(ROWS)), {}),
    "within.json": (lambda path: path.write_text(json.dumps({"data": {"rows": ROWS}})), {"records": "data.rows"}),
    "t.jsonl": (lambda path: path.write_text("\n".join(map(json.dumps, ROWS))), {}),
    "lines.json": (lambda path: path.write_text("\n".join(map(json.dumps, ROWS))), {}),
    "t.parquet": (lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path), {}),
    "saved": (as_saved, {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_equal_rows_give_equal_dialogues(name: str, tmp_path: Path):
    write, more = FORMS[name]
    write(tmp_path / name)
    log = Log([tmp_path / name], "mapped", replace(MAPPING, **more), max_bad_rate=0.0)
    first, second = log
    assert (first.id, first.start, second.id) == ("c1", "2026-03-01T08:00:00Z", "c2")
    assert [(t.request, t.response, t.time_s, t.response_time_s) for t in first.turns] == [
        ("Grüße, where is it?", "It is\nin Köln.", 0.0, 3.0)
    ]
    assert (second.turns[0].request, second.turns[0].response) == ("cancel; please", 'No "orders".')
    assert (first.turns[0].feedback, second.turns[0].feedback) == ((UP,), (DOWN,))
    assert log.remarks == ["4 rows: 4 in dialogues"]


def test_hub_dataset_streams_as_a_file_does(tmp_path: Path):
    write, _ = FORMS["t.csv"]
    write(tmp_path / "train.csv")
    dialogues, _, _ = parts(f"{HUB}{tmp_path}", MAPPING)
    assert dialogues == parts(tmp_path / "train.csv", MAPPING)[0]
    with pytest.raises(UsageError, match="no split 'test'"):
        parts(f"{HUB}{tmp_path}", replace(MAPPING, split="test"))


def test_rows_in_any_order_and_over_files_give_equal_dialogues_within_little_memory(tmp_path: Path, monkeypatch):
    rows = [
        {"call": f"c{d}", "at": 60 * d + k, "who": "user" if k % 2 == 0 else "bot", "said": f"{d} {k}"}
        for d in range(30)
        for k in range(5)
    ]
    expected, _, _ = parts(_jsonl(tmp_path / "one.jsonl", rows), MAPPING_WITHOUT)
    shuffled = [rows[(k * 67) % len(rows)] for k in range(len(rows))]
    folder = tmp_path / "log"
    folder.mkdir()
    _jsonl(folder / "a.jsonl", shuffled[:70])
    _jsonl(folder / "b.jsonl", shuffled[70:])
    monkeypatch.setattr(reader, "_CACHE_KB", 2)
    found, bad, remarks = parts(folder, MAPPING_WITHOUT)
    assert not bad
    assert [d.id for d in found] == list(dict.fromkeys(row["call"] for row in shuffled))
    assert sorted(found, key=lambda d: d.id) == sorted(expected, key=lambda d: d.id)
    assert remarks[0] == "150 rows: 150 in dialogues"
    assert any("rows in several files" in remark for remark in remarks)


MAPPING_WITHOUT = ColumnMapping(dialogue="call", time="at", speaker="who", text="said")


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "call": st.sampled_from(["a", "b", "", "c"]),
                "at": st.sampled_from([0, 5, "soon", None]),
                "who": st.sampled_from(["user", "bot", "tool", "robot"]),
                "said": st.sampled_from(["hi", "ho"]),
            }
        ),
        min_size=1,
        max_size=14,
    )
)
def test_every_row_is_in_a_dialogue_or_counted_by_name(rows, tmp_path_factory):
    path = _jsonl(tmp_path_factory.mktemp("rows") / "t.jsonl", rows)
    found, bad, remarks = parts(path, MAPPING_WITHOUT)
    total, _, counts = remarks[0].partition(" rows: ")
    assert int(total) == len(rows)
    assert sum(int(part.strip().split()[0]) for part in counts.split(", ") if part[:1].isdigit()) == len(rows)
    lines = sum((t.request + "\n" + t.response).count("h") for d in found for t in d.turns)
    used = int(next((part.split()[0] for part in counts.split(", ") if "in dialogues" in part), 0))
    assert lines == used
    assert {x.reason.partition(":")[0] for x in bad} <= {"bad_speaker", "bad_time", "empty_id"}


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_since_1970_are_recognized_in_every_unit(factor: int, tmp_path: Path):
    start = int(datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp())
    rows = [
        {"call": "c", "at": (start + s) * factor, "who": who, "said": who}
        for s, who in ((2, "bot"), (0, "user"), (9, "user"))
    ]
    ((dialogue,), _, _) = parts(_jsonl(tmp_path / "t.jsonl", rows), MAPPING_WITHOUT)
    assert dialogue.start == "2026-03-01T08:00:00Z"
    assert [(t.request, t.time_s, t.response_time_s) for t in dialogue.turns] == [
        ("user", 0.0, 2.0),
        ("user", 9.0, None),
    ]


@pytest.mark.parametrize(
    ("times", "more", "start"),
    [
        ((0, 1500), {"time_unit": "ms"}, None),
        (("01.07.2026 10:00",), {"time_format": ("%d.%m.%Y %H:%M",), "zone": "Europe/Berlin"}, "2026-07-01T08:00:00Z"),
        (
            ("2026-03-01T08:00:00Z", "03/01/2026 08:00:02 AM", "Mar 1, 2026 08:00:04"),
            {"time_format": ("%m/%d/%Y %I:%M:%S %p", "%b %d, %Y %H:%M:%S"), "zone": "UTC"},
            "2026-03-01T08:00:00Z",
        ),
    ],
)
def test_times_by_unit_formats_and_zone_are_put_in_order(
    times: tuple[Any, ...], more: dict[str, Any], start: str | None, tmp_path: Path
):
    rows = [{"call": "c", "at": at, "who": "user", "said": str(at)} for at in reversed(times)]
    ((dialogue,), _, _) = parts(_jsonl(tmp_path / "t.jsonl", rows), replace(MAPPING_WITHOUT, **more))
    assert (dialogue.start, dialogue.turns[0].request) == (start, "\n".join(map(str, times)))
    assert dialogue.turns[0].time_s == 0.0


def test_dialogue_with_a_bad_row_anywhere_is_rejected_whole(tmp_path: Path):
    (tmp_path / "t.csv").write_text("call,at,who,said\na,0,user,x\nb,1,user,x\na,2,bot,y\na\na,3,user,z\nb,4,bot,y\n")
    log = Log([tmp_path / "t.csv"], "mapped", MAPPING_WITHOUT, max_bad_rate=1.0)
    assert [dialogue.id for dialogue in log] == ["b"]
    assert log.reasons == {"bad_row": 1, "lacks_row": 1}


def test_hypothesis_confidences_audio_and_inputs_are_read(tmp_path: Path):
    row = {
        "call": "c", "q": "play Purple Haze", "a": "ok", "intent": "PlayMusic", "sure": "80", "slots": '{"song": "purple haze", "by": "jimi"}',
        "wav": "a/1.wav", "from": "0,5", "screen": "no", "volume": "0,25", "skill": "music", "state": "answered", "note": "x",
    }  # fmt: skip
    mapping = ColumnMapping(
        dialogue="call", request="q", response="a", intent="intent", nlu_confidence="sure", confidence_scale=100, slots="slots",
        audio="wav", audio_start="from", categories=("screen",), numbers=("volume",), domain="skill", status="state", decimal=",",
    )  # fmt: skip
    ((dialogue,), _, remarks) = parts(_jsonl(tmp_path / "t.jsonl", [row]), mapping)
    (turn,) = dialogue.turns
    assert turn.hypothesis is not None
    assert turn.audio is not None
    assert turn.hypothesis.slots is not None
    (intent,), (slot,) = turn.hypothesis.intents, turn.hypothesis.slots
    assert (intent.name, intent.confidence, slot.name, turn.request[slot.start : slot.end]) == (
        "PlayMusic",
        0.8,
        "song",
        "Purple Haze",
    )
    assert (turn.audio.path, turn.audio.start_s, turn.domain, turn.status) == ("a/1.wav", 0.5, "music", "answered")
    assert ([c.value for c in turn.categories], [n.value for n in turn.numbers]) == (["no"], [0.25])
    assert json.loads(turn.extra or "") == {"note": "x"}
    assert "1 slot values are not in their request" in remarks[1]


MEANINGS: list[tuple[str, Any, list[Feedback]]] = [
    ("thumbs", "👍", [UP]),
    ("thumbs", "thumbs_down", [DOWN]),
    ("thumbs", True, [UP]),
    ("thumbs", None, []),
    ("thumbs good=Great bad=awful,bad", "AWFUL", [DOWN]),
    ("rating 1..10", "7", [Feedback(kind="rating", rating=7.0, scale=(1.0, 10.0))]),
    ("rating 5..1", 2, [Feedback(kind="rating", rating=2.0, scale=(5.0, 1.0))]),
    ("rating 0..10 none=0", 0, []),
    ("yes_no", False, [Feedback(kind="answer", answer="no")]),
    ("regenerate", 2, [Feedback(kind="regenerate")] * 2),
    ("edit", "play jazz", [Feedback(kind="edit", text="play jazz")]),
    ("comment", "wrong song", [Feedback(kind="comment", text="wrong song")]),
    ("stop", "no", []),
]


@pytest.mark.parametrize(("meaning", "value", "expected"), MEANINGS)
def test_meaning_of_a_value(meaning: str, value: Any, expected: list[Feedback]):
    assert Meaning.of_text("x", meaning).read("x", value, MAPPING.number) == expected


def test_json_path_finds_its_value():
    row = {
        "a": 1,
        "b": {"c": 2, "d": [{"e": 3}, {"e": 4}]},
        "f.g": 5,
        "h.i": 6,
        "text": '{"j": 7}',
        "Nr.": 8,
        "x (1-5) [y]": 9,
    }
    expected = {
        "a": 1, "b.c": 2, "b.d[0].e": 3, "b.d[-1].e": 4, "b.d[*].e": [3, 4], "f.g": 5, '["h.i"]': 6, "text.j": 7, "Nr.": 8,
        "x (1-5) [y]": 9,
    }  # fmt: skip
    assert {path: JsonPath.of(path).get(row) for path in expected} == expected


LOOKS: dict[str, dict[str, Any]] = {
    "csv": {
        "conversation_id": "c", "role": "user", "message": "hi", "created_at": "2026-03-01", "thumbs": "up", "csat_score": 4,
    },
    "chat": {"id": "c", "messages": [{"role": "user", "content": "hi", "liked": True}], "rating": 9, "user_id": "u"},
    "prompts": {"session_id": "s", "prompt": "hi", "completion": "ho", "regenerated": 0, "copied": True, "helpful": "yes"},
    "events": {
        "trace": {"session_id": "s"},
        "event": {"prompt": "hi", "completion": "ho", "at": 3},
        "feedback": {"value": "up", "comment": "nice"},
    },
}  # fmt: skip
SUGGESTED = {
    "events": ColumnMapping(
        dialogue="trace.session_id", request="event.prompt", response="event.completion", time="event.at",
        feedback={"feedback.value": "thumbs", "feedback.comment": "comment"},
    ),
    "csv": ColumnMapping(
        dialogue="conversation_id", speaker="role", text="message", time="created_at",
        feedback={"thumbs": "thumbs", "csat_score": "rating 1..5"},
    ),
    "chat": ColumnMapping(
        dialogue="id", turns="messages", speaker="role", text="content", user="user_id",
        feedback={"liked": "thumbs", "rating": "rating 0..10 of dialogue"},
    ),
    "prompts": ColumnMapping(
        dialogue="session_id", request="prompt", response="completion",
        feedback={"regenerated": "regenerate", "copied": "copy", "helpful": "yes_no"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_suggested_mapping_goes_by_names_and_reads_the_rows(name: str, tmp_path: Path):
    rows = [SourceRow("t", 1, LOOKS[name], whole=False)]
    assert suggest.suggest(rows, ColumnMapping()) == SUGGESTED[name]
    ((dialogue,), bad, _) = parts(_jsonl(tmp_path / "t.jsonl", [LOOKS[name]]), SUGGESTED[name])
    assert (dialogue.turns[0].request, bad) == ("hi", [])


def suggested(rows: list[dict[str, Any]]) -> ColumnMapping:
    return suggest.suggest([SourceRow("t", k, row, whole=False) for k, row in enumerate(rows)], ColumnMapping())


def test_objects_by_id_are_one_path_and_ids_of_feedback_are_none():
    """Chats of Open WebUI, which have their messages twice: as a list and by id."""

    def chat(number: int) -> dict[str, Any]:
        said: list[dict[str, Any]] = [
            {"id": f"m{number}.1", "role": "user", "content": "hi"},
            {
                "id": f"m{number}.2",
                "role": "assistant",
                "content": "ho",
                "annotation": {"rating": 1 - 2 * (number % 2)},
            },
        ]
        said[1]["feedbackId"] = f"f{number}"
        by_id = {message["id"]: message for message in said}
        return {"id": f"c{number}", "chat": {"id": "", "history": {"messages": by_id}, "messages": said}}

    for count in (2, 100):
        rows = [chat(number) for number in range(count)]
        assert "chat.history.messages" in suggest.leaves(rows)
        mapping = suggested(rows)
        assert (mapping.dialogue, mapping.turns) == ("id", "chat.messages")
        assert dict(mapping.feedback) == {"annotation.rating": "thumbs"}
        texts = suggest.warnings(mapping, [SourceRow("t", 1, row, whole=False) for row in rows])
        assert not any("history" in text or "feedbackId" in text for text in texts)


@pytest.mark.parametrize(
    ("times", "formats"),
    [
        (["2026-03-01T08:00:00Z", "1772352000"], ()),
        (["01.03.2026 08:00", "02.03.2026 09:30"], ("%d.%m.%Y %H:%M",)),
        (["03/01/2026 12:00:00 AM"], ("%m/%d/%Y %I:%M:%S %p",)),
        (["03/01/2026 08:00", "25/01/2026 08:00"], ("%d/%m/%Y %H:%M",)),
        (["2026-03-01 08:00:00", "Mar 1, 2026 08:00:00", "03/02/2026 08:00"], ("%b %d, %Y %H:%M:%S", "%m/%d/%Y %H:%M")),
        (["soon"], ()),
    ],
)
def test_suggested_time_formats_read_the_times(times: list[str], formats: tuple[str, ...]):
    mapping = suggested([{"call": "c", "at": at, "role": "user", "text": "hi"} for at in times])
    assert (mapping.time, mapping.time_format) == ("at", formats)
    if formats:
        for at in times:
            mapping.clock.read("at", at)


def test_feedback_as_an_input_of_the_model_is_warned_about():
    rows = [SourceRow("t", 1, {**LOOKS["csv"], "reaction": "👎", "mood": "like"})]
    mapping = ColumnMapping(
        dialogue="conversation_id",
        speaker="role",
        text="message",
        categories=("reaction", "mood"),
        numbers=("csat_score",),
    )
    texts = list(suggest.warnings(mapping, rows))
    assert [text.split("'")[1] for text in texts if "which a model reads" in text] == ["reaction", "mood", "csat_score"]
    assert [text.split("'")[1] for text in texts if "is not mapped" in text] == ["thumbs"]


def test_object_of_lists_is_a_list_of_turns(tmp_path: Path):
    turns = {"speaker": [0, 1, 0], "said": ["hi", "ho", "bye"]}
    path = _jsonl(tmp_path / "t.jsonl", [{"id": "c", "turns": turns}, {"id": "d", "turns": {**turns, "speaker": [0]}}])
    mapping = ColumnMapping(
        dialogue="id", turns="turns", speaker="speaker", text="said", is_user=("0",), is_assistant=("1",)
    )
    ((dialogue,), (bad,), _) = parts(path, mapping)
    assert [(t.request, t.response) for t in dialogue.turns] == [("hi", "ho"), ("bye", "")]
    assert (bad.dialogue, bad.reason.partition(":")[0]) == ("d", "bad_turns")
