"""Vocabulary of the simulated language (`language.yaml`): intents, slots, entities, and templates of what is said.

A log of a few thousand dialogues has only a part of the songs and artists, so held-out dialogues have titles that are not in the
training data.

Template grammar: templates with alternatives and slots, and phrases drawn from them.

`(turn|switch) on the {room} (lights|lamp|)`: one alternative is drawn, and a slot takes its value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml


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


LANGUAGE: Mapping[str, Any] = yaml.load(  # The loader in C is nine times faster, and not everywhere.
    Path(__file__).with_name("language.yaml").read_text(encoding="utf-8"),
    Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),
)
_NAMES: Mapping[str, Sequence[str]] = LANGUAGE["names"]

SONGS = tuple(f"{mood} {thing}" for mood in _NAMES["moods"] for thing in _NAMES["things"])
ARTISTS = tuple(f"{first} {last}" for first in _NAMES["first"] for last in _NAMES["last"]) + tuple(
    f"the {mood} {band}" for mood in _NAMES["moods"][:20] for band in _NAMES["bands"]
)
SINGER_OF = {song: ARTISTS[(7 * k) % len(ARTISTS)] for k, song in enumerate(SONGS)}
ENTITIES: dict[str, tuple[str, ...]] = {
    "song": SONGS,
    "artist": ARTISTS,
    **{slot: tuple(names) for slot, names in LANGUAGE["entities"].items()},
}
"""slot name -> all its entities."""

INTENTS: Mapping[str, str] = {name: one["meaning"] for name, one in LANGUAGE["intents"].items()}
SLOTS: Mapping[str, str] = {name: one["meaning"] for name, one in LANGUAGE["slots"].items()}
GIVING_UP = "stop"
DOMAIN_OF: Mapping[str, str] = {name: one["domain"] for name, one in LANGUAGE["intents"].items()}
LIKELY_OTHERS: Mapping[str, Sequence[str]] = {name: one["others"] for name, one in LANGUAGE["intents"].items()}
"""intent -> intents that it is confused with, by the assistant and by annotators."""
ASSUMED: Mapping[str, str] = {n: one["assumed"] for n, one in LANGUAGE["intents"].items() if "assumed" in one}
"""intent -> slot that the assistant fills with a likely value when it took another intent for this one."""

Manner = Literal["full", "follow"]
"""full: a request that can be understood alone. follow: one that needs context, such as "and tomorrow"."""
Templates = tuple[Template, ...]


def parsed(texts: Sequence[str]) -> Templates:
    """The templates of texts."""
    return tuple(map(template, texts))


class Draws(Random):
    """Random numbers of a dialogue. phrases: of each list of templates, all, or the even or odd ones (WorldOptions.phrases). world: names
    the log, all of whose dialogues have the same blind spots."""

    phrases = "all"
    world = ""


def pick(templates: Templates, rng: Random) -> Template:
    """Draw one template."""
    if isinstance(rng, Draws) and rng.phrases != "all" and len(templates) > 1:
        templates = templates[rng.phrases == "odd" :: 2]
    return templates[int(rng.random() * len(templates))]


def another(slot: str, than: str, rng: Random) -> str:
    """Another entity of the slot, preferably one that shares a word with `than`, as in catalog confusions."""
    parts = set(than.split())
    everything = ENTITIES[slot]
    for _ in range(4):
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than and parts & set(chosen.split()):
            return chosen
    while True:
        chosen = everything[int(rng.random() * len(everything))]
        if chosen != than:
            return chosen


def _by_slots(templates: Templates) -> dict[tuple[str, ...], Templates]:
    groups: dict[tuple[str, ...], Templates] = {}
    for one in templates:
        key = tuple(sorted(one.slots))
        groups[key] = (*groups.get(key, ()), one)
    return groups


_REQUESTS: Mapping[str, Any] = {**LANGUAGE["intents"], **LANGUAGE["compounds"]}
TABLE: Mapping[tuple[str, str], Mapping[tuple[str, ...], Templates]] = {
    (intents, manner): _by_slots(parsed(one[manner]))
    for intents, one in _REQUESTS.items()
    for manner in ("full", "follow")
    if manner in one
}
"""(intents joined by "+", manner) -> sorted slots of a template -> templates."""
DONE: Mapping[str, Templates] = {intents: parsed(one["done"]) for intents, one in _REQUESTS.items()}
"""intents joined by "+" -> responses that claim to have done the request."""
