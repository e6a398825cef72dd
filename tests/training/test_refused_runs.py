"""Runs of training that cannot be are refused, and bad records are set aside."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from labeled import LABELS, labeled_dialogue
from whole_runs import BrokenOffError, break_off_at

from labelgen.base.errors import InputError, UsageError
from labelgen.data.log import write_log
from labelgen.data.record import Rejected
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune


def test_a_run_of_another_config_is_refused_by_the_key_that_differs(options: Callable[..., FinetuneOptions]):
    finetune(options("a", "--length.steps=1"))
    with pytest.raises(UsageError, match=r"optimizer\.weight_decay was 0\.01 and is 0\.5"):
        finetune(options("a", "--length.steps=1", "--optimizer.weight_decay=0.5"))


def test_a_folder_of_something_else_is_refused(options: Callable[..., FinetuneOptions], tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not a training run"):
        finetune(options("a"))


def test_other_data_are_refused(options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch):
    break_off_at(monkeypatch, 2)
    with pytest.raises(BrokenOffError):
        finetune(options("a"))
    write_log(log, [labeled_dialogue(seed) for seed in range(13)], LABELS, force=True)
    with pytest.raises(UsageError, match="training data changed"):
        finetune(options("a"))


def test_records_that_cannot_be_read_lie_in_the_folder_of_the_run(options: Callable[..., FinetuneOptions], log: Path):
    """Of all logs in one file, told in the closing words; where too many are bad, the same command goes on once they
    are fixed."""
    good = log.read_bytes()
    other = log.parent / "z" / "valid.jsonl"
    other.parent.mkdir()
    log.write_bytes(good + b"{\n[]\n")
    other.write_bytes(good + b'{"id": 7}\n')
    more = (f"--data.train=[{log.parent}]", f"--data.valid=[{other}]", "--length.steps=1")
    asked = options("a", *more)
    quarantine = Path(asked.out) / "quarantine.jsonl"

    def bad() -> list[tuple[str, int | None, str]]:
        kept = [msgspec.json.decode(line, type=Rejected) for line in quarantine.read_bytes().splitlines()]
        return [(Path(item.file).name, item.line, item.reason.partition(":")[0]) for item in kept]

    with pytest.raises(InputError, match=re.escape(str(quarantine))):
        finetune(asked)
    assert bad() == [("train.jsonl", 15, "bad_json"), ("train.jsonl", 16, "bad_type")]
    spared = options("a", *more, "--data.max_bad_rate=0.2")
    told = finetune(spared)
    twice = ("valid.jsonl", 15, "bad_type")
    assert bad() == [("train.jsonl", 15, "bad_json"), ("train.jsonl", 16, "bad_type"), twice, twice]
    assert f"4 records were set aside (bad_type 3, bad_json 1; in {quarantine})" in told
    clean = options("b", "--length.steps=1")
    log.write_bytes(good)
    assert "set aside" not in finetune(clean)
    assert not (Path(clean.out) / "quarantine.jsonl").exists()
