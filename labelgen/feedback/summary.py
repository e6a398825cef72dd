"""What the signals of a log come to: how many of each kind, how far kinds agree, what is believed of them, and how sure
the posteriors are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.quality import QualityName
from labelgen.feedback.em.fitted import Fitted, KindRates
from labelgen.feedback.em.patterns import Counts, Pattern, pattern_of
from labelgen.feedback.goals import domain_of
from labelgen.feedback.items import Item, items_of
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.wording import Vote

BINS = 20
NO_DOMAIN = "no domain"


@dataclass(frozen=True, slots=True)
class Cast:
    """One vote of one kind. by_domain: how often it was cast in each domain, that of the first turn it speaks of."""

    kind: str
    explicit: bool
    vote: QualityName
    count: int
    by_domain: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two kinds, on the items of one unit. both: of how many both speak. same: the share of these where they vote the
    same; None where neither kind ever votes but one way, and the same way, so that they could not differ. lift: how many
    times as often they speak together as kinds would that speak independently of each other, among the items of which
    both could have spoken."""

    unit: Unit
    one: str
    other: str
    both: int
    same: float | None
    lift: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The waterfall's posteriors of one unit. items: all there are. bins [BINS]: how many of those that some signal
    speaks of went well with a probability in [k, k + 1) / BINS, the last bin closed."""

    unit: Unit
    items: int
    bins: tuple[int, ...]

    @property
    def told(self) -> int:
        return sum(self.bins)


@dataclass(frozen=True, slots=True)
class Summary:
    """turns: in each domain. casts by kind, agreements and spreads by unit. rates: as EM estimates them; good: the share
    of the items of a unit that it takes to be good."""

    dialogues: int
    turns: Mapping[str, int]
    casts: tuple[Cast, ...]
    agreements: tuple[Agreement, ...]
    spreads: tuple[Spread, ...]
    rates: tuple[KindRates, ...]
    good: Mapping[Unit, float]

    @property
    def signals(self) -> int:
        return sum(cast.count for cast in self.casts)


class SignalCounts:
    """Counts while items pass, so that a log is read once: `counts.summary(learn(counts.watch(dialogues)))`."""

    def __init__(self) -> None:
        self._dialogues = 0
        self._turns: Counter[str] = Counter()
        self._casts: dict[tuple[str, bool, QualityName], Counter[str]] = {}
        self._patterns: Counts = {}
        self._bins: dict[Unit, list[int]] = {}

    def watch(self, dialogues: Iterable[Dialogue], annotator: str | None = None) -> Iterator[Item]:
        """Everything that is judged in them. annotator: whose goals, where a dialogue has them."""
        for dialogue in dialogues:
            self._dialogues += 1
            domains = [domain_of(turn) or NO_DOMAIN for turn in dialogue.turns]
            self._turns.update(domains)
            for signal in dialogue.signals:
                domain = domains[signal.turns[0]] if signal.turns else NO_DOMAIN
                self._casts.setdefault((signal.kind, signal.explicit, signal.vote), Counter())[domain] += 1
            for item in items_of(dialogue, dialogue.signals, annotator):
                self._count(item)
                yield item

    def _count(self, item: Item) -> None:
        unit = UNIT_OF[type(item.at)]
        self._patterns.setdefault(unit, Counter())[pattern_of(item)] += 1
        bins = self._bins.setdefault(unit, [0] * BINS)
        posterior = waterfall(item)
        if posterior is not None:
            bins[min(int(posterior.good * BINS), BINS - 1)] += 1

    def summary(self, fitted: Fitted) -> Summary:
        """What was counted, and what was learned of the same items."""
        casts = (Cast(*key, found.total(), dict(found)) for key, found in sorted(self._casts.items()))
        units = sorted(self._patterns)
        return Summary(
            self._dialogues,
            dict(self._turns),
            tuple(casts),
            tuple(pair for unit in units for pair in agreements(unit, self._patterns[unit])),
            tuple(Spread(unit, self._patterns[unit].total(), tuple(self._bins[unit])) for unit in units),
            fitted.kinds,
            {unit: rates.good for unit, rates in fitted.whole.items()},
        )


def agreements(unit: Unit, patterns: Mapping[Pattern, int]) -> list[Agreement]:
    """Every two kinds that speak of some item together, those that do so most often first."""
    votes: dict[str, set[Vote]] = {}
    for pattern in patterns:
        for kind, vote in pattern.votes:
            votes.setdefault(kind, set()).add(vote)
    found = []
    for one, other in combinations(sorted(votes), 2):
        seen = of_one = of_other = both = same = 0
        for pattern, count in patterns.items():
            if one in pattern.unseen or other in pattern.unseen:
                continue
            said = dict(pattern.votes)
            seen += count
            of_one += count * (one in said)
            of_other += count * (other in said)
            if one in said and other in said:
                both += count
                same += count * (said[one] == said[other])
        if both:
            could_differ = len(votes[one] | votes[other]) > 1
            lift = both * seen / (of_one * of_other)
            found.append(Agreement(unit, one, other, both, same / both if could_differ else None, lift))
    return sorted(found, key=lambda pair: (-pair.both, pair.one, pair.other))
