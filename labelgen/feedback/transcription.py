"""Corrected requests: the words that the user probably spoke, where the recognizer's first hypothesis may be wrong.

Candidates are the entries of the recognizer's n-best list, the vote over that list (Fiscus 1997, "A post-processing system to
yield reduced word error rates: Recognizer Output Voting Error Reduction"), and the request with words of a later request that
repeats it, aligned by minimum edits (repair.py). A logistic model gives each candidate the probability that it is exactly what
was spoken. Its features compare a candidate with the first hypothesis: rank and score, the recognizer's confidence, agreement
with the other hypotheses, words and pairs of words in the rest of the log, later and earlier turns, the response, signals of
failure. No feature reads words as such, so the weights work for other logs; they were learned in simulation. That users say themselves what a misrecognized request meant: Ponnusamy et al.
2020, "Feedback-based self-learning in large-scale conversational AI agents"."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
from rapidfuzz.distance import Indel, Levenshtein

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import (
    REQUEST,
    TRANSCRIPTION,
    Abstained,
    Annotation,
    AtTurn,
    Field,
    Label,
    plain_words,
)
from labelgen.feedback.repair import align, repeats, words

FIRST, NBEST, VOTE, REPHRASE = "first", "nbest", "vote", "rephrase"
"""Origins of a corrected request. first: the request as it stands."""

KIND = "rule"
"""Kind of the annotation with corrected requests."""

REACH = 2
"""Later requests that may repeat a request without a signal that says so."""

_LEAST_ALIGNED = 0.5
_MOST_CANDIDATES = 12
_CLIP = 12.0


@dataclass
class LogStatistics:
    """How often words and pairs of words occur in the log. Each text counts once, however often it was logged, so that counts without
    the texts of a dialogue have no copy of them. total: of the counts of words. Memory: the distinct texts of the log."""

    unigrams: Counter[str] = field(default_factory=Counter)
    bigrams: Counter[tuple[str, str]] = field(default_factory=Counter)
    total: int = 0
    _seen: set[str] = field(default_factory=set)

    def add(self, dialogue: Dialogue) -> None:
        """Count the requests and responses of a dialogue that are new."""
        for text in _texts(dialogue) - self._seen:
            self._seen.add(text)
            unigrams, bigrams = _counts((text,))
            self.unigrams.update(unigrams)
            self.bigrams.update(bigrams)
            self.total += unigrams.total()

    def without(self, dialogue: Dialogue) -> "Counts":
        """The counts without those of this dialogue."""
        return Counts(self, *_counts(_texts(dialogue) & self._seen))


def _texts(dialogue: Dialogue) -> set[str]:
    return {plain_words(text) for turn in dialogue.turns for text in (turn.request, turn.response)}


@dataclass(frozen=True)
class Counts:
    """Counts of a log without some of its exchanges."""

    log: LogStatistics
    unigrams: Counter[str]
    bigrams: Counter[tuple[str, str]]

    def seen(self, word: str) -> int:
        return self.log.unigrams[word] - self.unigrams[word]

    def nats(self, text: Sequence[str]) -> float:
        """Log-probability of a text by pairs of words, interpolated with single words."""
        total = self.log.total - self.unigrams.total() + 1.0
        kinds = len(self.log.unigrams) + 1.0
        sum_ = 0.0
        for before, word in zip(("", *text), (*text, ""), strict=True):
            pairs = self.log.bigrams[before, word] - self.bigrams[before, word]
            single = (self.seen(word) + 0.1) / (total + 0.1 * kinds)
            sum_ += math.log(0.7 * pairs / (self.seen(before) + 1.0) + 0.3 * single)
        return sum_


def _counts(texts: Iterable[str]) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    unigrams: Counter[str] = Counter()
    bigrams: Counter[tuple[str, str]] = Counter()
    for text in texts:
        if text:
            tokens = ("", *text.split(), "")
            unigrams.update(tokens[:-1])
            bigrams.update(pairwise(tokens))
    return unigrams, bigrams


@dataclass(frozen=True, slots=True)
class Candidate:
    """text: as it would stand in the record. origin: FIRST, NBEST, VOTE or REPHRASE. features: by FEATURES."""

    text: str
    origin: str
    features: tuple[float, ...]


FEATURES = (
    "first",
    "first and confident",
    "other and confident",
    "first, confidence unknown",
    "first with alternatives",
    "rank",
    "score gap",
    "agreement",
    "from rephrase",
    "from vote",
    "edits",
    "length",
    "likeness",
    "rephrase, likeness",
    "rephrase after failure",
    "rephrase, in repeat",
    "log pairs",
    "failed and first",
    "failed and other",
    "in repeat",
    "first in repeat",
    "in later requests",
    "in response",
    "in earlier turns",
)
"""Names of the features; `other` is a candidate that is not the first hypothesis."""


def candidates(dialogue: Dialogue, turn: int, signals: Sequence[Signal], counts: Counts) -> list[Candidate]:
    """All candidates of a turn with a request, the request as it stands first; of equal words only the first one."""
    this = dialogue.turns[turn]
    first = plain_words(this.request).split()
    if not first:
        return []
    texts: dict[tuple[str, ...], tuple[str, str, float, int]] = {tuple(first): (this.request, FIRST, 0.0, 0)}
    top = this.nbest[0].score if this.nbest else None
    for rank, entry in enumerate(this.nbest):
        gap = 0.0 if entry.score is None or top is None else top - entry.score
        texts.setdefault(tuple(plain_words(entry.text).split()), (entry.text, NBEST, gap, rank))
    listed = [list(key) for key in texts]
    if len(listed) > 2:
        voted = vote(listed)
        texts.setdefault(tuple(voted), (" ".join(voted), VOTE, 0.0, len(listed)))
    repeating = sorted(repeats(turn, signals))
    later = [t for t in range(turn + 1, min(turn + 1 + REACH, len(dialogue.turns))) if dialogue.turns[t].request]
    for other in dict.fromkeys((*repeating, *later)):
        text = projected(this.request, dialogue.turns[other].request)
        if text is not None:
            texts.setdefault(tuple(plain_words(text).split()), (text, REPHRASE, 0.0, 0))
    texts.pop((), None)
    failed = any(s.vote == "bad" and turn in s.turns for s in signals)
    context = _Context(
        tuple(first),
        [tuple(one) for one in listed],
        this.asr_confidence,
        failed,
        _bag(dialogue.turns[t].request for t in repeating),
        _bag(dialogue.turns[t].request for t in later),
        _bag([this.response]),
        _bag(text for t in dialogue.turns[:turn] for text in (t.request, t.response)),
        counts,
    )
    return [
        Candidate(text, origin, context.features(key, origin, gap, rank))
        for key, (text, origin, gap, rank) in list(texts.items())[:_MOST_CANDIDATES]
    ]


def _bag(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in plain_words(text).split())


@dataclass(frozen=True)
class _Context:
    """What the features of a turn's candidates are computed from."""

    first: tuple[str, ...]
    listed: Sequence[tuple[str, ...]]
    confidence: float | None
    failed: bool
    repeat: frozenset[str]
    later: frozenset[str]
    response: frozenset[str]
    earlier: frozenset[str]
    counts: Counts

    def features(self, key: tuple[str, ...], origin: str, gap: float, rank: int) -> tuple[float, ...]:
        is_first = float(origin == FIRST)
        other = 1.0 - is_first
        known = self.confidence is not None
        confidence = 2.0 * (self.confidence or 0.0) - 1.0 if known else 0.0
        new = [*(Counter(key) - Counter(self.first))]
        lost = [*(Counter(self.first) - Counter(key))]

        def gain(bag: frozenset[str]) -> float:
            """Share of the new words in the bag, less that of the words that they replace."""
            return _share(new, bag) - _share(lost, bag)

        likeness = _likeness(self.first, key)
        return (
            is_first,
            is_first * confidence,
            other * confidence,
            is_first * (not known),
            is_first * (len(self.listed) > 1),
            other * math.log1p(rank),
            other * min(gap, _CLIP),
            other * (self._agreement(key) - self._first_agreement),
            float(origin == REPHRASE),
            float(origin == VOTE),
            other * Levenshtein.distance(key, self.first) / len(self.first),
            float(max(-3, min(3, len(key) - len(self.first)))),
            other * likeness,
            float(origin == REPHRASE) * likeness,
            float(origin == REPHRASE) * self.failed,
            float(origin == REPHRASE) * bool(self.repeat),
            other * max(-_CLIP, min(_CLIP, self.counts.nats(key) - self._first_nats)),
            is_first * self.failed,
            other * self.failed,
            gain(self.repeat) if self.repeat else 0.0,
            is_first * _share(self.first, self.repeat) if self.repeat else 0.0,
            gain(self.later),
            gain(self.response),
            gain(self.earlier),
        )

    def _agreement(self, key: tuple[str, ...]) -> float:
        """Mean similarity to the other hypotheses; 0 without any."""
        return _mean([Levenshtein.normalized_similarity(key, one) for one in self.listed if one != key])

    # Once for all candidates of a turn.

    @cached_property
    def _first_agreement(self) -> float:
        return self._agreement(self.first)

    @cached_property
    def _first_nats(self) -> float:
        return self.counts.nats(self.first)


