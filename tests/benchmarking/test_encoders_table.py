"""The encoder of random weights that the table of encoders has for comparison."""

from pathlib import Path

import torch

from benchmarks.encoders import random_encoder
from labelgen.features.pretrained import load_encoder, load_tokenizer


def test_random_encoder_has_the_tokenizer_and_always_the_same_weights(tiny_encoder: Path, tmp_path: Path):
    for name in "ab":
        random_encoder([tiny_encoder], [tmp_path / name])
    one, two = (load_encoder(str(tmp_path / name)) for name in "ab")
    assert sum(weight.numel() for weight in one.parameters()) > 2 * 4 * 128 * 128
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), two.parameters(), strict=True))
    text = "play the red lamp"
    assert load_tokenizer(str(tmp_path / "a"))(text) == load_tokenizer(str(tiny_encoder))(text)
