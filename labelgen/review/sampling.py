"""Sampling for human review: active learning from a model's uncertainty, and random audits.

`abstained` and `informative` choose the dialogues that teach most for an hour of reading; `audit` draws at random, so that
estimates from the sample hold for the log.

The value of a set S of dialogues is the sum over kinds of answers of the square root of the doubt about that kind within S. A
kind is a task with the predicted names, so a second dialogue with the same doubt adds less than the first. Such a sum of
concave functions is submodular (Wei, Liu, Kirchhoff, Bilmes 2014, "Unsupervised submodular subset selection for speech
data"). Dialogues are chosen greedily by gain for each turn to read, with lazy updates (Minoux 1978, "Accelerated greedy
algorithms")."""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, extra
from labelgen.data.labels import Annotation, Field, Label, scope

BY_DOUBT = ("abstained", "informative")
"""Strategies by a model's doubt; results on such a sample do not hold for the log."""

STRATEGIES = (*BY_DOUBT, "audit")

SAMPLE = "sample"
"""The field of a record that says how it came into a sample."""

Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """names: of the best guess, sorted, () for "none here". doubt: probability that the guess is wrong. withheld: it was
    below the threshold."""

    field: Field
    names: tuple[str, ...]
    doubt: float
    withheld: bool


def model_annotation(dialogue: Dialogue, annotator: str | None) -> Annotation | None:
    """The annotation to review: that of the annotator, else the first of kind `model`."""
    of = (a for a in dialogue.annotations if (a.kind == "model" if annotator is None else a.annotator == annotator))
    return next(of, None)


def uncertainties(annotation: Annotation) -> Iterator[Uncertainty]:
    """One for each field that the annotation answers or withholds.

    An answer is right where all of its labels are, so its doubt is 1 minus the product of their probabilities; a label
    without a probability adds no doubt."""
    answers: dict[Field, list[Label]] = {}
    for label in annotation.labels:
        answers.setdefault(scope(label), []).append(label)
    for field, labels in answers.items():
        yield _uncertainty(field, labels, withheld=False)
    for none in annotation.none:
        yield Uncertainty(none.field, (), 0.0 if none.probability is None else 1.0 - none.probability, withheld=False)
    for left in annotation.abstained:
        yield _uncertainty(left.field, left.best, withheld=True)