def _likeness(first: Sequence[str], other: Sequence[str]) -> float:
    """Mean similarity of letters of the words that are replaced one by one; 0 where there are none. Misrecognized words look alike,
    reworded ones do not."""
    replaced = [
        (first[op.src_start + k], other[op.dest_start + k])
        for op in Levenshtein.opcodes(first, other)
        if op.tag == "replace" and op.src_end - op.src_start == op.dest_end - op.dest_start
        for k in range(op.src_end - op.src_start)
    ]
    return _mean([Indel.normalized_similarity(a, b) for a, b in replaced])


def _share(some: Sequence[str], bag: frozenset[str]) -> float:
    return _mean([word in bag for word in some])


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def vote(texts: Sequence[Sequence[str]]) -> list[str]:
    """Word by word majority of several texts, each aligned with the first; ties go to the first. Words between those of the first
    are kept where more than half of the texts have them."""
    first = texts[0]
    slots: list[Counter[str]] = [Counter([word]) for word in first]
    between: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(len(first) + 1)]
    for text in texts[1:]:
        for op in Levenshtein.opcodes(first, text):
            i, length, words_of_text = op.src_start, op.src_end - op.src_start, text[op.dest_start : op.dest_end]
            if length == len(words_of_text):
                for k, word in enumerate(words_of_text):
                    slots[i + k][word] += 1
                continue
            for k in range(length):
                slots[i + k][""] += 1
            between[i][tuple(words_of_text)] += 1
    out: list[str] = []
    for k in range(len(first) + 1):
        for added, count in between[k].most_common(1):
            out += added if 2 * count > len(texts) else ()
        if k < len(first):
            best = max(slots[k].values())
            chosen = first[k] if slots[k][first[k]] == best else min(w for w, n in slots[k].items() if n == best)
            out += [chosen] if chosen else []
    return out


