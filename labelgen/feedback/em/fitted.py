"""The method `em`: rates learned from the items of a log (fit.py), for each unit in all and in each domain."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.quality import QualityName
from labelgen.feedback.em.fit import Rates, fit
from labelgen.feedback.em.patterns import Pattern, count_patterns, pattern_of
from labelgen.feedback.em.written import prior_of
from labelgen.feedback.items import Item
from labelgen.feedback.posterior import Posterior, judging, posterior, words


@dataclass(frozen=True, slots=True)
class KindRates:
    """How a kind's vote is estimated to do. times: how often it was cast. precision: share of these items that are as it
    says. recall: share of the items that are so, and of which the kind could be observed, where it says so. log_odds:
    ln of the vote's rate of good items over that of bad ones, in nats; below 0 it tells of failure."""

    unit: Unit
    kind: str
    vote: QualityName
    times: int
    precision: float
    recall: float
    log_odds: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A Method. whole: the rates over all domains; domains: those of each domain, by unit. kinds: what the table shows.
    items: how many items of each unit were learned from."""

    whole: Mapping[Unit, Rates]
    domains: Mapping[Unit, Mapping[str, Rates]]
    kinds: tuple[KindRates, ...]
    items: Mapping[Unit, int]

    def __call__(self, item: Item) -> Posterior | None:
        """Silence tells something too, so there is a posterior wherever some kind could be observed. A domain that was
        not learned from has the whole's rates."""
        unit = UNIT_OF[type(item.at)]
        whole = self.whole.get(unit)
        pattern = pattern_of(item)
        if whole is None or not whole.answers(pattern):
            return None
        own = self.domains[unit].get(pattern.domain or "")
        rates = own or whole
        contradicted = sorted({s.kind for s in judging(item.signals)} & set(pattern.unseen))
        origin = [
            f"em{f', rates of {pattern.domain}' if own else ''}: {words(item.signals) or 'silence'}",
            *(f"{kind} contradicts itself" for kind in contradicted),
        ]
        return posterior(rates.posterior(pattern), "; ".join(origin), rates.good)

    def to_plain(self) -> dict[str, Any]:
        """All that was learned, as it stands in a JSON file."""
        return {
            unit: {
                "items": self.items[unit],
                "good": rates.good,
                "states": list(rates.shares),
                "kinds": [asdict(row) for row in self.kinds if row.unit == unit],
                "answers": _plain_answers(rates),
                "domains": {
                    name: {"good": own.good, "answers": _plain_answers(own)}
                    for name, own in sorted(self.domains[unit].items())
                },
            }
            for unit, rates in sorted(self.whole.items())
        }


def learn(items: Iterable[Item], anchored: bool = True) -> Fitted:
    """The method, learned from all items of a log. anchored: people's annotations of items tell their classes; without,
    nothing but feedback is used. A unit of which no signal speaks has no posteriors."""
    whole: dict[Unit, Rates] = {}
    domains: dict[Unit, dict[str, Rates]] = {}
    kinds: list[KindRates] = []
    counted = count_patterns(items, anchored)
    for unit, counts in sorted(counted.items()):
        if not any(pattern.votes for pattern in counts):
            continue
        whole[unit] = fit(counts)
        kinds += _kinds(unit, counts, whole[unit])
        by_domain: dict[str, Counter[Pattern]] = {}
        for pattern, count in counts.items():
            if pattern.domain and whole[unit].answers(pattern):
                by_domain.setdefault(pattern.domain, Counter())[pattern] += count
        domains[unit] = {name: fit(own, whole[unit]) for name, own in sorted(by_domain.items())}
    return Fitted(whole, domains, tuple(kinds), {unit: counts.total() for unit, counts in counted.items()})


def _kinds(unit: Unit, counts: Mapping[Pattern, int], rates: Rates) -> list[KindRates]:
    """Expected over the classes of all items. Half an item is added to every count, so that ratios are finite."""
    found = []
    expected = [
        (pattern, count, rates.posterior(pattern) if pattern.known is None else pattern.known)
        # Sorted, so that sums do not depend on the order of the log to the last bit.
        for pattern, count in sorted(counts.items(), key=repr)
    ]
    for kind, vote in sorted({cast for pattern in counts for cast in pattern.votes}):
        good = bad = said_good = said_bad = 0.5
        times = 0
        for pattern, count, p in expected:
            if kind in pattern.unseen and kind not in rates.recorded:
                continue
            good, bad = good + count * p, bad + count * (1.0 - p)
            if (kind, vote) in pattern.votes:
                times += count
                said_good, said_bad = said_good + count * p, said_bad + count * (1.0 - p)
        right, all_of_it = (said_good, good) if vote == "good" else (said_bad, bad)
        log_odds = math.log(said_good / good) - math.log(said_bad / bad)
        found.append(KindRates(unit, kind, vote, times, right / (said_good + said_bad), right / all_of_it, log_odds))
    return found


def _plain_answers(rates: Rates) -> list[dict[str, Any]]:
    rows = []
    for observed, votes in sorted(rates.rates):
        good, bad = rates.of_class((observed, votes))
        untold = (observed, votes) in rates.written
        odds = prior_of(votes) if untold else math.log(good / bad)
        rows.append({"observed": list(observed), "said": dict(votes), "good": good, "bad": bad, "log_odds": odds})
    return rows
