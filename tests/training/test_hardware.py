"""`hardware.precision: auto` is what the machine is quick at."""

import pytest
import torch

from labelgen.training import hardware
from labelgen.training.hardware import arithmetic
from labelgen.training.options import HardwareOptions


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
