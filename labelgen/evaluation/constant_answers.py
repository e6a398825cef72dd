"""Constant answers: the most frequent one of the training part, overall and by the source of a dialogue."""

from collections.abc import Mapping, Sequence
from typing import Any

from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, Example, Given, Names, Place, has_names

Shares = dict[Names, float]


class MajorityClass:
    """The most frequent answer, with the shares of all answers as probabilities. Spans: none. A division: one goal of all turns. Ties go
    to the first by name."""

    name = PLAIN + "majority class"

    def __init__(self) -> None:
        self._given: dict[str, Given] = {}

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]:
        if question.divides:
            names = min((name for x in examples for name in x.names), default=None)
            given = Given(() if names is None else (names,), {})
        elif question.unit == "span":
            given = Given((), {})
        else:
            given = most_frequent(shares_of(examples))
        self._given[question.name] = given
        return {}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        return [self._given.get(question.name)] * len(places)


class ConstantPerSource:
    """The most frequent answer of the dialogue's source, with the shares there as probabilities; of a source that training lacks that of
    its corpus, the part of the name before `/`, and of an unknown corpus that of all training. Shares are smoothed by one answer at the
    rates of the next wider part."""

    name = PLAIN + "constant per source"

    def __init__(self) -> None:
        self._given: dict[str, dict[tuple[str, ...], Given]] = {}

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]:
        if not has_names(question):
            return {}
        parts: dict[tuple[str, ...], list[Example]] = {}
        for example in examples:
            for part in _parts(example):
                parts.setdefault(part, []).append(example)
        shares: dict[tuple[str, ...], Shares] = {(): shares_of(examples)}
        for part in sorted(parts, key=len):
            if part:
                shares[part] = shares_of(parts[part], shares[part[:-1]])
        self._given[question.name] = {part: most_frequent(own) for part, own in shares.items()}
        return {"sources": sum(len(part) == _SOURCE for part in shares)}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        known = self._given.get(question.name)
        if known is None:
            return [None] * len(places)
        return [next(known[part] for part in reversed(_parts(place)) if part in known) for place in places]


_SOURCE = 2
"""Words of the part that is one source."""


def _parts(place: Place) -> tuple[tuple[str, ...], ...]:
    """All training, the corpus of the dialogue, and its source."""
    source = place.dialogue.source or ""
    corpus = source.partition("/")[0]
    return (), (corpus,), (corpus, source)


def shares_of(examples: Sequence[Example], wider: Shares | None = None) -> Shares:
    """Answer -> its share of the weights; with one more answer at the rates of a wider part."""
    sums: Shares = dict(wider or {})
    for example in examples:
        sums[example.names] = sums.get(example.names, 0.0) + example.weight
    total = sum(sums.values())
    return {names: weight / total for names, weight in sums.items()}


def most_frequent(shares: Mapping[Names, float]) -> Given:
    return Given(min(shares, key=lambda names: (-shares[names], names)), shares)
