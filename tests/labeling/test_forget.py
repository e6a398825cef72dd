"""Deletion of one user's records and labels: everything else keeps its bytes, nothing comes back, and a kill leaves before or after."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fake_annotator import DieAfter, FakeAnnotator
from some_logs import lines, record, tree, write_lines, write_rows

import labelgen
from labelgen.base.errors import IntegrityError, LabelgenError, StorageError, UsageError
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import read_file
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.forget import forget
from labelgen.labeling.journal import Receipt
from labelgen.labeling.manifest import LabelCounts, read_manifest
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

GONE, STAYS = "anna@example.org", "ben"


def a_log(folder: Path) -> Path:
    """Two users, several shards, three forms, and rejected records that name a user."""
    users = (GONE, STAYS, None)
    write_lines(
        folder / "a.jsonl",
        [
            *(record(f"a{k}", user=users[k % 3]) for k in range(7)),
            "",
            '{"user": "anna@example.org", "id": "broken"',
            "{",
            {"id": "a7", "user": GONE},
            {"id": "a8", "user": STAYS},
        ],
    )
    write_lines(folder / "sub" / "b.jsonl.gz", [record(f"b{k}", user=users[k % 2]) for k in range(5)])
    write_rows(folder / "sub" / "c.parquet", [record(f"c{k}", user=users[k % 3]) for k in range(6)])
    write_lines(folder / "d.jsonl", [record(f"d{k}", user=STAYS) for k in range(3)])
    return folder


def run(source: Path, out: Path, force: bool = False, **fake) -> LabelCounts:
    return label(source, out, InlineEngine(partial(FakeAnnotator, **fake)), "model", {}, 2, force)


def users(folder: Path) -> set[str | None]:
    paths = [
        p
        for p in folder.rglob("*")
        if p.is_file() and p.name.endswith((".jsonl", ".gz", ".parquet")) and "quarantine" not in p.name
    ]
    return {item.user for path in paths for item in read_file(path) if isinstance(item, Dialogue)}


def nowhere(folder: Path) -> bool:
    """No readable file names the user."""
    plain = b"".join(data for name, data in tree(folder).items() if name.endswith((".json", ".jsonl")))
    return GONE.encode() not in plain and GONE not in users(folder)


def deleted(*paths: Path, receipt: Path, **more) -> Receipt:
    return forget(paths, receipt, **{"user": GONE, **more})


def test_forget_log_keeps_the_bytes_of_other_lines(tmp_path):
    log = a_log(tmp_path / "in")
    before = tree(log)
    receipt = deleted(log, receipt=tmp_path / "receipt.json")
    after = tree(log)
    kept = [line for line in before["a.jsonl"].splitlines(keepends=True) if GONE.encode() not in line]
    assert after["a.jsonl"] == b"".join(kept)
    assert after["d.jsonl"] == before["d.jsonl"]
    assert users(log) == {STAYS, None}
    assert {Path(f.path).name: f.records for f in receipt.files} == {"a.jsonl": 5, "b.jsonl.gz": 3, "c.parquet": 2}
    assert receipt.records == 10
    assert GONE not in (tmp_path / "receipt.json").read_text()
    assert json.loads((tmp_path / "receipt.json").read_text())["records"] == 10
    assert set(tree(log)) == set(before), "nothing stays beside the log"


def test_forget_log_and_labels_equals_labeling_the_rest(tmp_path):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    run(log, out)
    deleted(log, out, receipt=tmp_path / "receipt.json")
    assert list(verify(out, log)) == []
    assert nowhere(out)
    before = tree(out)
    manifest = read_manifest(out / "manifest.json")
    assert manifest.counts.forgotten == 0
    assert manifest.forgotten is not None
    assert manifest.forgotten.records == 10
    run(log, out)
    assert tree(out) == before, "labeled again: nothing to do"
    run(log, tmp_path / "fresh")
    for name in ("a.jsonl", "d.jsonl", "sub/b.jsonl.gz"):
        assert (tmp_path / "fresh" / name).read_bytes() == (out / name).read_bytes()
    fresh = read_manifest(tmp_path / "fresh" / "manifest.json")
    assert fresh.counts.seen == manifest.counts.seen
    assert [(f.input_digest, f.counts.labeled, f.counts.bad) for f in fresh.files] == [
        (f.input_digest, f.counts.labeled, f.counts.bad) for f in manifest.files
    ]


@pytest.mark.parametrize("force", [False, True])
def test_forgotten_user_in_the_log_does_not_come_back(tmp_path, force):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    sums = run(log, out)
    deleted(out, receipt=tmp_path / "receipt.json")
    assert list(verify(out, log)) == []
    assert nowhere(out)
    kept = tree(out)
    for path in out.rglob("*.jsonl"):
        path.unlink()
    again = run(log, out, force, model="m2" if force else "m1")
    assert nowhere(out)
    assert (again.forgotten, again.seen) == (10, sums.seen)
    assert list(verify(out, log)) == []
    if not force:
        assert tree(out) == kept, "what was deleted from the output is what labeling leaves out"


def test_forget_log_after_labels_has_nothing_left_out(tmp_path):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    run(log, out)
    deleted(out, receipt=tmp_path / "one.json")
    deleted(log, out, receipt=tmp_path / "two.json")
    assert list(verify(out, log)) == []
    assert read_manifest(out / "manifest.json").counts.forgotten == 0
    before = tree(out)
    run(log, out)
    assert tree(out) == before


def in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 99
        try:
            work()
            code = 0
        except LabelgenError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("with_log", [False, True])
@pytest.mark.parametrize("done", [5, None])
def test_forget_unfinished_run_resumes_without_the_user(tmp_path, with_log, done):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    if done is not None:
        assert in_child(partial(run, log, out, before=DieAfter(done))) == -signal.SIGKILL
    else:
        run(log, out)
    deleted(*((log, out) if with_log else (out,)), receipt=tmp_path / "receipt.json")
    assert nowhere(out)
    run(log, out)
    assert nowhere(out)
    assert list(verify(out, log)) == []
    assert read_manifest(out / "manifest.json").counts.forgotten == (0 if with_log else 10)


def kill_at(count: int) -> None:
    """From here on, this process dies ahead of its `count`-th change to the disk."""
    left = [count]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def change(*args: object, **more: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return change

    for name in ("replace", "fsync", "unlink", "rmdir", "mkdir", "chmod"):
        setattr(os, name, counted(getattr(os, name)))


def visible(folder: Path) -> dict[str, bytes]:
    return {p: d for p, d in tree(folder).items() if not any(part.startswith(".") for part in p.split("/"))}


def test_kill_at_any_disk_change_leaves_before_or_after(tmp_path):
    first = tmp_path / "first"
    write_lines(first / "in" / "a.jsonl", [record("a0", user=GONE), "{", record("a1", user=STAYS)])
    write_lines(first / "in" / "b.jsonl.gz", [record("b0", user=STAYS), record("b1", user=GONE)])
    run(first / "in", first / "out")

    def made(folder: Path) -> Path:
        return Path(shutil.copytree(first, folder))

    def work(folder: Path, count: int | None = None) -> None:
        if count is not None:
            kill_at(count)
        deleted(folder / "in", folder / "out", receipt=folder / "receipt.json")

    before = visible(made(tmp_path / "unbroken"))
    work(tmp_path / "unbroken")
    after = visible(tmp_path / "unbroken")
    random = {"out/manifest.json", "out/forgotten.json", "receipt.json"}
    committed = set()
    for count in range(200):
        folder = made(tmp_path / str(count))
        code = in_child(partial(work, folder, count))
        assert code in (0, -signal.SIGKILL)
        left = visible(folder)
        for path, data in left.items():
            if path not in random:
                assert data in (before.get(path), after.get(path)), f"{path} after a kill at change {count}"
        journal = (folder / ".receipt.json.journal").exists()
        committed.add(journal)
        if not journal and code != 0:
            undone = {p: d for p, d in left.items() if p not in random} == {
                p: d for p, d in before.items() if p not in random
            }
            finished = (folder / "receipt.json").exists()
            assert undone or finished, f"between, after a kill at change {count}"
        if journal and not (folder / "receipt.json").exists():
            assert any("--receipt" in fault for fault in verify(folder / "out"))
            with pytest.raises(IntegrityError, match="unfinished"):
                run(folder / "in", folder / "out")
        work(folder)
        assert {p: d for p, d in visible(folder).items() if p not in random} == {
            p: d for p, d in after.items() if p not in random
        }, f"after a kill at change {count}"
        assert list(verify(folder / "out", folder / "in")) == []
        assert nowhere(folder)
        assert json.loads((folder / "receipt.json").read_text())["records"] == 4
        assert not [p for p in tree(folder) if "/." in f"/{p}"], f"left behind after a kill at change {count}"
        if code == 0:
            break
    assert committed == {False, True}
    assert 30 < count < 199


def killed_deletion(log: Path, receipt: Path, count: int) -> None:
    kill_at(count)
    deleted(log, receipt=receipt)


def test_forget_file_changed_after_the_journal_is_not_replaced(tmp_path):
    log = tmp_path / "a.jsonl"
    write_lines(log, [record("a0", user=GONE), record("a1")])
    for count in range(100):
        if (tmp_path / ".r.json.journal").exists():
            break
        in_child(partial(killed_deletion, log, tmp_path / "r.json", count))
    write_lines(log, [record("a2", user=STAYS)])
    with pytest.raises(IntegrityError, match="changed during"):
        deleted(log, receipt=tmp_path / "r.json")
    assert log.read_bytes() == lines([record("a2", user=STAYS)])


def test_forget_by_dialogue_and_files_for_review(tmp_path):
    log = a_log(tmp_path / "in")
    tasks = [{"data": {"id": name, "text": "play"}} for name in ("a0", "a1", "a2")]
    (log / "tasks.json").write_text(json.dumps(tasks))
    records = [{"id": f"{name}/0", "metadata": {"dialogue_id": name}} for name in ("a0", "a1")]
    (log / "records.json").write_text(json.dumps([*records, {"id": "a2", "dialogue_id": "a2"}]))
    (log / "other.json").write_text('{"a": 1}')
    write_lines(log / "prompts.jsonl", [{"id": name, "prompt": "..."} for name in ("a0", "a1", "a2")])
    (log / "turns.conll").write_text('# global\n\n# id = "a0"\nplay 0 4 O\n\n# id = "a1"\nplay 0 4 O\n')
    receipt = deleted(log, receipt=tmp_path / "r.json", dialogues=["a2"])
    assert [task["data"]["id"] for task in json.loads((log / "tasks.json").read_text())] == ["a1"]
    assert [record["id"] for record in json.loads((log / "records.json").read_text())] == ["a1/0"]
    assert [json.loads(line)["id"] for line in (log / "prompts.jsonl").read_text().splitlines()] == ["a1"]
    assert (log / "turns.conll").read_text() == '# global\n\n# id = "a1"\nplay 0 4 O\n'
    assert receipt.not_examined == (str(log / "other.json"),)
    assert "a2" not in {item.id for item in read_file(log / "a.jsonl") if isinstance(item, Dialogue)}


def test_forget_again_gives_the_receipt_and_another_is_refused(tmp_path):
    log = a_log(tmp_path / "in")
    receipt = deleted(log, receipt=tmp_path / "r.json")
    assert deleted(log, receipt=tmp_path / "r.json") == receipt
    with pytest.raises(UsageError, match="exists"):
        deleted(log, receipt=tmp_path / "r.json", user=STAYS)
    with pytest.raises(UsageError, match="no record"):
        deleted(log, receipt=tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


def test_forget_refuses_damaged_and_changed_files(tmp_path):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    run(log, out)
    (out / "d.jsonl").write_bytes(b"")
    before = tree(tmp_path)
    with pytest.raises(IntegrityError, match="changed after it was written"):
        deleted(log, out, receipt=tmp_path / "r.json")
    packed = log / "sub" / "b.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    before[str(packed.relative_to(tmp_path))] = packed.read_bytes()
    with pytest.raises(StorageError, match=r"b\.jsonl\.gz"):
        deleted(log, receipt=tmp_path / "r.json")
    assert tree(tmp_path) == before


def test_forget_follows_a_link_and_keeps_permissions(tmp_path):
    real = tmp_path / "real" / "a.jsonl"
    write_lines(real, [record("a0", user=GONE), record("a1")])
    real.chmod(0o640)
    link = tmp_path / "a.jsonl"
    link.symlink_to(real)
    deleted(link, receipt=tmp_path / "r.json")
    assert link.is_symlink()
    assert real.read_bytes() == lines([record("a1")])
    assert real.stat().st_mode & 0o777 == 0o640


def test_forget_from_python_and_command_write_a_receipt(tmp_path, capsys):
    log, out = a_log(tmp_path / "in"), tmp_path / "out"
    run(log, out)
    receipt = labelgen.forget([log, out], user=GONE, receipt=tmp_path / "r.json")
    assert receipt.records == 20
    assert labelgen.forget(str(log), dialogue="d0", receipt=tmp_path / "d.json").records == 1
    assert main(["data", "forget", str(log), "--user", STAYS, "--receipt", str(tmp_path / "c.json")]) == 0
    assert STAYS not in (tmp_path / "c.json").read_text()
    with pytest.raises(UsageError, match="nobody"):
        labelgen.forget(log, receipt=tmp_path / "n.json")
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert "deleted 10 records here; hashes of 1 users" in capsys.readouterr().out
