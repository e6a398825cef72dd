"""Votes by the rank of the assistant's confidence."""

import dataclasses
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Hypothesis, HypothesisIntent, Turn
from labelgen.data.labels import AtDialogue, AtTurn
from labelgen.feedback.em.method import HIGH, LOW, ConfidenceRanks, confidence_of, learn
from labelgen.feedback.items import FeedbackItem, items_of
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import CONFIDENCE, find_signals
from labelgen.simulator.log import simulate
from labelgen.simulator.world import WorldOptions

CONFIDENCES = st.lists(st.one_of(st.none(), st.floats(0.0, 1.0)), max_size=30)


def items(confidences: list[float | None]) -> list[FeedbackItem]:
    return [
        FeedbackItem(Dialogue(id=f"d{k}", turns=(Turn(request="go", response="", nlu_confidence=own),)), AtTurn(0), ())
        for k, own in enumerate(confidences)
    ]


def votes(made: list[FeedbackItem]) -> list[str | None]:
    sure = ConfidenceRanks(made)
    heard = [sure.add_vote(item).signals for item in made]
    return [signals[0].vote if signals else None for signals in heard]


@given(CONFIDENCES)
def test_confidence_votes_by_rank_in_the_log(confidences: list[float | None]) -> None:
    known = [own for own in confidences if own is not None]
    low, high = np.quantile(known, (LOW, HIGH)) if known else (0.0, 0.0)
    expected = [
        None if own is None or low == high else "bad" if own < low else "good" if own >= high else None
        for own in confidences
    ]
    assert votes(items(confidences)) == expected


@given(CONFIDENCES, st.randoms(use_true_random=False))
def test_confidence_votes_do_not_depend_on_the_order_of_the_log(confidences: list[float | None], rng: Random) -> None:
    order = rng.sample(range(len(confidences)), len(confidences))
    moved = votes(items([confidences[k] for k in order]))
    assert [moved[order.index(k)] for k in range(len(confidences))] == votes(items(confidences))


def test_confidence_of_a_turn_without_one_is_that_of_its_hypothesis() -> None:
    intents = (HypothesisIntent(name="a", confidence=0.2), HypothesisIntent(name="b", confidence=0.4))
    turn = Turn(request="go", response="", hypothesis=Hypothesis(intents=intents))
    assert confidence_of(turn) == 0.4
    assert confidence_of(replace(turn, nlu_confidence=0.9)) == 0.9
    assert confidence_of(Turn(request="go", response="")) is None


def test_confidence_of_goals_and_dialogues_adds_no_vote() -> None:
    made = items([0.1, 0.5, 0.9, 0.95])
    whole = FeedbackItem(made[0].dialogue, AtDialogue(), ())
    assert ConfidenceRanks(made).add_vote(whole) is whole


def test_confidence_is_as_reliable_as_it_agrees_with_feedback() -> None:
    """Confidences of the simulated assistant tell something; the same ones dealt out anew tell nothing."""
    dialogues = [replace(d, signals=find_signals(d)) for d in simulate(600, 7, WorldOptions(annotated=0.0))]
    made = [item for d in dialogues for item in items_of(d, d.signals)]

    def believed(dealt: list[FeedbackItem]) -> float:
        sure = ConfidenceRanks(dealt)
        rows = [row for row in learn(map(sure.add_vote, dealt), anchored=False).kinds if row.kind == CONFIDENCE]
        return next(-row.log_odds for row in rows if row.vote == "bad")

    own = [confidence_of(turn) for d in dialogues for turn in d.turns]
    Random(0).shuffle(own)
    rest = iter(own)
    anew = {d.id: replace(d, turns=tuple(replace(t, nlu_confidence=next(rest)) for t in d.turns)) for d in dialogues}
    dealt = [dataclasses.replace(item, dialogue=anew[item.dialogue.id]) for item in made]
    assert believed(made) > 1.0
    assert believed(dealt) < believed(made) / 2.0


def test_confidence_vote_is_added_to_the_signals_of_the_item() -> None:
    made = items([0.1, 0.5, 0.9, 0.95])
    heard = ConfidenceRanks(made).add_vote(made[0])
    assert [(s.kind, s.turns) for s in heard.signals] == [(CONFIDENCE, (0,))]
    assert waterfall(heard) is not None
