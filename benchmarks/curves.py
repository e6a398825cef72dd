"""The picture of a results page: one small plot for each corpus, a metric over the share of labels that are accepted, as SVG."""

from collections.abc import Sequence
from html import escape

from .results import Result

ACCEPTED = "about {:.0%} accepted"
"""Setting of the rows of a curve."""
POINT = "one annotator"
"""System that labels everything, drawn as a point."""
_WIDTH, _HEIGHT, _GAP, _COLUMNS = 150, 110, 34, 4
_LOW, _HIGH = 0.2, 1.0
_STYLES = ("#1b6ca8", "#999999")


def curves(rows: Sequence[Result], metric: str) -> str:
    """The systems' curves with their intervals, and one person, who labels everything, as a point with the interval."""
    chosen = [row for row in rows if row.metric == metric and not row.baseline]
    corpora = list(dict.fromkeys(row.corpus for row in chosen))
    systems = list(dict.fromkeys(row.system for row in chosen if row.system != POINT))
    height = -(-len(corpora) // _COLUMNS) * (_HEIGHT + _GAP) + _GAP
    parts = [_key(systems)]
    for k, corpus in enumerate(corpora):
        left, top = 30 + k % _COLUMNS * (_WIDTH + _GAP), _GAP + k // _COLUMNS * (_HEIGHT + _GAP)
        inside = _plot([row for row in chosen if row.corpus == corpus], systems)
        parts.append(f'<g transform="translate({left},{top})"><text y="-4">{escape(corpus)}</text>{inside}</g>')
    size = f"{30 + _COLUMNS * (_WIDTH + _GAP)} {height}"
    style = 'font-family="sans-serif" font-size="10" fill="#444"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" {style}>\n' + "\n".join(parts) + "\n</svg>\n"


def _key(systems: Sequence[str]) -> str:
    names = [f'<tspan fill="{_STYLES[k]}">{escape(name)}</tspan>' for k, name in enumerate(systems)]
    return f'<text x="30" y="12">{", ".join(names)}; one person as a point; across: share of labels accepted</text>'


def _plot(rows: Sequence[Result], systems: Sequence[str]) -> str:
    parts = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#ccc"/>']
    for value in (0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(f'<text x="-20" y="{_y(value) + 3:.0f}">{value:.1f}</text>')
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{share * _WIDTH - 8:.0f}" y="{_HEIGHT + 12}">{share:.0%}</text>')
    for k, system in enumerate(systems):
        own = {ACCEPTED.format(n / 100): n / 100 * _WIDTH for n in range(101)}
        known = [(own[r.setting], r) for r in rows if r.system == system and r.setting in own and r.value is not None]
        if k == 0:
            edges = [(x, r.low) for x, r in known] + [(x, r.high) for x, r in reversed(known)]
            parts.append(f'<polygon points="{_points(edges)}" fill="{_STYLES[k]}" opacity="0.2"/>')
        parts.append(
            f'<polyline points="{_points([(x, r.value) for x, r in known])}" fill="none" stroke="{_STYLES[k]}"/>'
        )
    for row in rows:
        if row.system == POINT and row.value is not None:
            parts.append(f'<path d="M{_WIDTH} {_y(row.low):.1f}V{_y(row.high):.1f}" stroke="#c33"/>')
            parts.append(f'<circle cx="{_WIDTH}" cy="{_y(row.value):.1f}" r="3" fill="#c33"/>')
            parts.append(f'<path d="M0 {_y(row.value):.1f}H{_WIDTH}" stroke="#c33" stroke-dasharray="2 3"/>')
    return "".join(parts)


def _y(value: float | None) -> float:
    return _HEIGHT * (1 - ((value or 0.0) - _LOW) / (_HIGH - _LOW))


def _points(at: Sequence[tuple[float, float | None]]) -> str:
    return " ".join(f"{x:.1f},{_y(value):.1f}" for x, value in at)
