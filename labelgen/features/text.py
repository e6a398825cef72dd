"""Tokenization of texts, and the mapping between character spans and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from labelgen.features.layout import Passages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_MAX_CACHED = 50_000
"""Texts in a tokenizer's cache, about 30 MB."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized text. ids: with special tokens. spans: `[start, end)` of each token in code points of the text; (0, 0) for
    special tokens."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class Tokenizer:
    """A fast tokenizer with truncation and a cache, since most utterances of a log repeat over the epochs."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._cache: dict[str, Tokens] = {}
        self._interned: dict[Any, Any] = {}

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        new = [text for text in dict.fromkeys(texts) if text not in self._cache]
        if len(self._cache) + len(new) > _MAX_CACHED:
            self._cache.clear()
            self._interned.clear()
            new = list(dict.fromkeys(texts))
        if new:
            # The tokenizer of transformers would also copy its other fields, which takes longer than to tokenize.
            backend = self.tokenizer.backend_tokenizer
            backend.enable_truncation(self.max_tokens, direction=self.tokenizer.truncation_side)
            backend.no_padding()
            for text, encoding in zip(new, backend.encode_batch(new), strict=True):
                self._cache[text] = Tokens(self._intern(encoding.ids), self._intern(encoding.offsets))
        return [self._cache[text] for text in texts]

    def _intern(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values with equal ones as one object, which takes a sixth of the memory."""
        return tuple(map(self._interned.setdefault, values, values))


def tokens_of_span(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and one past the last token that overlap `[start, end)`; None if the span was truncated."""
    overlapping = [k for k, (a, b) in enumerate(spans) if a < end and b > start and b > a]
    return (overlapping[0], overlapping[-1] + 1) if overlapping else None


def group_passages(requests: Sequence[Tokens], responses: Sequence[Tokens]) -> Passages:
    """Distinct passages in groups of one exact length, and the index of each turn's texts among them."""
    by_length: dict[int, dict[tuple[int, ...], None]] = {}
    for tokens in (*requests, *responses):
        by_length.setdefault(len(tokens.ids), {})[tokens.ids] = None
    groups, passage_of, token_of = [], {}, {}
    passage = token = 0
    for length in sorted(by_length):
        rows = list(by_length[length])
        groups.append(torch.tensor(rows, dtype=torch.long))
        for ids in rows:
            passage_of[ids], token_of[ids] = passage, token
            passage += 1
            token += length
    request_tokens = [torch.arange(token_of[t.ids], token_of[t.ids] + len(t.ids)) for t in requests]
    return Passages(
        groups=tuple(groups),
        request=torch.tensor([passage_of[t.ids] for t in requests], dtype=torch.long),
        response=torch.tensor([passage_of[t.ids] for t in responses], dtype=torch.long),
        request_token=torch.cat(request_tokens) if request_tokens else torch.zeros(0, dtype=torch.long),
    )


@lru_cache(maxsize=4096)
def label_text(name: str, description: str | None) -> str:
    """A label as words for the encoder: `Restaurants_1.FindRestaurants` becomes `restaurants 1 find restaurants`, followed by
    the description."""
    out = []
    for before, character in zip(" " + name, name, strict=False):
        if character in "_.-/":
            out.append(" ")
            continue
        if character.isupper() and before.islower():
            out.append(" ")
        out.append(character.lower())
    words = " ".join("".join(out).split())
    return f"{words}: {description}" if description else words
