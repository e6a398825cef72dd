"""What is corrupt is set aside, record by record where it can be told apart, and all others are labeled."""

import json
import random
from collections import deque
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_annotator import FakeAnnotator
from some_logs import lines, record, tree, write_lines, write_rows

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import compressed
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import Log, read_file
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.manifest import LabelCounts
from labelgen.labeling.run import check_bad_rate, label
from labelgen.labeling.verify import verify


def run(folder: Path, size: int = 64) -> LabelCounts:
    """Label what is in `in`; what was seen is all that there is, and the manifest says so."""
    sums = label(folder / "in", folder / "out", InlineEngine(FakeAnnotator), "model", {}, size)
    assert sums.seen == sums.labeled + sums.bad
    assert list(verify(folder / "out", folder / "in")) == []
    return sums


def labeled(folder: Path) -> set[str]:
    found = set()
    for name in tree(folder / "out"):
        if not name.endswith(("manifest.json", ".quarantine.jsonl")):
            items = list(read_file(folder / "out" / name))
            found |= {item.id for item in items if isinstance(item, Dialogue)}
    return found


def quarantined(folder: Path) -> dict[tuple[str, int | None, str | None], str]:
    """File, line and dialogue of each -> the first word of its reason."""
    found = {}
    for name, data in tree(folder / "out").items():
        if name.endswith(".quarantine.jsonl"):
            for bad in map(json.loads, data.splitlines()):
                found[bad["file"], bad.get("line"), bad.get("dialogue")] = bad["reason"].partition(":")[0]
    return found


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_label_one_percent_bad_records_is_accepted(tmp_path, name):
    good = [json.dumps(record(f"a{k}")).encode() for k in range(400)]
    given = [*good]
    given[40] = given[40][:30]
    given[80] = given[80].replace(b"play", b"\xff\xfe")
    given[120] = good[119]
    given[160] = given[160].replace(b"Playing.", b"\\ud800")
    path = tmp_path / "in" / name
    path.parent.mkdir()
    with path.open("wb") as file, compressed(file, name) as to:
        to.write(b"\n".join(given) + b"\n")
    sums = run(tmp_path)
    assert quarantined(tmp_path) == {
        (name, 41, None): "bad_json",
        (name, 81, None): "bad_json",
        (name, 121, "a119"): "doubled_id",
        (name, 161, None): "lone_surrogate",
    }
    assert labeled(tmp_path) == {f"a{k}" for k in range(400)} - {"a40", "a80", "a120", "a160"}
    check_bad_rate(sums, 0.01, "out")
    with pytest.raises(InputError, match="4 of 400 records are bad"):
        check_bad_rate(sums, 0.009, "out")


def grouped(path: Path, groups: int = 8) -> pq.FileMetaData:
    """A Parquet file of so many row groups of 25 rows, its pages with checksums, as labelgen writes them."""
    write_rows(path, [record(f"c{k}") for k in range(25 * groups)])
    pq.write_table(pq.read_table(path), path, row_group_size=25, write_page_checksum=True)
    return pq.read_metadata(path)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("size", [10, 64, 4096])
def test_parquet_flipped_bit_loses_row_group(tmp_path, size):
    """However the file is cut into shards; each lost row is named by its number."""
    path = tmp_path / "in" / "c.parquet"
    group = grouped(path).row_group(3)
    columns = (group.column(k) for k in range(group.num_columns))
    column = next(c for c in columns if c.path_in_schema.endswith("request"))
    flip(path, column.data_page_offset + column.total_compressed_size // 2)
    run(tmp_path, size)
    lost = range(75, 100)
    assert quarantined(tmp_path) == {("c.parquet", row + 1, None): "bad_parquet" for row in lost}
    assert labeled(tmp_path) == {f"c{k}" for k in range(200)} - {f"c{k}" for k in lost}


def test_parquet_invalid_utf8_loses_row(tmp_path):
    path = tmp_path / "in" / "c.parquet"
    path.parent.mkdir()
    ids = pa.array([b"c0", b"c\xff", b"c2"], pa.binary()).view(pa.string())
    turns = pa.array([[{"request": "a", "response": "b"}]] * 3)
    pq.write_table(pa.table({"id": ids, "turns": turns}), path)
    run(tmp_path)
    assert quarantined(tmp_path) == {("c.parquet", 2, None): "bad_utf8"}
    assert labeled(tmp_path) == {"c0", "c2"}


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_parquet_truncated_is_one_bad_record(tmp_path, kept):
    path = tmp_path / "in" / "c.parquet"
    grouped(path)
    path.write_bytes(path.read_bytes()[:kept])
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    run(tmp_path)
    assert set(quarantined(tmp_path).values()) == {"bad_parquet"}
    assert labeled(tmp_path) == {"a"}


def write_packed(path: Path, count: int) -> None:
    """So many records in a packed file, of texts that do not pack well."""
    rng = random.Random(0)
    path.parent.mkdir(exist_ok=True)
    with pa.output_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}[path.suffix]) as file:
        file.write(lines(record(f"d{k}", text=str(rng.getrandbits(2000))) for k in range(count)))


