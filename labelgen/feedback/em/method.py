"""The method `em`: rates learned from the items of a log, for each unit in all and in each domain.

`learn_pooled` adds two kinds of votes to each turn. How reliable they are is learned as for any kind.

`others`: the feedback of other users on the same request with the same response. Most users stay silent, but many ask for the
same. The mean posterior of their turns, by a fit without this kind, votes good or bad. A user counts once, with the mean
over all such turns, and never for own turns. This needs to know who is another user: dialogues without a user give and get
no such vote, and nobody does where most users come once, since names that never repeat may be those of sessions.

`confidence`: the assistant's confidence in what it understood, by its rank in the log. It is no feedback, but it shows where
silence hides a failure: users who are not understood and let it pass leave no other trace. A confidence of .6 means
different things in different assistants, so ranks are used: the lowest tenth votes bad, the upper half good."""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgen.base.files import short_digest
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import UNIT_OF, AtTurn, QualityName, Unit
from labelgen.feedback.em.estimation import Rates, fit
from labelgen.feedback.em.heldout import HeldOutSignals, MethodComparison
from labelgen.feedback.em.patterns import Pattern, count_patterns, pattern_of
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.posterior import Method, Posterior, judging, posterior, words
from labelgen.feedback.signal import CONFIDENCE, OTHERS


@dataclass(frozen=True, slots=True)
class KindRates:
    """Estimates for the votes of one kind.

    times: number of votes. precision: share of these items that are as the vote says. recall: share of the items that are
    so, and of which the kind could be observed, where it votes so. log_odds: ln of the vote's rate among good items over
    that among bad ones, in nats; below 0 it is evidence of failure."""

    unit: Unit
    kind: str
    vote: QualityName
    times: int
    precision: float
    recall: float
    log_odds: float


@dataclass(frozen=True, slots=True)
class EmMethod:
    """A Method with learned rates. whole: over all domains. domains: of each domain, by unit. kinds: estimates for readers.
    items: number of items of each unit. comparisons: with the waterfall on held-out signals, of units with enough votes."""

    whole: Mapping[Unit, Rates]
    domains: Mapping[Unit, Mapping[str, Rates]]
    kinds: tuple[KindRates, ...]
    items: Mapping[Unit, int]
    comparisons: tuple[MethodComparison, ...] = ()

    def __call__(self, item: FeedbackItem) -> Posterior | None:
        """The posterior of an item wherever some kind could be observed, since silence is evidence too. An unknown domain
        has the rates of the whole log."""
        unit = UNIT_OF[type(item.at)]
        whole = self.whole.get(unit)
        pattern = pattern_of(item)
        if whole is None or not whole.answers(pattern):
            return None
        of_domain = self.domains[unit].get(pattern.domain or "")
        rates = of_domain or whole
        contradicting = sorted({s.kind for s in judging(item.signals)} & set(pattern.unseen))
        origin = [
            f"em{f', rates of {pattern.domain}' if of_domain else ''}: {words(item.signals) or 'silence'}",
            *(f"{kind} contradicts itself" for kind in contradicting),
        ]
        return posterior(rates.posterior(pattern), "; ".join(origin), rates.good)

    def to_plain(self) -> dict[str, Any]:
        """All that was learned, as a JSON object."""
        return {
            unit: {
                "items": self.items[unit],
                "good": rates.good,
                "kinds": [asdict(row) for row in self.kinds if row.unit == unit],
                "held_out": next((asdict(c) | {"trust": c.trust} for c in self.comparisons if c.unit == unit), None),
                "answers": _plain_answers(rates),
                "domains": {name: {"good": of_domain.good} for name, of_domain in sorted(self.domains[unit].items())},
            }
            for unit, rates in sorted(self.whole.items())
        }


