"""What a report draws of each candidate: confusion, reliability, precision over coverage (fields of `labelgen evaluation 1`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """counts[i][j]: items where the reference says labels[i] and the candidate columns[j]."""

    candidate: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Comparisons of answers whose probability lies in [low, high]: their mean probability, and the share of them that is right.
    answers: each counted once, however often it was compared."""

    low: float
    high: float
    items: int
    answers: int | None = None
    probability: float | None
    right: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    candidate: str
    ece: float | None = None
    bins: tuple[Bin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What holds where answers of at least the probability `threshold` are accepted."""

    threshold: float | None = None
    coverage: float | None
    precision: float | None
    items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """without_probability: answers outside the curve. single_annotator: share of right answers of the human bar."""

    candidate: str
    without_probability: int = 0
    single_annotator: float | None = None
    points: tuple[Point, ...] = ()
