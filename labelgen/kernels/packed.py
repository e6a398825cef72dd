"""Packed attention on CUDA in 16 bits: passages are concatenated in one row, and each attends only to itself.

Nothing is padded. Products, norms and dropout run once over all tokens of a batch, and attention is one call of a
variable-length kernel.

Sources: the packing of Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination"; the kernel of Dao
2023, "FlashAttention-2"."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelgen.kernels.device import to_device

PACKED = "labelgen_packed"
"""Name of this attention implementation in transformers."""
_FLASH_CAPABILITY = (8, 0)
"""First compute capability that FlashAttention-2 runs on: NVIDIA's Ampere."""
_FLASH_WIDTHS = range(8, 257, 8)
"""Widths of a head that FlashAttention-2 supports."""


@dataclass(frozen=True)
class Packing:
    """Passages of a row of tokens.

    Attributes:
        offsets: first token of each passage, then the number of all tokens.
        longest: tokens of the longest passage."""

    offsets: Int[Tensor, " passages_and_1"]
    longest: int


def packing_of(groups: Sequence[Int[Tensor, "_ _"]]) -> Packing:
    """Packing of passages in groups of one length. Made once for all layers, from shapes alone, so without reading the device."""
    lengths = [0, *(ids.shape[1] for ids in groups for _ in range(ids.shape[0]))]
    offsets = torch.tensor(lengths).cumsum(0, dtype=torch.int32)
    return Packing(to_device(offsets, groups[0].device), max(lengths))


def packed_positions(encoder: Any, groups: Sequence[Int[Tensor, "_ _"]]) -> Int[Tensor, "1 tokens"]:
    """Position ids of the tokens in their passages; RoBERTa-like encoders start after the padding id."""
    embeddings: Any = getattr(encoder, "embeddings", None)
    first = embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_inputs_embeds") else 0
    rows = [torch.arange(first, first + ids.shape[1]).repeat(ids.shape[0]) for ids in groups]
    return to_device(torch.cat(rows)[None], groups[0].device)


def reads_whole_passages(encoder: Any) -> bool:
    """Whether attention of the encoder can be exchanged, and no layer looks at a window only, as ModernBERT's do."""
    config = encoder.config
    kinds = getattr(config, "layer_types", None) or ()
    windows = "sliding_attention" in kinds or getattr(config, "local_attention", None) is not None
    return not windows and bool(getattr(encoder, "_supports_attention_backend", False))


def can_pack(encoder: Any) -> bool:
    """Whether the encoder can read packed passages, with a kernel on its device in autocast's dtype."""
    device, config = next(encoder.parameters()).device, encoder.config
    if device.type != "cuda" or not torch.is_autocast_enabled("cuda") or not _has_flash_attention(device):
        return False
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # The kernel has no dropout of attention; models are built without it.
    dropout = getattr(config, "attention_probs_dropout_prob", 0.0) or getattr(config, "attention_dropout", 0.0)
    fits = torch.get_autocast_dtype("cuda") in (torch.bfloat16, torch.float16) and width in _FLASH_WIDTHS
    return fits and not dropout and reads_whole_passages(encoder)


@cache
def _has_flash_attention(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "1 heads tokens h"],
    key: Float[Tensor, "1 kv_heads tokens h"],
    value: Float[Tensor, "1 kv_heads tokens h"],
    attention_mask: Tensor | None,
    packing: Packing,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[Float[Tensor, "1 tokens heads h"], None]:
    """Attention of transformers' layers. With fewer heads of keys than of queries, each serves several of them (grouped queries)."""
    # Its import takes more than a second.
    from torch.nn.attention.varlen import varlen_attn

    dtype = torch.get_autocast_dtype("cuda")
    q, k, v = (x.squeeze(0).transpose(0, 1).to(dtype) for x in (query, key, value))
    ends, longest = packing.offsets, packing.longest
    shared = q.shape[1] // k.shape[1]
    if shared > 1:
        # The kernel's own grouping came with torch 2.12.
        k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    seen = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling)
    assert isinstance(seen, Tensor)
    return seen.unsqueeze(0), None