def learn(items: Iterable[FeedbackItem], anchored: bool = True, compare: bool = False) -> EmMethod:
    """Learn from all items of a log. anchored: use people's labels of items as their classes; else feedback alone. compare:
    with the waterfall on held-out signals (heldout.py). A unit without signals gets no posteriors."""
    whole: dict[Unit, Rates] = {}
    domains: dict[Unit, dict[str, Rates]] = {}
    kinds: list[KindRates] = []
    held_out = HeldOutSignals(anchored)
    by_unit = count_patterns(held_out.watch(items) if compare else items, anchored)
    for unit, counts in sorted(by_unit.items()):
        if not any(pattern.votes for pattern in counts):
            continue
        whole[unit] = fit(counts)
        kinds += _kinds(unit, counts, whole[unit])
        by_domain: dict[str, Counter[Pattern]] = {}
        for pattern, count in counts.items():
            if pattern.domain and whole[unit].answers(pattern):
                by_domain.setdefault(pattern.domain, Counter())[pattern] += count
        domains[unit] = {name: fit(part, whole[unit]) for name, part in sorted(by_domain.items())}
    sizes = {unit: counts.total() for unit, counts in by_unit.items()}
    return EmMethod(whole, domains, tuple(kinds), sizes, held_out.compare(fit))


def _kinds(unit: Unit, counts: Mapping[Pattern, int], rates: Rates) -> list[KindRates]:
    """Expectations over the classes of all items. Half an item is added to every count, so that ratios are finite."""
    rows = []
    expected = [
        (pattern, count, rates.posterior(pattern) if pattern.known is None else pattern.known)
        # Sorted, so that sums do not depend on the order of the log to the last bit.
        for pattern, count in sorted(counts.items(), key=repr)
    ]
    for kind, vote in sorted({cast for pattern in counts for cast in pattern.votes}):
        good = bad = vote_good = vote_bad = 0.5
        times = 0
        for pattern, count, p in expected:
            if kind in pattern.unseen and kind not in rates.recorded:
                continue
            good, bad = good + count * p, bad + count * (1.0 - p)
            if (kind, vote) in pattern.votes:
                times += count
                vote_good, vote_bad = vote_good + count * p, vote_bad + count * (1.0 - p)
        right, relevant = (vote_good, good) if vote == "good" else (vote_bad, bad)
        log_odds = math.log(vote_good / good) - math.log(vote_bad / bad)
        rows.append(KindRates(unit, kind, vote, times, right / (vote_good + vote_bad), right / relevant, log_odds))
    return rows


def _plain_answers(rates: Rates) -> list[dict[str, Any]]:
    return [
        {
            "observed": list(answer[0]),
            "votes": dict(answer[1]),
            "strengths": list(answer[2]),
            "good": good,
            "bad": bad,
            "log_odds": rates.evidence(answer),
        }
        for answer, (good, bad) in sorted(rates.rates.items())
    ]


# Votes from the log as a whole.

Learn = Callable[[Iterable[FeedbackItem]], EmMethod]


def learn_pooled(items: Callable[[], Iterable[FeedbackItem]], learn: Learn) -> tuple[EmMethod, Method]:
    """Learn with `others` and `confidence` among the kinds; also returns the method that adds these votes to an item.

    Goes over the items four times: for the confidences, to learn without the others, to pool, and to learn with them."""
    confidence = ConfidenceRanks(items())

    def with_confidence() -> Iterator[FeedbackItem]:
        return map(confidence.add_vote, items())

    others = OtherUsers(with_confidence(), learn(with_confidence()))
    fitted = learn(map(others.add_vote, with_confidence()))
    return fitted, lambda item: fitted(others.add_vote(confidence.add_vote(item)))


def _with_vote(item: FeedbackItem, kind: str, good: bool) -> FeedbackItem:
    vote = Signal(kind=kind, turns=item.turns, vote="good" if good else "bad")
    return replace(item, signals=(*item.signals, vote))


LEAST_USERS = 2
"""Fewer others do not vote: one user is little evidence, and could be recognized."""

REPEATING = 0.5
"""At least this share of the dialogues that name a user must be of users with several dialogues."""

_ROUNDING = 1e-9
"""Rounding must not decide a tie."""


