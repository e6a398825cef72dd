"""Confusion matrix and reliability diagram of one system on an evaluation task."""

from collections import Counter
from collections.abc import Sequence

from labelgen.metrics.categories import ABSENT, confusion
from labelgen.metrics.metric import Item, measure
from labelgen.metrics.results import Bin, Confusion, ReliabilityDiagram, number
from labelgen.metrics.scores import CALIBRATION_BINS, bin_of, ece, events
from labelgen.tasks.evaluation import EvaluationTask


def confusions(system: str, items: Sequence[Item], task: EvaluationTask) -> Confusion | None:
    """The confusion matrix, absent answers last. None for a task without a fixed label set."""
    if task.names is None:
        return None
    pairs: Counter[tuple[str, str]] = Counter()
    for item in items:
        pairs.update(confusion(item))
    labels = [*task.names, *sorted({name for pair in pairs for name in pair} - {*task.names, ABSENT})]
    counts = [[pairs[wanted, predicted] for predicted in [*labels, ABSENT]] for wanted in labels]
    rows, columns = map(sum, counts), map(sum, zip(*counts, strict=True))
    recall, precision = (
        [counts[k][k] / of if of else None for k, of in zip(range(len(labels)), totals, strict=False)]
        for totals in (rows, columns)
    )
    return Confusion(
        system=system, labels=labels, columns=[*labels, "absent"], counts=counts, recall=recall, precision=precision
    )


def reliability(system: str, items: Sequence[Item], shares: Sequence[float] | None = None) -> ReliabilityDiagram | None:
    """The reliability diagram: for each bin of probability, the share of labels that is right. None where no label has a probability.

    shares: of each item, 1 by the number of items of its dialogue, so that an answer that is compared several times counts once among
    `answers`; by default 1."""
    bins: dict[int, list[tuple[float, float]]] = {}
    answers: dict[int, float] = {}
    for item, share in zip(items, shares or [1.0] * len(items), strict=True):
        for event in events(item):
            bins.setdefault(bin_of(event[0]), []).append(event)
            answers[bin_of(event[0])] = answers.get(bin_of(event[0]), 0.0) + share
    if not bins:
        return None
    rows = [
        Bin(
            low=b / CALIBRATION_BINS,
            high=(b + 1) / CALIBRATION_BINS,
            items=len(inside),
            answers=round(answers[b]),
            probability=sum(p for p, _ in inside) / len(inside),
            accuracy=sum(right for _, right in inside) / len(inside),
        )
        for b, inside in sorted(bins.items())
    ]
    return ReliabilityDiagram(system=system, ece=number(measure(ece, items)), bins=rows)
