"""Held-out signals tell a method that knows the quality of items from one that does not."""

import dataclasses
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import pytest
from heard import talk
from msgspec.structs import replace

from labelgen.data.dialogue import Signal
from labelgen.data.labels import AtTurn
from labelgen.feedback.cues import Vote
from labelgen.feedback.em.estimation import Rates, fit
from labelgen.feedback.em.heldout import BLOCKS, HeldOutSignals, MethodComparison, _rates
from labelgen.feedback.em.method import learn
from labelgen.feedback.em.patterns import Pattern
from labelgen.feedback.items import FeedbackItem

ACCURACY = {"rating": 0.95, "one of its own": 0.55, "second": 0.55, "third": 0.9}


def log(items: int, seed: int = 0, shared: float = 1.0) -> list[FeedbackItem]:
    """Items of one turn with signals of four kinds; all but the first declare nothing. shared: how often a kind speaks of
    the quality of the item, and not of something else."""
    rng = Random(seed)
    made = []
    for k in range(items):
        truth = rng.random() < 0.7
        signals = []
        for kind, right in ACCURACY.items():
            quality = truth if rng.random() < shared else rng.random() < 0.7
            if rng.random() < 0.4:
                vote: Vote = "good" if quality == (rng.random() < right) else "bad"
                signals.append(Signal(kind=kind, turns=(0,), vote=vote))
        made.append(FeedbackItem(talk("a", "b", "c", "d", id=f"d{k}"), AtTurn(0), tuple(signals)))
    return made


def compared(items: list[FeedbackItem], fit: Callable[..., Rates] = fit) -> MethodComparison | None:
    held = HeldOutSignals(anchored=False)
    assert list(held.watch(items)) == items
    return next(iter(held.compare(fit)), None)


@pytest.fixture(scope="module")
def items() -> list[FeedbackItem]:
    return log(4000)


def test_em_is_trusted_where_kinds_differ_more_than_declared(items: list[FeedbackItem]) -> None:
    found = compared(items)
    assert found is not None
    assert found.trust == "em"
    assert "trust em" in found.words
    assert found.low <= found.difference <= found.high
    assert found.votes == pytest.approx(sum(len(i.signals) for i in items), rel=0.05)


def test_fit_that_is_turned_around_is_not_trusted(items: list[FeedbackItem]) -> None:
    """An injected fault: rates of good and bad items in each other's place predict no vote with its sign."""

    def wrong(counts: dict[Pattern, int]) -> Rates:
        rates = fit(counts)
        turned = {a: (bad, good) for a, (good, bad) in rates.rates.items()}
        return _Unsigned(rates.families, rates.recorded, rates.good, turned)

    found = compared(items, wrong)
    assert found is not None
    assert found.trust == "waterfall"


class _Unsigned(Rates):
    """Rates whose evidence may have the wrong sign."""

    def evidence(self, answer) -> float:
        good, bad = self.rates.get(answer, (1.0, 1.0))
        return float(np.log(good / bad))


def test_signals_without_anything_in_common_favor_neither() -> None:
    found = compared(log(4000, 1, shared=0.0))
    assert found is not None
    assert found.em == pytest.approx(0.0, abs=0.01)
    assert found.trust == "either"


def test_few_votes_are_not_compared() -> None:
    assert compared(log(30)) is None
    assert learn(log(30), compare=True).comparisons == ()


def test_comparison_does_not_depend_on_the_order_of_the_log(items: list[FeedbackItem]) -> None:
    some = items[:1500]
    assert compared(some) == compared(some[::-1])


def test_dialogues_of_one_user_are_on_one_side(items: list[FeedbackItem]) -> None:
    """Every block needs votes, and one user's dialogues fall into one block."""
    of_one = [dataclasses.replace(i, dialogue=replace(i.dialogue, user="u")) for i in items[:1500]]
    assert compared(items[:1500]) is not None
    assert compared(of_one) is None


def test_votes_of_other_users_are_never_held_out(items: list[FeedbackItem]) -> None:
    some = items[:1500]
    pooled = [
        dataclasses.replace(i, signals=(*i.signals, Signal(kind="others", turns=(0,), vote="good"))) for i in some
    ]
    plain, with_others = compared(some), compared(pooled)
    assert plain is not None
    assert with_others is not None
    assert with_others.votes == plain.votes
    assert with_others.waterfall == pytest.approx(plain.waterfall, abs=1e-9)


def grid(count: int) -> Iterator[tuple[float, float]]:
    values = np.linspace(0.01, 0.6, count)
    return ((float(a), float(b)) for a in values for b in values if a <= b)


def test_rates_of_a_vote_are_the_most_likely_with_its_sign() -> None:
    rng = np.random.default_rng(2)
    good = rng.random(400)
    cast = (rng.random(400) < np.where(rng.random(400) < good, 0.1, 0.4)).astype(float)
    count = np.ones(400)

    def nats(rates: tuple[float, float]) -> float:
        p = good * rates[0] + (1.0 - good) * rates[1]
        return float(np.log(np.where(cast > 0.0, p, 1.0 - p)).sum())

    base = float(cast.mean())
    found = _rates(good, cast, count, base, "bad")
    assert nats(found) >= max(map(nats, grid(40))) - 0.5
    assert _rates(good, 1.0 - cast, count, 1.0 - base, "bad") == (1.0 - base, 1.0 - base)
    assert BLOCKS % 2 == 0
