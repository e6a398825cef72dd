"""Turn features learned from a training log: categorical values, numbers, and frequent words."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import torch

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import SPEAKER, Dialogue, Turn, step_features
from labelgen.features.layout import FeatureTensors

MISSING, UNSEEN = 0, 1
"""Indices of a category without a value, and of a value that is not in the training log."""
NAMES = (
    *("domain", "status", "device", "locale", "hypothesis", "feedback", "tool", "request_words", "response_words"),
    *("asr_confidence", "nlu_confidence", "latency_s", "gap_before_s", "gap_after_s", "tools", "tool_errors"),
)
"""Features that any log may have; its records may name others."""
_IMPLICIT = ("barge_in", "stop")
_FROM_NEXT_TURN = ("gap_after_s",)
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Words:
    """Vocabulary of the word features, the most frequent first; words of responses are numbered after those of requests.

    The pooled vector of a frozen encoder shows the topic of a text, but hardly whether it contains "no" or "great" or ends
    in a question mark. So the model also reads the distinct words of each turn, separately for request and response."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.request) + len(self.response)

    def of(self, turns: Iterable[Turn]) -> list[list[int]]:
        """Numbers of each turn's words, ascending."""
        keys = [(False, word) for word in self.request] + [(True, word) for word in self.response]
        index = {key: k for k, key in enumerate(keys)}
        return [sorted(index[key] for key in _word_keys(turn) if key in index) if index else [] for turn in turns]


def learn_words(dialogues: Iterable[Dialogue], most: int, least: int) -> Words:
    """The `most` most frequent words of requests and responses together, each in at least `least` turns."""
    if not most:
        return Words()
    counts = Counter(key for dialogue in dialogues for turn in dialogue.turns for key in _word_keys(turn))
    kept = sorted((key for key, count in counts.items() if count >= least), key=lambda key: (-counts[key], key))[:most]
    return Words(*(tuple(word for of, word in kept if of == of_response) for of_response in (False, True)))


def _word_keys(turn: Turn) -> set[tuple[bool, str]]:
    """(is of the response, word)."""
    return {(False, w) for w in words_of(turn.request)} | {(True, w) for w in words_of(turn.response)}


def words_of(text: str) -> Sequence[str]:
    """Words in lower case; a punctuation mark is a word."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class CategoryValues:
    """A categorical feature. values: those that are frequent enough; the first has index 2."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberScale:
    """A numerical feature with its mean and standard deviation over the training turns that have it."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The features that a model reads."""

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
                values = dict(categories_of(dialogue, turn))
                categories.append(
                    [
                        index[k].get(values[c.name], UNSEEN) if c.name in values else MISSING
                        for k, c in enumerate(self.categories)
                    ]
                )
                measured = dict(numbers_of(dialogue, t))
                has = [n.name in measured for n in self.numbers]
                present.append([float(x) for x in has])
                numbers.append(
                    [
                        (_log_scale(measured[n.name]) - n.mean) / n.deviation if there else 0.0
                        for n, there in zip(self.numbers, has, strict=True)
                    ]
                )
        turns = len(categories)
        words = self.words.of(turn for dialogue in dialogues for turn in dialogue.turns)
        return FeatureTensors(
            torch.tensor(categories, dtype=torch.long).view(turns, len(self.categories)),
            torch.tensor(numbers, dtype=torch.float32).view(turns, len(self.numbers)),
            torch.tensor(present, dtype=torch.float32).view(turns, len(self.numbers)),
            torch.tensor([k for numbered in words for k in numbered], dtype=torch.long),
            torch.tensor([len(numbered) for numbered in words], dtype=torch.long),
        )

    def causal(self, features: FeatureTensors) -> FeatureTensors:
        """The features without those that depend on later turns."""
        known = torch.tensor([n.name not in _FROM_NEXT_TURN for n in self.numbers], device=features.present.device)
        return replace(features, numbers=features.numbers * known, present=features.present * known)


