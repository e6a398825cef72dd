"""Phrases of users and assistants by language: one file for each language (languages/*.yaml), with its source and license.

A group is a regular expression, or a list of phrases. Text is compared as `plain` makes it: lower case, one space between words. A
language may lack groups, and then says nothing where they are needed; a language without a file lacks all of them."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from labelgen.data.values import language_of

_FOLDER = Path(__file__).with_name("languages")
_NOT_WORD = re.compile(r"[^\w']+")
_NEVER = re.compile(r"(?!)")


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Case-folded words with one space between them; punctuation but the apostrophe is removed."""
    return _NOT_WORD.sub(" ", text.replace("’", "'").casefold()).strip()


class Phrases:
    """The groups of one language. source, license: where the phrases come from."""

    def __init__(self, language: str, content: Mapping[str, Any]) -> None:
        self.language = language
        self.source: str = content.get("source", "")
        self.license: str = content.get("license", "")
        self.numbers: Mapping[str, float] = content.get("numbers", {})
        self.little: frozenset[str] = frozenset(content.get("little", ()))
        self._patterns = {
            name: _compiled(group, content.get("fillers", ())) for name, group in content["groups"].items()
        }

    def has(self, *groups: str) -> bool:
        """Whether the language has one of these groups."""
        return any(group in self._patterns for group in groups)

    def search(self, group: str, text: str) -> re.Match[str] | None:
        """The group anywhere in a text."""
        return self._patterns.get(group, _NEVER).search(plain(text))

    def match(self, group: str, text: str) -> re.Match[str] | None:
        """The group at the start of a text."""
        return self._patterns.get(group, _NEVER).match(plain(text))

    def fullmatch(self, group: str, text: str) -> re.Match[str] | None:
        """The group as the whole text."""
        return self._patterns.get(group, _NEVER).fullmatch(plain(text))


def _compiled(group: Mapping[str, Any], fillers: Any) -> re.Pattern[str]:
    if "pattern" in group:
        return re.compile(group["pattern"])
    listed = "|".join(re.escape(plain(phrase)) for phrase in sorted(group["phrases"], key=len, reverse=True))
    filler = "|".join(re.escape(plain(word)) for word in sorted(fillers, key=len, reverse=True)) or "(?!)"
    return re.compile(rf"\b(?:(?:{filler}) )*(?:{listed})\b(?: (?:{filler})\b)*")


GROUPS_OF_SIGNALS: Mapping[str, tuple[str, ...]] = {
    "answer": ("asking_if_served", "affirming", "denying"),
    "stop": ("giving_up", "stop"),
    "correction": ("correction",),
    "repetition": ("not_understood", "not_done"),
    "gratitude": ("thanks",),
}
"""The groups without which a detector finds nothing in words, for detectors that read little else."""


def missing_signals(locale: str | None) -> tuple[str, ...]:
    """The kinds of signals that cannot be found in words of the locale's language."""
    known = phrases(locale)
    return tuple(kind for kind, groups in GROUPS_OF_SIGNALS.items() if not known.has(*groups))


@cache
def phrases(locale: str | None) -> Phrases:
    """The phrases of a locale's language."""
    return _load(language_of(locale))


@cache
def _load(language: str) -> Phrases:
    import yaml

    path = _FOLDER / f"{language}.yaml"
    # The name comes from a log; only a file of this folder is opened.
    known = path.name in {file.name for file in _FOLDER.glob("*.yaml")}
    return Phrases(language, yaml.safe_load(path.read_text(encoding="utf-8")) if known else {"groups": {}})
