"""Where memory runs out, or the system kills a worker, a command says so and ends with exit code 6."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_annotator import DieAfter, FakeAnnotator
from some_logs import record, write_lines

import labelgen.steps.label
from labelgen.cli.main import main
from labelgen.labeling.engines import Engine, local_engine


def fail(error: Exception) -> None:
    raise error


RUN_OUT: dict[str, Callable[[], object]] = {
    "python": lambda: fail(MemoryError()),
    "numpy": lambda: np.ones(1 << 55),
    "torch": lambda: torch.ones(1 << 55),
    "cuda": lambda: fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")),
    "cublas": lambda: fail(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")),
    "system": lambda: fail(OSError(12, "Cannot allocate memory")),
    "loader": lambda: fail(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")),
}


def label(folder: Path) -> int:
    write_lines(folder / "in" / "a.jsonl", [record(f"d{k}") for k in range(4)])
    return main(["label", str(folder / "in"), str(folder / "out"), "--model", "m", "--workers", "1"])


@pytest.mark.parametrize("name", RUN_OUT)
def test_a_lack_of_memory_is_exit_6_with_a_message(name, tmp_path, monkeypatch, capsys):
    def run_out(done: int) -> None:
        RUN_OUT[name]()

    monkeypatch.setattr(labelgen.steps.label, "load_annotator", lambda *_: FakeAnnotator(before=run_out))
    assert label(tmp_path) == 6
    said = capsys.readouterr().err
    assert ("a worker process was killed" if name == "loader" else "labelgen label: memory ran out") in said
    assert "hint:  take fewer --workers" in said


def no_memory(done: int) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("before", "said"), [(DieAfter(0), "a worker process was killed"), (no_memory, "memory ran out")]
)
def test_so_is_that_of_a_worker(before, said, tmp_path, monkeypatch, capsys):
    def engine(load: object, workers: int, gpus: object) -> AbstractContextManager[Engine]:
        return local_engine(partial(FakeAnnotator, before=before), 2)

    monkeypatch.setattr(labelgen.steps.label, "local_engine", engine)
    assert label(tmp_path) == 6
    assert said in capsys.readouterr().err


def test_an_error_of_another_kind_is_none_of_memory(tmp_path, monkeypatch):
    def load(*_: object) -> FakeAnnotator:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(labelgen.steps.label, "load_annotator", load)
    with pytest.raises(RuntimeError, match="mat1"):
        label(tmp_path)


def test_help_names_every_exit_code(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert "exit codes: 0 done, 1 unexpected, 2 usage, 3 too much bad input, 4 integrity, 5 storage, 6 memory" in said
