"""Laws of the drawings: they hold with nothing to draw, and places on an axis keep the order of values."""

import math
import xml.etree.ElementTree as Tree

from hypothesis import given
from hypothesis import strategies as st

from labelgen.metrics.results import Bin, Point, PrecisionCoverage
from labelgen.report.plots import (
    Axis,
    Mark,
    axis_for,
    axis_head,
    key,
    precision_axis,
    precision_coverage,
    reliability,
    whiskers,
)

numbers = st.one_of(st.none(), st.just(math.nan), st.floats(-1e6, 1e6))
shares = st.one_of(st.none(), st.floats(0, 1))
bins = st.builds(
    Bin, low=st.floats(0, 1), high=st.floats(0, 1), items=st.integers(0, 9), probability=shares, accuracy=shares
)
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


@given(st.lists(bins, max_size=4))
def test_each_bin_with_numbers_is_one_dot(given_bins: list[Bin]) -> None:
    known = [b for b in given_bins if b.probability is not None and b.accuracy is not None]
    svg = reliability(given_bins, "words")
    assert named(svg, "dot") == len(known)
    assert named(svg, "line") == 0, "bins of fewer than ten answers"


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


@given(st.lists(points, max_size=4), shares)
def test_a_curve_ends_with_a_dot(given_points: list[Point], bar: float | None) -> None:
    known = [p for p in given_points if p.coverage is not None and p.precision is not None]
    svg = precision_coverage(given_points, bar, "words", Axis(0, 1))
    assert named(svg, "dot") == bool(known)
    assert named(svg, "line") == (len(known) > 1)
    assert named(svg, "reference") == (bar is not None)


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


def test_what_lies_outside_ends_in_an_arrow() -> None:
    axis = axis_for([0.5, 1.0, 9.0], (0.0, 2.0))
    assert axis.high == 2.0
    assert named(whiskers([Mark(1.0, 0.5, 9.0, "model")], axis, "words"), "arrow") == 1
    assert named(whiskers([Mark(1.0, 0.5, 1.5, "model")], axis, "words"), "arrow") == 0


def test_signs_have_shapes_of_their_own() -> None:
    assert len({key("model", shape) for shape in ("circle", "diamond", "square")}) == 3
    drawn(key("model", "square"))


def test_a_bin_is_joined_by_its_answers_and_not_by_how_often_they_are_compared() -> None:
    made = [
        Bin(low=k / 15, high=(k + 1) / 15, items=30, answers=answers, probability=(k + 0.5) / 15, accuracy=0.5)
        for k, answers in enumerate((9, 10, 10))
    ]
    assert named(reliability(made, "words"), "few") == 1


def test_a_curve_begins_where_chance_ends() -> None:
    shown = [Point(threshold=0.9 - k / 10, coverage=k / 5, precision=0.9, items=10 * k) for k in (1, 2, 3)]
    first = Point(threshold=0.95, coverage=0.01, precision=0.0, items=3)
    assert precision_coverage([first, *shown], None, "w", Axis(0, 1)) == precision_coverage(
        shown, None, "w", Axis(0, 1)
    )
    assert precision_axis([PrecisionCoverage(system="m", points=[first, *shown])]).low > 0.8
