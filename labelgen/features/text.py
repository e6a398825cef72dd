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
    """A tokenized text.

    ids: with special tokens at its start and end. spans: `[start, end)` of each token in code points of the text; (0, 0) for
    special tokens. truncated: as many tokens as the encoder reads at once, with special tokens; the same as `ids` for most texts.
    windows: runs of tokens that the encoder reads one by one, each with special tokens. kept: `[start, end)` of the tokens of
    each window that are in `ids`."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    truncated: tuple[int, ...]
    windows: tuple[tuple[int, ...], ...]
    kept: tuple[tuple[int, int], ...]


WINDOWS = 4
"""Maximum number of windows in which a model reads a text."""


class Tokenizer:
    """A fast tokenizer with a cache, since most utterances of a log repeat over the epochs. A text of more than `max_tokens` is
    read in at most `windows` of so many; what is longer still is truncated."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", max_tokens: int, windows: int = 1) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.windows = windows
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
                self._cache[text] = self._tokens(text, encoding)
        return [self._cache[text] for text in texts]

    def _tokens(self, text: str, encoding: Any) -> Tokens:
        ids = self._intern(encoding.ids)
        if not encoding.overflowing or self.windows == 1:
            return Tokens(ids, self._intern(_without_blanks(text, encoding.offsets)), ids, (ids,), ((0, len(ids)),))
        parts = sorted((encoding, *encoding.overflowing), key=_begin)
        parts = parts[: self.windows] if self.tokenizer.truncation_side == "right" else parts[-self.windows :]
        windows = tuple(self._intern(part.ids) for part in parts)
        kept = tuple(_kept(part.special_tokens_mask, k, len(parts)) for k, part in enumerate(parts))
        runs = list(zip(parts, kept, strict=True))
        joined = [number for part, (start, end) in runs for number in part.ids[start:end]]
        spans = [span for part, (start, end) in runs for span in part.offsets[start:end]]
        return Tokens(self._intern(joined), self._intern(_without_blanks(text, spans)), ids, windows, kept)

    def _intern(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values with equal ones as one object, which takes a sixth of the memory."""
        return tuple(map(self._interned.setdefault, values, values))


def _without_blanks(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of tokens without the blanks before their words, which byte-level and Metaspace tokenizers count to them."""
    return [(end - len(text[start:end].lstrip()), end) for start, end in spans]


def _begin(part: Any) -> int:
    """The first code point of a window."""
    return min((start for start, end in part.offsets if end > start), default=0)


def _kept(special: Sequence[int], window: int, windows: int) -> tuple[int, int]:
    """The tokens of a window without the special ones between it and its neighbors."""
    own = [k for k, mark in enumerate(special) if not mark]
    start = 0 if window == 0 or not own else own[0]
    end = len(special) if window == windows - 1 or not own else own[-1] + 1
    return start, end


def tokens_of_span(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and one past the last token that overlap `[start, end)`; None if the span was truncated."""
    overlapping = [k for k, (a, b) in enumerate(spans) if a < end and b > start and b > a]
    return (overlapping[0], overlapping[-1] + 1) if overlapping else None


def group_passages(requests: Sequence[Tokens], responses: Sequence[Tokens]) -> Passages:
    """Distinct passages in groups of one exact length, and the index of each turn's texts among them and the long texts."""
    by_length: dict[int, dict[tuple[int, ...], None]] = {}
    for tokens in (*requests, *responses):
        for ids in tokens.windows:
            by_length.setdefault(len(ids), {})[ids] = None
    groups, shapes, passage_of, token_of = [], [], {}, {}
    passage = token = 0
    for length in sorted(by_length):
        rows = list(by_length[length])
        groups.append(torch.tensor(rows, dtype=torch.long).flatten())
        shapes.append((len(rows), length))
        for ids in rows:
            passage_of[ids], token_of[ids] = passage, token
            passage += 1
            token += length
    request_tokens = [
        torch.arange(token_of[ids] + start, token_of[ids] + end)
        for tokens in requests
        for ids, (start, end) in zip(tokens.windows, tokens.kept, strict=True)
    ]
    several = dict.fromkeys(t.windows for t in (*requests, *responses) if len(t.windows) > 1)
    text_of = {windows: passage + k for k, windows in enumerate(several)}

    def place(tokens: Tokens) -> int:
        return passage_of[tokens.windows[0]] if len(tokens.windows) == 1 else text_of[tokens.windows]

    return Passages(
        ids=torch.cat(groups) if groups else torch.zeros(0, dtype=torch.long),
        shapes=tuple(shapes),
        request=torch.tensor([place(t) for t in requests], dtype=torch.long),
        response=torch.tensor([place(t) for t in responses], dtype=torch.long),
        request_token=torch.cat(request_tokens) if request_tokens else torch.zeros(0, dtype=torch.long),
        long_texts=tuple(torch.tensor([passage_of[ids] for ids in windows], dtype=torch.long) for windows in several),
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
