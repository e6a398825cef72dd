"""The smallest possible metric plug-in: the share of fields that the system answered at all."""

from labelgen.metrics.metric import Item, Metric, divide, of_counts


def _answered(item: Item) -> tuple[int, int]:
    return sum(at in item.predicted for at in item.reference), len(item.reference)


COVERAGE = Metric(_answered, of_counts(lambda c: divide(c[:, 0], c[:, 1])), "the share of fields with an answer")
