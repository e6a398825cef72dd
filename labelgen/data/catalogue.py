"""Catalogues: the values that a slot may have, each with its other names; such as the names of the user's devices.

A catalogue is YAML, `slot: {value: [alias, ...]}` or `slot: [value, ...]`, or JSON Lines of `{"slot", "value", "aliases"}`. Words
are matched exactly after normalization, then by similarity: rapidfuzz's ratio of letters must reach FUZZY and exceed that of
every other value by MARGIN. Both numbers were fixed on simulated development dialogues (research log of version 0.3)."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec
from rapidfuzz import fuzz, process

from labelgen.base.errors import InputError
from labelgen.base.files import digest_file, existing_file

FUZZY = 80.0
"""Least similarity of a match that is not exact, 0..100."""

MARGIN = 5.0
"""Least distance of a fuzzy match to the next best value."""

Entries = Mapping[str, Mapping[str, Sequence[str]]]
"""slot -> value -> aliases."""

_SPACE = re.compile(r"[^\w%$€£°.,:'~-]+")
_WORD = re.compile(r"[.,:'-]*?(-?(?:(?<!\.)\.)?\d.*?|[^.,:'-].*?)[.,:'-]*")
"""A word within punctuation; the sign and the point of a number such as -.5 are part of it."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    slot: str
    value: str
    aliases: tuple[str, ...] = ()


@lru_cache(maxsize=65536)
def plain_words(text: str) -> str:
    """Words without case, accents' composition, outer punctuation and repeated space, for comparison. Signs of numbers stay."""
    low = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-")
    return " ".join(word[1] for part in _SPACE.sub(" ", low).split() if (word := _WORD.fullmatch(part)))


@dataclass(frozen=True, slots=True)
class Match:
    """value: the spelling of the catalogue. score: 100 for an exact match, else the similarity."""

    value: str
    score: float


@dataclass(frozen=True)
class Catalogue:
    """entries: slot -> value -> aliases. digest: of the file; empty for a catalogue in memory."""

    entries: Entries
    digest: str = ""
    _cache: dict[tuple[str, str], Match | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, str]]:
        """slot -> name without case -> value; a name of two values belongs to the first."""
        out: dict[str, dict[str, str]] = {}
        for slot, values in self.entries.items():
            names = out.setdefault(slot, {})
            for value in values:
                names.setdefault(plain_words(value), value)
            for value, aliases in values.items():
                for alias in aliases:
                    names.setdefault(plain_words(alias), value)
            names.pop("", None)
        return out

    def names(self, slot: str) -> Mapping[str, str]:
        """Normalized name -> value, of one slot."""
        return self._names.get(slot, {})

    @cached_property
    def all_names(self) -> frozenset[str]:
        """The normalized names of all slots."""
        return frozenset(name for names in self._names.values() for name in names)

    def match(self, slot: str, words: str) -> Match | None:
        """The value with this name, else the value with the most similar name, else None. Deterministic."""
        key = slot, plain_words(words)
        if key not in self._cache:
            if len(self._cache) >= _MOST_KEPT:
                self._cache.clear()
            self._cache[key] = self._search(*key)
        return self._cache[key]

    def _search(self, slot: str, words: str) -> Match | None:
        names = self.names(slot)
        if (value := names.get(words)) is not None:
            return Match(value, 100.0)
        if not words or not names:
            return None
        near = process.extract(words, names.keys(), scorer=fuzz.ratio, limit=None, score_cutoff=FUZZY - MARGIN)
        best: dict[str, float] = {}
        for name, score, _ in near:
            best[names[name]] = max(best.get(names[name], 0.0), score)
        ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
        if not ranked or ranked[0][1] < FUZZY or (len(ranked) > 1 and ranked[0][1] - ranked[1][1] < MARGIN):
            return None
        return Match(*ranked[0])


_MOST_KEPT = 65536


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue: .yaml, .yml or .jsonl. Raises InputError with line or slot for another form, UsageError for no file."""
    path = existing_file(path)
    if path.suffix == ".jsonl":
        entries: dict[str, dict[str, tuple[str, ...]]] = {}
        for line in _lines(path):
            values = entries.setdefault(line.slot, {})
            values[line.value] = (*values.get(line.value, ()), *line.aliases)
        return Catalogue(entries, digest_file(path))
    try:
        form = msgspec.yaml.decode(
            path.read_bytes(), type=dict[str, dict[str, tuple[str, ...] | None] | tuple[str, ...]]
        )
    except (msgspec.MsgspecError, UnicodeError) as error:
        hint = 'write `slot: {value: [alias, ...]}` or `slot: [value, ...]`, and quote words such as "on", "no" and "7"'
        raise InputError(f"this is no catalogue: {error}", str(path), hint) from error
    return Catalogue(
        {
            slot: {value: aliases or () for value, aliases in values.items()}
            if isinstance(values, dict)
            else dict.fromkeys(values, ())
            for slot, values in form.items()
        },
        digest_file(path),
    )


def _lines(path: Path) -> Iterator[_Line]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            hint = 'write lines such as {"slot": "song", "value": "Purple Haze", "aliases": ["the haze song"]}'
            raise InputError(f"this is no entry of a catalogue: {error}", f"{path}, line {number}", hint) from error