def projected(before: str, after: str) -> str | None:
    """The earlier request with the words of the later one that are aligned with it and differ; None where less than half of its
    words are aligned, or none differs."""
    old, new = words(before), words(after)
    pairs = align([before[a:b] for a, b in old], [after[a:b] for a, b in new])
    if len(pairs) < _LEAST_ALIGNED * len(old):
        return None
    out, at = "", 0
    for j, i in pairs:
        (a, b), (c, d) = old[i], new[j]
        word = after[c:d]
        if word.casefold() == before[a:b].casefold():
            word = before[a:b]
        out += before[at:a] + word
        at = b
    out += before[at:]
    return None if out == before else out


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic model of `FEATURES`, as transcription.json has it. made: what it was learned from, in words."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    made: str = ""

    def probability(self, features: Sequence[float]) -> float:
        """Of a candidate being exactly what was spoken."""
        nats = self.bias + math.fsum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, nats))))


@lru_cache(maxsize=1)
def shipped_weights() -> Weights:
    """The weights that labelgen ships."""
    content = Path(__file__).with_name("transcription.json").read_bytes()
    return msgspec.json.decode(content, type=Weights)


def corrected_requests(
    dialogue: Dialogue,
    signals: Sequence[Signal],
    statistics: LogStatistics,
    threshold: float = 0.0,
    annotator: str = "transcriber",
) -> Annotation:
    """The most probable words of each request, as labels of the task TRANSCRIPTION with probability and origin.

    statistics: of the log; those of the dialogue itself are left out. threshold: probability below which a turn is abstained
    from; its best guess is kept without its words, as the record has it."""
    weights = shipped_weights()
    counts = statistics.without(dialogue)
    labels: list[Label] = []
    abstained: list[Abstained] = []
    for turn in range(len(dialogue.turns)):
        options = candidates(dialogue, turn, signals, counts)
        if not options:
            continue
        scored = [(weights.probability(c.features), -k, c) for k, c in enumerate(options)]
        probability, _, best = max(scored, key=lambda one: one[:2])
        at, probability = AtTurn(turn), round(probability, 6)
        label = Label(TRANSCRIPTION, at, REQUEST, probability, best.text, origin=best.origin)
        if probability < threshold:
            abstained.append(Abstained(Field(TRANSCRIPTION, at), (label,)))
        else:
            labels.append(label)
    return Annotation(annotator, KIND, tuple(labels), (), tuple(abstained))
