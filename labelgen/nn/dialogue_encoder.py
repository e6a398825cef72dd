"""One vector a turn from its texts, features and sound, any of which may be missing; and the dialogue encoder: a pre-norm Transformer over turns with relative positions, each layer within a band.

Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture"; relative position biases as in
Raffel et al. 2020 (T5), clipped at a distance, so that a dialogue may be longer than any in training; the band of Beltagy et
al. 2020, "Longformer: The Long-Document Transformer". Blocks start as the identity: Zhang et al. 2019, "Fixup
Initialization"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.features.layout import FeatureTensors
from labelgen.kernels.device import to_device
from labelgen.nn.structure import NEVER

BAND = 128
"""Turns before and after it that a turn attends to in each layer."""
_REACH = 32
_WINDOW = 512
"""Turns whose attention is computed at once, with a band of keys on both sides. Time and memory are linear in the turns, and
the result equals one pass up to rounding."""
_NEAR = (-1, 1, -2)
_NEAR_BIAS = 3.0


@dataclass(frozen=True, slots=True)
class _AttentionWindow:
    """Queries and keys of one window. rows: the querying turns. keys: turns that some of them see. mask: attention mask; None if
    each sees all."""

    rows: slice
    keys: slice
    mask: Bool[Tensor, "b 1 rows keys"] | None


class DialogueEncoder(nn.Module):
    """Transformer encoder over turns with local attention.

    Args:
        layers: number of layers; 0 is the baseline without context.
        band: turns before and after it that a turn sees in each layer; its receptive field is `layers` times as large."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float, band: int = BAND) -> None:
        super().__init__()
        self.band = band
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, turns: Float[Tensor, "B T D"], real: Bool[Tensor, "B T"] | None, causal: bool = False
    ) -> Float[Tensor, "B T D"]:
        """State of each turn in its dialogue.

        Args:
            real: attention mask of the padded grid; None if nothing is padded.
            causal: turns see no later turns."""
        windows = tuple(self._windows(turns.shape[1], real, causal, turns.device))
        for block in self.blocks:
            turns = block(turns, windows)
        out: Tensor = self.norm(turns)
        return out

    def _windows(
        self, length: int, real: Bool[Tensor, "B T"] | None, causal: bool, device: torch.device
    ) -> Iterator[_AttentionWindow]:
        for start in range(0, length, _WINDOW):
            end = min(start + _WINDOW, length)
            first, last = max(0, start - self.band), end if causal else min(length, end + self.band)
            ahead = torch.arange(first, last, device=device) - torch.arange(start, end, device=device)[:, None]
            mask = None
            if last - first > self.band + 1 or causal:
                mask = (ahead.abs() <= self.band)[None, None]
                if causal:
                    mask = mask & (ahead <= 0)
            if real is not None:
                # A padded turn attends to real turns; its state is never read.
                seen = real[:, None, None, first:last].expand(-1, 1, end - start, -1)
                mask = seen if mask is None else mask & seen
            yield _AttentionWindow(slice(start, end), slice(first, last), mask)


