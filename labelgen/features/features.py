"""Categorical and numerical features of turns and their words, learned from a training log and then fixed.

Words that a model reads as they stand, beside what the text encoder makes of the whole text.

A pooled vector of a frozen encoder tells what a text is about; whether it says "no" or "great", or ends in a question mark, it hardly
tells. Each turn has its distinct words, those of the request apart from those of the response."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import torch

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.features.layout import FeatureTensors

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Words:
    """The words that are read, the most frequent first; those of responses are numbered behind those of requests."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.request) + len(self.response)

    def of(self, turns: Iterable[Turn]) -> list[list[int]]:
        """Of each turn the numbers of its words, ascending."""
        index = {(False, word): k for k, word in enumerate(self.request)}
        index.update({(True, word): len(self.request) + k for k, word in enumerate(self.response)})
        return [sorted(index[key] for key in _keys(turn) if key in index) if index else [] for turn in turns]


def learn_words(dialogues: Iterable[Dialogue], most: int, least: int) -> Words:
    """The `most` most frequent words of requests and of responses together, each in `least` turns or more."""
    if not most:
        return Words()
    counts = Counter(key for dialogue in dialogues for turn in dialogue.turns for key in _keys(turn))
    kept = sorted((key for key, count in counts.items() if count >= least), key=lambda key: (-counts[key], key))[:most]
    return Words(tuple(w for by_assistant, w in kept if not by_assistant), tuple(w for by, w in kept if by))


def _keys(turn: Turn) -> set[tuple[bool, str]]:
    """(of the response, word), lower case; a mark that is no letter stands alone."""
    return {(False, w) for w in words_of(turn.request)} | {(True, w) for w in words_of(turn.response)}


def words_of(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())


MISSING, UNSEEN = 0, 1
_IMPLICIT = ("barge_in", "stop")
_AHEAD = ("gap_after_s",)
"""Numbers that tell of a later turn."""
NAMES = (
    *("domain", "status", "device", "locale", "hypothesis", "feedback", "request_words", "response_words"),
    *("asr_confidence", "nlu_confidence", "latency_s", "gap_before_s", "gap_after_s"),
)
"""Features that any log may have; the others are those that its records name."""


@dataclass(frozen=True, slots=True)
class CategoryValues:
    """values: those seen often enough; the first has index 2."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberScale:
    """mean and deviation over the training turns that have the number."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Which features a model reads."""

    categories: tuple[CategoryValues, ...] = ()
    numbers: tuple[NumberScale, ...] = ()
    words: Words = field(default_factory=Words)

    def tensors(self, dialogues: Sequence[Dialogue]) -> FeatureTensors:
        """Features of all turns of the dialogues, in order."""
        index = [{value: k + 2 for k, value in enumerate(c.values)} for c in self.categories]
        categories: list[list[int]] = []
        numbers: list[list[float]] = []
        present: list[list[float]] = []
        for dialogue in dialogues:
            for t, turn in enumerate(dialogue.turns):
                named = dict(categories_of(dialogue, turn))
                categories.append(
                    [
                        MISSING if c.name not in named else index[k].get(named[c.name], UNSEEN)
                        for k, c in enumerate(self.categories)
                    ]
                )
                measured = dict(numbers_of(dialogue, t))
                numbers.append(
                    [
                        (_squash(measured[n.name]) - n.mean) / n.deviation if n.name in measured else 0.0
                        for n in self.numbers
                    ]
                )
                present.append([1.0 if n.name in measured else 0.0 for n in self.numbers])
        count = len(categories)
        words = self.words.of(turn for dialogue in dialogues for turn in dialogue.turns)
        return FeatureTensors(
            torch.tensor(categories, dtype=torch.long).view(count, len(self.categories)),
            torch.tensor(numbers, dtype=torch.float32).view(count, len(self.numbers)),
            torch.tensor(present, dtype=torch.float32).view(count, len(self.numbers)),
            torch.tensor([k for own in words for k in own], dtype=torch.long),
            torch.tensor([len(own) for own in words], dtype=torch.long),
        )

    def so_far(self, features: FeatureTensors) -> FeatureTensors:
        """Without what tells of later turns."""
        known = torch.tensor([n.name not in _AHEAD for n in self.numbers], device=features.present.device)
        return replace(features, numbers=features.numbers * known, present=features.present * known)


