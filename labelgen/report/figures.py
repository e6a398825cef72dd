"""How numbers are written in a report: every one of them stands in the evaluation, and its text is rounded from it."""

import math
from decimal import ROUND_HALF_EVEN, Decimal

from markupsafe import Markup

ABSENT = "–"


def number(value: float | None, digits: int = 3) -> str:
    """`value` rounded half to even, a dash where it is not defined; never `-0.000`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    return f"{abs(rounded) if rounded == 0 else rounded:,f}"


def percent(value: float | None) -> str:
    """A share as a percentage with one digit."""
    return ABSENT if value is None or not math.isfinite(value) else f"{number(100 * value, 1)}%"


def count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def data(value: float | int | None, kind: str = "number") -> Markup:
    """A number as HTML, with the evaluation's own value beside its text; kind: `number`, `percent` or `count`."""
    if value is None or not math.isfinite(value):
        return Markup('<span class="absent" title="not defined">{}</span>').format(ABSENT)
    text = {"number": number, "percent": percent}[kind](value) if kind != "count" else count(int(value))
    return Markup('<data class="{}" value="{}">{}</data>').format(kind, repr(value), text)
