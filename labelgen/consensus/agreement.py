"""How far annotators agree beyond chance.

Data is a list of things that were judged, each with what its annotators said of it: annotator -> value. Annotators may
differ from thing to thing, and may leave things out. Values of sets, such as intents, are frozensets."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations

Judged = Sequence[Mapping[str, Hashable]]
Distance = Callable[[Hashable, Hashable], float]


def cohen_kappas(judged: Judged) -> dict[tuple[str, str], tuple[float, int]]:
    """For each pair of annotators (names ascending) that judged something together, kappa and how many things; NaN
    where both gave one and the same value throughout. Source: Cohen 1960, "A Coefficient of Agreement for Nominal
    Scales"."""
    pairs: dict[tuple[str, str], list[tuple[Hashable, Hashable]]] = {}
    for said in judged:
        for first, second in combinations(sorted(said), 2):
            pairs.setdefault((first, second), []).append((said[first], said[second]))
    return {names: (_kappa(answers), len(answers)) for names, answers in sorted(pairs.items())}


def _kappa(answers: Sequence[tuple[Hashable, Hashable]]) -> float:
    total = len(answers)
    observed = sum(a == b for a, b in answers) / total
    ours, theirs = Counter(a for a, _ in answers), Counter(b for _, b in answers)
    by_chance = sum(count * theirs[value] for value, count in ours.items()) / total**2
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def krippendorff_alpha(judged: Judged, scale: str = "nominal") -> float:
    """1 for perfect agreement, 0 for chance, negative below it; NaN where nothing was judged twice or all values are
    one.

    scale: `nominal`; `ordinal` or `interval` for numbers. Things that fewer than two judged are left out.
    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; ordinal distance of section D."""
    pairable = [list(said.values()) for said in judged if len(said) >= 2]
    totals = Counter(value for values in pairable for value in values)
    distance = _distance(scale, totals)
    distances = {(a, b): distance(a, b) for a in totals for b in totals}
    observed = 0.0
    for values in pairable:
        counts = Counter(values)
        mass = sum(n * m * distances[a, b] for a, n in counts.items() for b, m in counts.items())
        observed += mass / (len(values) - 1)
    expected = sum(n * m * distances[a, b] for a, n in totals.items() for b, m in totals.items())
    return 1 - (totals.total() - 1) * observed / expected if expected > 0 else float("nan")


def _distance(scale: str, totals: Counter[Hashable]) -> Distance:
    if scale == "nominal":
        return lambda a, b: float(a != b)
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
