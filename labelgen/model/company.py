"""Whether what becomes of a text depends on the texts beside it: tried on this machine, since it depends on its CPU and on the
libraries (docs/decisions.md)."""

import json
import tempfile
from pathlib import Path

import torch

from labelgen.model.annotate import one_thread
from labelgen.nn.turn_encoder import TurnEncoder
from labelgen.tensors.pretrained import encoder_from_config

_WORDS = 1_000
_WIDTH = 384
_ENCODER = {
    "model_type": "roberta",
    "vocab_size": _WORDS,
    "hidden_size": _WIDTH,
    "intermediate_size": 1536,
    "num_attention_heads": 12,
    "num_hidden_layers": 1,
}
"""As wide as the small encoder, with random weights."""


@torch.no_grad()
def same_in_any_company() -> bool:
    """Whether texts by themselves, in small groups and among some hundred others have the same states to the last bit, on one thread in 32
    bits, by the steps that labelling takes here."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(_ENCODER), encoding="utf-8")
        encoder = TurnEncoder(encoder_from_config(config), _WIDTH, frozen=True).eval()
        encoder.prepare(torch.float32)
        groups = [torch.randint(5, _WORDS, (40, length)) for length in (3, 4, 7, 12, 19)]
        together = encoder.states(groups)
        return all(
            torch.equal(encoder.states([ids[:count]])[0], states[:count])
            for ids, states in zip(groups, together, strict=True)
            for count in (1, 2, 7)
        )
