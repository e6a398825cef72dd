"""Texts to token ids, and character spans to tokens and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from labelgen.features.layout import Passages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Tokens:
    """ids with special tokens; spans: `[start, end)` of each in code points of the text, (0, 0) for special tokens."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class Tokenizer:
    """A fast tokenizer with a limit of tokens; what lies beyond the limit is cut.

    Results are remembered, since most utterances of a log are said more than once over the epochs."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._memo: dict[str, Tokens] = {}
        self._shared: dict[Any, Any] = {}

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        new = [text for text in dict.fromkeys(texts) if text not in self._memo]
        if len(self._memo) + len(new) > _REMEMBERED:
            self._memo.clear()
            self._shared.clear()
            new = list(dict.fromkeys(texts))
        if new:
            # transformers would copy all else that is known of each token too, which takes longer than to tokenize.
            backend = self.tokenizer.backend_tokenizer
            backend.enable_truncation(self.max_tokens, direction=self.tokenizer.truncation_side)
            backend.no_padding()
            for text, found in zip(new, backend.encode_batch(new), strict=True):
                self._memo[text] = Tokens(self._one_of_each(found.ids), self._one_of_each(found.offsets))
        return [self._memo[text] for text in texts]

    def _one_of_each(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The same values; equal ones are one object, since the ids and spans of most texts are those of others, and a new
        object for each takes six times the room."""
        return tuple(map(self._shared.setdefault, values, values))


_REMEMBERED = 50_000
"""Some 30 MB; memory that goes on growing with a log is not flat."""


def tokens_of_span(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and one past the last token that touch `[start, end)`; None where no token does (it was cut off)."""
    touching = [k for k, (a, b) in enumerate(spans) if a < end and b > start and b > a]
    return (touching[0], touching[-1] + 1) if touching else None


def group_passages(requests: Sequence[Tokens], responses: Sequence[Tokens]) -> Passages:
    """Distinct passages in groups of one exact length, and where each turn's texts are among them."""
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
    """A label as words that an encoder can read: `Restaurants_1.FindRestaurants` becomes `restaurants 1 find restaurants`,
    followed by the description."""
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
