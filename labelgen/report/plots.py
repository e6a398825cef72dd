"""Numbers and small drawings as HTML and SVG: data in, markup out. Colors and fonts come from the page's style sheet.

Every number of a report is rounded from the evaluation. Coordinates are in pixels of the drawing's own view box. A number that is None is not drawn; a drawing without any
number still shows its axes. `words` say the same to readers who cannot see the drawing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from labelgen.metrics.results import Bin, Interval, PartRate, Point, PrecisionCoverage

ABSENT = "–"


def number(value: float | None, digits: int = 3) -> str:
    """`value` rounded half to even, a dash where it is not defined; never `-0.000`."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:z,.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage with one digit."""
    return ABSENT if value is None or not math.isfinite(value) else f"{number(100 * value, 1)}%"


def count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def data(value: float | int | None, kind: str = "number") -> Markup:
    """A number as HTML, with the evaluation's value as attribute; kind: `number`, `percent` or `count`."""
    if value is None or not math.isfinite(value):
        return Markup('<span class="absent" title="not defined">{}</span>').format(ABSENT)
    text = {"number": number, "percent": percent}[kind](value) if kind != "count" else count(int(value))
    return Markup('<data class="{}" value="{}">{}</data>').format(kind, repr(value), text)


@dataclass(frozen=True, slots=True)
class Axis:
    """The part of the number line that a drawing shows; what lies outside is cut off with an arrow."""

    low: float
    high: float

    def place(self, value: float, length: float) -> float:
        """Where `value` lies on a line of that length, 0 at `low`; values outside lie on the ends."""
        share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share)) * length

    def ticks(self) -> list[float]:
        """Three to six round numbers within the axis, ascending."""
        step = _step((self.high - self.low) / 4)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(k * step, 10) for k in range(first, last + 1)]


def _step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(f * size for f in (1, 2, 5, 10) if f * size >= rough * 0.999)


