"""EM over answer patterns recovers known rates; order and copies change nothing; no input breaks it."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import Annotation, AtGoal, AtTurn, Label
from labelgen.feedback.cues import Vote
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.em.estimation import DOMAIN_ITEMS, Rates, fit
from labelgen.feedback.em.method import EmMethod, learn
from labelgen.feedback.em.patterns import Pattern, Votes, families_of, pattern_of
from labelgen.feedback.items import FeedbackItem, items_of
from labelgen.feedback.posterior import majority, waterfall
from labelgen.feedback.signal import EARLIER, find_signals, reliability
from labelgen.feedback.targets import feedback_targets
from labelgen.simulator.log import simulate
from labelgen.simulator.world import WorldOptions

Counts = Mapping[Pattern, int]
KINDS = ("a", "b", "c", "d", "e")
GOOD = 0.7
RATES = {
    # kind -> (says good, says bad) of good items, then of bad items; bad items are answered three times as often.
    "a": ((0.1, 0.02), (0.03, 0.3)),
    "b": ((0.15, 0.05), (0.1, 0.4)),
    "c": ((0.0, 0.08), (0.0, 0.3)),
    "d": ((0.2, 0.0), (0.1, 0.0)),
    "e": ((0.05, 0.05), (0.2, 0.25)),
}
ITEMS = 40_000


def drawn(seed: int, items: int = ITEMS, rates=RATES, good: float = GOOD, domain: str | None = None):
    """Truth of the items, the pattern of each, and their counts."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < good
    said = []
    for of_good, of_bad in rates.values():
        at = rng.random(items)
        first, second = (np.where(truth, of_good[k], of_bad[k]) for k in (0, 1))
        said.append(np.where(at < first, 1, np.where(at < first + second, -1, 0)))
    rows, which, times = np.unique(np.stack(said, axis=1), axis=0, return_inverse=True, return_counts=True)
    kinds = list(rates)
    made = [
        Pattern(domain, tuple((k, "good" if v > 0 else "bad") for k, v in zip(kinds, row, strict=True) if v))
        for row in rows
    ]
    return truth, which.ravel(), dict(zip(made, map(int, times), strict=True))


@pytest.fixture(scope="module")
def world():
    truth, which, counts = drawn(0)
    return truth, which, counts, fit(counts)


def ratio(rates: Rates, kind: str, vote: Vote) -> float:
    said: Votes = ((kind, vote),)
    return rates.evidence(((kind,), said, (1.0,)))


def log_loss(p: np.ndarray, truth: np.ndarray) -> float:
    return -float(np.log(np.where(truth, p, 1.0 - p)).mean())


def of_items(method, counts: Counts) -> np.ndarray:
    """Posterior of each pattern by a method of signals; even where there is none."""
    found = []
    for pattern in counts:
        own = tuple(Signal(kind=kind, turns=(0,), vote=vote) for kind, vote in pattern.votes)
        told = method(FeedbackItem(talk("a", "b"), AtTurn(0), own))
        found.append(0.5 if told is None else told.good)
    return np.array(found)


def test_em_recovers_the_log_odds_of_a_known_world(world) -> None:
    _, _, counts, rates = world
    checked = 0
    votes: tuple[Vote, ...] = ("good", "bad")
    for kind, (of_good, of_bad) in RATES.items():
        for k, vote in enumerate(votes):
            times = sum(count for pattern, count in counts.items() if (kind, vote) in pattern.votes)
            if times >= 2000 and of_good[k]:
                true = math.log(of_good[k] / of_bad[k])
                possible = max(true, 0.0) if vote == "good" else min(true, 0.0)
                assert ratio(rates, kind, vote) == pytest.approx(possible, abs=0.35), kind
                checked += 1
    assert checked >= 6
    assert rates.good == pytest.approx(GOOD, abs=0.04)


def test_em_beats_fixed_methods_where_kinds_differ(world) -> None:
    truth, which, counts, rates = world
    p = np.array([rates.posterior(pattern) for pattern in counts])[which]
    for method in (waterfall, majority):
        assert log_loss(p, truth) < log_loss(of_items(method, counts)[which], truth) - 0.1
    assert ((p > 0.5) == truth).mean() > 0.8


