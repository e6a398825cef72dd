"""What lies behind a number: confusion, reliability, and precision by how much is accepted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from labelgen.data.labels import AtGoal
from labelgen.evaluation.question import Question
from labelgen.metrics.categories import ABSENT, confusion
from labelgen.metrics.metric import Item, measure
from labelgen.metrics.scores import CALIBRATION_BINS, bin_of, ece, events
from labelgen.metrics.sets import identity, same

MOST_POINTS = 100


def confusions(candidate: str, items: Sequence[Item], question: Question) -> dict[str, Any] | None:
    """Rows: the reference; columns: what was given, absent last. None for a question without fixed names."""
    if question.names is None:
        return None
    pairs: Counter[tuple[str, str]] = Counter()
    for item in items:
        pairs.update(confusion(item))
    labels = [*question.names, *sorted({name for pair in pairs for name in pair} - {*question.names, ABSENT})]
    counts = [[pairs[wanted, given] for given in [*labels, ABSENT]] for wanted in labels]
    return {"candidate": candidate, "labels": labels, "columns": [*labels, "absent"], "counts": counts}


def reliability(candidate: str, items: Sequence[Item], shares: Sequence[float] | None = None) -> dict[str, Any] | None:
    """For each bin of probability, how often the label was right. None where no label has a probability.

    shares: of each item, 1 by the number of items of its dialogue, so that an answer that is compared several times counts once
    among `answers`; by default 1."""
    bins: dict[int, list[tuple[float, float]]] = {}
    answers: dict[int, float] = {}
    for item, share in zip(items, shares or [1.0] * len(items), strict=True):
        for event in events(item):
            bins.setdefault(bin_of(event[0]), []).append(event)
            answers[bin_of(event[0])] = answers.get(bin_of(event[0]), 0.0) + share
    if not bins:
        return None
    return {
        "candidate": candidate,
        "ece": measure(ece, items),
        "bins": [
            {
                "low": b / CALIBRATION_BINS,
                "high": (b + 1) / CALIBRATION_BINS,
                "items": len(held),
                "answers": round(answers[b]),
                "probability": sum(p for p, _ in held) / len(held),
                "right": sum(right for _, right in held) / len(held),
            }
            for b, held in sorted(bins.items())
        ],
    }


Decision = tuple[float | None, bool]


def decisions(item: Item) -> list[Decision]:
    """(probability, right) for each answer that could be accepted or withheld: a field with its least sure label, or,
    where a field holds goals, each goal. Fields that the prediction lacks are none."""
    out: list[Decision] = []
    for at, wanted in item.reference.items():
        given = item.predicted.get(at)
        if given is None:
            continue
        if any(isinstance(label.at, AtGoal) and label.at != at for label in (*given, *wanted)):
            true = {identity(label) for label in wanted}
            out += [(label.probability, identity(label) in true) for label in given]
            continue
        sure = [label.probability for label in given if label.probability is not None]
        complete = bool(given) and len(sure) == len(given)
        out.append((min(sure) if complete else None, same(given, wanted)))
    return out


def _naming(item: Item) -> Item:
    """The item with the answers that name something."""
    return replace(item, predicted={at: labels for at, labels in item.predicted.items() if labels})


def precision_coverage(candidate: str, items: Sequence[Item], people: Sequence[Item]) -> dict[str, Any] | None:
    """Precision among the answers accepted, from the surest down; equal probabilities are accepted together. Coverage
    is of the fields judged (of the goals given), less those whose answer carries no probability. None where no answer
    has a probability.

    `single_annotator` has the same denominator as precision: answers that are given and name something, since "none here"
    carries no probability and stands outside the curve."""
    made = [decision for item in items for decision in decisions(item)]
    ranked = sorted(((p, right) for p, right in made if p is not None), key=lambda pair: -pair[0])
    if not ranked:
        return None
    without = len(made) - len(ranked)
    missing = sum(at not in item.predicted for item in items for at in item.reference)
    points = []
    right = 0
    ends = [k for k in range(1, len(ranked) + 1) if k == len(ranked) or ranked[k][0] != ranked[k - 1][0]]
    kept = set(
        ends
        if len(ends) <= MOST_POINTS
        else [ends[k * (len(ends) - 1) // (MOST_POINTS - 1)] for k in range(MOST_POINTS)]
    )
    for k, (probability, is_right) in enumerate(ranked, start=1):
        right += is_right
        if k in kept:
            coverage = k / (len(ranked) + missing)
            points.append({"threshold": probability, "coverage": coverage, "precision": right / k, "items": k})
    human = [is_right for item in people for _, is_right in decisions(_naming(item))]
    return {
        "candidate": candidate,
        "without_probability": without,
        "single_annotator": sum(human) / len(human) if human else None,
        "points": points,
    }
