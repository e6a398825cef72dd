"""From signals to posteriors, goals and targets."""

import math

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Hypothesis, HypothesisIntent, HypothesisSlot, Signal, Turn
from labelgen.data.labels import (
    GOALS,
    Annotation,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Label,
    QualityName,
    Target,
)
from labelgen.data.record import decode, encode
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import (
    FeedbackItem,
    goals_of,
    rules,
    turn_items,
    waterfall,
)
from labelgen.feedback.signal import UNDECLARED, find_signals, reliability
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of

TWO_SIDED = ("answer", "rating", "questionnaire", "unheard_of")
signals = st.builds(
    Signal,
    kind=st.sampled_from(TWO_SIDED),
    turns=st.just((0,)),
    vote=st.sampled_from(("good", "fair", "bad")),
    strength=st.floats(0, 1),
    explicit=st.booleans(),
    evidence=st.just((1,)),
)


def bad(kind: str = "repetition", at: int = 0, **more: object) -> Signal:
    return Signal(kind=kind, turns=(at,), vote="bad", **more)  # type: ignore[arg-type]


def good(kind: str = "gratitude", at: int = 0, **more: object) -> Signal:
    return Signal(kind=kind, turns=(at,), vote="good", **more)  # type: ignore[arg-type]


def turn(*own: Signal) -> FeedbackItem:
    """A turn of which these signals speak."""
    return FeedbackItem(talk("play haze", "Playing.", "louder", "Louder."), AtTurn(0), own)


def test_waterfall_with_explicit_signals_ignores_implicit_ones() -> None:
    crowd = [bad(kind) for kind in ("disconnect", "correction", "repetition", "rephrase", "barge_in")]
    posterior = waterfall(turn(*crowd, good("answer", explicit=True)))
    assert posterior is not None
    assert posterior.good == pytest.approx(reliability("answer").precision["good"])
    assert posterior.origin == "waterfall, explicit: good by answer"


@pytest.mark.parametrize("kind", [*DETECTORS.builtin, "unheard_of"])
def test_waterfall_of_one_full_vote_equals_its_declared_precision(kind: str) -> None:
    declared = reliability(kind).precision
    assert declared == UNDECLARED or reliability(kind).declared
    liked, disliked = waterfall(turn(good(kind))), waterfall(turn(bad(kind)))
    # A vote that the kind does not declare is no evidence.
    assert (liked is not None, disliked is not None) == ("good" in declared, "bad" in declared)
    assert liked is None or liked.good == pytest.approx(declared["good"])
    assert disliked is None or 1.0 - disliked.good == pytest.approx(declared["bad"])


def test_waterfall_of_independent_signals_sums_log_odds() -> None:
    posterior = waterfall(turn(bad("repetition"), good("gratitude", strength=0.5)))
    wrong = reliability("repetition").precision["bad"]
    right = 0.5 + (reliability("gratitude").precision["good"] - 0.5) * 0.5
    naive = (1 - wrong) * right / ((1 - wrong) * right + wrong * (1 - right))
    assert posterior is not None
    assert posterior.good == pytest.approx(naive)


TURNED: dict[QualityName, QualityName] = {"bad": "good", "fair": "fair", "good": "bad"}