def cut_in_half(path: Path) -> bytes:
    """Gives what the file was before."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


PACKED_NAMES = pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst"])


@PACKED_NAMES
@pytest.mark.parametrize("size", [7, 4096])
def test_compressed_truncated_head_is_labeled(tmp_path, name, size):
    path = tmp_path / "in" / name
    write_packed(path, 1000)
    cut_in_half(path)
    write_lines(tmp_path / "in" / "a.jsonl", [record("a")])
    sums = run(tmp_path, size)
    reason = "bad_gzip" if name.endswith("gz") else "bad_zstd"
    assert (sums.damaged, sums.quarantined) == ((name,), {reason: 1})
    assert 300 < sums.labeled < 700
    assert labeled(tmp_path) == {"a", *(f"d{k}" for k in range(sums.labeled - 1))}
    (bad,) = (tmp_path / "out" / f"{name}.quarantine.jsonl").read_bytes().splitlines()
    assert f"{sums.labeled - 1:,} lines could be read" in json.loads(bad)["reason"]


def test_damaged_file_ends_run_with_error(tmp_path):
    write_packed(tmp_path / "in" / "b.jsonl.gz", 1000)
    cut_in_half(tmp_path / "in" / "b.jsonl.gz")
    for _ in range(2):
        sums = run(tmp_path)
        with pytest.raises(InputError, match=r"b\.jsonl\.gz is damaged"):
            check_bad_rate(sums, 0.9, "out")
    check_bad_rate(sums, 1.0, "out")


@pytest.mark.parametrize("finished", [True, False])
def test_damaged_file_replaced_is_labeled_again(tmp_path, finished):
    """Also where the run that met the damage was killed before it reached it."""
    path = tmp_path / "in" / "b.jsonl.gz"
    write_packed(path, 100)
    whole = cut_in_half(path)
    write_lines(tmp_path / "in" / "a.jsonl", [record(f"a{k}") for k in range(20)])

    def die(done: int) -> None:
        if not finished and done == 40:
            raise KeyboardInterrupt

    with nullcontext() if finished else pytest.raises(KeyboardInterrupt):
        label(tmp_path / "in", tmp_path / "out", InlineEngine(partial(FakeAnnotator, before=die)), "model", {}, 8)
    path.write_bytes(whole)
    diary = tmp_path / "diary"
    sums = label(tmp_path / "in", tmp_path / "out", InlineEngine(partial(FakeAnnotator, diary=diary)), "model", {}, 8)
    assert diary.read_text().split() == [f"d{k}" for k in range(100)]
    assert (sums.labeled, sums.damaged, sums.bad) == (120, (), 0)
    assert not (tmp_path / "out" / "b.jsonl.gz.quarantine.jsonl").exists()
    assert list(verify(tmp_path / "out", tmp_path / "in")) == []
    label(tmp_path / "in", tmp_path / "at_once", InlineEngine(FakeAnnotator), "model", {}, 8)
    assert tree(tmp_path / "at_once") == tree(tmp_path / "out")


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst", "b.parquet"])
def test_log_damaged_file_is_read_in_part(tmp_path, capsys, name):
    path = tmp_path / "in" / name
    if name.endswith("parquet"):
        grouped(path)
    else:
        write_packed(path, 1000)
    cut_in_half(path)
    write_lines(tmp_path / "in" / "a.jsonl", [record(f"a{k}") for k in range(200)])
    log = Log([tmp_path / "in"])
    with pytest.raises(InputError, match=f"{name} is damaged"):
        deque(log, maxlen=0)
    assert log.kept >= 200
    assert main(["data", "validate", str(tmp_path / "in")]) == 3
    out, error = capsys.readouterr()
    assert f"{log.kept:,}" in out
    assert f"{name} is damaged" in error
    assert main(["data", "validate", str(tmp_path / "in"), "--max-bad-rate", "1"]) == 0


def test_zstd_input_gives_gzip_output_and_a_clash_is_refused(tmp_path, capsys):
    write_packed(tmp_path / "in" / "b.jsonl.zst", 3)
    assert run(tmp_path).labeled == 3
    assert set(tree(tmp_path / "out")) == {"b.jsonl.gz", "manifest.json"}
    assert main(["data", "filter", str(tmp_path / "in"), str(tmp_path / "less"), "--without-user", "u"]) == 2
    assert not (tmp_path / "less").exists()
    write_packed(tmp_path / "in" / "b.jsonl.gz", 3)
    with pytest.raises(UsageError, match="which is in the input too"):
        run(tmp_path)
