"""Summary of the signals of a log: counts by kind, agreement between kinds, their estimated rates, and the posteriors."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, QualityName, Unit
from labelgen.feedback.cues import Vote
from labelgen.feedback.em.heldout import MethodComparison
from labelgen.feedback.em.method import EmMethod, KindRates
from labelgen.feedback.em.patterns import Counts, Pattern, pattern_of
from labelgen.feedback.items import FeedbackItem, domain_of, items_of
from labelgen.feedback.posterior import waterfall

BINS = 20
NO_DOMAIN = "no domain"


@dataclass(frozen=True, slots=True)
class VoteCount:
    """How often a kind cast a vote. by_domain: the same by domain, that of the first turn it is about."""

    kind: str
    explicit: bool
    vote: QualityName
    count: int
    by_domain: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KindAgreement:
    """Two kinds, on the items of one unit. both: number of items where both vote. same: the share of these with equal votes;
    None where neither kind ever votes but one way, and the same way. lift: both votes occur together this many times as
    often as if they were independent, among the items where both could be observed."""

    unit: Unit
    one: str
    other: str
    both: int
    same: float | None
    lift: float


@dataclass(frozen=True, slots=True)
class PosteriorHistogram:
    """The waterfall's posteriors of one unit. items: number of all. bins [BINS]: number of items with signals and a
    posterior in [k, k + 1) / BINS, the last bin closed."""

    unit: Unit
    items: int
    bins: tuple[int, ...]

    @property
    def with_signals(self) -> int:
        return sum(self.bins)


@dataclass(frozen=True, slots=True)
class Summary:
    """turns: number in each domain. votes by kind, agreements and posteriors by unit. rates: estimates by EM; good: its
    share of good items, by unit. comparisons: of EM with the waterfall on held-out signals."""

    dialogues: int
    turns: Mapping[str, int]
    votes: tuple[VoteCount, ...]
    agreements: tuple[KindAgreement, ...]
    posteriors: tuple[PosteriorHistogram, ...]
    rates: tuple[KindRates, ...]
    good: Mapping[Unit, float]
    comparisons: tuple[MethodComparison, ...] = ()

    @property
    def signals(self) -> int:
        return sum(row.count for row in self.votes)


class SignalCounts:
    """Counts while items pass, so that a log is read once: `counts.summary(learn(counts.watch(dialogues)))`."""

    def __init__(self) -> None:
        self._dialogues = 0
        self._turns: Counter[str] = Counter()
        self._votes: dict[tuple[str, bool, QualityName], Counter[str]] = {}
        self._patterns: Counts = {}
        self._bins: dict[Unit, list[int]] = {}

    def watch(self, dialogues: Iterable[Dialogue], annotator: str | None = None) -> Iterator[FeedbackItem]:
        """All items of the dialogues. annotator: whose goals, where a dialogue has them."""
        for dialogue in dialogues:
            self._dialogues += 1
            domains = [domain_of(turn) or NO_DOMAIN for turn in dialogue.turns]
            self._turns.update(domains)
            for signal in dialogue.signals:
                domain = domains[signal.turns[0]] if signal.turns else NO_DOMAIN
                self._votes.setdefault((signal.kind, signal.explicit, signal.vote), Counter())[domain] += 1
            for item in items_of(dialogue, dialogue.signals, annotator):
                self._count(item)
                yield item

    def _count(self, item: FeedbackItem) -> None:
        unit = UNIT_OF[type(item.at)]
        self._patterns.setdefault(unit, Counter())[pattern_of(item)] += 1
        bins = self._bins.setdefault(unit, [0] * BINS)
        posterior = waterfall(item)
        if posterior is not None:
            bins[min(int(posterior.good * BINS), BINS - 1)] += 1

    def summary(self, fitted: EmMethod) -> Summary:
        """The counts, and the rates learned from the same items."""
        votes = (VoteCount(*key, counts.total(), dict(counts)) for key, counts in sorted(self._votes.items()))
        units = sorted(self._patterns)
        return Summary(
            self._dialogues,
            dict(self._turns),
            tuple(votes),
            tuple(pair for unit in units for pair in agreements(unit, self._patterns[unit])),
            tuple(PosteriorHistogram(unit, self._patterns[unit].total(), tuple(self._bins[unit])) for unit in units),
            fitted.kinds,
            {unit: rates.good for unit, rates in fitted.whole.items()},
            fitted.comparisons,
        )


def agreements(unit: Unit, patterns: Mapping[Pattern, int]) -> list[KindAgreement]:
    """Every two kinds that vote on some item together, the most frequent pairs first."""
    votes: dict[str, set[Vote]] = {}
    for pattern in patterns:
        for kind, vote in pattern.votes:
            votes.setdefault(kind, set()).add(vote)
    pairs = []
    for one, other in combinations(sorted(votes), 2):
        seen = of_one = of_other = both = same = 0
        for pattern, count in patterns.items():
            if one in pattern.unseen or other in pattern.unseen:
                continue
            cast = dict(pattern.votes)
            seen += count
            of_one += count * (one in cast)
            of_other += count * (other in cast)
            if one in cast and other in cast:
                both += count
                same += count * (cast[one] == cast[other])
        if both:
            could_differ = len(votes[one] | votes[other]) > 1
            lift = both * seen / (of_one * of_other)
            pairs.append(KindAgreement(unit, one, other, both, same / both if could_differ else None, lift))
    return sorted(pairs, key=lambda pair: (-pair.both, pair.one, pair.other))
