"""Rules for what no classifier of names can answer: spans and the division into goals.

Spans: a word or phrase that training marks in most of the places where it stands is marked again, under its most frequent name, the longest from the left
on. Goals: a run of turns of one domain without a long pause, the whole dialogue where the log names no two domains; nothing is learned."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labelgen.data.labels import AtGoal, AtSpan, AtTurn, Label
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, Example, Given, Place
from labelgen.feedback.items import goals_of

_WORD = re.compile(r"\w+")
_MOST_WORDS = 6

Phrase = tuple[str, ...]


class Rules:
    """A dictionary of spans, and goals by domain."""

    name = PLAIN + "rule"

    def __init__(self) -> None:
        self._phrases: dict[str, dict[Phrase, str]] = {}
        self._goals: dict[str, str] = {}

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]:
        if question.divides:
            self._goals[question.name] = min((name for x in examples for name in x.names), default="")
            return {}
        if question.unit != "span":
            return {}
        phrases = self._phrases[question.name] = dict(_marked(examples))
        return {"phrases": len(phrases)}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        if name := self._goals.get(question.name):
            return [_given(_goals(question, place, name)) for place in places]
        if question.name in self._phrases:
            return [_given([*_spans(question, place, self._phrases[question.name])]) for place in places]
        return [None] * len(places)


def _given(labels: Sequence[Label]) -> Given:
    return Given(tuple(sorted({label.name for label in labels})), {}, tuple(labels))


def _goals(question: Question, place: Place, name: str) -> list[Label]:
    goals, _ = goals_of(place.dialogue, None)
    return [Label(question.tasks[0], AtGoal(goal), name) for goal in goals]


def _marked(examples: Sequence[Example]) -> Iterator[tuple[Phrase, str]]:
    """Phrases that are marked in most of the places where they stand, with their name."""
    names: dict[Phrase, dict[str, float]] = {}
    for x in examples:
        for label in x.labels:
            assert isinstance(label.at, AtSpan)
            text = x.dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
            phrase = tuple(word.casefold() for word in _WORD.findall(text))
            if 0 < len(phrase) <= _MOST_WORDS:
                counts = names.setdefault(phrase, {})
                counts[label.name] = counts.get(label.name, 0.0) + x.weight
    stands = dict.fromkeys(names, 0.0)
    for x in examples:
        assert isinstance(x.at, AtTurn)
        words = [word.casefold() for word in _WORD.findall(x.dialogue.turns[x.at.turn].request)]
        for first in range(len(words)):
            for end in range(first + 1, min(first + _MOST_WORDS, len(words)) + 1):
                if (phrase := tuple(words[first:end])) in names:
                    stands[phrase] += x.weight
    for phrase, counts in names.items():
        if 2 * sum(counts.values()) > stands[phrase]:
            yield phrase, min(counts, key=lambda name: (-counts[name], name))


def _spans(question: Question, place: Place, phrases: Mapping[Phrase, str]) -> Iterator[Label]:
    assert isinstance(place.at, AtTurn)
    found = list(_WORD.finditer(place.dialogue.turns[place.at.turn].request))
    first = 0
    while first < len(found):
        for end in range(min(first + _MOST_WORDS, len(found)), first, -1):
            name = phrases.get(tuple(word.group().casefold() for word in found[first:end]))
            if name is not None:
                at = AtSpan(place.at.turn, found[first].start(), found[end - 1].end())
                yield Label(question.tasks[0], at, name)
                first = end
                break
        else:
            first += 1
