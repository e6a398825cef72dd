"""Runs of training that broke off go on as if nothing had been; what is done is not done again."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from whole_runs import BrokenOffError, break_off_at, digest, rows

from labelgen.base.errors import IntegrityError, LabelgenError
from labelgen.base.files import digest_bytes, digest_file
from labelgen.model.folder import load_model
from labelgen.training.options import FinetuneOptions
from labelgen.training.run import finetune


@pytest.mark.parametrize(
    "how", ["--batch.turns=16", "--model.encoder_frozen=true", "--hardware.precision=16", "--lora.rank=2"]
)
def test_interrupted_run_resumes_to_same_weights(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    more = (f"--data.valid=[{log}]", "--tracking.checkpoint_every=2", how)
    whole, broken = options("whole", *more), options("broken", *more)
    finetune(whole)
    with monkeypatch.context() as patch:
        break_off_at(patch, 5)
        with pytest.raises(BrokenOffError):
            finetune(broken)
        assert not (Path(broken.out) / "model").exists()
        finetune(broken)
        break_off_at(patch, 0)
        assert "already done" in finetune(broken)
    assert digest(broken) == digest(whole)
    assert rows(broken) == rows(whole)


@pytest.mark.parametrize("typo", ["--model.encoder=nothere", "--hardware.accelerator=abacus"])
def test_failed_command_before_training_may_be_fixed(options: Callable[..., FinetuneOptions], typo: str):
    short = "--length.steps=1"
    with pytest.raises(LabelgenError):
        finetune(options("a", short, typo))
    finetune(options("a", short))
    finetune(options("b", short))
    assert digest(options("a")) == digest(options("b"))


def test_checkpoint_damaged_or_with_code_is_refused(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with monkeypatch.context() as patch:
        break_off_at(patch, 3)
        with pytest.raises(BrokenOffError):
            finetune(options("a"))
    index = tmp_path / "a" / "checkpoints" / "index.json"
    last = index.with_name(msgspec.json.decode(index.read_bytes())["last"]["file"])
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="changed after it was written"):
        finetune(options("a"))
    torch.save({"global_step": Path("anything that is no plain value")}, last)
    index.write_text(index.read_text().replace(digest_bytes(whole), digest_file(last)))
    with pytest.raises(IntegrityError, match="checkpoint cannot be read"):
        finetune(options("a"))


def test_run_killed_after_last_step_does_not_train(
    options: Callable[..., FinetuneOptions], monkeypatch: pytest.MonkeyPatch
):
    whole, killed = options("whole", "--length.steps=2"), options("killed", "--length.steps=2")
    finetune(whole)
    with monkeypatch.context() as patch:
        patch.setattr("labelgen.training.run.save_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(killed)
    with monkeypatch.context() as patch:
        break_off_at(patch, 0)
        finetune(killed)
    assert digest(killed) == digest(whole)


def test_interrupted_run_with_linear_members_resumes_to_same_weights_and_initializes_another(
    options: Callable[..., FinetuneOptions], log: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where the run ends between the last step and the fit of the shares."""
    more = (f"--data.valid=[{log}]", "--length.steps=4", "--tasks={quality: {ngrams: 50}, outcome: {ngrams: 50}}")
    whole, broken = options("whole", *more), options("broken", *more)
    finetune(whole)
    with monkeypatch.context() as patch:
        break_off_at(patch, 2)
        with pytest.raises(BrokenOffError):
            finetune(broken)
    with monkeypatch.context() as patch:
        patch.setattr("labelgen.training.run.fit_shares", lambda model, examples, device: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(broken)
    finetune(broken)
    assert digest(broken) == digest(whole)
    member = load_model(Path(whole.out) / "model").linear_member("quality")
    assert float(member.get_buffer("turn_weight").abs().sum()) > 0.0
    # A linear member is of its own log, so another run fits its own, or has none.
    second = options("second", f"--init={Path(whole.out) / 'model'}", *more)
    finetune(second)
    again = load_model(Path(second.out) / "model").linear_member("quality")
    assert torch.equal(again.get_buffer("turn_weight"), member.get_buffer("turn_weight"))
    without = options("without", f"--init={Path(whole.out) / 'model'}", *more[:2], "--tasks={quality: {ngrams: 0}}")
    finetune(without)
    assert not load_model(Path(without.out) / "model").linear
