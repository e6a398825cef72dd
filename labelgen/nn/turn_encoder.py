"""The turn encoder: a pretrained text encoder over distinct passages, in groups of one exact token length."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from labelgen.base.errors import UsageError
from labelgen.features.layout import Passages
from labelgen.kernels.batch_invariant import make_batch_invariant
from labelgen.kernels.int8 import check_int8
from labelgen.kernels.packed import PACKED, packed_positions, packing_of
from labelgen.kernels.prepared import PreparedEncoder, can_prepare
from labelgen.kernels.transfer import to_device
from labelgen.nn.embedding_cache import EmbeddingCache, TokenStateCache, mean_pool

_BLOCK = 256
"""Rows of one product in the layers of transformers, without gradient."""
_DROPOUT_STEPS = 2**16


class FastDropout(nn.Dropout):
    """Dropout that draws fewer random numbers on a CPU, where torch draws one number for each element.

    Four elements share 64 random bits of torch's generator, so p is rounded to a 65,536th. What stays is scaled by
    1 / (1 - p). On other devices this is torch's dropout."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        drop = round(self.p * _DROPOUT_STEPS)
        if not self.training or not 0 < drop < _DROPOUT_STEPS or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        draws = bits.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (draws >= drop - _DROPOUT_STEPS // 2).to(x.dtype).mul_(_DROPOUT_STEPS / (_DROPOUT_STEPS - drop))


def use_fast_dropout(module: nn.Module) -> None:
    """Replace every nn.Dropout of a module by FastDropout, in place."""
    for part in module.modules():
        for name, child in part.named_children():
            if type(child) is nn.Dropout:
                setattr(part, name, FastDropout(child.p))


class TurnEncoder(nn.Module):
    """Any `AutoModel` text encoder. Groups need no padding and no attention mask, so the encoder is batch-invariant.

    Args:
        encoder: the model of transformers.
        width: size of its hidden states.
        frozen: no gradient reaches the encoder.

    Attributes:
        embedding_cache: for training with a frozen encoder, which passes over the same passages in each epoch.
        state_cache: for labeling.
        chunk_tokens: tokens that pass the encoder's layers at once in training; None for all of a batch."""

    def __init__(self, encoder: Any, width: int, frozen: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder.requires_grad_(not frozen)
        use_fast_dropout(encoder)
        make_batch_invariant(encoder, _BLOCK)
        # Architectures without exchangeable attention, and those whose layers look at a window, run once for each token length.
        if getattr(encoder, "_supports_attention_backend", False) and not _has_sliding_window(encoder.config):
            encoder.set_attn_implementation(PACKED)
        self.width = width
        self.frozen = frozen
        self.chunk_tokens: int | None = None
        self.embedding_cache: EmbeddingCache | None = None
        self.state_cache = TokenStateCache()
        self._prepared: PreparedEncoder | None = None

    def prepare(self, precision: torch.dtype) -> None:
        """Copy the weights into the prepared CPU encoder, for labeling; no effect where kernels/prepared.py does not support
        the encoder. Training undoes it.

        Raises UsageError if precision is int8 and that is not supported."""
        if precision == torch.int8:
            check_int8()
        supported = can_prepare(self.encoder, precision)
        if precision == torch.int8 and not supported:
            what = f"8-bit products need an encoder of BERT's kind on a CPU, not {self.encoder.config.model_type}"
            raise UsageError(what, "--precision int8", "use --precision 32 or --device cpu")
        self._prepared = PreparedEncoder(self.encoder, precision) if supported else None
        self.state_cache = TokenStateCache()

    def prefetch(self, passages: Iterable[tuple[int, ...]]) -> None:
        """Encode the missing passages together, which is faster; they are cached until the next call."""
        self.state_cache.prefetch(passages, self.states)

    @property
    def prepared(self) -> bool:
        """Whether the prepared CPU encoder and the state cache are in use."""
        return self._prepared is not None and not torch.is_grad_enabled()

    def train(self, mode: bool = True) -> "TurnEncoder":
        super().train(mode)
        if mode:
            self._prepared = None
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(
        self, passages: Passages, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        """Pooled vector of each passage, then of each long text, and, if `with_tokens`, the states of all tokens in the order of
        the groups."""
        pooled, tokens = self._passages(passages, with_tokens)
        if not passages.long_texts:
            return pooled, tokens
        lengths = torch.tensor([length for count, length in passages.shapes for _ in range(count)])
        lengths = to_device(lengths, pooled.device)
        # One text at a time, so that its vector depends on the text alone.
        texts = [_mean_of_windows(pooled[rows], lengths[rows]) for rows in passages.long_texts]
        return torch.cat([pooled, torch.stack(texts)]), tokens

    def _passages(
        self, passages: Passages, with_tokens: bool
    ) -> tuple[Float[Tensor, "P d"], Float[Tensor, "tokens d"] | None]:
        if self.embedding_cache is not None:
            return self.embedding_cache.embed(passages, self.states, with_tokens)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.prepared:
                states = self.state_cache.states(passages.groups, self.states)
            else:
                states = self.states(passages.groups)
            pooled = torch.cat([mean_pool(x) for x in states])
            return pooled, torch.cat([x.reshape(-1, self.width) for x in states]) if with_tokens else None

    def states(self, groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
        """Last hidden states of each group."""
        if self.prepared:
            assert self._prepared is not None
            return self._prepared(groups)
        # One look-up for all ids: its gradient is as large as the vocabulary, and one for each group is slower on a CPU.
        embedded = self.encoder.get_input_embeddings()(torch.cat([ids.reshape(-1) for ids in groups]))
        if self.chunk_tokens is None or not torch.is_grad_enabled():
            return self._layers(embedded, groups)
        return self._checkpointed(embedded, groups, self.chunk_tokens)

    def _checkpointed(
        self, embedded: Float[Tensor, "tokens e"], groups: Sequence[Int[Tensor, "_ _"]], most: int
    ) -> list[Float[Tensor, "_ _ d"]]:
        """Encode chunk by chunk with gradient checkpointing: the backward pass computes each chunk again, with the same dropout.

        Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"."""
        rows = [part for ids in groups for part in torch.split(ids, max(1, most // ids.shape[1]))]
        chunks = _chunks([part.numel() for part in rows], most)
        sizes = [sum(part.numel() for part in rows[chunk]) for chunk in chunks]
        states: list[Tensor] = []
        for chunk, part in zip(chunks, torch.split_with_sizes(embedded, sizes), strict=True):
            states += checkpoint(self._layers, part, rows[chunk], use_reentrant=False)
        return _by_group(torch.cat([x.reshape(-1, self.width) for x in states]), groups)

    def _layers(
        self, embedded: Float[Tensor, "tokens e"], groups: Sequence[Int[Tensor, "_ _"]]
    ) -> list[Float[Tensor, "_ _ d"]]:
        if self.encoder.config._attn_implementation == PACKED:
            out = self.encoder(
                inputs_embeds=embedded[None],
                position_ids=packed_positions(self.encoder, groups),
                packing=packing_of(groups),
            )
            return _by_group(out.last_hidden_state[0], groups)
        return [self.encoder(inputs_embeds=x).last_hidden_state for x in _by_group(embedded, groups)]


def _has_sliding_window(config: Any) -> bool:
    """Whether some layers attend only to near tokens, as ModernBERT's do; packed attention would attend to all."""
    kinds = getattr(config, "layer_types", None) or ()
    return "sliding_attention" in kinds or getattr(config, "local_attention", None) is not None


def _mean_of_windows(pooled: Float[Tensor, "w d"], lengths: Int[Tensor, " w"]) -> Float[Tensor, " d"]:
    """Mean of a long text's token states, from the means of its windows."""
    weights = lengths.to(pooled.dtype) / lengths.sum()
    return (pooled * weights[:, None]).sum(dim=0)


def _by_group(tokens: Float[Tensor, "tokens d"], groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
    parts = torch.split_with_sizes(tokens, [ids.numel() for ids in groups])
    return [x.view(*ids.shape, -1) for x, ids in zip(parts, groups, strict=True)]


def _chunks(sizes: Sequence[int], most: int) -> list[slice]:
    """Runs of neighbors with a total size of at most `most`; a larger one is a chunk of its own."""
    chunks, start, total = [], 0, 0
    for k, size in enumerate(sizes):
        if k > start and total + size > most:
            chunks.append(slice(start, k))
            start, total = k, 0
        total += size
    return [*chunks, slice(start, len(sizes))]


def pool_texts(encoder: TurnEncoder, texts: Sequence[tuple[int, ...]]) -> Float[Tensor, "K d"]:
    """Pooled vectors of tokenized texts, such as those of labels, without gradient and in evaluation mode."""
    device = next(encoder.parameters()).device
    if not texts:
        return torch.zeros(0, encoder.width, device=device)
    by_length: dict[int, list[int]] = {}
    for k, ids in enumerate(texts):
        by_length.setdefault(len(ids), []).append(k)
    places = [by_length[length] for length in sorted(by_length)]
    groups = [to_device(torch.tensor([texts[k] for k in rows]), device) for rows in places]
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        pooled = torch.cat([mean_pool(states) for states in encoder.states(groups)])
    encoder.train(training)
    order = torch.tensor([k for rows in places for k in rows])
    return pooled[to_device(order.argsort(), device)]
