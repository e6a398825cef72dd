"""Bag of words: TF-IDF of the words, and pairs of neighboring words, of a place and its neighboring turns.

A place is what an answer is about: a turn, a goal or the dialogue. Its texts are eight fields, each with a vocabulary of its own. Source:
Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgen.data.labels import At, AtDialogue, AtGoal, AtTurn

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

TEXT_FIELDS = 8
Texts = tuple[str, ...]
"""The text fields of a place, TEXT_FIELDS of them."""
Exchanges = Sequence[tuple[str, str]]
"""Request and response of each turn of a dialogue."""

_WORD = r"(?u)\b\w+\b"
_LEAST_PLACES = 2
"""Number of places that an n-gram needs to be in the vocabulary."""


def turns_at(at: At, turns: int) -> tuple[int, ...]:
    """The turns that a place is about, in a dialogue with so many."""
    match at:
        case AtGoal(inside):
            return inside
        case AtDialogue():
            return tuple(range(turns))
    return (at.turn,)


def place_texts(turns: Exchanges, at: At) -> Texts:
    """The text fields of a place: its requests, its responses; those of the turn before and of the turn after; and, where it is more than
    a turn, its last request and its last response."""
    inside = turns_at(at, len(turns))
    if not inside:
        return ("",) * TEXT_FIELDS
    before = turns[inside[0] - 1] if inside[0] else None
    after = turns[inside[-1] + 1] if inside[-1] + 1 < len(turns) else None
    last = None if isinstance(at, AtTurn) else turns[inside[-1]]
    joined = ("\n".join(turns[k][0] for k in inside), "\n".join(turns[k][1] for k in inside))
    return (*joined, *(text for pair in (before, after, last) for text in pair or ("", "")))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The n-grams of one text field, and the inverse document frequency of each."""

    terms: tuple[str, ...] = ()
    idf: tuple[float, ...] = ()


@dataclass(frozen=True)
class NGrams:
    """The vocabularies of all text fields. A row of the matrix has their columns one after the other, each field with a length of 1."""

    fields: tuple[Vocabulary, ...]

    @classmethod
    def learn(cls, rows: Iterable[Texts], most: int | None = None) -> "NGrams":
        """The n-grams that stand in two rows or more. most: the number of most frequent ones of a field that are kept; None keeps all."""
        fields = []
        for texts in zip(*rows, strict=True):
            vectorizer = _vectorizer(min_df=_LEAST_PLACES, max_features=most)
            try:
                vectorizer.fit(texts)
            except ValueError:  # No word stands in two of the texts.
                fields.append(Vocabulary())
            else:
                terms = tuple(map(str, vectorizer.get_feature_names_out()))
                fields.append(Vocabulary(terms, tuple(vectorizer.idf_.tolist())))
        return cls(tuple(fields))

    def __len__(self) -> int:
        return sum(len(field.terms) for field in self.fields)

    def matrix(self, rows: Sequence[Texts]) -> Any:
        """The rows as a sparse matrix [rows, n-grams] in double precision. A row depends on its own texts only, bitwise."""
        from scipy import sparse

        columns = zip(*rows, strict=True) if rows else ((),) * len(self.fields)
        parts = [
            sparse.csr_matrix((len(rows), 0)) if vectorizer is None or not rows else vectorizer.transform(texts)
            for vectorizer, texts in zip(self._vectorizers, columns, strict=True)
        ]
        return sparse.hstack(parts).tocsr() if rows else sparse.csr_matrix((0, len(self)))

    @cached_property
    def _vectorizers(self) -> "list[TfidfVectorizer | None]":
        return [_vectorizer_of(field) if field.terms else None for field in self.fields]


def _vectorizer(**options: Any) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, sublinear_tf=True, **options)


def _vectorizer_of(field: Vocabulary) -> "TfidfVectorizer":
    vectorizer = _vectorizer(vocabulary=field.terms)
    vectorizer.idf_ = np.array(field.idf)
    return vectorizer
