"""The turn encoder: a pretrained text encoder over distinct passages, in groups of one exact token length.

Dropout with fewer random numbers: torch's own draws one at a time on a CPU, and takes longer over it than the norms do."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from labelgen.base.errors import UsageError
from labelgen.features.layout import Passages
from labelgen.kernels.batch_invariant import keep_bits
from labelgen.kernels.int8 import check_int8
from labelgen.kernels.packed import PACKED, packed_positions
from labelgen.kernels.prepared import PreparedEncoder, can_prepare
from labelgen.nn.embedding_cache import FrozenMemory, PassageMemory, passage_vectors

_BLOCK = 256
"""Tokens that pass a linear map of transformers' own layers at once, where no gradient is asked for."""


class TurnEncoder(nn.Module):
    """Any `AutoModel` text encoder. Groups need no padding and no mask, so a passage's vector cannot depend on what
    else is in the batch.

    frozen: no gradient reaches the encoder. remembered: what a frozen one said so far, where training goes over the same
    passages again. piece_tokens: while learning, most tokens that the encoder's layers hold at once; None for all of a
    batch."""

    def __init__(self, encoder: Any, width: int, frozen: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder
        quicken(encoder)
        keep_bits(encoder, _BLOCK)
        # Architectures that leave attention to transformers' table run packed; the others a pass for each length.
        if getattr(encoder, "_supports_attention_backend", False):
            encoder.set_attn_implementation(PACKED)
        self.width = width
        self.frozen = frozen
        self.piece_tokens: int | None = None
        self.remembered: FrozenMemory | None = None
        self._prepared: PreparedEncoder | None = None
        self.memory = PassageMemory()

    def prepare(self, precision: torch.dtype) -> None:
        """Make ready for labeling by the weights as they are now; of no effect where kernels/prepared.py cannot serve.
        Undone by training. precision: of the encoder; int8 raises UsageError where it cannot be had."""
        if precision == torch.int8:
            check_int8()
        able = can_prepare(self.encoder, precision)
        if precision == torch.int8 and not able:
            what = f"8-bit products need an encoder of BERT's kind on a CPU, not {self.encoder.config.model_type}"
            raise UsageError(what, "--precision int8", "use --precision 32 or --device cpu")
        self._prepared = PreparedEncoder(self.encoder, precision) if able else None
        self.memory = PassageMemory()

    def read_ahead(self, passages: Iterable[tuple[int, ...]]) -> None:
        """Encode what of these is not known yet, all at once, which is quicker; kept for the batches until the next call."""
        self.memory.read_ahead(passages, self.states)

    @property
    def prepared(self) -> bool:
        """Whether passages are encoded for labeling, each that was announced to `memory` once."""
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
        """Pooled vector of each passage, and the states of all tokens in the order of the groups if asked for."""
        if self.remembered is not None:
            return self.remembered.recall(passages, self.states, with_tokens)
        pooled, tokens = [], []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found = self.memory.states(passages.groups, self.states) if self.prepared else self.states(passages.groups)
            for states in found:
                pooled.append(passage_vectors(states))
                if with_tokens:
                    tokens.append(states.reshape(-1, self.width))
        return torch.cat(pooled), torch.cat(tokens) if with_tokens else None

    def states(self, groups: Sequence[Int[Tensor, "_ _"]]) -> list[Float[Tensor, "_ _ d"]]:
        """Last hidden states of each group."""
        if self.prepared:
            assert self._prepared is not None
            return self._prepared(groups)
        # All ids are looked up at once: the gradient of a look-up is as large as the vocabulary, and one for each group
        # takes longer on a CPU (scripts/bench_encoder.py).
        looked_up = self.encoder.get_input_embeddings()(torch.cat([ids.reshape(-1) for ids in groups]))
        if self.piece_tokens is None or not torch.is_grad_enabled():
            return self._layers(looked_up, groups)
        return self._in_pieces(looked_up, groups, self.piece_tokens)

    def _in_pieces(
        self, looked_up: Float[Tensor, "tokens e"], groups: Sequence[Int[Tensor, "_ _"]], most: int
    ) -> list[Float[Tensor, "_ _ d"]]:
        """Piece by piece without keeping what lies between the layers; when its gradient has come, each piece is computed
        anew, with the same dropout. Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory
        Limited Setup"."""
        rows = [part for ids in groups for part in torch.split(ids, max(1, most // ids.shape[1]))]
        pieces = _pieces([part.numel() for part in rows], most)
        sizes = [sum(part.numel() for part in rows[piece]) for piece in pieces]
        found: list[Tensor] = []
        for piece, own in zip(pieces, torch.split_with_sizes(looked_up, sizes), strict=True):
            found += checkpoint(self._layers, own, rows[piece], use_reentrant=False)
        joined = torch.cat([x.reshape(-1, self.width) for x in found])
        flat = torch.split_with_sizes(joined, [ids.numel() for ids in groups])
        return [x.view(*ids.shape, -1) for x, ids in zip(flat, groups, strict=True)]

    def _layers(
        self, looked_up: Float[Tensor, "tokens e"], groups: Sequence[Int[Tensor, "_ _"]]
    ) -> list[Float[Tensor, "_ _ d"]]:
        sizes = [ids.numel() for ids in groups]
        if self.encoder.config._attn_implementation == PACKED:
            out = self.encoder(
                inputs_embeds=looked_up[None],
                position_ids=packed_positions(self.encoder, groups),
                passages=[tuple(ids.shape) for ids in groups],
            )
            flat = out.last_hidden_state[0].split(sizes)
            return [x.view(*ids.shape, -1) for x, ids in zip(flat, groups, strict=True)]
        parts = torch.split_with_sizes(looked_up, sizes)
        return [
            self.encoder(inputs_embeds=x.view(*ids.shape, -1)).last_hidden_state
            for x, ids in zip(parts, groups, strict=True)
        ]


def _pieces(sizes: Sequence[int], most: int) -> list[slice]:
    """Runs of neighbors whose sizes add up to `most` at most; one that is larger is a piece of its own."""
    pieces, start, held = [], 0, 0
    for k, size in enumerate(sizes):
        if k > start and held + size > most:
            pieces.append(slice(start, k))
            start, held = k, 0
        held += size
    return [*pieces, slice(start, len(sizes))]


def pool_texts(encoder: TurnEncoder, texts: Sequence[tuple[int, ...]]) -> Float[Tensor, "K d"]:
    """Pooled vectors of tokenized texts, without gradient, each on its own length; used for the texts of labels."""
    device = next(encoder.parameters()).device
    lengths = sorted({len(ids) for ids in texts})
    places = [[k for k, ids in enumerate(texts) if len(ids) == length] for length in lengths]
    pooled = torch.zeros(len(texts), encoder.width, device=device)
    if not texts:
        return pooled
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        groups = [torch.tensor([texts[k] for k in own], dtype=torch.long, device=device) for own in places]
        for own, states in zip(places, encoder.states(groups), strict=True):
            pooled[own] = passage_vectors(states)
    encoder.train(training)
    return pooled


_STEPS = 2**16


class QuickDropout(nn.Dropout):
    """Drops with probability p, rounded to a 65,536th, and scales what stays by 1 / (1 - p). On a CPU four places share
    64 random bits of torch's own generator; elsewhere it is torch's dropout."""

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        drop = round(self.p * _STEPS)
        if not self.training or not 0 < drop < _STEPS or x.device.type != "cpu":
            return super().forward(x)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        places = bits.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (places >= drop - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - drop))


def quicken(module: nn.Module) -> None:
    """Puts QuickDropout in the place of every dropout of a module."""
    for part in module.modules():
        for name, child in part.named_children():
            if type(child) is nn.Dropout:
                setattr(part, name, QuickDropout(child.p))