@given(st.lists(signals, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_waterfall_of_any_signals_is_a_probability_independent_of_order(own: list[Signal], rng) -> None:
    posterior = waterfall(turn(*own))
    assert (posterior is None) == all(s.vote == "fair" for s in own)
    if posterior is None:
        return
    assert 0.0 < posterior.good < 1.0
    assert posterior.weight == abs(2 * posterior.good - 1)
    shuffled = rng.sample(own, len(own))
    assert waterfall(turn(*shuffled)) == posterior
    turned = waterfall(turn(*(replace(s, vote=TURNED[s.vote]) for s in own)))
    assert turned is not None
    assert turned.good == pytest.approx(1.0 - posterior.good)


def domains(*names: str | None, times: tuple[float, ...] | None = None) -> Dialogue:
    at = times or tuple(10.0 * k for k in range(len(names)))
    return Dialogue(
        id="d",
        turns=tuple(Turn(request="r", response="a", domain=n, time_s=t) for n, t in zip(names, at, strict=True)),
    )


@pytest.mark.parametrize(
    ("dialogue", "goals"),
    [
        (domains(), ()),
        (domains(None, None), ((0, 1),)),
        (domains("a", None, "a"), ((0, 1, 2),)),
        (domains("a", "a", "b", None, "a"), ((0, 1), (2, 3), (4,))),
        (domains("a", "b", "b", times=(0, 10, 400)), ((0,), (1,), (2,))),
        (domains("a", "a", times=(0, 400)), ((0, 1),)),
        (domains("a", "b", "b", "b", times=(0, 4000, 8000, 12000)), ((0,), (1, 2, 3))),
        (domains("a", "b", "b", "b", times=(0, 4000, 8000, 60000)), ((0,), (1, 2), (3,))),
    ],
)
def test_goals_of_without_annotator_are_provisional(dialogue: Dialogue, goals: tuple[tuple[int, ...], ...]) -> None:
    found, words = goals_of(dialogue, None)
    assert found == goals
    assert words.startswith("provisional goal") or not goals


def test_abandonment_counts_for_the_goal_and_not_for_the_turn() -> None:
    dialogue = talk("hi", "Hello.", "set a timer", "For how long?")
    left = find_signals(dialogue, ["abandonment"])
    assert [s.turns for s in left] == [(1,)]
    assert [t.task for t in feedback_targets(dialogue, left, rules()) if t.at != AtDialogue()] == ["outcome"]
    assert all(not item.signals for item in turn_items(dialogue, left))


@given(dialogues())
def test_provisional_goals_of_any_dialogue_cover_every_turn_once(dialogue: Dialogue) -> None:
    goals, _ = goals_of(dialogue, None)
    assert sorted(t for goal in goals for t in goal) == list(range(len(dialogue.turns)))


@given(dialogues())
def test_provisional_goals_with_signals_divide_all_turns_but_answers(dialogue: Dialogue) -> None:
    signals = find_signals(dialogue)
    goals, _ = goals_of(dialogue, None, signals)
    answers = {t for s in signals if s.kind == "answer" for t in s.evidence if t not in s.turns}
    turns = set(range(len(dialogue.turns)))
    assert sorted(t for goal in goals for t in goal) == sorted((turns - answers) or turns)
    assert all(goal == tuple(sorted(goal)) for goal in goals)


def about(kind: str, turn: int, by: int, vote: QualityName = "bad") -> Signal:
    return Signal(kind=kind, turns=(turn,), vote=vote, evidence=(by,))


@pytest.mark.parametrize(
    ("dialogue", "signals", "goals"),
    [
        (domains("a", "b", "a"), (), ((0, 2), (1,))),
        (domains("a", "b", "a", times=(0, 10, 400)), (), ((0,), (1,), (2,))),
        (domains("a", "a", times=(0, 400)), (), ((0, 1),)),
        (domains("a", "b", "b"), (about("correction", 0, 1),), ((0, 1, 2),)),
        (domains("a", "b", "c"), (about("rephrase", 0, 2),), ((0, 2), (1,))),
        (domains("a", "b", "a"), (about("repetition", 1, 1),), ((0, 1, 2),)),
        (domains("a", "b", "b", "b", "a"), (about("repetition", 1, 1),), ((0, 4), (1, 2, 3))),
        (domains("a", "system", "b"), (about("gratitude", 0, 1, "good"),), ((0, 1), (2,))),
        (domains("a", "system", "b"), (about("answer", 0, 1, "good"),), ((0,), (2,))),
    ],
    ids=[
        "return",
        "gap",
        "one domain",
        "correction",
        "rephrase",
        "misunderstood",
        "misunderstood twice",
        "thanks",
        "answer",
    ],
)
def test_provisional_goals_with_signals_follow_the_user(
    dialogue: Dialogue, signals: tuple[Signal, ...], goals: tuple[tuple[int, ...], ...]
) -> None:
    assert goals_of(dialogue, None, signals)[0] == goals


HEARD = Hypothesis(
    intents=(HypothesisIntent(name="PlayMusic"),), slots=(HypothesisSlot(name="song", start=5, end=9, value="Haze"),)
)


def heard(*more: str, **fields: object) -> Dialogue:
    dialogue = talk("play haze", "Playing.", *more, **fields)
    return replace(dialogue, turns=(replace(dialogue.turns[0], hypothesis=HEARD), *dialogue.turns[1:]))


def made(dialogue: Dialogue, task: str) -> list[Target]:
    return [t for t in feedback_targets(dialogue, find_signals(dialogue), rules()) if t.task == task]


def test_confirmed_hypothesis_becomes_a_complete_target() -> None:
    dialogue = heard("thanks", "Welcome.")
    (intents,) = made(dialogue, "intents")
    assert (intents.at, intents.distribution, intents.complete) == (AtTurn(0), (("PlayMusic", 1.0),), True)
    slots = made(dialogue, "slots")
    assert [(t.at, t.distribution) for t in slots] == [(AtSpan(0, 5, 9), (("song", 1.0),)), (AtTurn(0), ())]
    assert {t.weight for t in slots} == {intents.weight}
    assert intents.origin.startswith("confirmed hypothesis; waterfall, implicit: good by gratitude at turn 1")


def repaired(intent: str | None) -> Dialogue:
    dialogue = heard("no, I meant Purple Rain", "Playing.")
    later = None if intent is None else Hypothesis(intents=(HypothesisIntent(name=intent),))
    return replace(dialogue, turns=(dialogue.turns[0], replace(dialogue.turns[1], hypothesis=later)))


def test_failed_hypothesis_replaced_by_another_becomes_a_complement_target() -> None:
    dialogue = repaired("BuyMusic")
    (intents,) = made(dialogue, "intents")
    assert (intents.at, intents.distribution, intents.complement) == (AtTurn(0), None, ("PlayMusic",))
    assert not intents.complete
    assert made(dialogue, "slots") == []


def test_dialogue_feedback_concerns_all_goals_and_no_single_turn() -> None:
    anna = Annotation("anna", "person", (Label("goals", AtGoal((0,)), "goal"), Label("goals", AtGoal((1, 2)), "goal")))
    said = talk("a", "b", "c", "d", "e", "f", annotations=(anna,), feedback=(Feedback(kind="answer", answer="no"),))
    targets = feedback_targets(said, find_signals(said), rules(), "anna")
    places = [("outcome", AtGoal((0,))), ("outcome", AtGoal((1, 2))), ("quality", AtDialogue())]
    assert [(t.task, t.at) for t in targets] == places
    assert all(1.0 - posterior_of(t) == pytest.approx(0.95) for t in targets)
    assert all("goals by anna" in t.origin for t in targets if t.task == "outcome")
    rated = replace(said, feedback=(Feedback(kind="rating", rating=5, scale=(1, 5)),))
    assert AtDialogue() in [t.at for t in feedback_targets(rated, find_signals(rated), rules())]


@given(dialogues())
def test_targets_of_any_dialogue_are_distributions_and_reproducible(dialogue: Dialogue) -> None:
    method = rules()
    targets = feedback_targets(dialogue, find_signals(dialogue), method)
    assert targets == feedback_targets(dialogue, find_signals(dialogue), method)
    places = [(t.task, t.at) for t in targets if t.task != "slots"]
    assert len(places) == len(set(places))
    for target in targets:
        assert 0.0 < target.weight <= 1.0
        assert target.origin
        assert (target.distribution is None) != (target.complement is None)
        for _, probability in target.distribution or ():
            assert 0.0 <= probability <= 1.0
        if target.task in VERDICTS:
            assert math.isclose(sum(p for _, p in target.distribution or ()), 1.0)
            if target.origin != "fair by rating":
                assert math.isclose(abs(2.0 * posterior_of(target) - 1.0), target.weight)
    again = decode(encode(replace(dialogue, targets=targets)), "memory")
    assert isinstance(again, Dialogue)
    assert again.targets == targets
    # Words alone may link or cut turns; nothing else has targets without signals.
    assert {target.task for target in feedback_targets(dialogue, (), method)} <= {GOALS}