@pytest.mark.parametrize("accuracy", [0.6, 0.75, 0.95])
@pytest.mark.parametrize("good", [0.5, 0.8])
def test_em_is_not_worse_where_kinds_are_equal(accuracy: float, good: float) -> None:
    right, wrong = 0.3 * accuracy, 0.3 * (1.0 - accuracy)
    truth, which, counts = drawn(1, 20_000, dict.fromkeys(KINDS, ((right, wrong), (wrong, right))), good)
    rates = fit(counts)
    p = np.array([rates.posterior(pattern) for pattern in counts])[which]
    assert p[truth].mean() > p[~truth].mean()
    # Kinds that are nearly coins cannot teach how often things go well; the prior says three in four.
    slack = 0.06 if (accuracy, good) == (0.6, 0.5) else 0.01
    for method in (waterfall, majority):
        assert log_loss(p, truth) < log_loss(of_items(method, counts)[which], truth) + slack


def test_em_learns_from_silence_missing_not_at_random(world) -> None:
    _, _, _, rates = world
    assert rates.posterior(Pattern(None, ())) > GOOD + 0.1


def test_fit_does_not_depend_on_the_order_of_patterns(world) -> None:
    _, _, counts, rates = world
    assert fit(dict(reversed(counts.items()))) == rates


def naive(items: list[Pattern], whole: Rates, steps: int) -> float:
    """The share of good items by EM item by item, from that of the whole and with as many pseudo-items of it."""
    share = whole.good
    for _ in range(steps):
        good = DOMAIN_ITEMS * whole.good
        for item in items:
            odds = share / (1.0 - share) * math.exp(sum(map(whole.evidence, whole.answers(item))))
            good += odds / (1.0 + odds) if item.known is None else item.known
        share = good / (len(items) + DOMAIN_ITEMS)
    return share


def test_fit_of_a_domain_equals_em_over_items(world) -> None:
    _, _, _, whole = world
    _, which, counts = drawn(3, 400)
    made = [
        dataclasses.replace(p, unseen=("b",)) if k % 5 == 0 and "b" not in dict(p.votes) else p
        for k, p in enumerate(counts)
    ]
    made = [dataclasses.replace(p, known=0.75) if k % 7 == 0 else p for k, p in enumerate(made)]
    items = [made[k] for k in which]
    domain = fit(Counter(items), whole)
    assert domain.good == pytest.approx(naive(items, whole, 300), abs=1e-6)
    assert domain.rates == whole.rates


