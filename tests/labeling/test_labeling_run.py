"""Laws of labeling a log: what is written depends on the model and the records, and everything is accounted for."""

import gzip
import json
import os
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator
from hypothesis import given
from hypothesis import strategies as st
from some_logs import mixed_log, record, tree, write_lines, write_rows

from labelgen.base.errors import IntegrityError, StorageError, UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import read_file
from labelgen.data.record import decode, encode
from labelgen.labeling.engines import InlineEngine, local_engine, visible_gpus
from labelgen.labeling.manifest import LabelCounts, summary, tally, total
from labelgen.labeling.run import label, open_folder
from labelgen.labeling.shard import without_annotator
from labelgen.labeling.verify import verify


def run(source: Path, out: Path, size: int = 2, force: bool = False, **fake) -> LabelCounts:
    return label(source, out, InlineEngine(partial(FakeAnnotator, **fake)), "model", {}, size, force)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path: data for path, data in tree(folder).items() if path != "manifest.json"}


def dialogues(path: Path) -> list[Dialogue]:
    return [item for item in read_file(path) if isinstance(item, Dialogue)]


def test_label_mixed_log_keeps_formats_and_order(tmp_path):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    sums = run(source, out)
    assert set(tree(out)) == {
        "a.jsonl",
        "a.jsonl.quarantine.jsonl",
        "empty.jsonl",
        "sub/b.jsonl.gz",
        "sub/c.parquet",
        "manifest.json",
    }
    assert (sums.seen, sums.labeled, sums.quarantined) == (16, 13, {"bad_json": 1, "bad_type": 1, "doubled_id": 1})
    for name in ("sub/b.jsonl.gz", "sub/c.parquet"):
        labeled = dialogues(out / name)
        assert [encode(without_annotator(d, "model")) for d in labeled] == [encode(d) for d in dialogues(source / name)]
        assert all(d.annotations[-1].kind == "model" for d in labeled)
    bad = [json.loads(text) for text in (out / "a.jsonl.quarantine.jsonl").read_text().splitlines()]
    assert [(b["file"], b.get("line"), b.get("dialogue")) for b in bad] == [
        ("a.jsonl", 3, None),
        ("a.jsonl", 5, "a1"),
        ("a.jsonl", 7, "a3"),
    ]
    assert list(verify(out, source)) == []


@pytest.mark.parametrize("size", [1, 3, 5, 4096])
def test_label_shard_size_same_bytes(tmp_path, size):
    """But in which doubled ids are found: those of one shard; so this log has none."""
    source = tmp_path / "in"
    write_lines(source / "a.jsonl", [record("a0"), "{", record("a1"), record("a2"), "[]", record("a3")])
    write_lines(source / "b.jsonl.gz", [record(f"b{k}") for k in range(7)])
    write_rows(source / "c.parquet", [record(f"c{k}") for k in range(11)])
    run(source, tmp_path / "two", 2)
    run(source, tmp_path / "other", size)
    assert outputs(tmp_path / "two") == outputs(tmp_path / "other")


class OnGpu:
    """Makes an annotator that begins once every GPU has a worker with one."""

    def __init__(self, folder, count):
        self.folder = folder
        self.count = count

    def __call__(self):
        (self.folder / os.environ["CUDA_VISIBLE_DEVICES"]).touch(exist_ok=False)
        return FakeAnnotator(before=self.wait)

    def wait(self, _):
        until = time.monotonic() + 60
        while len(list(self.folder.iterdir())) < self.count and time.monotonic() < until:
            time.sleep(0.01)


def test_label_workers_have_a_gpu_each_and_give_the_same_bytes(tmp_path):
    source, gpus = mixed_log(tmp_path / "in"), tmp_path / "gpus"
    gpus.mkdir()
    run(source, tmp_path / "inline")
    with local_engine(OnGpu(gpus, 2), 2, ["GPU-a", "3"]) as engine:
        label(source, tmp_path / "out", engine, "model", {}, 2)
    assert {path.name for path in gpus.iterdir()} == {"GPU-a", "3"}
    assert tree(tmp_path / "out") == tree(tmp_path / "inline")


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [(None, 2, ["0", "1"]), ("GPU-a,GPU-b,9", 2, ["GPU-a", "GPU-b"]), ("", 0, []), (None, 0, [])],
)
def test_visible_gpus_are_named_as_the_user_names_them(monkeypatch, visible, count, names):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "one kind")
    assert visible_gpus() == names
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: f"kind {index}")
    if count > 1:
        with pytest.raises(UsageError, match="the GPUs are of 2 kinds: kind 0, kind 1"):
            visible_gpus()


def test_label_gzip_is_deterministic(tmp_path):
    """Neither the time nor the name of a file is in its bytes."""
    for name in ("x", "y"):
        write_lines(tmp_path / name / f"{name}.jsonl.gz", [record("d")])
        run(tmp_path / name, tmp_path / f"{name}_out")
    first, second = (tmp_path / f"{n}_out" / f"{n}.jsonl.gz" for n in "xy")
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()).startswith(b'{"id":"d"')


