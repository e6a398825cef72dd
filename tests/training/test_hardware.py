"""`hardware.precision: auto` is what the machine is quick at."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from announced_amx import announce_amx, crashes_above

from labelgen.model.folder import read_card
from labelgen.tensors import instruction_set
from labelgen.training import hardware
from labelgen.training.hardware import arithmetic
from labelgen.training.options import FinetuneOptions, HardwareOptions
from labelgen.training.run import finetune


def test_training_lowers_the_instruction_set_before_it_computes(
    options: Callable[..., FinetuneOptions], tmp_path: Path, monkeypatch, capfd
):
    announce_amx(tmp_path, monkeypatch)
    monkeypatch.setattr(instruction_set, "_products", crashes_above("AVX2"))
    asked = options("a", "--length.max_steps=1")
    finetune(asked)
    assert read_card(Path(asked.out) / "model")["isa"] == "AVX2"
    assert capfd.readouterr().err.count("using ONEDNN_MAX_CPU_ISA=AVX2") == 1


@pytest.mark.parametrize(
    ("accelerator", "with_bf16", "cuda", "found"),
    [
        ("auto", {"cpu"}, False, "bf16-mixed"),
        ("auto", {"cpu"}, True, "32-true"),
        ("auto", {"cuda"}, True, "bf16-mixed"),
        ("auto", set(), False, "32-true"),
        ("cpu", {"cpu"}, True, "bf16-mixed"),
        ("cpu", {"cuda"}, True, "32-true"),
        ("gpu", {"cuda"}, True, "bf16-mixed"),
        ("gpu", {"cpu"}, False, "32-true"),
        ("mps", {"cpu"}, False, "32-true"),
    ],
)
def test_auto_is_bf16_where_the_device_that_trains_has_it(monkeypatch, accelerator, with_bf16, cuda, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(hardware, "has_bf16", lambda device: device in with_bf16)
    assert arithmetic(HardwareOptions(accelerator=accelerator, precision="auto")) == found


@pytest.mark.parametrize("asked", ["32-true", "bf16-mixed"])
def test_what_is_asked_for_is_what_is_done(monkeypatch, asked):
    monkeypatch.setattr(hardware, "has_bf16", lambda _: asked == "32-true")
    assert arithmetic(HardwareOptions(precision=asked)) == asked
