"""Held-out signals: does `em` or the waterfall predict each family of signals better from the other families?

A log without human labels cannot say how often a method is right. But signals about one item have its quality in common, so
the better method predicts the better what another kind says. For each item and family that could be observed, the posterior
p of good from all other families predicts the vote that is held out:

    P(vote) = p * rate_good + (1 - p) * rate_bad

with rates of that vote that keep its declared sign. The score is the gain in log-likelihood over the plain frequency of the
vote, in nats for each vote. Rates, and the fit of `em`, come from the dialogues of one half of the users and are scored on
those of the other half.

Two kinds that agree for another reason than quality count here too, so this is evidence and no proof. Votes of other users
and of the assistant's confidence are no signals of the user: they are never held out, and the waterfall does not see them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import t

from labelgen.base.files import short_digest
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.split import user_key
from labelgen.feedback.cues import Vote
from labelgen.feedback.em.estimation import Rates
from labelgen.feedback.em.patterns import Array, Pattern, pattern_of, sigmoid
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.posterior import judging, prior_log_odds, waterfall
from labelgen.feedback.signal import CONFIDENCE, OTHERS, reliability

BLOCKS = 10
"""Users fall into so many blocks by a hash, for the interval; the even ones are one half. A dialogue without a user counts as one."""

LEAST_VOTES = 100
"""Fewer held-out votes say nothing."""

_STEPS = 30
_NOT_OF_USERS = (OTHERS, CONFIDENCE)

Row = tuple[Pattern, float, tuple[tuple[str, float], ...]]
"""The pattern; the waterfall's probability of good from all signals; and without those of each family that spoke."""


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """Of one unit. votes: number of held-out ones. em, waterfall: gain over the frequency of the votes, in nats for each
    vote. low, high: 95% interval of the difference, em minus waterfall, by Student's t over blocks of users."""

    unit: Unit
    votes: int
    em: float
    waterfall: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """em minus waterfall."""
        return self.em - self.waterfall

    @property
    def trust(self) -> Literal["em", "waterfall", "either"]:
        """The method whose predictions are better; either where the interval includes zero."""
        if self.low > 0.0:
            return "em"
        return "waterfall" if self.high < 0.0 else "either"

    @property
    def words(self) -> str:
        """The comparison in one phrase, and which method to trust."""
        gain = f"em minus waterfall {self.difference:+.3f} nats per vote ({self.low:+.3f} to {self.high:+.3f})"
        advice = {"em": "trust em", "waterfall": "trust the waterfall", "either": "no certain difference"}
        return f"{gain}: {advice[self.trust]}"


class HeldOutSignals:
    """Signals of a log, collected while its items pass."""

    def __init__(self, anchored: bool) -> None:
        self._anchored = anchored
        self._rows: dict[Unit, list[Counter[Row]]] = {}

    def watch(self, items: Iterable[FeedbackItem]) -> Iterator[FeedbackItem]:
        """The items, unchanged."""
        for item in items:
            blocks = self._rows.setdefault(UNIT_OF[type(item.at)], [Counter() for _ in range(BLOCKS)])
            blocks[short_digest(user_key(item.dialogue)) % BLOCKS][self._row(item)] += 1
            yield item

    def _row(self, item: FeedbackItem) -> Row:
        signals = [s for s in judging(item.signals) if s.kind not in _NOT_OF_USERS]
        family_of = {s.kind: reliability(s.kind).family for s in signals}

        def good(family: str | None) -> float:
            posterior = waterfall(replace(item, signals=tuple(s for s in signals if family_of[s.kind] != family)))
            return 0.5 if posterior is None else posterior.good

        without = tuple((family, good(family)) for family in sorted(set(family_of.values())))
        return pattern_of(item, self._anchored), good(None), without

    def compare(self, fit: Callable[[Mapping[Pattern, int]], Rates]) -> tuple[MethodComparison, ...]:
        """For each unit with enough votes. fit: rates from patterns with their counts."""
        comparisons = (_compare(unit, blocks, fit) for unit, blocks in sorted(self._rows.items()))
        return tuple(comparison for comparison in comparisons if comparison is not None)


