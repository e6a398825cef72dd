"""LoRA: adapters learn in place of the encoder's weights, and the saved model has them merged into the weights."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from encoder_kinds import ENCODERS, random_encoder
from random_models import perturb

from labelgen.base.errors import UsageError
from labelgen.features.pretrained import load_encoder
from labelgen.model.folder import load_model
from labelgen.nn.turn_encoder import TurnEncoder
from labelgen.training.lora import add_adapters, merge_adapters
from labelgen.training.options import FinetuneOptions, LoraOptions
from labelgen.training.run import finetune

Options = Callable[..., FinetuneOptions]
LORA = "--lora.rank=2"


def adapted(kind: str, folder: Path, options: LoraOptions) -> TurnEncoder:
    """An encoder whose adapters change its vectors."""
    encoder = random_encoder(kind, folder)
    turn_encoder = TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()
    add_adapters(turn_encoder, options)
    return turn_encoder


def vectors(encoder: TurnEncoder) -> list[torch.Tensor]:
    groups = [torch.arange(5, 5 + count * length).view(count, length) % 97 for count, length in ((2, 7), (1, 66))]
    return [x.detach() for x in encoder.states(groups)]


@pytest.mark.parametrize("kind", ENCODERS)
def test_merged_encoder_gives_the_vectors_of_its_adapters(kind: str, tmp_path: Path):
    encoder = adapted(kind, tmp_path, LoraOptions(rank=3))
    names = set(load_encoder(str(tmp_path)).state_dict())
    plain = vectors(encoder)
    for part in encoder.modules():
        if hasattr(part, "base_layer"):
            perturb(part.lora_B, 0.1)  # type: ignore[arg-type]
    with torch.no_grad():
        vectors(encoder)  # products of evaluation mode are made
    expected = vectors(encoder)
    assert max(float((one - two).abs().max()) for one, two in zip(plain, expected, strict=True)) > 0.01
    merge_adapters(encoder)
    assert set(encoder.encoder.state_dict()) == names
    assert all(one.requires_grad for one in encoder.parameters())
    for with_gradient in (True, False):
        with torch.set_grad_enabled(with_gradient):
            for one, two in zip(vectors(encoder), expected, strict=True):
                torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_trained_weights_are_those_of_the_adapters(tmp_path: Path):
    """Four layers, each with four maps of width 32 and two between 32 and 48."""
    encoder = adapted("roberta", tmp_path, LoraOptions(rank=2))
    trained = {name: one.numel() for name, one in encoder.named_parameters() if one.requires_grad}
    assert all("lora_" in name for name in trained)
    assert sum(trained.values()) == 4 * 2 * (4 * 64 + 2 * 80)


def test_missing_peft_is_named_before_logs_are_read(options: Options, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match="LoRA needs the package peft") as raised:
        finetune(options("a", LORA, "--data.train=[missing.jsonl]"))
    assert "labelgen[lora]" in raised.value.hint


@pytest.mark.parametrize("more", [(), ("--hardware.precision=bf16",)])
def test_saved_model_is_an_ordinary_one(options: Options, tiny_encoder: Path, more):
    chosen = options("a", LORA, "--optimizer.encoder_learning_rate=0.05", *more)
    finetune(chosen)
    folder = Path(chosen.out) / "model"
    state = load_model(folder).state_dict()
    prefix = "turn_encoder.encoder."
    before = load_encoder(str(tiny_encoder)).state_dict()
    assert {name.removeprefix(prefix) for name in state if name.startswith(prefix)} == set(before)
    changed = {name for name, weight in before.items() if not torch.equal(state[prefix + name], weight)}
    assert changed == {
        name for name in before if name.endswith(("query.weight", "key.weight", "value.weight", "dense.weight"))
    }