def test_copied_kind_changes_no_posterior(world) -> None:
    _, _, counts, rates = world
    copied = {
        dataclasses.replace(p, votes=tuple(sorted((*p.votes, *(("twin", v) for k, v in p.votes if k == "b"))))): n
        for p, n in counts.items()
    }
    assert max(abs(fit(copied).posterior(c) - rates.posterior(p)) for c, p in zip(copied, counts, strict=True)) < 1e-9
    half = Counter(
        {(c if share else p): n // 2 for p, (c, n) in zip(counts, copied.items(), strict=True) for share in (0, 1)}
    )
    assert fit(half).families["twin"] == fit(half).families["b"]
    assert set(rates.families.values()) == set(RATES), "who is right is no copy of who is right too"
    found = families_of({Pattern(None, (("rephrase", "bad"),)): 1, Pattern(None, (("repetition", "bad"),)): 1})
    assert len(set(found.values())) == 1, "declared families"


def copying(seed: int, items: int = 20_000) -> tuple[np.ndarray, np.ndarray, Counts]:
    """Five kinds that know something, of which nobody copies another, and two that repeat half of what a sixth says, which
    knows next to nothing, and also speak by themselves."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < GOOD

    def speaks(rate: float, accuracy: float) -> np.ndarray:
        right = rng.random(items) < accuracy
        return np.where(rng.random(items) < rate, np.where(right == truth, 1, -1), 0)

    said = [speaks(0.25, accuracy) for accuracy in (0.7, 0.8, 0.85, 0.9)]
    origin = speaks(0.25, 0.55)
    said += [origin, *(np.where(rng.random(items) < 0.5, origin, speaks(0.05, 0.5)) for _ in range(2))]
    rows, which, times = np.unique(np.stack(said, axis=1), axis=0, return_inverse=True, return_counts=True)
    kinds = (*"abcd", "origin", "x", "y")
    made = [
        Pattern(None, tuple((k, "good" if v > 0 else "bad") for k, v in zip(kinds, row, strict=True) if v))
        for row in rows
    ]
    return truth, which.ravel(), dict(zip(made, map(int, times), strict=True))


def test_undeclared_copies_are_joined() -> None:
    truth, which, counts = copying(7)
    rates = fit(counts)
    assert len({rates.families[kind] for kind in ("origin", "x", "y")}) == 1
    assert len(set(rates.families.values())) == 5, "and nothing else is joined"
    p = np.array([rates.posterior(pattern) for pattern in counts])[which]
    assert log_loss(p, truth) < log_loss(of_items(waterfall, counts)[which], truth) - 0.1
    assert abs(p.mean() - truth.mean()) < 0.03


def test_unobservable_kind_adds_nothing(world) -> None:
    _, _, _, rates = world
    blind = Pattern(None, (("a", "bad"),), unseen=("b", "c", "d", "e"))
    assert rates.log_odds(blind) == pytest.approx(math.log(rates.good / (1 - rates.good)) + ratio(rates, "a", "bad"))


def test_recorded_kind_is_silent_where_it_is_absent(world) -> None:
    """Nothing shows where it could have been observed: only where it spoke."""
    _, _, counts, rates = world
    shown = {p if "b" in dict(p.votes) else dataclasses.replace(p, unseen=("b",)): count for p, count in counts.items()}
    learned = fit(shown)
    assert learned.recorded == {"b"}
    assert [learned.posterior(p) for p in shown] == [rates.posterior(p) for p in counts]


def test_labels_of_people_silence_a_misread_kind_and_never_reverse_it() -> None:
    """A kind that says good of bad items, which nothing but its name tells: people's labels take its weight away."""
    rates = {"gratitude": ((0.1, 0.0), (0.4, 0.0))}
    truth, which, counts = drawn(4, 20_000, rates, 0.5)
    alone = ratio(fit(counts), "gratitude", "good")
    assert alone > 0.3
    made = list(counts)
    judged = Counter(
        dataclasses.replace(made[k], known=float(good) if n % 10 == 0 else None)
        for n, (k, good) in enumerate(zip(which, truth, strict=True))
    )
    assert 0.0 <= ratio(fit(judged), "gratitude", "good") < alone / 3.0


def test_share_of_a_domain_moves_from_the_whole_to_its_own_with_size(world) -> None:
    _, _, _, whole = world
    found = [fit(drawn(5, items, RATES, 0.3, "music")[2], whole).good for items in (20, 2000, 40_000)]
    assert whole.good > found[0] > found[1] > found[2]
    assert found[0] == pytest.approx(whole.good, abs=0.05)
    assert found[2] == pytest.approx(0.3, abs=0.06)


def test_single_kind_keeps_about_its_prior_precision() -> None:
    counts = {Pattern(None, (("rating", "good"),)): 80, Pattern(None, (("rating", "bad"),)): 40}
    rates = fit(counts)
    assert rates.posterior(Pattern(None, (("rating", "good"),))) > 0.7
    assert rates.posterior(Pattern(None, (("rating", "bad"),))) < 0.3


def log_of(*own: Dialogue) -> EmMethod:
    return learn(item for d in own for item in items_of(d, find_signals(d)))


def test_em_without_feedback_returns_none() -> None:
    silent = talk("play haze", "Playing.", "louder", "Louder.")
    for method in (log_of(), log_of(silent), log_of(Dialogue(id="empty", turns=()))):
        assert method.kinds == ()
        assert feedback_targets(silent, (), method) == ()


def talks(domain: str, count: int) -> Iterator[Dialogue]:
    for k in range(count):
        said = talk("play haze", "Playing.", "thanks" if k % 3 else "no, I meant rain", "Ok.", "bye", "Bye.")
        yield replace(said, turns=tuple(replace(turn, domain=domain) for turn in said.turns))


def test_unknown_domain_has_the_rates_of_the_whole() -> None:
    method = log_of(*talks("music", 30), *talks("news", 30))
    (known,), (unknown,) = ([next(iter(talks(name, 1)))] for name in ("music", "weather"))
    at = [method(next(i for i in items_of(d, find_signals(d)) if i.at == AtTurn(0))) for d in (known, unknown)]
    assert at[0] is not None
    assert at[1] is not None
    assert "rates of music" in at[0].origin
    assert "rates of" not in at[1].origin
    assert at[1].good < 0.5


def test_contradicting_signals_are_named_and_ignored() -> None:
    asked = talk("play haze", "Playing. Did I answer your question?", "yes", "Good.")
    method = log_of(*talks("music", 30), asked)
    said = talk("play haze", "Playing.", "louder", "Louder.")
    both = tuple(Signal(kind="answer", turns=(0,), vote=vote, evidence=(1,)) for vote in ("good", "bad"))
    told = method(FeedbackItem(said, AtTurn(0), both))
    assert told is not None
    assert "answer contradicts itself" in told.origin
    assert pattern_of(FeedbackItem(said, AtTurn(0), both)).votes == ()
    louder = (*both, replace(both[0], strength=0.5))
    assert pattern_of(FeedbackItem(said, AtTurn(0), louder[1:])).votes == (("answer", "bad"),)


def test_silence_beside_an_explicit_answer_is_not_observed() -> None:
    said = talk("play haze", "Playing.", "louder", "Louder.")
    no = Signal(kind="answer", turns=(0,), vote="bad", explicit=True)
    again = Signal(kind="rephrase", turns=(0,), vote="bad")
    silent, asked = (pattern_of(FeedbackItem(said, AtTurn(0), own)) for own in ((), (no,)))
    assert "gratitude" not in silent.unseen
    assert set(asked.unseen) == {*DETECTORS, EARLIER} - {"answer"}
    spoke = pattern_of(FeedbackItem(said, AtTurn(0), (no, again)))
    assert spoke.votes == (("answer", "bad"), ("rephrase", "bad"))
    assert set(spoke.unseen) == {*DETECTORS, EARLIER} - {"answer", "rephrase"}


def test_labels_of_people_count_for_exactly_their_item() -> None:
    labels = (
        Label("quality", AtTurn(0), "bad"),
        Label("goals", AtGoal((0, 1)), "goal"),
        Label("outcome", AtGoal((0, 1)), "failure"),
    )
    anna, model = Annotation("anna", "person", labels), Annotation("m", "model", (Label("quality", AtTurn(1), "bad"),))
    said = replace(
        talk("a", "b", "c", "d"), annotations=(anna, replace(anna, annotator="ben", labels=labels[1:]), model)
    )
    known = {item.at: pattern_of(item, anchored=True).known for item in items_of(said, (), "anna")}
    assert known == {AtGoal((0, 1)): 0.0, AtTurn(0): 0.0, AtTurn(1): None}
    assert {pattern_of(item).known for item in items_of(said, ())} == {None}


@given(st.lists(dialogues(), max_size=5))
def test_em_of_any_log_gives_probabilities(log: list[Dialogue]) -> None:
    method = log_of(*log)
    assert method == log_of(*reversed(log))
    for dialogue in log:
        signals = find_signals(dialogue)
        for item in items_of(dialogue, signals):
            told = method(item)
            assert told is None or (0.0 < told.good < 1.0 and told.weight == abs(2.0 * told.good - 1.0) and told.origin)
            assert method(dataclasses.replace(item, signals=item.signals[::-1])) == told
        for target in feedback_targets(dialogue, signals, method):
            assert 0.0 < target.weight <= 1.0
    for row in method.kinds:
        assert row.times > 0
        assert 0.0 < row.precision < 1.0
        assert 0.0 < row.recall <= 1.0
        assert math.isfinite(row.log_odds)


def test_fit_of_a_million_items_is_fast() -> None:
    turn = Turn(request="play haze", response="Playing Purple Haze by Jimi Hendrix.", time_s=0.0, response_time_s=1.0)
    dialogue = Dialogue(id="d", turns=(turn,) * 3)
    assert len({pattern_of(item) for _ in range(100) for item in items_of(dialogue, ())}) <= 4


def test_detectors_of_visible_failure_declare_one_family() -> None:
    families = Counter(reliability(kind).family for kind in DETECTORS)
    assert families["visible failure"] == 4


def test_em_beats_the_waterfall_on_a_simulated_log() -> None:
    """Kinds that depend on each other, moods, users with habits: nothing is drawn from the model here."""
    log = [(d, find_signals(d)) for d in simulate(400, 3, WorldOptions(annotated=0.0))]
    method = learn((item for d, own in log for item in items_of(d, own, "truth")), anchored=False)
    nats: dict[str, list[float]] = {"em": [], "waterfall": []}
    for d, own in log:
        truth = {label.at: label.name for a in d.annotations for label in a.labels if label.task == "outcome"}
        for item in items_of(d, own, "truth"):
            if item.at in truth:
                for name, told in (("em", method(item)), ("waterfall", waterfall(item))):
                    good = told.good if told else 0.5
                    nats[name].append(-math.log(good if truth[item.at] == "success" else 1.0 - good))
    assert len(nats["em"]) > 500
    assert np.mean(nats["em"]) < np.mean(nats["waterfall"]) - 0.02
