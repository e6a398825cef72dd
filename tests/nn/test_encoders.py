"""The law of encoders: every accepted architecture gives the vectors of transformers' eager attention at every length."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from labelgen.base.errors import UsageError
from labelgen.features.pretrained import encoder_from_config
from labelgen.kernels.packed import PACKED
from labelgen.nn.encoder_check import check_encoder
from labelgen.nn.turn_encoder import TurnEncoder

LENGTHS = (16, 65, 66, 128, 300, 512)
_SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 520,
    "pad_token_id": 1,
}
_DISTILBERT = {
    "dim": 32,
    "n_layers": 4,
    "n_heads": 2,
    "hidden_dim": 48,
    "vocab_size": 97,
    "max_position_embeddings": 520,
}
_DEBERTA_V3 = {
    "relative_attention": True,
    "position_buckets": 64,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_MODERNBERT = {
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
    "bos_token_id": 0,
    "cls_token_id": 0,
    "sep_token_id": 2,
}
PACKED_ENCODERS: dict[str, dict[str, Any]] = {
    "roberta": _SIZES,
    "xlm-roberta": _SIZES,
    "bert": _SIZES,
    "electra": {**_SIZES, "embedding_size": 24},
    "distilbert": _DISTILBERT,
    "eurobert": {**_SIZES, "num_key_value_heads": 2, "head_dim": 16},
    "nomic_bert": {**_SIZES, "head_dim": 16},
}
ENCODERS: dict[str, dict[str, Any]] = {
    **PACKED_ENCODERS,
    "modernbert": {**_SIZES, **_MODERNBERT},
    "deberta-v2": {**_SIZES, **_DEBERTA_V3},
    "mpnet": _SIZES,
}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 97}


@pytest.fixture
def make(tmp_path) -> Callable[..., TurnEncoder]:
    def of(kind: str, **fields: Any) -> TurnEncoder:
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps({**ENCODERS.get(kind, {}), **fields, "model_type": kind}))
        torch.manual_seed(0)
        encoder: Any = encoder_from_config(path)
        # Larger weights than at initialization, or attention is almost uniform and a wrong mask changes little. Three times
        # as large, rounding alone is more than 1e-5 in float32.
        with torch.no_grad():
            for name, weight in encoder.named_parameters():
                if weight.ndim == 2:
                    weight.normal_(std=1.0 if "embedding" in name else 0.7 * weight.shape[1] ** -0.5)
        return TurnEncoder(encoder, encoder.config.hidden_size, frozen=False).eval()

    return of


def ids_of(length: int, count: int = 2) -> torch.Tensor:
    return torch.randint(5, 97, (count, length))


def eager(encoder: TurnEncoder, groups: list[torch.Tensor]) -> list[torch.Tensor]:
    own = encoder.encoder.config._attn_implementation
    encoder.encoder.set_attn_implementation("eager")
    with torch.no_grad():
        states = [encoder.encoder(input_ids=ids).last_hidden_state for ids in groups]
    encoder.encoder.set_attn_implementation(own)
    return states


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_any_length_equals_eager_attention(make, kind: str):
    encoder = make(kind)
    assert (encoder.encoder.config._attn_implementation == PACKED) == (kind in PACKED_ENCODERS)
    groups = [ids_of(length) for length in LENGTHS]
    expected = eager(encoder, groups)
    with torch.no_grad():
        states = encoder.states(groups)
    with_gradient = encoder.states(groups)
    encoder.prepare(torch.float32)
    with torch.no_grad():
        prepared = encoder.states(groups)
    for own in (states, with_gradient, prepared):
        for one, two in zip(own, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoder_passages_together_are_bitwise_those_alone(make, kind: str):
    encoder = make(kind)
    groups = [ids_of(length) for length in (7, 66, 130)]
    with torch.no_grad():
        together = encoder.states(groups)
        for ids, one in zip(groups, together, strict=True):
            assert torch.equal(one, encoder.states([ids])[0])


@pytest.mark.parametrize("kind", ENCODERS)
def test_check_encoder_known_architecture_passes(make, kind: str):
    encoder = make(kind)
    own = encoder.encoder.config._attn_implementation
    check_encoder(encoder, "some/encoder", 300)
    assert encoder.encoder.config._attn_implementation == own


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 97}, "is a decoder"),
        ("llama", {**_SIZES, "num_key_value_heads": 2, "head_dim": 16}, "is a decoder"),
        ("bert", {"is_decoder": True}, "is a decoder"),
        ("t5", _T5, "with a decoder"),
    ],
)
def test_check_encoder_decoder_is_refused_by_name(make, kind: str, fields: dict[str, Any], message: str):
    encoder = make(kind, **fields)
    with pytest.raises(UsageError, match=rf"some/encoder \({kind}\).*{message}"):
        check_encoder(encoder, "some/encoder", 64)


def test_check_encoder_other_vectors_is_refused(make):
    """The fault that ModernBERT had: packed attention drops its window."""
    encoder = make("modernbert")
    encoder.encoder.set_attn_implementation(PACKED)
    check_encoder(encoder, "some/encoder", 65)
    with pytest.raises(
        UsageError, match=r"other vectors of 66 tokens than transformers with some/encoder \(modernbert\)"
    ):
        check_encoder(encoder, "some/encoder", 66)
