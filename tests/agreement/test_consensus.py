"""Consensus by vote: counts, ties, and disjoint goals."""

from hypothesis import given
from hypothesis import strategies as st
from labeled import labeled_dialogue
from msgspec.structs import replace

from labelgen.agreement.consensus import CONSENSUS, consensus
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import (
    Annotation,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
    answers,
    turns_of,
)
from labelgen.data.record import decode, encode

EXCLUSIVE = {"outcome": ("success", "failure"), "quality": ("bad", "fair", "good")}


def people(*labels, none=()):
    return [Annotation(f"p{k}", "person", tuple(own), tuple(none)) for k, own in enumerate(labels)]


def quality(name, rating, turn=0):
    return Label("quality", AtTurn(turn), name, value=rating)


def test_majority_vote_returns_share_and_mean_rating():
    found = consensus(people([quality("good", 5.0)], [quality("good", 4.0)], [quality("bad", 1.0)]), EXCLUSIVE)
    shares = (("bad", 1 / 3), ("fair", 0.0), ("good", 2 / 3))
    assert found.annotation.labels == (Label("quality", AtTurn(0), "good", 2 / 3, 4.5, shares),)
    assert (found.annotation.annotator, found.ties) == (CONSENSUS, ())


def test_mean_of_ratings_has_no_tie_and_other_tasks_vote():
    said = people([quality("good", 5.0)], [quality("bad", 2.0)])
    success = [replace(p, labels=(*p.labels, Label("outcome", AtGoal((0,)), "success"))) for p in said]
    found = consensus(success, EXCLUSIVE, ratings="mean")
    assert [(x.name, x.value, x.probability) for x in found.annotation.labels] == [
        ("success", None, 1.0),
        ("good", 3.5, None),
    ]
    assert not found.ties
    silent = [*said, Annotation("u", "person", (), (NoLabel("quality", AtTurn(0)),))]
    assert consensus(silent, EXCLUSIVE, ratings="mean") == consensus(silent, EXCLUSIVE)


def test_equal_votes_are_a_tie_and_absent():
    found = consensus(people([quality("good", 5.0)], [quality("bad", 1.0)]), EXCLUSIVE)
    assert found.ties == (Field("quality", AtTurn(0)),)
    assert not found.annotation.labels
    assert not found.annotation.none


def test_set_of_names_needs_more_than_half_and_half_is_a_tie():
    a, b = Label("intents", AtTurn(0), "a"), Label("intents", AtTurn(0), "b")
    found = consensus(people([a, b], [a], [a, b]), EXCLUSIVE).annotation
    assert [(x.name, x.probability) for x in found.labels] == [("a", 1.0), ("b", 2 / 3)]
    assert consensus(people([a, b], [a]), EXCLUSIVE).ties == (Field("intents", AtTurn(0)),)


def test_none_is_a_vote_and_a_missing_answer_is_not():
    a, none = Label("intents", AtTurn(0), "a"), NoLabel("intents", AtTurn(0))
    silent = Annotation("s", "person")
    says_none = [Annotation(f"n{k}", "person", (), (none,)) for k in range(2)]
    assert consensus([*people([a]), *says_none], EXCLUSIVE).annotation.none == (none,)
    assert consensus([*people([a], [a]), silent], EXCLUSIVE).annotation.labels[0].probability == 1.0
    alone = consensus([*people([a]), silent], EXCLUSIVE)
    assert (alone.annotation.labels, alone.ties) == ((), ())


def test_spans_vote_by_name_start_and_end():
    at, off = AtSpan(0, 0, 4), AtSpan(0, 0, 5)
    given_ = people(
        [Label("slots", at, "x", value="Red")], [Label("slots", at, "x", value="Red")], [Label("slots", off, "x")]
    )
    assert consensus(given_, EXCLUSIVE).annotation.labels == (Label("slots", at, "x", 2 / 3, "Red"),)


def goal(*turns):
    return Label("goals", AtGoal(turns), "goal")


def test_outcomes_and_ties_of_other_goals_are_dropped():
    """Three people part what two hold together; what the two say of their goal goes, whether they agree on it or not."""
    apart, together = [goal(0), goal(1)], AtGoal((0, 1))
    for names in (("success", "success"), ("success", "failure"), (None, None)):
        rows = [Annotation(f"p{k}", "person", tuple(apart)) for k in range(3)]
        for who, name in zip("qr", names, strict=True):
            said = () if name is None else (Label("outcome", together, name),)
            rows.append(Annotation(who, "person", (goal(0, 1), *said), () if said else (NoLabel("outcome", together),)))
        found = consensus(rows, EXCLUSIVE)
        assert [(x.task, turns_of(x.at)) for x in found.annotation.labels] == [("goals", (0,)), ("goals", (1,))]
        assert (found.annotation.none, found.ties) == ((), ())


@given(st.integers(0, 500), st.integers(2, 5))
def test_consensus_of_equal_annotations_is_the_annotation(seed, count):
    dialogue = labeled_dialogue(seed)
    own = dialogue.annotations[0]
    found = consensus([replace(own, annotator=f"p{k}") for k in range(count)], EXCLUSIVE)
    assert not found.ties
    for task in ("goals", "outcome", "quality", "intents", "slots"):
        ours, theirs = answers(found.annotation, task), answers(own, task)
        assert {at: {(x.at, x.name) for x in labels} for at, labels in ours.items()} == {
            at: {(x.at, x.name) for x in labels} for at, labels in theirs.items()
        }
    assert all(label.probability == 1.0 for label in found.annotation.labels)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=5))
def test_consensus_is_valid_and_independent_of_order(seeds):
    given_ = [replace(labeled_dialogue(s, 5).annotations[0], annotator=f"p{k}") for k, s in enumerate(seeds)]
    found = consensus(given_, EXCLUSIVE)
    turns = tuple(Turn(request="x" * 200, response="") for _ in range(5))
    dialogue = Dialogue(id="d", turns=turns, annotations=(found.annotation,))
    again = decode(encode(dialogue), "test")
    assert isinstance(again, Dialogue)
    assert {(x.task, x.at, x.name) for x in again.annotations[0].labels} == {
        (x.task, x.at, x.name) for x in found.annotation.labels
    }
    backwards = consensus(given_[::-1], EXCLUSIVE)
    assert set(backwards.ties) == set(found.ties)
    assert [(x.task, x.at, x.name) for x in backwards.annotation.labels] == [
        (x.task, x.at, x.name) for x in found.annotation.labels
    ]
    assert set(backwards.annotation.labels) == set(found.annotation.labels)
