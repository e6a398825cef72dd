"""The page of signals: explicit and implicit user feedback in a log, as one HTML file without script or network."""

from collections.abc import Sequence
from dataclasses import dataclass

from labelgen.feedback.summary import KindAgreement, Summary, VoteCount
from labelgen.report import plots
from labelgen.report.page import environment, style_sheet

MOST_DOMAINS = 8
OTHER_DOMAINS = "other domains"
OFTEN_TOGETHER = 30
"""Pairs of kinds that speak together of fewer items are folded away."""

_UNITS = ("goal", "turn", "dialogue")


def render_signals(summary: Summary, title: str, command: str) -> str:
    """The page. title: of the log; command: what made it."""
    domains = _domains(summary)
    return (
        environment()
        .get_template("signals.html")
        .render(
            summary=summary,
            title=title,
            command=command,
            turns=sum(summary.turns.values()),
            sentence=sentence(summary),
            domains=domains,
            casts=[_row(cast, domains) for cast in summary.votes],
            often_together=OFTEN_TOGETHER,
            agreements=_by_unit(summary.agreements),
            spreads=sorted(summary.posteriors, key=lambda spread: _UNITS.index(spread.unit)),
            rates={unit: [r for r in summary.rates if r.unit == unit] for unit in _UNITS if unit in summary.good},
            axis=plots.axis_for([0.0, *(rate.log_odds for rate in summary.rates)]),
            style=style_sheet(),
        )
    )


def sentence(summary: Summary) -> str:
    """The page in one sentence: how many items signals are about."""
    if not summary.signals:
        return "There is no signal in this log."
    kinds = len({cast.kind for cast in summary.votes})
    covered = {spread.unit: spread.with_signals / spread.items for spread in summary.posteriors if spread.items}
    shares = [f"{covered[unit]:.1%} of the {unit}s" for unit in ("turn", "goal") if unit in covered]
    of_kinds = "1 kind" if kinds == 1 else f"{kinds} kinds"
    if summary.signals == 1:
        return f"1 signal of {of_kinds} says good or bad of {' and '.join(shares)}."
    return f"{summary.signals:,} signals of {of_kinds} say good or bad of {' and '.join(shares)}."


@dataclass(frozen=True, slots=True)
class Domain:
    """A column of the table of counts, and the turns in it. names: the domains that it joins."""

    name: str
    turns: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DomainRate:
    """count: of one vote in one domain; rate: of the turns there; share: of the greatest rate in its row, 0..1."""

    count: int
    rate: float
    share: float


@dataclass(frozen=True, slots=True)
class CastRow:
    cast: VoteCount
    rate: float
    cells: tuple[DomainRate, ...]


def _domains(summary: Summary) -> list[Domain]:
    """The domains of most turns, the rest as one."""
    ordered = sorted(summary.turns.items(), key=lambda pair: (-pair[1], pair[0]))
    joined = ordered[MOST_DOMAINS:] if len(ordered) > MOST_DOMAINS + 1 else []
    columns = [Domain(name, count, (name,)) for name, count in ordered[: len(ordered) - len(joined)]]
    if joined:
        columns.append(Domain(OTHER_DOMAINS, sum(n for _, n in joined), tuple(name for name, _ in joined)))
    return columns


def _row(cast: VoteCount, domains: Sequence[Domain]) -> CastRow:
    counts = [sum(cast.by_domain.get(name, 0) for name in domain.names) for domain in domains]
    rates = [count / domain.turns for count, domain in zip(counts, domains, strict=True)]
    most = max(rates, default=0.0)
    cells = tuple(
        DomainRate(count, rate, rate / most if most else 0.0) for count, rate in zip(counts, rates, strict=True)
    )
    return CastRow(cast, cast.count / max(sum(domain.turns for domain in domains), 1), cells)


def _by_unit(pairs: Sequence[KindAgreement]) -> dict[str, list[KindAgreement]]:
    units = {pair.unit for pair in pairs}
    return {unit: [pair for pair in pairs if pair.unit == unit] for unit in _UNITS if unit in units}
