"""A small encoder of random weights of every architecture that is accepted."""

from typing import Any

import torch

from labelgen.features.pretrained import load_encoder

SIZES = {
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
ENCODERS: dict[str, dict[str, Any]] = {
    "roberta": SIZES,
    "xlm-roberta": SIZES,
    "bert": SIZES,
    "electra": {**SIZES, "embedding_size": 24},
    "distilbert": _DISTILBERT,
    "eurobert": {**SIZES, "num_key_value_heads": 2, "head_dim": 16},
    "nomic_bert": {**SIZES, "head_dim": 16},
    "modernbert": {**SIZES, **_MODERNBERT},
    "deberta-v2": {**SIZES, **_DEBERTA_V3},
    "mpnet": SIZES,
}


def random_encoder(kind: str, folder: Any, **fields: Any) -> Any:
    """As transformers makes it from the fields of its config, saves and loads it; four layers."""
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **{**ENCODERS.get(kind, {}), **fields})
    encoder = transformers.AutoModel.from_config(config)
    # Larger weights than at initialization, or attention is almost uniform and a wrong mask changes little. Three times
    # as large, rounding alone is more than 1e-5 in float32.
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=1.0 if "embedding" in name else 0.7 * weight.shape[1] ** -0.5)
    encoder.save_pretrained(folder)
    return load_encoder(str(folder), attention_dropout=0.0)
