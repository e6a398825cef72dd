"""Template grammar: templates with alternatives and slots, and phrases drawn from them.

`(turn|switch) on the {room} (lights|lamp|)`: one alternative is drawn, and a slot takes its value."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class _Blank:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple["_Sequence", ...]


_Sequence = tuple[str | _Blank | _Choice, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. slots: their names in order, with repetitions."""

    body: _Sequence
    slots: tuple[str, ...]


def template(text: str) -> Template:
    """Parse a template. Slots must be outside of alternatives, so that a template always has the same slots."""
    body, end = _sequence(text, 0)
    assert end == len(text), f"unbalanced bracket in {text!r}"
    return Template(body, tuple(piece.name for piece in body if isinstance(piece, _Blank)))


def _sequence(text: str, at: int) -> tuple[_Sequence, int]:
    pieces: list[str | _Blank | _Choice] = []
    plain = ""
    while at < len(text) and text[at] not in "|)":
        if text[at] == "{":
            close = text.index("}", at)
            pieces += [plain, _Blank(text[at + 1 : close])] if plain else [_Blank(text[at + 1 : close])]
            plain, at = "", close + 1
        elif text[at] == "(":
            options = []
            while text[at] != ")":
                option, at = _sequence(text, at + 1)
                options.append(option)
            pieces += [plain, _Choice(tuple(options))] if plain else [_Choice(tuple(options))]
            plain, at = "", at + 1
        else:
            plain, at = plain + text[at], at + 1
    return (*pieces, plain) if plain else tuple(pieces), at


@dataclass(slots=True)
class Phrase:
    """Words in order; owners[k] is the index of the slot of words[k], -1 for none."""

    words: list[str]
    owners: list[int]

    def __add__(self, other: "Phrase") -> "Phrase":
        """Concatenation. Only one of the phrases may have slots, or both refer to the same ones."""
        return Phrase(self.words + other.words, self.owners + other.owners)

    def text(self) -> str:
        return " ".join(self.words)

    def spans(self) -> dict[int, tuple[int, int]]:
        """slot index -> `[start, end)` in characters of `text`, from its first to its last word."""
        places: dict[int, tuple[int, int]] = {}
        at = 0
        for word, owner in zip(self.words, self.owners, strict=True):
            end = at + len(word)
            if owner >= 0:
                places[owner] = (places[owner][0] if owner in places else at, end)
            at = end + 1
        return places


def plain(text: str) -> Phrase:
    """Phrase without slots."""
    words = text.split()
    return Phrase(words, [-1] * len(words))


def say(template: Template, values: Sequence[tuple[str, str]], rng: Random) -> Phrase:
    """Draw a phrase from a template. values: (slot name, words), each used once, in order for repeated names."""
    words: list[str] = []
    owners: list[int] = []
    left = list(range(len(values)))
    for piece in _draw(template.body, rng):
        if isinstance(piece, _Blank):
            owner = next(k for k in left if values[k][0] == piece.name)
            left.remove(owner)
            new = values[owner][1].split()
        else:
            owner, new = -1, piece.split()
        words += new
        owners += [owner] * len(new)
    return Phrase(words, owners)


def write(template: Template, values: dict[str, str], rng: Random) -> str:
    """Draw a text from a template, with its punctuation."""
    return "".join(values[p.name] if isinstance(p, _Blank) else p for p in _draw(template.body, rng))


def _draw(body: _Sequence, rng: Random) -> list[str | _Blank]:
    out: list[str | _Blank] = []
    for piece in body:
        if isinstance(piece, _Choice):
            out += _draw(piece.options[int(rng.random() * len(piece.options))], rng)
        else:
            out.append(piece)
    return out
