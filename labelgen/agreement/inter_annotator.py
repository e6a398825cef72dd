"""Inter-annotator agreement: Cohen's kappa of pairs and Krippendorff's alpha.

Each judged item comes as a mapping annotator -> value. Annotators may differ from item to item, and may skip items. Values of
sets, such as intents, are frozensets. Only sums are kept, so memory grows with the distinct values and with the pairs of
annotators, not with the items."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

Judged = Sequence[Mapping[str, Hashable]]
Distance = Callable[[Hashable, Hashable], float]


@dataclass(slots=True)
class AnnotatorPair:
    """Counts for two annotators: common items, items with equal values, and the values of each."""

    items: int = 0
    same: int = 0
    values: tuple[Counter[Hashable], Counter[Hashable]] = field(default_factory=lambda: (Counter(), Counter()))

    def kappa(self) -> float:
        """Cohen's kappa (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"). NaN where both gave one and the same
        value throughout."""
        ours, theirs = self.values
        by_chance = sum(count * theirs[value] for value, count in ours.items()) / self.items**2
        return (self.same / self.items - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan


class PairwiseKappa:
    """Cohen's kappa of all pairs of annotators with a common item. of: names, ascending -> pair."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], AnnotatorPair] = {}

    def add(self, values: Mapping[str, Hashable], times: int = 1) -> None:
        """Count so many items with these values."""
        for names in combinations(sorted(values), 2):
            pair = self.of.setdefault(names, AnnotatorPair())
            pair.items += times
            pair.same += times * (values[names[0]] == values[names[1]])
            for counts, name in zip(pair.values, names, strict=True):
                counts[values[name]] += times


class KrippendorffAlpha:
    """Krippendorff's alpha. scale: `nominal`; `ordinal` or `interval` for numbers. Items with fewer than two values are left
    out. Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; ordinal distance of section D."""

    def __init__(self, scale: str = "nominal") -> None:
        self.scale = scale
        self._totals: Counter[Hashable] = Counter()
        self._differing = 0.0
        self._together: dict[tuple[Hashable, Hashable], float] = {}

    def add(self, values: Mapping[str, Hashable], times: int = 1) -> None:
        """Count so many items with these values."""
        if len(values) < 2:
            return
        counts, others = Counter(values.values()), len(values) - 1
        self._totals.update({value: times * n for value, n in counts.items()})
        if self.scale == "nominal":
            # All pairs but those of one value: with many distinct sets, the table of their pairs would be too large.
            self._differing += times * (len(values) ** 2 - sum(n * n for n in counts.values())) / others
        else:
            for a, n in counts.items():
                for b, m in counts.items():
                    self._together[a, b] = self._together.get((a, b), 0.0) + times * n * m / others

    def value(self) -> float:
        """1 for perfect agreement, 0 for chance, negative below it; NaN where nothing was judged twice or all values are
        equal."""
        total = self._totals.total()
        if self.scale == "nominal":
            observed = self._differing
            expected = float(total**2 - sum(n * n for n in self._totals.values()))
        else:
            distance = _distance(self.scale, self._totals)
            observed = sum(mass * distance(a, b) for (a, b), mass in self._together.items())
            expected = sum(n * m * distance(a, b) for a, n in self._totals.items() for b, m in self._totals.items())
        return 1 - (total - 1) * observed / expected if expected > 0 else math.nan


def krippendorff_alpha(judged: Judged, scale: str = "nominal") -> float:
    """Krippendorff's alpha of a list of items."""
    alpha = KrippendorffAlpha(scale)
    for values in judged:
        alpha.add(values)
    return alpha.value()


def _distance(scale: str, totals: Counter[Hashable]) -> Distance:
    if scale == "interval":
        return lambda a, b: (_number(a) - _number(b)) ** 2
    below: dict[Hashable, float] = {}
    seen = 0
    for value in sorted(totals, key=_number):
        below[value] = seen + totals[value] / 2
        seen += totals[value]
    return lambda a, b: (below[a] - below[b]) ** 2


def _number(value: Hashable) -> float:
    assert isinstance(value, (int, float))
    return value