class Block(nn.Module):
    """Pre-norm Transformer block: attention, then a feed-forward layer, both residual."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.distance = nn.Parameter(_near(heads))
        self.feed_norm = nn.LayerNorm(width)
        last = nn.Linear(4 * width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), last)
        self.dropout = nn.Dropout(dropout)
        # A new block is the identity, so training starts from turns without context.
        for added in (self.attention_out, last):
            nn.init.zeros_(added.weight)
            nn.init.zeros_(added.bias)

    def forward(self, turns: Float[Tensor, "B T D"], windows: Sequence[_AttentionWindow]) -> Float[Tensor, "B T D"]:
        batch, length, width = turns.shape
        mixed = self.query_key_value(self.attention_norm(turns))
        # q, k, v: [B, heads, T, D / heads]
        q, k, v = mixed.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        parts = [self._attend(q[:, :, w.rows], k[:, :, w.keys], v[:, :, w.keys], w) for w in windows]
        seen = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        turns = turns + self.dropout(self.attention_out(seen.transpose(1, 2).reshape(batch, length, width)))
        out: Tensor = turns + self.dropout(self.feed(self.feed_norm(turns)))
        return out

    def _attend(
        self,
        q: Float[Tensor, "B heads rows d"],
        k: Float[Tensor, "B heads keys d"],
        v: Float[Tensor, "B heads keys d"],
        window: _AttentionWindow,
    ) -> Float[Tensor, "B heads rows d"]:
        rows = torch.arange(window.rows.start, window.rows.stop, device=q.device)
        keys = torch.arange(window.keys.start, window.keys.stop, device=q.device)
        distances = (keys[None, :] - rows[:, None]).clamp(-_REACH, _REACH) + _REACH
        bias = self.distance[:, distances].to(q.dtype)[None]
        if window.mask is not None:
            bias = bias.masked_fill(~window.mask, NEVER)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(q.shape[0], -1, -1, -1))


def _near(heads: int) -> Float[Tensor, "heads distances"]:
    """Initial relative position biases: the first heads attend to the previous turn, the next and the one before the previous;
    the others attend everywhere. Neighboring turns are the most informative, so small data sets are enough to learn the rest."""
    bias = torch.zeros(heads, 2 * _REACH + 1)
    for head, step in zip(range(heads - 1), _NEAR, strict=False):
        bias[head, _REACH + step] = _NEAR_BIAS
    return bias


_WORDS_STD = 0.02
"""Standard deviation of new word vectors: small, so that rare words have little effect."""


class TurnFusion(nn.Module):
    """Request and response with their product and difference, plus embedded categories, scaled numbers with flags of
    presence, vectors of its words, and a sound vector; the sum is normalized.

    words: size of the vocabularies of requests and responses. sound_dropout: probability that a turn's sound is left out in training, so
    that text alone stays as good."""

    def __init__(
        self,
        encoder_width: int,
        width: int,
        categories: tuple[int, ...],
        numbers: int,
        words: tuple[int, int],
        sound_width: int,
        dropout: float,
        sound_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.text_norm = nn.LayerNorm(encoder_width)
        self.texts = nn.Linear(4 * encoder_width, width)
        self.hidden_response = nn.Parameter(torch.zeros(encoder_width))
        # One table for all categories; values of category c start at offset[c].
        self.offsets: Tensor
        offsets = torch.tensor([sum(categories[:k]) for k in range(len(categories))], dtype=torch.long)
        self.register_buffer("offsets", offsets, persistent=False)
        self.categories = nn.Embedding(sum(categories), width) if categories else None
        self.numbers = nn.Linear(2 * numbers, width) if numbers else None
        self.request_words = words[0]
        self.words = nn.Embedding(sum(words), width) if sum(words) else None
        self.sound = nn.Linear(sound_width, width) if sound_width else None
        self.no_sound = nn.Parameter(torch.zeros(width)) if sound_width else None
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.sound_dropout = sound_dropout
        if self.categories is not None:
            nn.init.normal_(self.categories.weight, std=0.1)
        if self.words is not None:
            nn.init.normal_(self.words.weight, std=_WORDS_STD)

    def forward(
        self,
        requests: Float[Tensor, "N d"],
        responses: Float[Tensor, "N d"],
        features: FeatureTensors,
        sound: tuple[Int[Tensor, " S"], Float[Tensor, "S w"]] | None,
        hidden: Bool[Tensor, " N"] | None,
    ) -> Float[Tensor, "N D"]:
        """hidden: turns whose response is masked."""
        turns = self._text_vectors(requests, responses, hidden)
        if self.categories is not None:
            values = features.categories if hidden is None else features.categories * (~hidden[:, None])
            turns = turns + self.categories(values + self.offsets).sum(dim=1)
        if self.numbers is not None:
            # Length and delay would reveal a masked response, as its status would above.
            seen = features.present if hidden is None else features.present * (~hidden[:, None])
            turns = turns + self.numbers(torch.cat([features.numbers * seen, seen], dim=1))
        if self.words is not None:
            turns = turns + self._word_vectors(self.words.weight, features, hidden)
        if self.sound is not None and self.no_sound is not None:
            turns = turns + self._sound_vectors(sound, len(turns), turns.dtype)
        out: Tensor = self.dropout(self.norm(turns))
        return out

    def _text_vectors(
        self,
        requests: Float[Tensor, "N d"],
        responses: Float[Tensor, "N d"],
        hidden: Bool[Tensor, " N"] | None,
    ) -> Float[Tensor, "N D"]:
        request, response = self.text_norm(requests), self.text_norm(responses)
        if hidden is not None:
            response = torch.where(hidden[:, None], self.hidden_response.to(response.dtype), response)
        out: Tensor = self.texts(torch.cat([request, response, request * response, (request - response).abs()], dim=1))
        return out

    def _word_vectors(
        self, table: Float[Tensor, "words D"], features: FeatureTensors, hidden: Bool[Tensor, " N"] | None
    ) -> Float[Tensor, "N D"]:
        """Sum of each turn's word vectors divided by the square root of their number."""
        counts = features.word_counts
        every = torch.arange(len(counts), device=counts.device)
        turn = every.repeat_interleave(counts, output_size=len(features.words))
        seen = torch.ones_like(features.words, dtype=table.dtype)
        if hidden is not None:
            seen = (~hidden[turn] | (features.words < self.request_words)).to(table.dtype)
        number = torch.zeros_like(counts, dtype=table.dtype).index_add(0, turn, seen)
        weights = seen * number.clamp(min=1).rsqrt()[turn]
        starts = counts.cumsum(0) - counts
        return F.embedding_bag(features.words, table, starts, mode="sum", per_sample_weights=weights)

    def _sound_vectors(
        self, sound: tuple[Int[Tensor, " S"], Float[Tensor, "S w"]] | None, count: int, dtype: torch.dtype
    ) -> Float[Tensor, "N D"]:
        assert self.sound is not None
        assert self.no_sound is not None
        heard = self.no_sound.to(dtype).expand(count, -1)
        if sound is None:
            return heard
        turn, vectors = sound
        if self.training:
            kept = to_device((torch.rand(len(turn)) >= self.sound_dropout).nonzero()[:, 0], turn.device)
            turn, vectors = turn[kept], vectors[kept]
        if not len(turn):
            return heard
        return heard.index_copy(0, turn, self.sound(vectors).to(dtype))
