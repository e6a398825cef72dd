"""Comparison of two runs: a repeated run is equal to the bit, and every cause of a difference is named before its effects."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from whole_runs import common

from labelgen.cli.main import main
from labelgen.data.log import Log, write_log
from labelgen.model.folder import model_digest

Run = Callable[..., Path]


@pytest.fixture
def run(log: Path, tiny_encoder: Path) -> Run:
    def call(out: str, *more: str) -> Path:
        assert main(["finetune", *common(log, tiny_encoder, out, "--length.max_steps=2", *more)]) == 0
        return log.parents[1] / out

    return call


def test_run_of_its_own_config_is_equal_to_the_bit(run: Run, capsys: pytest.CaptureFixture[str]):
    first = run("first")
    again = first.with_name("again")
    assert main(["finetune", "--config", str(first / "config.yaml"), "--out", str(again)]) == 0
    capsys.readouterr()
    assert main(["compare", str(first), str(again)]) == 0
    assert "weights to the bit" in capsys.readouterr().out


def test_run_repeated_in_its_folder_has_the_same_model_digest(run: Run, monkeypatch: pytest.MonkeyPatch):
    digest = model_digest(run("first") / "model")
    shutil.rmtree(run("first"))
    # As on a machine that takes longer.
    monkeypatch.setattr("labelgen.training.tracking.Recorder.elapsed_s", 1000.0)
    assert model_digest(run("first") / "model") == digest


def test_other_seed_is_named_before_its_effects(run: Run, capsys: pytest.CaptureFixture[str]):
    first, second = run("first"), run("second", "--seed=1")
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 4
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "config: seed: 0 and 1"
    assert "losses: step 2, loss: " in told.out
    assert "weights: " in told.out
    assert "the runs differ: config 1, losses" in told.err


def test_other_data_are_named(run: Run, log: Path, capsys: pytest.CaptureFixture[str]):
    first = run("first")
    write_log(log, list(Log([log]))[1:], Log([log]).labels(), force=True)
    second = run("second")
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 4
    assert capsys.readouterr().out.startswith("data: data_digest: ")


def test_folder_without_a_run_is_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty").mkdir()
    assert main(["compare", str(run("first")), str(tmp_path / "empty")]) == 2
    assert "has no finished run" in capsys.readouterr().err