class OtherUsers:
    """Posteriors of the turns of a log, by request and response, and by user.

    Takes 32 bytes a turn. The order of the items does not matter."""

    def __init__(self, items: Iterable[FeedbackItem], method: Method) -> None:
        keys, users, goods, dialogues = array("Q"), array("Q"), array("d"), array("Q")
        for item in items:
            user = item.dialogue.user
            result = method(item) if user and isinstance(item.at, AtTurn) else None
            if result is not None and user and isinstance(item.at, AtTurn):
                keys.append(_exchange_key(item.dialogue, item.at.turn))
                users.append(short_digest(user))
                goods.append(result.good)
                dialogues.append(short_digest(item.dialogue.id))
        # All [P], a row for each request, response and user.
        some = slice(None) if _users_repeat(users, dialogues) else slice(0)
        self._keys: NDArray[np.uint64] = np.array(keys, dtype=np.uint64)[some]
        self._users: NDArray[np.uint64] = np.array(users, dtype=np.uint64)[some]
        self._means: NDArray[np.float64] = np.array(goods, dtype=np.float64)[some]
        self._share = float(np.sort(self._means).mean()) if len(self._means) else 0.5
        self._average_by_user()

    def _average_by_user(self) -> None:
        order = np.lexsort((self._means, self._users, self._keys))
        keys, users, goods = self._keys[order], self._users[order], self._means[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (keys[1:] != keys[:-1]) | (users[1:] != users[:-1])
        first = np.flatnonzero(new)
        self._keys, self._users = keys[first], users[first]
        sizes = np.diff(np.append(first, len(order)))
        self._means = np.add.reduceat(goods, first) / sizes if len(first) else goods

    def vote(self, dialogue: Dialogue, turn: int) -> bool | None:
        """Whether the others' turns with this request and response went at least as well as the average turn of the log;
        None where too few others have it, and where nobody knows who the user is."""
        if not dialogue.user:
            return None
        key = np.uint64(_exchange_key(dialogue, turn))
        start, end = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        others = self._means[start:end][self._users[start:end] != np.uint64(short_digest(dialogue.user))]
        return bool(others.mean() >= self._share - _ROUNDING) if len(others) >= LEAST_USERS else None

    def add_vote(self, item: FeedbackItem) -> FeedbackItem:
        """A turn with the vote of the others among its signals; goals and dialogues do not change."""
        good = self.vote(item.dialogue, item.at.turn) if isinstance(item.at, AtTurn) else None
        return item if good is None else _with_vote(item, OTHERS, good)


def _exchange_key(dialogue: Dialogue, turn: int) -> int:
    """Equal for equal request and response, but for case and blanks."""
    texts = (dialogue.turns[turn].request, dialogue.turns[turn].response)
    return short_digest("\n".join(" ".join((text or "").casefold().split()) for text in texts))


def _users_repeat(users: Sequence[int], dialogues: Sequence[int]) -> bool:
    """Whether most dialogues are of users with several."""
    of_dialogue = dict(zip(dialogues, users, strict=True))
    times = Counter(of_dialogue.values())
    return sum(n for n in times.values() if n > 1) >= REPEATING * len(of_dialogue) > 0


LOW, HIGH = 0.1, 0.5
"""Quantiles of the log: a confidence below the first votes bad, one at the second or above good."""


class ConfidenceRanks:
    """Quantiles of the assistant's confidence in a log. Takes 8 bytes a turn; the order of the items does not matter."""

    def __init__(self, items: Iterable[FeedbackItem]) -> None:
        values = array("d", (c for item in items if (c := _confidence(item)) is not None))
        low, high = np.quantile(values, (LOW, HIGH)) if values else (0.0, 0.0)
        self._low, self._high = float(low), float(high)

    def add_vote(self, item: FeedbackItem) -> FeedbackItem:
        """A turn with this vote among its signals. No vote without a confidence, between the quantiles, where all of the log
        are alike, and for goals and dialogues."""
        confidence = _confidence(item)
        if confidence is None or self._low == self._high or self._low <= confidence < self._high:
            return item
        return _with_vote(item, CONFIDENCE, confidence >= self._low)


def _confidence(item: FeedbackItem) -> float | None:
    return confidence_of(item.dialogue.turns[item.at.turn]) if isinstance(item.at, AtTurn) else None


def confidence_of(turn: Turn) -> float | None:
    """The turn's NLU confidence, else that of the most likely intent of its hypothesis."""
    if turn.nlu_confidence is not None:
        return turn.nlu_confidence
    known = [intent.confidence for intent in turn.hypothesis.intents] if turn.hypothesis else []
    return max((c for c in known if c is not None), default=None)
