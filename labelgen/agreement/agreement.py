"""How far annotators agree beyond chance.

Each thing that was judged comes as what its annotators said of it: annotator -> value. Annotators may differ from thing to
thing, and may leave things out. Values of sets, such as intents, are frozensets. Sums alone are kept, so memory grows with the
distinct values and with the annotators who meet, not with the things."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

Judged = Sequence[Mapping[str, Hashable]]
Distance = Callable[[Hashable, Hashable], float]


@dataclass(slots=True)
class Pair:
    """What two annotators said of the same things: how many, of how many the same, and each one's values."""

    things: int = 0
    same: int = 0
    values: tuple[Counter[Hashable], Counter[Hashable]] = field(default_factory=lambda: (Counter(), Counter()))

    def kappa(self) -> float:
        """NaN where both gave one and the same value throughout. Source: Cohen 1960, "A Coefficient of Agreement for Nominal
        Scales"."""
        ours, theirs = self.values
        by_chance = sum(count * theirs[value] for value, count in ours.items()) / self.things**2
        return (self.same / self.things - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan


class Kappas:
    """of: each pair of annotators (names ascending) that judged something together."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, str], Pair] = {}

    def add(self, said: Mapping[str, Hashable]) -> None:
        for names in combinations(sorted(said), 2):
            pair = self.of.setdefault(names, Pair())
            pair.things += 1
            pair.same += said[names[0]] == said[names[1]]
            for values, name in zip(pair.values, names, strict=True):
                values[said[name]] += 1


class Alpha:
    """Krippendorff's alpha. scale: `nominal`; `ordinal` or `interval` for numbers. Things that fewer than two judged are left
    out. Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; ordinal distance of section D."""

    def __init__(self, scale: str = "nominal") -> None:
        self.scale = scale
        self._totals: Counter[Hashable] = Counter()
        self._differing = 0.0
        self._together: dict[tuple[Hashable, Hashable], float] = {}

    def add(self, said: Mapping[str, Hashable]) -> None:
        if len(said) < 2:
            return
        counts, others = Counter(said.values()), len(said) - 1
        self._totals.update(counts)
        if self.scale == "nominal":
            # All pairs but those of one value: the number of distinct sets may be large, and of their pairs too large.
            self._differing += (len(said) ** 2 - sum(n * n for n in counts.values())) / others
        else:
            for a, n in counts.items():
                for b, m in counts.items():
                    self._together[a, b] = self._together.get((a, b), 0.0) + n * m / others

    def value(self) -> float:
        """1 for perfect agreement, 0 for chance, negative below it; NaN where nothing was judged twice or all values are one."""
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
    """Alpha of a list of things."""
    found = Alpha(scale)
    for said in judged:
        found.add(said)
    return found.value()


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
