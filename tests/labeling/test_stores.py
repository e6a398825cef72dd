"""Logs in a store that fsspec reaches: the same bytes as on disk, also where a run was killed or broke off."""

from functools import partial
from pathlib import Path

import pytest
from fake_annotator import FakeAnnotator
from some_logs import mixed_log, record, tree, write_lines

from labelgen.base.errors import IntegrityError, StorageError, UsageError
from labelgen.base.files import is_remote, remove_tree, to_path
from labelgen.cli.main import main
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.log import Log, write_log
from labelgen.labeling.engines import InlineEngine
from labelgen.labeling.run import label
from labelgen.labeling.verify import verify

pytest.importorskip("upath")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    base = tmp_path_factory.mktemp("unbroken")
    label(mixed_log(base / "in"), base / "out", InlineEngine(FakeAnnotator), "model", {}, 2)
    return base / "in", tree(base / "out")


@pytest.fixture(params=["memory", "file"])
def bucket(request, tmp_path):
    found = to_path("memory://labelgen-tests" if request.param == "memory" else f"file://{tmp_path}/bucket")
    yield found
    remove_tree(found)


def put(files: dict[str, bytes], to: Path) -> Path:
    for name, data in files.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        with (to / name).open("wb") as file:
            file.write(data)
    return to


def run(source: Path, out: Path, force: bool = False, **fake):
    return label(source, out, InlineEngine(partial(FakeAnnotator, **fake)), "model", {}, 2, force)


def test_store_output_same_bytes_as_disk(bucket, unbroken):
    source = put(tree(unbroken[0]), bucket / "in")
    sums = run(source, bucket / "out")
    assert tree(bucket / "out") == unbroken[1]
    assert list(verify(bucket / "out", source)) == []
    assert run(source, bucket / "out") == sums
    with pytest.raises(IntegrityError, match="model_digest: m1, now m2"):
        run(source, bucket / "out", model="m2")
    with pytest.raises(UsageError, match="contain each other"):
        run(source, source / "labeled")


def test_store_interrupted_run_resumes(bucket, unbroken, tmp_path):
    """What was committed is not labeled again; only the entry says that it was."""

    def stop(done: int) -> None:
        if done == 7:
            raise StorageError("the store is gone", "here")

    with pytest.raises(StorageError, match="the store is gone"):
        run(unbroken[0], bucket / "out", before=stop)
    assert not (bucket / "out" / "manifest.json").exists()
    run(unbroken[0], bucket / "out", diary=tmp_path / "diary")
    assert 0 < len((tmp_path / "diary").read_text().split()) < 13
    assert tree(bucket / "out") == unbroken[1]


def test_commands_store_paths_are_accepted(bucket, monkeypatch, capsys):
    import labelgen.steps.label

    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator())
    assert is_remote(bucket)
    write_log(str(bucket / "in" / "a.jsonl.gz"), [Dialogue(id="d", turns=(Turn(request="a", response="b"),))])
    assert [d.id for d in Log([str(bucket / "in")])] == ["d"]
    assert main(["label", str(bucket / "in"), str(bucket / "out"), "--model", "m", "--workers", "1"]) == 0
    assert main(["verify", str(bucket / "out"), "--input", str(bucket / "in")]) == 0
    assert "verified" in capsys.readouterr().out


def test_store_unreachable_exits_2(tmp_path, capsys):
    write_lines(tmp_path / "in" / "a.jsonl", [record("d")])
    assert main(["label", str(tmp_path / "in"), "nowhere://x/y", "--model", "m"]) == 2
    assert ".[store]" in capsys.readouterr().err