def learn_features(
    dialogues: Collection[Dialogue], leave_out: Sequence[str] = (), words: int = 0, least: int = 5
) -> FeatureSet:
    """The features that a log has. A value or word counts if `least` turns show it; names in `leave_out` are not read. words:
    how many of them are read.

    Raises UsageError for a name to be left out that no turn of the log has, unless every log could have it: who misspells
    a feature would let it be read."""
    values: dict[str, Counter[str]] = {}
    sums: dict[str, tuple[int, float, float]] = {}
    for dialogue in dialogues:
        for t, turn in enumerate(dialogue.turns):
            for name, value in categories_of(dialogue, turn):
                values.setdefault(name, Counter())[value] += 1
            for name, number in numbers_of(dialogue, t):
                count, total, squares = sums.get(name, (0, 0.0, 0.0))
                x = _squash(number)
                sums[name] = (count + 1, total + x, squares + x * x)
    _check_names(leave_out, {*NAMES, *values, *sums})
    categories = [
        CategoryValues(name, tuple(sorted(v for v, c in counts.items() if c >= least)))
        for name, counts in sorted(values.items())
        if name not in leave_out
    ]
    numbers = []
    for name, (count, total, squares) in sorted(sums.items()):
        if name not in leave_out:
            mean = total / count
            numbers.append(NumberScale(name, mean, math.sqrt(max(squares / count - mean * mean, 0.0)) or 1.0))
    return FeatureSet(tuple(c for c in categories if c.values), tuple(numbers), learn_words(dialogues, words, least))


def _check_names(left_out: Sequence[str], known: Collection[str]) -> None:
    for name in left_out:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"no turn of the log has a feature {name!r}",
                "model.leave_out",
                f"{hint}known: {', '.join(sorted(known))}",
            )


def categories_of(dialogue: Dialogue, turn: Turn) -> Iterator[tuple[str, str]]:
    """Name and value of every categorical feature that the turn has. Explicit answers and ratings are no features: they
    are what the model is trained towards."""
    if turn.domain is not None:
        yield "domain", turn.domain
    if turn.status is not None:
        yield "status", turn.status
    if dialogue.device is not None:
        yield "device", dialogue.device
    if dialogue.locale is not None:
        yield "locale", dialogue.locale
    if turn.hypothesis is not None and turn.hypothesis.intents:
        yield "hypothesis", turn.hypothesis.intents[0].name
    implicit = next((f.kind for f in turn.feedback if f.kind in _IMPLICIT), None)
    if implicit is not None:
        yield "feedback", implicit
    for category in turn.categories:
        yield category.name, category.value


def numbers_of(dialogue: Dialogue, t: int) -> Iterator[tuple[str, float]]:
    """Name and value of every numerical feature of turn t; times in seconds, lengths in words."""
    turn = dialogue.turns[t]
    yield "request_words", float(len(turn.request.split()))
    yield "response_words", float(len(turn.response.split()))
    if turn.asr_confidence is not None:
        yield "asr_confidence", turn.asr_confidence
    if turn.nlu_confidence is not None:
        yield "nlu_confidence", turn.nlu_confidence
    if turn.time_s is not None:
        if turn.response_time_s is not None:
            yield "latency_s", turn.response_time_s - turn.time_s
        before = dialogue.turns[t - 1] if t else None
        after = dialogue.turns[t + 1] if t + 1 < len(dialogue.turns) else None
        if before is not None and before.time_s is not None:
            yield "gap_before_s", turn.time_s - before.time_s
        if after is not None and after.time_s is not None:
            yield "gap_after_s", after.time_s - turn.time_s
    for number in turn.numbers:
        yield number.name, number.value


def _squash(value: float) -> float:
    # Gaps and counts are heavy-tailed; a signed logarithm keeps an outlier from being all that the model sees.
    return math.copysign(math.log1p(abs(value)), value)
