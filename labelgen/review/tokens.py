"""Cutting a text into tokens, and telling slots by tags of tokens.

Words are runs of letters, digits and marks; every other visible character stands alone; a slot's borders cut too, so that
no slot begins or ends within a token. Blanks are left out, except where a slot begins or ends with them."""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

Span = tuple[int, int]
"""`[start, end)` in code points."""

OUTSIDE = "O"


def tokens(text: str, spans: Sequence[Span] = ()) -> list[Span]:
    """The tokens of a text in which spans are marked that do not overlap, in order."""
    borders = sorted({0, len(text), *(border for span in spans for border in span)})
    found = []
    for start, end in pairwise(borders):
        for _, run in groupby(range(start, end), key=lambda k: _kind(text[k], k)):
            places = list(run)
            token = (places[0], places[-1] + 1)
            if not text[slice(*token)].isspace() or _opens_or_closes(token, spans):
                found.append(token)
    return found


def _kind(character: str, place: int) -> object:
    """Equal for characters that one token may hold."""
    if character.isspace():
        return "blank"
    if character.isalnum() or character == "_" or unicodedata.category(character).startswith("M"):
        return "word"
    return place


def _opens_or_closes(token: Span, spans: Sequence[Span]) -> bool:
    return any(a <= token[0] and token[1] <= b and (token[0] == a or token[1] == b) for a, b in spans)


def overlap(spans: Sequence[Span]) -> bool:
    """Whether two of them share a character, so that tags of tokens cannot tell them."""
    return any(first[1] > second[0] for first, second in pairwise(sorted(spans)))


def tags(of: Sequence[Span], slots: Sequence[tuple[str, Span]]) -> list[str]:
    """For each token `B-name` where a slot begins, `I-name` where it goes on, else OUTSIDE."""
    out = []
    for start, end in of:
        name, span = next(((n, s) for n, s in slots if s[0] <= start and end <= s[1]), ("", None))
        out.append(OUTSIDE if span is None else f"{'B' if start == span[0] else 'I'}-{name}")
    return out


def tagged(of: Sequence[Span], given: Sequence[str]) -> Iterator[tuple[str, Span, int]]:
    """The slots that tags tell: name, span from the first to the last token, index of the first token. Raises ValueError
    for a tag that is none, or that goes on with a slot that did not begin."""
    begun: tuple[str, Span, int] | None = None
    for k, ((start, end), tag) in enumerate(zip(of, given, strict=True)):
        kind, _, name = tag.partition("-")
        if kind == "I" and name and begun is not None and begun[0] == name:
            begun = (name, (begun[1][0], end), begun[2])
            continue
        if begun is not None:
            yield begun
        if kind == "B" and name:
            begun = (name, (start, end), k)
        elif tag == OUTSIDE:
            begun = None
        else:
            raise ValueError(f"{tag!r} at token {k} is not O, does not begin a slot, and continues none")
    if begun is not None:
        yield begun
