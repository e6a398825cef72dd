"""Laws of the drawings: they hold with nothing to draw, and places on an axis keep the order of values."""

import math
import xml.etree.ElementTree as Tree

from hypothesis import given
from hypothesis import strategies as st

from labelgen.metrics.results import Bin, Point
from labelgen.report.plots import (
    Axis,
    Mark,
    axis_for,
    axis_head,
    reliability,
    whiskers,
)

numbers = st.one_of(st.none(), st.just(math.nan), st.floats(-1e6, 1e6))
shares = st.one_of(st.none(), st.floats(0, 1))
points = st.builds(Point, threshold=shares, coverage=shares, precision=shares)
marks = st.builds(Mark, numbers, numbers, numbers, st.just("model"), st.sampled_from(["circle", "diamond", "square"]))


def drawn(svg: str) -> list[Tree.Element]:
    """All elements; the text must be well-formed XML without numbers that are not."""
    assert "nan" not in svg.lower()
    assert "inf" not in svg.lower()
    return list(Tree.fromstring(svg).iter())


def named(svg: str, style: str) -> int:
    return sum(style in (e.get("class") or "").split() for e in drawn(svg))


@given(st.lists(marks, max_size=4), st.one_of(st.none(), st.floats(-10, 10)))
def test_each_known_value_is_one_dot(given_marks: list[Mark], reference: float | None) -> None:
    axis = axis_for(v for m in given_marks for v in (m.value, m.low, m.high))
    svg = whiskers(given_marks, axis, "words & <more>", reference)
    assert named(svg, "dot") == sum(m.value is not None and math.isfinite(m.value) for m in given_marks)
    assert Tree.fromstring(svg)[0].text == "words & <more>"


@given(st.lists(st.sampled_from([None, 0, 9, 10, 400]), max_size=15))
def test_only_neighboring_bins_of_ten_answers_are_joined(sizes: list[int | None]) -> None:
    made = [
        Bin(low=k / 15, high=(k + 1) / 15, items=items, probability=(k + 0.5) / 15, accuracy=0.5)
        for k, items in enumerate(sizes)
        if items is not None
    ]
    svg = reliability(made, "words")
    joined = [e.get("points", "").split() for e in drawn(svg) if e.get("class") == "line"]
    runs = "".join("x" if (items or 0) >= 10 else " " for items in sizes).split()
    assert [len(points) for points in joined] == [len(run) for run in runs if len(run) > 1]
    assert named(svg, "few") == sum(b.items < 10 for b in made)


@given(st.lists(numbers, max_size=6))
def test_an_axis_shows_all_values_between_round_ends(values: list[float | None]) -> None:
    axis = axis_for(values)
    known = [v for v in values if v is not None and math.isfinite(v)]
    assert axis.low < axis.high
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= v <= axis.high + slack for v in known)
    assert 2 <= len(axis.ticks()) <= 7
    drawn(axis_head(axis, "words", "human baseline = 1", 1.0))


@given(st.floats(0, 1), st.floats(0, 1))
def test_places_keep_order_and_stay_inside(a: float, b: float) -> None:
    axis = Axis(0.25, 0.75)
    first, second = sorted((a, b))
    assert 0 <= axis.place(first, 100) <= axis.place(second, 100) <= 100