def _compare(
    unit: Unit, blocks: Sequence[Counter[Row]], fit: Callable[[Mapping[Pattern, int]], Rates]
) -> MethodComparison | None:
    members: dict[str, set[str]] = {}
    votes: set[tuple[str, Vote]] = set()
    for kind, vote in {cast for block in blocks for pattern, *_ in block for cast in pattern.votes}:
        if kind not in _NOT_OF_USERS:
            family = reliability(kind).family
            members.setdefault(family, set()).add(kind)
            votes.add((family, vote))
    if len(members) < 2:
        return None
    rates = []
    for half in (0, 1):
        counts: Counter[Pattern] = Counter()
        for block in blocks[1 - half :: 2]:
            for (pattern, *_), count in block.items():
                counts[pattern] += count
        if not any(pattern.votes for pattern in counts):
            return None
        rates.append(fit(counts))
    gains, times = np.zeros((BLOCKS, 2)), np.zeros(BLOCKS)
    for family, kinds in sorted(members.items()):
        rows = _held_out(blocks, rates, family, frozenset(kinds))
        for vote in ("good", "bad"):
            if (family, vote) in votes and len(rows):
                gains += _gains(rows, vote)
                times += np.bincount(rows[:, 0].astype(int), rows[:, 1] * (rows[:, 2] == _SIGN[vote]), BLOCKS)
    if times.sum() < LEAST_VOTES or (times == 0.0).any():
        return None
    em, plain = (float(x) for x in gains.sum(axis=0) / times.sum())
    differences = (gains[:, 0] - gains[:, 1]) / times
    half_width = float(t.ppf(0.975, BLOCKS - 1) * differences.std(ddof=1) / math.sqrt(BLOCKS))
    middle = em - plain
    return MethodComparison(unit, int(times.sum()), em, plain, middle - half_width, middle + half_width)


_SIGN: Mapping[Vote, float] = {"good": 1.0, "bad": -1.0}


def _held_out(blocks: Sequence[Counter[Row]], rates: Sequence[Rates], family: str, kinds: frozenset[str]) -> Array:
    """For each row where the family could be observed: block, count, the sign of its votes, and the probability of good
    from the other families by em and by the waterfall, [R, 5]."""
    rows = []
    seen: list[dict[Pattern, float]] = [{}, {}]
    for b, block in enumerate(blocks):
        # Sorted, so that sums do not depend on the order of the log to the last bit.
        for (pattern, whole, without), count in sorted(block.items(), key=repr):
            if kinds <= set(pattern.unseen):
                continue
            strengths = pattern.strengths or (1.0,) * len(pattern.votes)
            cast = list(zip(pattern.votes, strengths, strict=True))
            nats = sum(prior_log_odds(kind, vote, s) for (kind, vote), s in cast if kind in kinds)
            others = [(vote, s) for vote, s in cast if vote[0] not in kinds]
            masked = Pattern(
                pattern.domain,
                tuple(vote for vote, _ in others),
                tuple(sorted({*pattern.unseen, *kinds})),
                strengths=tuple(s for _, s in others),
            )
            # Blocks of a half are scored by the rates of the other half.
            known = seen[b % 2]
            if masked not in known:
                known[masked] = rates[b % 2].log_odds(masked)
            rows.append((b, count, np.sign(nats), float(sigmoid(known[masked])), dict(without).get(family, whole)))
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _gains(rows: Array, vote: Vote) -> Array:
    """Gain in log-likelihood over the frequency of a vote, by block and method, [BLOCKS, 2]."""
    block, count = rows[:, 0].astype(int), rows[:, 1]
    cast = (rows[:, 2] == _SIGN[vote]).astype(np.float64)
    gains = np.zeros((BLOCKS, 2))
    for half in (0, 1):
        train, test = block % 2 != half, block % 2 == half
        if not train.any() or not test.any():
            continue
        # Half an item of each answer, so that no frequency is zero.
        base = (count[train] @ cast[train] + 0.5) / (count[train].sum() + 1.0)
        for k in (0, 1):
            rates = _rates(rows[train, 3 + k], cast[train], count[train], float(base), vote)
            p = rows[test, 3 + k] * rates[0] + (1.0 - rows[test, 3 + k]) * rates[1]
            nats = np.where(cast[test] > 0.0, np.log(p / base), np.log((1.0 - p) / (1.0 - base)))
            gains[:, k] += np.bincount(block[test], count[test] * nats, BLOCKS)
    return gains


def _rates(good: Array, cast: Array, count: Array, base: float, vote: Vote) -> tuple[float, float]:
    """Frequencies of the vote among good and among bad items that are most likely, by EM; equal to its frequency `base`
    where they would have the wrong sign."""
    rate = np.array([base, base]) * (np.array([1.5, 0.5]) if vote == "good" else np.array([0.5, 1.5]))
    rate = np.minimum(rate, 0.5 + base / 2.0)
    classes = np.stack([good, 1.0 - good])
    for _ in range(_STEPS):
        likely = np.where(cast > 0.0, rate[:, None], 1.0 - rate[:, None]) * classes
        share = count * likely / likely.sum(axis=0)
        rate = ((share * cast).sum(axis=1) + base) / (share.sum(axis=1) + 1.0)
    if (rate[0] < rate[1]) == (vote == "good"):
        return base, base
    return float(rate[0]), float(rate[1])