RECORDS = st.lists(
    st.one_of(
        st.integers(0, 5).map(lambda k: json.dumps(record(f"d{k}", k))),
        st.just(""),
        st.just("{nonsense"),
        st.just('{"id": "x", "turns": 5}'),
        st.just('{"id": "y", "turns": [{"request": "a", "response": "", "audio": {"path": "../b.wav"}}]}'),
    ),
    max_size=12,
)


@given(records=RECORDS, size=st.integers(1, 5))
def test_counts_seen_is_labeled_plus_quarantined(tmp_path_factory, records, size):
    base = tmp_path_factory.mktemp("sums")
    write_lines(base / "in" / "a.jsonl", records)
    sums = run(base / "in", base / "out", size)
    assert sums.seen == sum(1 for text in records if text) == sums.labeled + sum(sums.quarantined.values())
    quarantine = base / "out" / "a.jsonl.quarantine.jsonl"
    assert sums.bad == (len(quarantine.read_bytes().splitlines()) if quarantine.exists() else 0)
    labeled = dialogues(base / "out" / "a.jsonl")
    assert len(labeled) == sums.labeled
    assert sums == total(
        [tally([(d, d.annotations[-1]) for d in labeled], []), LabelCounts(seen=sums.bad, quarantined=sums.quarantined)]
    )
    faults = list(verify(base / "out", base / "in"))
    assert all(fault.startswith("doubled_id") for fault in faults)
    assert bool(faults) == (len({d.id for d in labeled}) < len(labeled))


@pytest.mark.parametrize("workers", [1, 2])
def test_counts_unreadable_audio_by_reason(tmp_path, workers):
    """And stops nothing; the sums of shards, files and the whole agree, and a rerun tells the same."""

    def spoken(identity: str, *paths: str) -> dict[str, object]:
        turns = [{"request": "a", "response": "b", "audio": {"path": path}} for path in paths]
        return record(identity, turns=0) | {"turns": turns}

    write_lines(tmp_path / "in" / "a.jsonl", [spoken("a0", "x.wav", "y.wav"), record("a1"), spoken("a2", "y.wav")])
    write_lines(tmp_path / "in" / "sub" / "b.jsonl", [spoken("b0", "x.wav"), "{"])
    (tmp_path / "in" / "x.wav").touch()
    for _ in range(2):
        with local_engine(FakeAnnotator, workers) as engine:
            sums = label(tmp_path / "in", tmp_path / "out", engine, "model", {}, 1)
        assert (sums.labeled, sums.audio_turns, sums.audio_errors) == (4, 1, {"no_file": 3})
        assert "sound: 1 of 4 read; not read: no_file 3" in list(summary(sums))
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        assert [file["counts"]["audio_errors"] for file in manifest["files"]] == [{"no_file": 2}, {"no_file": 1}]
        assert list(verify(tmp_path / "out", tmp_path / "in")) == []
    assert not any(text.startswith("sound") for text in summary(LabelCounts(seen=1, labeled=1)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
@pytest.mark.parametrize("size", [2, 4096])
def test_quarantine_has_line_and_raw_record(tmp_path, name, size):
    """Doubled, with the name taken, of an unknown source: read from the quarantine they can be fixed as they were."""
    taken = [{"annotator": "model", "kind": "person", "goals": []}]
    records = [
        record("d"),
        record("d", 1, mine={"b": 1, "a": "é"}),
        record("e", annotations=taken),
        record("f", source="martian"),
    ]
    if name.endswith("parquet"):
        write_rows(tmp_path / "in" / name, records)
    else:
        write_lines(tmp_path / "in" / name, records)
    run(tmp_path / "in", tmp_path / "out", size)
    rows = [json.loads(line) for line in (tmp_path / "out" / f"{name}.quarantine.jsonl").read_bytes().splitlines()]
    assert [(row["reason"].partition(":")[0], row["line"], row["dialogue"]) for row in rows] == [
        ("doubled_id", 2, "d"),
        ("name_taken", 3, "e"),
        ("unknown_source", 4, "f"),
    ]
    if name.endswith("parquet"):
        assert [decode(row["raw"], name) for row in rows] == dialogues(tmp_path / "in" / name)[1:]
    else:
        assert [row["raw"] for row in rows] == [json.dumps(one) for one in records[1:]]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.wav", "a/../../x.wav", "..\\x.wav", "C:\\x.wav", "\\\\host\\x.wav", "", "..", "a\0b"]
)
def test_label_hostile_record_does_not_stop_run(tmp_path, path):
    hostile = {"id": "h", "turns": [{"request": "a", "response": "b", "audio": {"path": path}}]}
    fine = {"id": "f", "turns": [{"request": "a", "response": "b", "audio": {"path": "a/../calls/..x/7.wav"}}]}
    write_lines(tmp_path / "in" / "a.jsonl", [record("d"), hostile, fine])
    sums = run(tmp_path / "in", tmp_path / "out")
    assert (sums.labeled, sums.quarantined) == (2, {"bad_path": 1})
    assert b'"field":"turns[0].audio.path"' in (tmp_path / "out" / "a.jsonl.quarantine.jsonl").read_bytes()


def test_rerun_of_finished_run_does_nothing(tmp_path):
    source, out, diary = mixed_log(tmp_path / "in"), tmp_path / "out", tmp_path / "diary"
    first = run(source, out, diary=diary)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert len(diary.read_text().splitlines()) == first.labeled
    assert run(source, out, diary=diary) == first
    assert len(diary.read_text().splitlines()) == first.labeled
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times


def test_rerun_labels_only_new_files(tmp_path):
    source, out, diary = mixed_log(tmp_path / "in"), tmp_path / "out", tmp_path / "diary"
    run(source, out)
    write_lines(source / "new.jsonl", [record("n0"), record("n1")])
    run(source, out, diary=diary)
    assert diary.read_text().split() == ["n0", "n1"]
    run(source, tmp_path / "unbroken")
    assert tree(out) == tree(tmp_path / "unbroken")


def _change(source: Path) -> None:
    write_lines(source / "a.jsonl", [record("other")])


def _remove(source: Path) -> None:
    (source / "a.jsonl").unlink()


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (_change, {}),
        (_remove, {}),
        (lambda source: None, {"model": "m2"}),
        (lambda source: None, {"size": 3}),
        (lambda source: None, {"processor": "abacus"}),
    ],
)
def test_rerun_with_changes_is_refused_unless_forced(tmp_path, change, again):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    run(source, out)
    change(source)
    before = tree(out)
    with pytest.raises(
        IntegrityError, match=r"a\.jsonl|model_digest: m1, now m2|processor: None, now abacus|shard_dialogues: 2, now 3"
    ):
        run(source, out, **again)
    assert tree(out) == before
    run(source, out, force=True, **again)
    run(source, tmp_path / "unbroken", **again)
    assert tree(out) == tree(tmp_path / "unbroken")


