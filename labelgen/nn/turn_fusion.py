"""One vector a turn from its texts, features and sound; any of them may be missing."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.features.layout import FeatureTensors
from labelgen.kernels.device import to_device

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
