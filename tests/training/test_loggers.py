"""TensorBoard has the rows of metrics.jsonl, each once, however often a run was interrupted."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from whole_runs import BrokenOffError, break_off_at

from labelgen.base.errors import StorageError, UsageError
from labelgen.training.loggers import loggers
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune
from labelgen.training.tracking import MetricsFile, read_metrics

PLACE = ("step", "epoch", "elapsed_s")


def scalars(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Every value of every file by its name and step, without what readers leave out after a restart."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found: dict[tuple[str, int], list[float]] = {}
    for path in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault((value.tag, event.step), []).append(float(tensor_util.make_ndarray(value.tensor)))
    return found


def test_resumed_run_has_every_row_once(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first session is broken off after rows that the second one writes again."""
    words = (
        f"--data.valid=[{log}]",
        "--tracking.log_every=1",
        "--tracking.checkpoint_every=2",
        "--length.max_epochs=2",
    )
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(options("a", *words, "--tracking.loggers=[tensorboard]"))
    asked = options("a", *words, "--tracking.loggers=[tensorboard]")
    finetune(asked)
    out = Path(asked.out)
    rows = read_metrics(out / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    wanted = {(name, row["step"]): [value] for row in rows for name, value in row.items() if name not in PLACE}
    found = scalars(out / "tensorboard")
    assert found.keys() == wanted.keys()
    assert all(math.isclose(found[key][0], wanted[key][0], rel_tol=1e-6) for key in wanted)
    assert max(map(len, found.values())) == 1


def test_logger_keeps_other_files_and_starts_from_metrics(tmp_path: Path):
    name = "tensorboard"
    rows: list[dict[str, Any]] = [{"step": step, "loss": 1.0 / step, "elapsed_s": float(step)} for step in (1, 2, 3)]
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    (tmp_path / name).mkdir()
    (tmp_path / name / "note.txt").write_text("mine")
    for first in (0, 2):
        trackers = [metrics, *loggers([name, name], tmp_path, metrics.path)]
        for tracker in trackers:
            tracker.start(first)
        for tracker in trackers:
            for row in rows[first:]:
                tracker.add(row)
            tracker.end()
        assert len(trackers) == 2
    found = {step: values for (_, step), values in scalars(tmp_path / name).items()}
    assert found == {row["step"]: [pytest.approx(row["loss"])] for row in rows}
    assert (tmp_path / name / "note.txt").read_text() == "mine"


def test_logger_that_cannot_write_reports_its_folder(tmp_path: Path):
    name = "tensorboard"
    (tmp_path / name).write_text("in its way")
    (logger,) = loggers([name], tmp_path, tmp_path / "metrics.jsonl")
    with pytest.raises(StorageError, match=f"cannot write the files of {name}") as error:
        logger.start(0)
    assert error.value.where == str(tmp_path / name)


def test_missing_tensorboard_is_refused_before_logs_are_read(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    log.write_text("broken{\n")
    monkeypatch.setattr("labelgen.training.loggers.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as error:
        finetune(options("a", "--tracking.loggers=[tensorboard]"))
    assert "labelgen[tensorboard]" in error.value.hint
    assert not Path(options("a").out).exists()