def _uncertainty(field: Field, labels: Sequence[Label], withheld: bool) -> Uncertainty:
    # Nothing is known about a withheld field without a guess: the greatest doubt.
    probabilities = [1.0 if x.probability is None else x.probability for x in labels]
    right = 0.0 if withheld and not labels else math.prod(probabilities)
    return Uncertainty(field, tuple(sorted({x.name for x in labels})), 1.0 - right, withheld)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dialogue that can be sampled. doubt: kind of answer -> expected number of wrong answers of that kind."""

    dialogue: str
    turns: int
    doubt: dict[Kind, float]


@dataclass(frozen=True, slots=True)
class SampledDialogue:
    """rank: order of review, from 0. probability: of being in such a sample, None where it was not drawn at random. gain: for
    each turn to read, when it was chosen."""

    dialogue: str
    rank: int
    probability: float | None = None
    gain: float | None = None


def to_candidate(dialogue: Dialogue, strategy: str, model: str | None) -> Candidate | None:
    """The dialogue as a candidate; None where it has no turns, or, by doubt, where it lacks a model's annotation (`abstained`:
    with something withheld) or a person has annotated it."""
    if not dialogue.turns:
        return None
    if strategy == "audit":
        return Candidate(dialogue.id, len(dialogue.turns), {})
    annotation = model_annotation(dialogue, model)
    if annotation is None or any(a.kind == "person" for a in dialogue.annotations):
        return None
    doubt: dict[Kind, float] = {}
    for each in uncertainties(annotation):
        if each.withheld or strategy == "informative":
            kind = (each.field.task, each.names)
            doubt[kind] = doubt.get(kind, 0.0) + each.doubt
    return Candidate(dialogue.id, len(dialogue.turns), doubt) if doubt else None


def explain_no_candidates(dialogues: Iterable[Dialogue], strategy: str, model: str | None) -> tuple[str, str]:
    """Why no dialogue of a log is a candidate, and a hint."""
    of_model = [d for d in dialogues if d.turns and model_annotation(d, model) is not None]
    who = model or "a model"
    if strategy == "audit":
        return "no record has a turn", "name a log with turns"
    if not of_model:
        return f"no record with turns has an annotation by {who}", "`labelgen label` adds a model's annotation to a log"
    what = "withheld" if strategy == "abstained" else "answered"
    return (
        f"{who} {what} nothing in those of {len(of_model):,} records that no person annotated",
        "use --strategy audit; only a model with certified thresholds withholds",
    )


def draw(candidates: Iterable[Candidate], strategy: str, count: int, seed: int = 0) -> list[SampledDialogue]:
    """At most `count` of them. The order of the candidates does not matter.

    `audit` draws without replacement, each candidate with the same probability."""
    queue = sorted(candidates, key=lambda one: _place(one, seed))
    if strategy == "audit":
        probability = min(1.0, count / len(queue)) if queue else None
        return [SampledDialogue(one.dialogue, rank, probability) for rank, one in enumerate(queue[:count])]
    return _most_informative(queue, count)


def _place(one: Candidate, seed: int) -> tuple[float, str]:
    # A seeded place in the queue, which depends on the dialogue alone and not on the rest of the log.
    return Random(f"review/{seed}/{one.dialogue}").random(), one.dialogue


def _most_informative(queue: Sequence[Candidate], count: int) -> list[SampledDialogue]:
    covered: dict[Kind, float] = {}
    heap = [(-_gain(one, covered), k) for k, one in enumerate(queue)]
    heapq.heapify(heap)
    chosen: list[SampledDialogue] = []
    while heap and len(chosen) < count:
        _, k = heapq.heappop(heap)
        now = (-_gain(queue[k], covered), k)
        # Gains only fall, so one that is still the greatest after its update is the greatest.
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        chosen.append(SampledDialogue(queue[k].dialogue, len(chosen), gain=-now[0]))
        for kind, doubt in queue[k].doubt.items():
            covered[kind] = covered.get(kind, 0.0) + doubt
    return chosen


def _gain(one: Candidate, covered: dict[Kind, float]) -> float:
    gains = (
        math.sqrt(covered.get(kind, 0.0) + doubt) - math.sqrt(covered.get(kind, 0.0))
        for kind, doubt in one.doubt.items()
    )
    return math.fsum(gains) / one.turns


def mark_sample(dialogue: Dialogue, sampled: SampledDialogue, strategy: str, seed: int) -> Dialogue:
    """The dialogue with a field `sample` that says how it was drawn, among the fields unknown to labelgen."""
    mark: dict[str, Any] = {"how": strategy, "seed": seed, "rank": sampled.rank}
    if sampled.probability is not None:
        mark["probability"] = sampled.probability
    if sampled.gain is not None:
        mark["gain"] = round(sampled.gain, 6)
    return replace(dialogue, extra=msgspec.json.encode({**_extra(dialogue), SAMPLE: mark}, order="sorted").decode())


def _mark(dialogue: Dialogue) -> dict[str, Any]:
    mark = extra(dialogue).get(SAMPLE)
    return mark if isinstance(mark, dict) else {}


def doubt_strategy(dialogue: Dialogue) -> str | None:
    """The strategy by which the dialogue was chosen for a model's doubt; None where there is none, as in an audit."""
    how = _mark(dialogue).get("how")
    return how if isinstance(how, str) and how in BY_DOUBT else None


def _extra(dialogue: Dialogue) -> dict[str, Any]:
    if dialogue.extra is None:
        return {}
    try:
        fields = msgspec.json.decode(dialogue.extra)
    except msgspec.MsgspecError:
        return {"extra": dialogue.extra}
    return fields if isinstance(fields, dict) else {"extra": dialogue.extra}