def learn_features(
    dialogues: Collection[Dialogue], leave_out: Sequence[str] = (), words: int = 0, least: int = 5
) -> FeatureSet:
    """Learn the features of a log.

    Args:
        leave_out: names of features to ignore.
        words: size of the vocabulary of word features.
        least: number of turns that a value or word needs.

    Raises UsageError if `leave_out` has a name that neither the log nor NAMES has, so that no feature is read because of a
    typing error."""
    values: dict[str, Counter[str]] = {}
    sums: dict[str, tuple[int, float, float]] = {}
    for dialogue in dialogues:
        for t, turn in enumerate(dialogue.turns):
            for name, value in categories_of(dialogue, turn):
                values.setdefault(name, Counter())[value] += 1
            for name, number in numbers_of(dialogue, t):
                count, total, squares = sums.get(name, (0, 0.0, 0.0))
                x = _log_scale(number)
                sums[name] = (count + 1, total + x, squares + x * x)
    _check_names(leave_out, {*NAMES, *values, *sums})
    categories = [
        CategoryValues(name, tuple(sorted(v for v, c in counts.items() if c >= least)))
        for name, counts in sorted(values.items())
        # Who a speaker is holds for a dialogue only; relations between turns say who wrote and who is addressed.
        if name not in (*leave_out, SPEAKER)
    ]
    numbers = []
    for name, (count, total, squares) in sorted(sums.items()):
        if name not in leave_out:
            mean = total / count
            numbers.append(NumberScale(name, mean, math.sqrt(max(squares / count - mean * mean, 0.0)) or 1.0))
    return FeatureSet(tuple(c for c in categories if c.values), tuple(numbers), learn_words(dialogues, words, least))


def _check_names(names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(
                f"no turn of the log has a feature {name!r}",
                "model.leave_out",
                f"{hint}known: {', '.join(sorted(known))}",
            )


def categories_of(dialogue: Dialogue, turn: Turn) -> Iterator[tuple[str, str]]:
    """Name and value of every categorical feature of a turn. Explicit feedback is no feature, because it is the target of
    training."""
    hypothesis = turn.hypothesis.intents[0].name if turn.hypothesis is not None and turn.hypothesis.intents else None
    for name, value in (
        ("domain", turn.domain),
        ("status", turn.status),
        ("device", dialogue.device),
        ("locale", dialogue.locale),
        ("hypothesis", hypothesis),
        ("feedback", next((f.kind for f in turn.feedback if f.kind in _IMPLICIT), None)),
        *((name, value) for name, value in step_features(turn).items() if isinstance(value, str)),
        *((category.name, category.value) for category in turn.categories),
    ):
        if value is not None:
            yield name, value


def numbers_of(dialogue: Dialogue, t: int) -> Iterator[tuple[str, float]]:
    """Name and value of every numerical feature of turn t; times in seconds, lengths in words."""
    turn = dialogue.turns[t]
    previous = dialogue.turns[t - 1].time_s if t else None
    following = dialogue.turns[t + 1].time_s if t + 1 < len(dialogue.turns) else None
    for name, value in (
        ("request_words", float(len(turn.request.split()))),
        ("response_words", float(len(turn.response.split()))),
        ("asr_confidence", turn.asr_confidence),
        ("nlu_confidence", turn.nlu_confidence),
        ("latency_s", _difference(turn.response_time_s, turn.time_s)),
        ("gap_before_s", _difference(turn.time_s, previous)),
        ("gap_after_s", _difference(following, turn.time_s)),
        *((name, value) for name, value in step_features(turn).items() if isinstance(value, float)),
        *((number.name, number.value) for number in turn.numbers),
    ):
        if value is not None:
            yield name, value


def _difference(late: float | None, early: float | None) -> float | None:
    return None if late is None or early is None else late - early


def _log_scale(value: float) -> float:
    """Signed logarithm, because gaps and counts are heavy-tailed."""
    return math.copysign(math.log1p(abs(value)), value)
