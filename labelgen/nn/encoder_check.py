"""Self-check of a new encoder: the vectors that labelgen computes are those of transformers.

Some architectures change attention in ways that packing cannot know (windows, biases, position tables). A model is trained
only on an encoder that passes; saved models are not checked again."""

import math
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from labelgen.base.errors import UsageError
from labelgen.nn.turn_encoder import TurnEncoder

_SHORT = 16
_TOLERANCE = 1e-4
"""Of the largest number in the vectors; a wrong mask or position changes far more."""
_WHERE = "model.encoder"


def check_encoder(encoder: TurnEncoder, name: str, max_tokens: int) -> None:
    """Compare two passages, a short one and one of max_tokens, with transformers' eager attention.

    Raises UsageError for a decoder, and for an encoder with other vectors or without any."""
    config = encoder.encoder.config
    kind = f"{name} ({config.model_type})"
    hint = "choose an encoder such as RoBERTa, BERT, DeBERTa-v3 or ModernBERT"
    if getattr(config, "is_encoder_decoder", False):
        raise UsageError(f"{kind} is an encoder with a decoder, not a text encoder", _WHERE, hint)
    groups = [_token_ids(config, length) for length in dict.fromkeys((min(_SHORT, max_tokens), max_tokens))]
    implementation = config._attn_implementation
    training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            states = encoder.states(groups)
            encoder.encoder.set_attn_implementation("eager")
            expected = [encoder.encoder(input_ids=ids).last_hidden_state for ids in groups]
            changed = groups[-1].clone()
            changed[:, -1] = groups[-1][:, 0]
            causal = max_tokens > 1 and torch.equal(
                encoder.encoder(input_ids=changed).last_hidden_state[:, :-1], expected[-1][:, :-1]
            )
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, IndexError) as error:
        raise UsageError(f"{kind} cannot encode passages: {error}", _WHERE, hint) from error
    finally:
        encoder.encoder.set_attn_implementation(implementation)
        encoder.train(training)
    if causal:
        raise UsageError(f"{kind} is a decoder: its tokens do not attend to later tokens", _WHERE, hint)
    for ids, own, other in zip(groups, states, expected, strict=True):
        difference = float((own - other).abs().max() / other.abs().max().clamp(min=torch.finfo(other.dtype).tiny))
        if not math.isfinite(difference) or difference > _TOLERANCE:
            what = f"labelgen computes other vectors of {ids.shape[1]} tokens than transformers with {kind}"
            raise UsageError(f"{what}: the relative difference is {difference:.3g}", _WHERE, hint)


def _token_ids(config: Any, length: int) -> Int[Tensor, "1 length"]:
    """Different ids of the vocabulary, without the padding id, from which RoBERTa computes positions."""
    ids = torch.arange(3, 3 + length) * 7 % config.vocab_size
    padding = getattr(config, "pad_token_id", None)
    return ids[None] if padding is None else torch.where(ids == padding, (ids + 1) % config.vocab_size, ids)[None]