def test_rerun_restores_removed_output(tmp_path):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    run(source, out)
    before = tree(out)
    (out / "sub" / "c.parquet").unlink()
    (out / "a.jsonl.quarantine.jsonl").unlink()
    run(source, out)
    assert tree(out) == before


def test_label_same_annotator_replaces_annotation(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", [record("d")])
    run(tmp_path / "in", tmp_path / "one")
    (tmp_path / "one" / "manifest.json").unlink()
    run(tmp_path / "one", tmp_path / "two")
    first, second = (dialogues(tmp_path / out / "a.jsonl")[0].annotations for out in ("one", "two"))
    assert [one.labels for one in first] == [one.labels for one in second]
    line = (tmp_path / "one" / "a.jsonl").read_bytes().rstrip(b"\n")
    assert second[0].provenance is not None
    assert second[0].provenance.input_digest == sha256(line).hexdigest()


def test_label_foreign_folder_is_refused(tmp_path):
    source, out = mixed_log(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        run(source, out)
    assert tree(out) == {"mine.txt": b"mine"}
    for inside in (source, source / "labeled", tmp_path):
        with pytest.raises(UsageError, match="contain each other"):
            run(source, inside, force=True)


def test_label_locked_folder_is_refused(tmp_path):
    source = mixed_log(tmp_path / "in")
    with open_folder(tmp_path / "out", False), pytest.raises(StorageError, match="another process"):
        run(source, tmp_path / "out")


def test_label_input_changed_during_run_is_refused(tmp_path):
    source = tmp_path / "in" / "a.jsonl"
    write_lines(source, [record("d"), record("e"), record("f")])

    def meddle(done: int) -> None:
        if done == 2:
            write_lines(source, [record("d"), record("e"), record("x")])

    with pytest.raises(IntegrityError, match="changed while"):
        run(source, tmp_path / "out", before=meddle)
    assert not (tmp_path / "out" / "a.jsonl").exists()


def test_redacted_labels_use_original_text(tmp_path):
    """Labels are those of the texts as they came; the texts and the quarantine hold nothing of what is masked."""
    told = {"request": "call 707-555-0123", "response": "Mail to ann@example.org?"}
    write_lines(tmp_path / "in" / "a.jsonl", [{"id": f"d{k}", "turns": [told]} for k in range(3)] + ['{"707-555-0123"'])
    load = partial(FakeAnnotator)
    plain = label(tmp_path / "in", tmp_path / "plain", InlineEngine(load), "model", {}, 2)
    masked = label(tmp_path / "in", tmp_path / "out", InlineEngine(load), "model", {"redact": "email phone card"}, 2)
    assert masked == plain
    assert list(verify(tmp_path / "out", tmp_path / "in")) == []
    written = b"".join(tree(tmp_path / "out").values())
    assert b"0123" not in written
    assert b"ann@" not in written
    for one, other in zip(
        dialogues(tmp_path / "plain" / "a.jsonl"), dialogues(tmp_path / "out" / "a.jsonl"), strict=True
    ):
        assert one.annotations[-1].labels == other.annotations[-1].labels
    with pytest.raises(IntegrityError, match="redact"):
        label(tmp_path / "in", tmp_path / "out", InlineEngine(load), "model", {}, 2)
