"""Votes of other users with the same request and response."""

import dataclasses
from collections import Counter, defaultdict
from math import log
from random import Random
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import AtTurn, answers
from labelgen.feedback.em.method import LEAST_USERS, OtherUsers, learn, learn_pooled
from labelgen.feedback.items import FeedbackItem, items_of
from labelgen.feedback.posterior import Method, Posterior, waterfall
from labelgen.feedback.signal import OTHERS, find_signals
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions

Row = tuple[str | None, str, float]
"""User, request, and what is thought of the turn."""

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["u", "v", "w", "x", None]),
        st.sampled_from(["play haze", "stop"]),
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    ),
    max_size=12,
)


def items(rows: list[Row]) -> list[FeedbackItem]:
    """A dialogue of one turn for each row."""
    turns = [
        Dialogue(id=f"d{k}", turns=(Turn(request=request, response="Done."),), user=user)
        for k, (user, request, _) in enumerate(rows)
    ]
    return [FeedbackItem(dialogue, AtTurn(0), ()) for dialogue in turns]


def pool(rows: list[Row]) -> tuple[OtherUsers, list[FeedbackItem]]:
    made = items(rows)
    thought = {item.dialogue.id: good for item, (_, _, good) in zip(made, rows, strict=True)}
    return OtherUsers(made, lambda item: Posterior(thought[item.dialogue.id], 1.0, "")), made


def votes(rows: list[Row]) -> list[str | None]:
    found, made = pool(rows)
    names = {True: "good", False: "bad", None: None}
    return [names[found.vote(item.dialogue, 0)] for item in made]


@given(ROWS)
def test_votes_of_other_users_equal_a_naive_pool(rows: list[Row]) -> None:
    named = [row for row in rows if row[0] is not None]
    share = fmean([good for _, _, good in named]) if named else 0.5
    said: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for user, request, good in named:
        said[request][str(user)].append(good)
    dialogues = Counter(user for user, _, _ in named)
    repeat = sum(n for n in dialogues.values() if n > 1) >= len(named) / 2
    expected: list[str | None] = []
    for user, request, _ in rows:
        others = [fmean(goods) for other, goods in said[request].items() if other != user]
        vote = "good" if others and fmean(others) >= share - 1e-9 else "bad"
        expected.append(vote if repeat and user is not None and len(others) >= LEAST_USERS else None)
    assert votes(rows) == expected


def test_users_that_never_come_back_cast_no_votes() -> None:
    """Their names may be those of sessions, and the others the same person."""
    once: list[Row] = [(name, "stop", 0.0) for name in "uvwx"]
    assert votes(once) == [None] * 4
    assert votes([*once, *once]) != [None] * 8


@given(ROWS, st.randoms(use_true_random=False))
def test_votes_of_other_users_do_not_depend_on_the_order_of_the_log(rows: list[Row], rng: Random) -> None:
    order = rng.sample(range(len(rows)), len(rows))
    moved = votes([rows[k] for k in order])
    assert [moved[order.index(k)] for k in range(len(rows))] == votes(rows)


def test_user_with_many_equal_requests_counts_once() -> None:
    loud = [("loud", "stop", 0.0)] * 10_000
    rest: list[Row] = [("v", "stop", 1.0), ("w", "stop", 1.0), ("x", "play haze", 0.4)]
    found, _ = pool([*loud, *rest])
    asked = items([("new", "stop", 0.0)])[0].dialogue
    # A mean of two in three is above that of the log, most of which is this one user.
    assert found.vote(asked, 0) is True


def test_turns_of_one_user_cast_no_vote() -> None:
    assert votes([("u", "stop", 0.0)] * 5) == [None] * 5


def test_other_users_match_requests_up_to_case_and_blanks() -> None:
    found, (item, *_) = pool([("u", "Play  Haze", 1.0), *[("v", "play haze", 1.0), ("w", "play haze", 1.0)] * 2])
    assert found.vote(item.dialogue, 0) is not None
    other = replace(item.dialogue, turns=(replace(item.dialogue.turns[0], response="Sorry?"),))
    assert found.vote(other, 0) is None


def test_learn_pooled_without_feedback_returns_none() -> None:
    made = items([("u", "stop", 0.0), ("v", "stop", 0.0), ("w", "stop", 0.0)])
    fitted, method = learn_pooled(lambda: iter(made), learn)
    assert not fitted.whole
    assert [method(item) for item in made] == [None, None, None]


def log_loss_of_turns(made: list[FeedbackItem], method: Method) -> float:
    """Mean nats of the turns that are good or bad by the truth."""
    nats = []
    for item in made:
        truth = item.dialogue.annotation(TRUTH)
        assert truth is not None
        for label in answers(truth, "quality").get(item.at, ()) if isinstance(item.at, AtTurn) else ():
            found = method(item)
            good = found.good if found else 0.5
            if label.name != "fair":
                nats.append(-log(good if label.name == "good" else 1.0 - good))
    return fmean(nats)


def test_learn_pooled_with_other_users_lowers_the_log_loss() -> None:
    dialogues = [replace(d, signals=find_signals(d)) for d in simulate(600, 7, WorldOptions(annotated=0.0))]
    made = [item for d in dialogues for item in items_of(d, d.signals)]
    alone = learn(made, anchored=False)
    fitted, method = learn_pooled(lambda: iter(made), lambda own: learn(own, anchored=False))
    assert OTHERS in {row.kind for row in fitted.kinds}
    assert log_loss_of_turns(made, method) < log_loss_of_turns(made, alone)
    assert all(method(item) == fitted(item) for item in made if not isinstance(item.at, AtTurn))


def test_vote_of_other_users_is_added_to_the_signals_of_the_item() -> None:
    found, (item, *_) = pool([("u", "stop", 0.0), *[("v", "stop", 1.0), ("w", "stop", 1.0)] * 2])
    own = Signal(kind="gratitude", turns=(0,), vote="good")
    heard = found.add_vote(dataclasses.replace(item, signals=(own,)))
    assert [s.kind for s in heard.signals] == ["gratitude", OTHERS]
    assert waterfall(heard) is not None


@given(ROWS)
def test_empty_user_is_an_unknown_one(rows: list[Row]) -> None:
    votes = []
    for name in (None, ""):
        others, made = pool([(user or name, request, good) for user, request, good in rows])
        votes.append([others.vote(item.dialogue, 0) for item in made])
    assert votes[0] == votes[1]
