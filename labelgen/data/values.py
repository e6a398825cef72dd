"""Values of slots: the words of the span, or what a normalizer of yours makes of them.

A normalizer is a function `(text, locale) -> text or None`, such as ("a quarter of an hour", "en-US") -> "PT15M". None means that
it does not know the words; the value is then the text itself. Packages register normalizers under the entry point group
`labelgen.normalizers`, and `labelgen label --normalizer NAME` chooses one by its name."""

import locale as locales
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from labelgen.base.registry import Registry, resolve

Normalizer = Callable[[str, str | None], str | None]

NORMALIZERS = Registry("labelgen.normalizers", {})

TEXT = "text"
"""Origin of a value that the normalizer does not know: the words themselves."""

DEFAULT_LANGUAGE = "en"
"""Language of records without a locale."""

_CODE = 3
"""Letters of the longest code of a language (ISO 639)."""
_SPACE = re.compile(r"[^\w%$€£°.,:'~-]+")
_WORD = re.compile(r"[.,:'-]*?(-?(?:(?<!\.)\.)?\d.*?|[^.,:'-].*?)[.,:'-]*")
"""A word within punctuation; the sign and the point of a number such as -.5 are part of it."""


def normalizer(name: str) -> Normalizer:
    """The normalizer of that name. Raises UsageError for an unknown one."""
    function: Normalizer = resolve(NORMALIZERS, name, "normalizer")
    return function


@lru_cache(maxsize=4096)
def language_of(locale: str | None) -> str:
    """The language of a locale: `de` for `de-DE` and for `German`, DEFAULT_LANGUAGE for None."""
    if not locale:
        return DEFAULT_LANGUAGE
    word = re.split(r"[-_.]", locale)[0].casefold()
    if len(word) <= _CODE:
        return word
    # The C library's aliases of locales are names of languages.
    return locales.normalize(word).partition("_")[0].casefold()


_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def find_words(words: str, text: str, after: int = 0) -> tuple[int, int] | None:
    """The first place of whole words in a text from `after` on, in code points, whatever their case; None without one.

    Scripts without spaces have no borders of words, so any place counts there."""
    if not words:
        return None
    for found in re.compile(re.escape(words), re.IGNORECASE).finditer(text, after):
        start, end = found.span()
        if not _is_inside(text, start) and not _is_inside(text, end):
            return start, end
    return None


def _is_inside(text: str, at: int) -> bool:
    """Whether a word goes on at this place."""
    return 0 < at < len(text) and all(
        c.isalnum() and not unicodedata.name(c, "").startswith(_WITHOUT_SPACES) for c in text[at - 1 : at + 1]
    )


@lru_cache(maxsize=65536)
def plain_words(text: str) -> str:
    """Words without case, accents' composition, outer punctuation and repeated space, for comparison. Signs of numbers stay."""
    low = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("−", "-")
    return " ".join(word[1] for part in _SPACE.sub(" ", low).split() if (word := _WORD.fullmatch(part)))