def axis_for(values: Iterable[float | None], within: tuple[float, float] | None = None) -> Axis:
    """An axis with round ends that shows all values, but nothing beyond `within`. Without values: 0 to 1."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if within is not None:
        known = [min(within[1], max(within[0], v)) for v in known]
    if not known:
        return Axis(0.0, 1.0)
    low, high = min(known), max(known)
    step = _step(max(high - low, 0.02, 1e-6 * max(abs(low), abs(high))) / 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if low == high:
        low, high = low - step, high + step
    return Axis(round(low, 10), round(high, 10))


@dataclass(frozen=True, slots=True)
class Mark:
    """A dot with its interval. style: a class of the style sheet; shape: `circle`, `diamond` or `square`."""

    value: float | None
    low: float | None
    high: float | None
    style: str
    shape: str = "circle"


_WIDTH, _PAD = 180.0, 8.0
_INNER = _WIDTH - 2 * _PAD


def whiskers(marks: Sequence[Mark], axis: Axis, words: str, reference: float | None = None) -> Markup:
    """Dots with whiskers, one under the other on one axis; reference: a value marked by a line through all."""
    height = max(14.0 * len(marks), 14.0) + 4
    parts = [_line(_PAD, height / 2, _WIDTH - _PAD, height / 2, "grid")] if len(marks) < 2 else []
    if reference is not None:
        x = _PAD + axis.place(reference, _INNER)
        parts.append(_line(x, 0, x, height, "reference"))
    for row, mark in enumerate(marks):
        parts.append(_whisker(mark, axis, 9 + 14.0 * row))
    return _svg(_WIDTH, height, words, parts, "whiskers")


def _whisker(mark: Mark, axis: Axis, y: float) -> Markup:
    if mark.value is None or not math.isfinite(mark.value):
        return Markup("")
    parts = []
    if mark.low is not None and mark.high is not None:
        left, right = _PAD + axis.place(mark.low, _INNER), _PAD + axis.place(mark.high, _INNER)
        parts.append(_line(left, y, right, y, "whisker"))
        parts.append(_end(left, y, -1 if mark.low < axis.low else 0))
        parts.append(_end(right, y, 1 if mark.high > axis.high else 0))
    parts.append(_shape(mark.shape, _PAD + axis.place(mark.value, _INNER), y, 4.5))
    return Markup('<g class="{}">{}</g>').format(mark.style, Markup("").join(parts))


def _end(x: float, y: float, beyond: int) -> Markup:
    if not beyond:
        return _line(x, y - 3, x, y + 3, "whisker")
    return Markup('<path class="arrow" d="M{} {}l{} 3.5v-7z"/>').format(_px(x + 4 * beyond), _px(y), -5 * beyond)


def axis_head(axis: Axis, words: str, reference: str = "", at: float | None = None) -> Markup:
    """The axis above a column of whiskers: its ticks, and the name of the reference line at `at`."""
    height = 32.0 if reference else 18.0
    parts = []
    for tick in axis.ticks():
        x = _PAD + axis.place(tick, _INNER)
        parts.append(_text(x, height - 6, f"{tick:g}", "middle"))
        parts.append(_line(x, height - 4, x, height, "axis"))
    if reference and at is not None:
        x = _PAD + axis.place(at, _INNER)
        anchor = "start" if x < 50 else "end" if x > _WIDTH - 50 else "middle"
        parts.append(_text(x, 10, reference, anchor, "name"))
    return _svg(_WIDTH, height, words, parts, "whiskers")


LEAST_JOINED = 10
"""What a line runs through: the share right of fewer answers is chance."""


def reliability(bins: Sequence[Bin], words: str) -> Markup:
    """Share right over mean probability, a dot a bin, its area by the bin's items; bars below count the items. Lines join
    neighbors of LEAST_JOINED answers or more; the dots of others are hollow."""
    side, left, top, bars = 190.0, 54.0, 8.0, 30.0
    parts = [*_frame(left, top, side, side, Axis(0, 1), Axis(0, 1), "probability", "share right", bars)]
    parts.append(_line(left, top + side, left + side, top, "reference"))
    most = max((b.items for b in bins), default=0)
    dots: list[Markup] = []
    lines: list[list[tuple[float, float]]] = [[]]
    end = 0.0
    for b in bins:
        if most:
            tall = bars * 0.8 * b.items / most
            x, wide = left + side * max(b.low, 0.0), side * (min(b.high, 1.0) - max(b.low, 0.0))
            parts.append(_rect(x + 0.5, top + side + bars - tall + 2, max(wide - 1, 1), tall, "bar"))
        if b.probability is None or b.accuracy is None:
            continue
        x, y = left + side * b.probability, top + side * (1 - b.accuracy)
        few = (b.items if b.answers is None else b.answers) < LEAST_JOINED
        if few or b.low > end + 1e-9:
            lines.append([])
        if not few:
            lines[-1].append((x, y))
        end = b.high
        size = 2.5 + 4 * math.sqrt(b.items / most) if most else 2.5
        dots.append(_shape("circle", x, y, size, "dot few" if few else "dot"))
    series = Markup("").join([*map(_polyline, lines), *dots])
    parts.append(Markup('<g class="model">{}</g>').format(series))
    return _svg(left + side + 10, top + side + bars + 34, words, parts, "plot")


def precision_axis(curves: Sequence[PrecisionCoverage]) -> Axis:
    """The axis of precision that curves share."""
    return axis_for(
        [1.0, *(p.precision for c in curves for p in _shown(c.points)), *(c.human_precision for c in curves)]
    )


def _shown(points: Sequence[Point]) -> Sequence[Point]:
    """Those of LEAST_JOINED comparisons or more, where there are any: the precision of a first few is chance."""
    return [p for p in points if p.items >= LEAST_JOINED] or points


def precision_coverage(points: Sequence[Point], bar: float | None, words: str, y_axis: Axis) -> Markup:
    """Precision over coverage; bar: the human baseline's precision, a dashed line. y_axis: of precision."""
    width, height, left, top = 320.0, 220.0, 54.0, 8.0
    parts = _frame(left, top, width, height, Axis(0, 1), y_axis, "coverage", "precision", 0)
    if bar is not None:
        y = top + height - y_axis.place(bar, height)
        parts.append(_line(left, y, left + width, y, "reference"))
        parts.append(_text(left + 4, y - 5 if y > top + 16 else y + 13, "human baseline", "start", "name"))
    path = [
        (left + width * p.coverage, top + height - y_axis.place(p.precision, height))
        for p in _shown(points)
        if p.coverage is not None and p.precision is not None
    ]
    drawn = [_polyline(path), *(_shape("circle", x, y, 4) for x, y in path[-1:])]
    parts.append(Markup('<g class="model">{}</g>').format(Markup("").join(drawn)))
    return _svg(left + width + 10, top + height + 34, words, parts, "plot")


