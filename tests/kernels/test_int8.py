"""8-bit products of the text encoder: close to fp32, and each row by itself to the last bit."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from announced_amx import announce_amx, crash
from labeled import labeled_dialogue

from labelgen.base.errors import UsageError
from labelgen.cli.main import main
from labelgen.features.pretrained import encoder_from_config, load_encoder
from labelgen.kernels import int8, processor
from labelgen.kernels.int8 import Int8Product, check_int8
from labelgen.model.annotator import Annotator
from labelgen.nn.turn_encoder import TurnEncoder

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def rows(count: int, width: int = 384) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("vnni", [True, False])
def test_int8_product_is_close_to_fp32(monkeypatch: pytest.MonkeyPatch, vnni: bool):
    if not vnni:
        monkeypatch.setattr(int8, "first_cpu", dict)
    weight, bias, given, to = rows(200) / 20, rows(1, 200)[0], rows(64), rows(64, 200)
    exact = given @ weight.T + bias
    product = Int8Product(weight, bias)
    for found, wanted in (
        (product(given), exact),
        (product.added(given, to), exact + to),
        (product.gelu(given), torch.nn.functional.gelu(exact)),
    ):
        assert (found - wanted).abs().mean() / wanted.abs().mean() < 0.02


def test_int8_product_of_largest_values_is_exact():
    """Some CPUs add two products in 16 bits."""
    width = 1536
    weight = torch.ones(8, width)
    weight[1::2] = -1.0
    given = torch.cat([torch.ones(4, width), torch.zeros(4, width)])
    given[:, 0] = 0.0
    torch.testing.assert_close(Int8Product(weight, torch.zeros(8))(given), given @ weight.T, rtol=1e-4, atol=1e-3)


def test_int8_product_constant_rows_are_finite():
    product = Int8Product(rows(16), torch.arange(16.0))
    assert torch.equal(product(torch.zeros(8, 384)), torch.arange(16.0).expand(8, 16))
    constant = torch.full((8, 384), 0.5)
    assert (product(constant) - product(constant)[:1]).abs().max() == 0.0
    assert Int8Product(torch.zeros(16, 384), torch.zeros(16))(rows(8)).abs().max() == 0.0


@pytest.mark.parametrize("count", [1, 2, 7, 128])
def test_int8_product_any_batch_is_bitwise_identical(count: int):
    product = Int8Product(rows(1536) / 20, rows(1, 1536)[0])
    given = rows(512)
    together = product.gelu(given)
    for start in (0, 5, 300):
        assert torch.equal(product.gelu(given[start : start + count]), together[start : start + count])


@torch.no_grad()
def test_int8_encoder_is_close_to_fp32_and_batch_invariant(tiny_encoder: Path):
    encoder = TurnEncoder(load_encoder(str(tiny_encoder)), 32, frozen=True).eval()
    groups = [torch.randint(5, 60, shape) for shape in ((4, 2), (33, 5), (21, 14), (5, 40))]
    exact = encoder.states(groups)
    encoder.prepare(torch.int8)
    found = encoder.states(groups)
    for ids, states, wanted in zip(groups, found, exact, strict=True):
        assert torch.cosine_similarity(states.mean(1), wanted.mean(1)).min() > 0.99
        assert not torch.equal(states, wanted)
        assert torch.equal(encoder.states([ids[:1]])[0], states[:1])


def test_int8_labels_record_precision_and_are_batch_invariant(tiny_model: Path):
    annotator = Annotator(tiny_model, precision="int8")
    assert annotator.provenance.precision == "int8"
    dialogues = [labeled_dialogue(seed) for seed in range(12)]
    together = annotator.annotate(dialogues)
    assert [one for d in dialogues for one in annotator.annotate([d])] == together
    assert together != Annotator(tiny_model).annotate(dialogues)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_int8_without_libraries_prints_install_command(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, missing: str
):
    monkeypatch.setitem(sys.modules, missing, None)
    (tmp_path / "log.jsonl").write_text('{"id": "a", "turns": [{"request": "stop", "response": "ok"}]}\n')
    words = ["label", str(tmp_path / "log.jsonl"), str(tmp_path / "out"), "--model", str(tiny_model), "--workers", "1"]
    assert main([*words, "--precision", "int8"]) == 2
    told = capsys.readouterr().err
    assert f"{missing} is not installed" in told
    assert "pip install -e '.[int8]' -c constraints.txt" in told


def test_int8_unsupported_encoder_is_refused(tmp_path: Path):
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "distilbert", "dim": 32, "hidden_dim": 64, "n_heads": 2, "n_layers": 1}')
    with pytest.raises(UsageError, match="8-bit products need an encoder of BERT's kind on a CPU, not distilbert"):
        TurnEncoder(encoder_from_config(config), 32, frozen=True).prepare(torch.int8)


def test_int8_crashing_cpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Crashes:
        def __init__(self, *_: Any) -> None:
            crash()

    announce_amx(tmp_path, monkeypatch)
    check_int8()
    monkeypatch.setattr(int8, "Int8Product", Crashes)
    with pytest.raises(UsageError, match=r"8-bit products crash \(Illegal instruction\) on this CPU"):
        check_int8()
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    check_int8()
