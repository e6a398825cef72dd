"""EM keeps the sign of every vote, and what a log cannot teach at what detectors declare."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from labelgen.feedback.em.estimation import DIRECTIONS, GOOD_SHARE, LOG_ITEMS, SignedModel, fit, prior_of
from labelgen.feedback.em.patterns import Pattern, families_of, recorded_kinds, table_of
from labelgen.feedback.signal import reliability

KINDS = ("gratitude", "correction", "repetition", "stop", "rating", "undeclared")


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    votes, strengths = [], []
    for kind in sorted(KINDS):
        vote = draw(st.sampled_from((None, *sorted(reliability(kind).precision))))
        if vote is not None:
            votes.append((kind, vote))
            strengths.append(draw(st.sampled_from((0.25, 0.5, 1.0))))
    unseen = tuple(k for k in sorted(KINDS) if k not in dict(votes) and draw(st.booleans()))
    known = draw(st.sampled_from((None, None, 0.0, 0.5, 1.0)))
    return Pattern(None, tuple(votes), unseen, known, tuple(strengths))


LOGS = st.lists(st.tuples(patterns(), st.integers(1, 300)), min_size=1, max_size=8)


@settings(max_examples=40)
@given(LOGS)
def test_no_vote_counts_against_its_sign_in_any_log(rows: list[tuple[Pattern, int]]) -> None:
    counts: Counter[Pattern] = Counter()
    for pattern, times in rows:
        counts[pattern] += times
    if not any(p.votes for p in counts):
        return
    rates = fit(counts)
    for answer in rates.rates:
        votes = {vote for _, vote in answer[1]}
        nats = rates.evidence(answer)
        assert math.isfinite(nats)
        assert votes != {"good"} or nats >= 0.0
        assert votes != {"bad"} or nats <= 0.0
    for pattern in counts:
        assert 0.0 < rates.posterior(pattern) < 1.0


@pytest.mark.parametrize("judged", [False, True])
def test_gradient_of_the_loss_equals_finite_differences(judged: bool) -> None:
    rng = np.random.default_rng(3)
    counts: Counter[Pattern] = Counter()
    for _ in range(400):
        votes = tuple(
            (kind, str(rng.choice(sorted(reliability(kind).precision)))) for kind in sorted(KINDS) if rng.random() < 0.3
        )
        strengths = tuple(float(x) for x in rng.choice([0.25, 1.0], len(votes)))
        known = float(rng.integers(2)) if judged and rng.random() < 0.1 else None
        counts[Pattern(None, votes, (), known, strengths)] += 1  # type: ignore[arg-type]
    model = SignedModel(table_of(counts, families_of(counts), recorded_kinds(counts)))
    x = model.mean + rng.normal(0.0, 0.2, len(model.mean))
    wrong = check_grad(lambda x: model.loss(x)[0], lambda x: model.loss(x)[1], x)
    assert wrong < 1e-3 * (1.0 + np.abs(model.loss(x)[1]).max())


def log_of_bookings(times: int) -> dict[Pattern, int]:
    """Who says thanks at the end is the strongest dependence of this log, and thanks follow failures: as in the real log of
    restaurant bookings where free rates counted an apology for good."""
    rows = {
        (("gratitude", "good"),): 380,
        (("gratitude", "good"), ("repetition", "bad")): 60,
        (("repetition", "bad"),): 25,
        (("disconnect", "bad"),): 60,
        (): 475,
    }
    return {Pattern(None, votes): count * times for votes, count in rows.items()}  # type: ignore[arg-type]


def test_apology_that_goes_with_thanks_still_counts_for_bad() -> None:
    rates = fit(log_of_bookings(5))
    said = {votes: rates.evidence(answer) for answer in rates.rates for votes in [answer[1]]}
    assert said[("repetition", "bad"),] < -1.0
    assert said[("gratitude", "good"),] > 0.1
    assert rates.good == pytest.approx(GOOD_SHARE, abs=0.1)


def test_declared_kinds_learn_no_more_from_a_longer_log() -> None:
    """A log of any size weighs LOG_ITEMS items."""
    short, long = (fit(log_of_bookings(times)) for times in (1, 50))
    assert sum(log_of_bookings(1).values()) > LOG_ITEMS
    for answer in short.rates:
        assert long.evidence(answer) == pytest.approx(short.evidence(answer), abs=0.02)


def test_kind_that_agrees_with_nothing_keeps_what_it_declares() -> None:
    """One kind alone: its log-odds are those declared, but for what silence takes."""
    rates = fit({Pattern(None, (("stop", "bad"),)): 20, Pattern(None, ()): 980})
    (answer,) = (a for a in rates.rates if a[1])
    assert rates.evidence(answer) == pytest.approx(DIRECTIONS[1] * prior_of(answer), rel=0.1)


def test_weak_vote_counts_less_than_a_strong_one_of_the_same_kind() -> None:
    counts = {
        Pattern(None, (("repetition", "bad"),), (), None, (strength,)): 50 for strength in (0.25, 0.5, 0.75, 1.0)
    } | {Pattern(None, ()): 800}
    rates = fit(counts)
    nats = [rates.evidence((("repetition",), (("repetition", "bad"),), (s,))) for s in (0.25, 0.5, 0.75, 1.0)]
    assert nats == sorted(nats, reverse=True)
    assert nats[0] > nats[-1] + 0.5


def test_undeclared_kind_is_learned_from_a_long_log() -> None:
    """Five kinds that declare nothing; the log tells the reliable one from the coin."""
    rng = np.random.default_rng(5)
    truth = rng.random(20_000) < 0.7
    accuracy = {"a": 0.5, "b": 0.95, "c": 0.8, "d": 0.8, "e": 0.7}
    said = [
        np.where(rng.random(len(truth)) < 0.3, np.where((rng.random(len(truth)) < right) == truth, 1, -1), 0)
        for right in accuracy.values()
    ]
    rows, times = np.unique(np.stack(said, axis=1), axis=0, return_counts=True)
    counts = {
        Pattern(None, tuple((k, "good" if v > 0 else "bad") for k, v in zip(accuracy, row, strict=True) if v)): int(n)
        for row, n in zip(rows, times, strict=True)
    }
    rates = fit(counts)
    nats = {kind: rates.evidence(((kind,), ((kind, "bad"),), (1.0,))) for kind in accuracy}
    assert nats["b"] == pytest.approx(-math.log(19.0), abs=0.5)
    assert nats["a"] == pytest.approx(0.0, abs=0.25)
    assert rates.good == pytest.approx(0.7, abs=0.04)
