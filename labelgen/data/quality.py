"""The scale of quality: ratings on 1..5, and the three names bad (below 3), fair (3) and good (above 3).

The three classes follow the published protocol for satisfaction from dialogue text (Ye et al. 2023, "Modeling User
Satisfaction Dynamics in Dialogue via Hawkes Process", ASAP)."""

from typing import Literal

QualityName = Literal["bad", "fair", "good"]
QUALITY_NAMES: tuple[QualityName, ...] = ("bad", "fair", "good")
_RATING_OF = {"bad": 2.0, "fair": 3.0, "good": 4.0}


def quality_name(rating: float) -> QualityName:
    """bad below 3, fair at 3, good above 3; rating on 1..5."""
    if rating < 3:
        return "bad"
    return "good" if rating > 3 else "fair"


def to_scale(name: str) -> float:
    """A rating on 1..5 that stands for the name, where none was given."""
    return _RATING_OF[name]


def from_scale(rating: float, scale: tuple[float, float]) -> float:
    """Map a rating on `scale` = (worst, best) linearly to 1..5."""
    worst, best = scale
    return 1.0 + 4.0 * (rating - worst) / (best - worst)
