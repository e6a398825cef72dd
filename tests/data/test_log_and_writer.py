"""A log is passed over as often as needed; what is bad in it is set aside and counted; a written log is whole."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.log import Log, open_writer, write_log
from labelgen.data.record import Rejected
from labelgen.steps.shared import AudioFolders

GOOD = '{"id":"d%d","turns":[]}'


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_log_records_are_kept_or_rejected_with_location(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", GOOD % 0, "", "{", GOOD % 1, '{"id":"d2"}', GOOD % 0, GOOD % 3)
    bad = tmp_path / "bad" / "quarantine.jsonl"
    log = Log([path], quarantine=bad, max_bad_rate=0.5)
    for _ in range(2):
        assert [d.id for d in log] == ["d0", "d1", "d3"]
        assert (log.kept, dict(log.reasons)) == (3, {"bad_json": 1, "bad_type": 1, "doubled_id": 1})
    kept = [msgspec.json.decode(line, type=Rejected) for line in bad.read_bytes().splitlines()]
    assert [(r.line, r.reason.partition(":")[0], r.dialogue, r.field) for r in kept] == [
        (3, "bad_json", None, None),
        (5, "bad_type", "d2", None),
        (6, "doubled_id", "d0", "id"),
    ]
    assert (kept[0].raw or "").strip() == "{"


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_log_above_bad_rate_fails_at_end(tmp_path: Path, bad: int):
    path = write(tmp_path / "a.jsonl", *["{"] * bad, *[GOOD % k for k in range(10 - bad)])
    log = Log([path], max_bad_rate=0.1)
    seen = []
    if bad <= 1:
        seen = list(log)
    else:
        with pytest.raises(InputError, match="2 of 10 records are bad"):
            seen.extend(log)
    assert log.kept == 10 - bad
    assert len(seen) in (0, 10 - bad)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_writer_interrupted_leaves_no_file(tmp_path: Path, suffix: str):
    path = tmp_path / f"log{suffix}"

    def broken():
        yield Dialogue(id="d0", turns=())
        raise RuntimeError("the source fails")

    with pytest.raises(RuntimeError):
        write_log(path, broken())
    assert list(tmp_path.iterdir()) == []
    assert write_log(path, [Dialogue(id="d0", turns=())]) == 1
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        write_log(path, [])
    with pytest.raises(RuntimeError):
        write_log(path, broken(), force=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_log_longer_than_row_group_round_trips(tmp_path: Path, suffix: str):
    path = tmp_path / f"log{suffix}"
    log = [Dialogue(id=f"d{k}", turns=(Turn(request=str(k), response=""),)) for k in range(1025)]
    with open_writer(path) as put:
        for dialogue in log:
            put(dialogue)
    assert list(Log([path], max_bad_rate=0)) == log


def test_model_reads_audio_below_folder_of_each_record(tmp_path: Path):
    class Told:
        def annotate(self, dialogues, goals_from=None, root=None):
            return [(dialogue.id, goals_from, root) for dialogue in dialogues]

    for k, name in enumerate(("a", "b")):
        write(tmp_path / name / "log.jsonl", GOOD % k, GOOD % (k + 2))
    read = AudioFolders(Log([tmp_path / "b", tmp_path / "a"]))
    dialogues = sorted(read, key=lambda dialogue: dialogue.id)
    annotator: Any = Told()
    said: list[Any] = [*read.annotate(annotator, dialogues, "gold")]
    assert said == [(f"d{k}", "gold", tmp_path / "ab"[k % 2]) for k in range(4)]