def rate_band(periods: Sequence[PartRate], words: str) -> Markup:
    """The rate of each period with its interval as a band, and a dashed line at the release, where there are two sides. A period without
    an interval breaks line and band."""
    width, foot, left = 560.0, 208.0, 40.0
    y_axis = axis_for([x for one in periods for x in (one.rate.low, one.rate.high)], (0.0, 1.0))
    step = width / max(1, len(periods))
    parts: list[Markup] = []
    for tick in y_axis.ticks():
        at = foot - y_axis.place(tick, foot - 8)
        parts += [_line(left, at, left + width, at, "grid"), _text(left - 5, at + 4, f"{tick:g}", "end")]
    runs: list[list[tuple[float, float, float, float]]] = [[]]
    for k, one in enumerate(periods):
        x = left + step * (k + 0.5)
        if k % max(1, len(periods) // 5) == 0:
            parts.append(_text(x, foot + 14, one.name, "middle"))
        if k and one.side != periods[k - 1].side and one.side != one.name:
            parts.append(_line(x - step / 2, 8, x - step / 2, foot, "reference"))
            parts.append(_text(x - step / 2 + 4, 20, "release", "start", "name"))
        values = [
            foot - y_axis.place(v, foot - 8) for v in (one.rate.value, one.rate.low, one.rate.high) if v is not None
        ]
        if len(values) == 3:
            runs[-1].append((x, values[0], values[1], values[2]))
        else:
            runs.append([])
    return _svg(left + width + 10, foot + 20, words, [*parts, *(_band(run) for run in runs if run)], "plot")


def answer_curve(sizes: Sequence[int], areas: Sequence[Interval], words: str) -> Markup:
    """AUC over the number of answers, which stand at equal distances, with its interval as a band; a dashed line at chance."""
    width, foot, left = 420.0, 208.0, 40.0
    y_axis = axis_for([0.5, *(x for area in areas for x in (area.low, area.high))], (0.0, 1.0))
    parts: list[Markup] = []
    for tick in y_axis.ticks():
        at = foot - y_axis.place(tick, foot - 8)
        parts += [_line(left, at, left + width, at, "grid"), _text(left - 5, at + 4, f"{tick:g}", "end")]
    chance = foot - y_axis.place(0.5, foot - 8)
    parts += [
        _line(left, chance, left + width, chance, "reference"),
        _text(left + 4, chance - 5, "chance", "start", "name"),
    ]
    run = []
    for k, (size, area) in enumerate(zip(sizes, areas, strict=True)):
        x = left + width * (k + 0.5) / len(sizes)
        parts.append(_text(x, foot + 14, f"{size:,}", "middle"))
        heights = [foot - y_axis.place(v, foot - 8) for v in (area.value, area.low, area.high) if v is not None]
        if len(heights) == 3:
            run.append((x, heights[0], heights[1], heights[2]))
    parts.append(_text(left + width / 2, foot + 30, "answers learned from", "middle", "name"))
    return _svg(left + width + 10, foot + 36, words, [*parts, _band(run)], "plot")


def _band(run: Sequence[tuple[float, float, float, float]]) -> Markup:
    """Points x, y, low, high as a line with its band."""
    around = [(x, high) for x, _, _, high in run] + [(x, low) for x, _, low, _ in reversed(run)]
    band = Markup('<polygon class="band" points="{}"/>').format(" ".join(f"{_px(x)},{_px(y)}" for x, y in around))
    dots = [_shape("circle", x, y, 3) for x, y, _, _ in run]
    return Markup('<g class="model">{}</g>').format(Markup("").join([band, _polyline([p[:2] for p in run]), *dots]))


def key(style: str, shape: str) -> Markup:
    """The sign of a mark, for legends."""
    return Markup('<svg class="key" viewBox="0 0 12 12" aria-hidden="true"><g class="{}">{}</g></svg>').format(
        style, _shape(shape, 6, 6, 4.5)
    )


def _frame(
    left: float, top: float, width: float, height: float, x: Axis, y: Axis, x_name: str, y_name: str, below: float
) -> list[Markup]:
    """Grid, tick labels and names of both axes; below: room between the plot and the x axis' labels."""
    foot = top + height + below
    parts = []
    for tick in x.ticks():
        at = left + x.place(tick, width)
        parts.append(_line(at, top, at, top + height, "grid"))
        parts.append(_text(at, foot + 14, f"{tick:g}", "middle"))
    for tick in y.ticks():
        at = top + height - y.place(tick, height)
        parts.append(_line(left, at, left + width, at, "grid"))
        parts.append(_text(left - 5, at + 4, f"{tick:g}", "end"))
    parts.append(_text(left + width / 2, foot + 29, x_name, "middle", "name"))
    middle = _px(top + height / 2)
    parts.append(
        Markup('<text class="name" text-anchor="middle" transform="translate(9 {}) rotate(-90)">{}</text>').format(
            middle, y_name
        )
    )
    return parts


def _px(pixels: float) -> str:
    return f"{pixels:.1f}"


def _svg(width: float, height: float, words: str, parts: Iterable[Markup], style: str) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" style="--w:{}px"><title>{}</title>{}</svg>').format(
        style, f"{width:g}", f"{height:g}", f"{width:g}", words, Markup("").join(parts)
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<path class="{}" d="M{} {}L{} {}"/>').format(style, *(_px(v) for v in (x1, y1, x2, y2)))


def _rect(x: float, y: float, width: float, height: float, style: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        style, *(_px(v) for v in (x, y, width, height))
    )


def _polyline(points: Sequence[tuple[float, float]]) -> Markup:
    if len(points) < 2:
        return Markup("")
    return Markup('<polyline class="line" points="{}"/>').format(" ".join(f"{_px(x)},{_px(y)}" for x, y in points))


def _shape(shape: str, x: float, y: float, r: float, style: str = "dot") -> Markup:
    at, up = _px(x), _px(y)
    if shape == "circle":
        return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(style, at, up, _px(r))
    paths = {
        "diamond": f"M{x:.1f} {y - r * 1.2:.1f}l{r * 1.2:.1f} {r * 1.2:.1f}l{-r * 1.2:.1f} {r * 1.2:.1f}l{-r * 1.2:.1f} {-r * 1.2:.1f}z",
        "square": f"M{x - r * 0.85:.1f} {y - r * 0.85:.1f}h{r * 1.7:.1f}v{r * 1.7:.1f}h{-r * 1.7:.1f}z",
    }
    return Markup('<path class="{}" d="{}"/>').format(style, paths[shape])


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        style, _px(x), _px(y), anchor, text
    )
