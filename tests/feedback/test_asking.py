"""Questions to users: the gain against naive references, and the choice under a budget."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, product

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy.stats import betabinom

from labelgen.data.dialogue import Dialogue, Feedback, Hypothesis, HypothesisIntent, Turn
from labelgen.data.labels import Annotation, AtTurn, Label
from labelgen.feedback import asking
from labelgen.feedback.asking import STRATEGIES, Pool, TurnBelief, choose, pool_of, turn_beliefs
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import with_signals

probabilities = st.floats(0.02, 0.98)
pools = st.builds(
    Pool,
    turns=st.integers(2, 500),
    signals=st.none() | probabilities,
    model=st.none() | probabilities,
    good=st.integers(0, 5),
    bad=st.integers(0, 5),
)


@given(pools)
def test_gain_of_further_questions_decreases(pool: Pool) -> None:
    gains = [pool.gain(k) for k in range(min(pool.turns, 20))]
    assert all(gain > 0.0 for gain in gains)
    assert all(later < earlier for earlier, later in pairwise(gains))
    with pytest.raises(ValueError, match="turns asked"):
        pool.gain(pool.turns)


@given(pools)
def test_gain_is_symmetric_in_good_and_bad(pool: Pool) -> None:
    turned = dataclasses.replace(
        pool,
        signals=None if pool.signals is None else 1.0 - pool.signals,
        model=None if pool.model is None else 1.0 - pool.model,
        good=pool.bad,
        bad=pool.good,
    )
    assert turned.gain(0) == pytest.approx(pool.gain(0))
    assert list(turned.rate()) == pytest.approx([1.0 - pool.rate()[0], pool.rate()[1]])


@given(pools)
def test_gain_rises_with_turns_and_falls_with_answers(pool: Pool) -> None:
    assert dataclasses.replace(pool, turns=pool.turns + 1).gain(0) > pool.gain(0)
    mean, strength = pool.rate()
    agreeing = Pool(pool.turns, mean, None)
    assert (
        dataclasses.replace(agreeing, good=round(50 * mean), bad=round(50 * (1 - mean))).rate()[1] > agreeing.rate()[1]
    )
    assert strength > 0.0


@given(st.floats(0.2, 0.8), st.floats(0.05, 0.15), st.integers(2, 500))
def test_gain_is_larger_where_signals_and_model_disagree(mean: float, apart: float, turns: int) -> None:
    contested = Pool(turns, mean - apart, mean + apart)
    agreed = Pool(turns, mean, mean)
    assert contested.rate()[0] == pytest.approx(agreed.rate()[0])
    assert contested.rate()[1] < agreed.rate()[1]
    assert Pool(turns, mean - apart / 2, mean + apart / 2).rate()[1] > contested.rate()[1]


def naive_loss(turns: int, mean: float, strength: float, asked: int) -> float:
    """Expected squared error, summed over all turns of a pool, after so many of them have given right answers: every
    outcome with its probability."""
    a, b = strength * mean, strength * (1.0 - mean)
    total = 0.0
    for good in range(asked + 1):
        after = (a + good) / (strength + asked)
        total += float(betabinom.pmf(good, asked, a, b)) * (turns - asked) * after * (1.0 - after)
    return total


@pytest.mark.parametrize(("mean", "turns"), [(0.5, 6), (0.9, 40), (0.2, 9)])
def test_gain_equals_the_decrease_of_the_expected_loss(
    monkeypatch: pytest.MonkeyPatch, mean: float, turns: int
) -> None:
    for name, value in (("ANSWERED", 1.0), ("WRONG", 0.0), ("_WORTH", 1.0), ("BELIEF_ITEMS", 10.0)):
        monkeypatch.setattr(asking, name, value)
    pool = Pool(turns, mean, None)
    _, strength = pool.rate()
    assert strength == pytest.approx(10.0)
    for asked in range(4):
        fall = naive_loss(turns, mean, strength, asked) - naive_loss(turns, mean, strength, asked + 1)
        # The asked turn itself is counted at what is believed of it before any answer, not after the first ones.
        early = mean * (1.0 - mean)
        now = early - early / (strength + 1.0) * asked / (strength + asked)
        assert pool.gain(asked) - early == pytest.approx(fall - now)


def place(dialogue: str, turn: int = 0, **more: object) -> TurnBelief:
    fields: dict[str, object] = {
        "user": None,
        "domain": None,
        "intents": (),
        "votes": (),
        "signals": 0.5,
        "model": None,
    }
    return TurnBelief(dialogue=dialogue, turn=turn, **(fields | more))  # type: ignore[arg-type]


@st.composite
def some_places(draw: st.DrawFn) -> list[TurnBelief]:
    return [
        place(
            f"d{k // 3}",
            k % 3,
            user=draw(st.sampled_from((None, "u1", "u2"))),
            domain=draw(st.sampled_from(("music", "timers"))),
            signals=draw(st.none() | probabilities),
            model=draw(st.none() | probabilities),
            asked=draw(st.sampled_from((False, False, True))),
            askable=draw(st.booleans()),
        )
        for k in range(draw(st.integers(0, 30)))
    ]


@given(some_places(), st.integers(0, 12), st.sampled_from(STRATEGIES), st.integers(1, 2), st.randoms())
def test_choose_from_any_turns_respects_budget_and_limits(
    own: list[TurnBelief], budget: int, strategy: str, most: int, rng
) -> None:
    chosen = choose(own, budget, strategy, most)
    picked = [question.turn for question in chosen]
    assert len(picked) <= budget
    assert len(set(picked)) == len(picked)
    assert all(one.askable and not one.asked for one in picked)
    counted = Counter(one.dialogue for one in own if one.asked)
    left = {one.dialogue: most - counted[one.dialogue] for one in own}
    for one in picked:
        left[one.dialogue] -= 1
    assert all(left[one.dialogue] >= 0 for one in picked)
    free = [one for one in own if one.askable and not one.asked and one not in picked and left[one.dialogue] > 0]
    assert len(picked) == budget or not free
    shuffled = rng.sample(own, len(own))
    assert choose(shuffled, budget, strategy, most) == chosen
    assert choose(own, max(0, budget - 1), strategy, most) == chosen[: max(0, budget - 1)]


def best_sum(of: Sequence[Pool], budget: int) -> float:
    """By trying every division of the budget."""
    found = 0.0
    for split in product(*(range(min(pool.turns, budget) + 1) for pool in of)):
        if sum(split) == budget:
            found = max(found, math.fsum(p.gain(k) for p, n in zip(of, split, strict=True) for k in range(n)))
    return found


@given(st.lists(st.tuples(st.integers(2, 6), probabilities), min_size=1, max_size=3), st.integers(1, 6))
def test_choose_by_gain_is_optimal(sizes: list[tuple[int, float]], budget: int) -> None:
    own = [
        place(f"d{k}-{i}", domain=f"pool {k}", signals=p) for k, (turns, p) in enumerate(sizes) for i in range(turns)
    ]
    budget = min(budget, len(own))
    gained = math.fsum(question.gain for question in choose(own, budget))
    of = [Pool(turns, math.fsum([p] * turns) / turns, None) for turns, p in sizes]
    assert gained == pytest.approx(best_sum(of, budget))
    assert gained >= math.fsum(question.gain for question in choose(own, budget, "random")) - 1e-9


def test_choose_within_a_pool_spreads_over_intents_and_users() -> None:
    own = [
        place(f"{user}{intent}{k}", user=user, intents=(intent,), model=0.5)
        for user in ("u1", "u2", "u3")
        for intent in ("play", "stop")
        for k in range(4)
    ]
    six = [question.turn for question in choose(own, 6)]
    assert Counter(one.intents for one in six) == {("play",): 3, ("stop",): 3}
    assert Counter(one.user for one in six) == {"u1": 2, "u2": 2, "u3": 2}


def test_choose_takes_uncertain_and_disputed_pools_first() -> None:
    sure = [place(f"s{k}", model=0.99, signals=0.99) for k in range(20)]
    doubtful = [place(f"d{k}", model=0.5, signals=0.5) for k in range(20)]
    disputed = [place(f"x{k}", model=0.6, signals=0.3, votes=(("stop", "bad"),)) for k in range(20)]
    first = [question.turn.dialogue[0] for question in choose([*sure, *doubtful, *disputed], 8)]
    assert "s" not in first
    assert first[0] == "x"


def test_answers_count_for_their_pool_and_their_dialogue() -> None:
    own = [place("a", 0, asked=True, answer="bad"), place("a", 1), place("b", 0), place("c", 0)]
    assert pool_of(own) == Pool(turns=3, signals=0.5, model=None, good=0, bad=1)
    assert {question.turn.dialogue for question in choose(own, 9)} == {"b", "c"}
    assert {question.turn.dialogue for question in choose(own, 9, per_dialogue=2)} == {"a", "b", "c"}


def asked_of(*turns: Turn, **more: object) -> list[TurnBelief]:
    return list(turn_beliefs(with_signals(Dialogue(id="d", turns=turns, **more)), waterfall))  # type: ignore[arg-type]


HYPOTHESIS = Hypothesis(intents=(HypothesisIntent(name="play"),))


@pytest.mark.parametrize(
    ("turn", "sense"),
    [
        (Turn(request="play haze", response="Playing."), True),
        (Turn(request="play haze", response="Playing.", hypothesis=HYPOTHESIS), True),
        (Turn(request="play haze", response="Playing.", hypothesis=Hypothesis()), False),
        (Turn(request="play haze", response="Sorry, I didn't get that."), False),
        (Turn(request="play haze", response="Playing.", status="failed"), False),
        (Turn(request="set a timer", response="For how long?"), False),
        (Turn(request="never mind", response="Ok.", hypothesis=HYPOTHESIS), False),
        (Turn(request="thank you", response="Bye."), False),
        (Turn(request="", response="Welcome."), False),
        (Turn(request="play haze", response=""), False),
    ],
)
def test_is_askable_of_turns_returns_whether_the_question_makes_sense(turn: Turn, sense: bool) -> None:
    [found] = asked_of(turn)
    assert found.askable is sense


def test_turn_beliefs_of_a_dialogue_hold_votes_and_probabilities() -> None:
    dialogue = with_signals(
        talk("play haze", "Playing. Did I answer your question?", "no", "Sorry.", "louder", "Ok.", "thanks", "Bye.")
    )
    model = Annotation(
        "m",
        "model",
        (
            Label("quality", AtTurn(0), "bad", 0.6, None, (("bad", 0.6), ("fair", 0.2), ("good", 0.2))),
            Label("quality", AtTurn(2), "good"),
        ),
    )
    first, _, third, _ = turn_beliefs(replace(dialogue, user="u", annotations=(model,)), waterfall)
    assert (first.asked, first.answer, first.user) == (True, "bad", "u")
    assert not any(kind == "answer" for kind, _ in first.votes)
    assert first.model == pytest.approx(0.3)
    assert third.model == 1.0
    assert third.votes == (("gratitude", "good"),)
    assert third.signals == pytest.approx(0.66)
    assert [p.model for p in turn_beliefs(replace(dialogue, annotations=(model,)), None, "another")] == [None] * 4
    unclear = (Feedback(kind="answer", answer="yes"), Feedback(kind="answer", answer="no"))
    [contradicted] = asked_of(Turn(request="play haze", response="Playing.", feedback=unclear))
    assert (contradicted.asked, contradicted.answer) == (True, None)


@given(st.lists(dialogues(), max_size=3), st.sampled_from(STRATEGIES))
def test_choose_from_any_log_returns_distinct_turns(log: list[Dialogue], strategy: str) -> None:
    own = [p for k, d in enumerate(log) for p in turn_beliefs(with_signals(replace(d, id=str(k))), waterfall)]
    chosen = choose(own, 5, strategy)
    assert all(question.gain > 0.0 for question in chosen)
