"""Mined rewrites: the chain equals a dense solve, applying rewrites twice changes nothing, and none has what few people said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.requests.rewrites import Walks, chain_of, ends, mine
from labelgen.simulator.assistant import HeardRequest, answer
from labelgen.simulator.users import GoalStep, user_of
from labelgen.simulator.vocabulary import Draws, Phrase
from labelgen.simulator.world import WorldOptions

FORMS = ("lights", "light on", "lamp", "dark here", "brighter")


@st.composite
def some_walks(draw: st.DrawFn, users: int = 6) -> Walks:
    walks = Walks()
    requests = st.tuples(st.sampled_from(FORMS), st.floats(0.0, 1.0))
    for goal in draw(st.lists(st.lists(requests, min_size=1, max_size=4), min_size=1, max_size=25)):
        walks.add(f"u{draw(st.integers(0, users))}", goal)
    return walks


def repair(walks: Walks, request: str, better: str, users: range) -> None:
    """These users ask for something that fails, and then in other words that are served."""
    for user in users:
        walks.add(f"u{user}", [(request, 0.05), (better, 0.95)])


@given(walks=some_walks())
def test_ends_of_walks_equal_those_of_a_dense_solve(walks: Walks) -> None:
    chain = chain_of(walks)
    count = len(walks.forms)
    visits = np.linalg.inv(np.eye(count) - chain.moves.toarray())
    found = ends(chain, range(count)).toarray()
    np.testing.assert_allclose(found, visits * chain.satisfied, atol=1e-7)
    assert (found.sum(axis=1) <= 1.0 + 1e-9).all()


@given(walks=some_walks(users=40), shrinkage=st.floats(0.5, 4.0))
def test_rewrites_applied_twice_change_nothing(walks: Walks, shrinkage: float) -> None:
    table = {one.request: one.rewrite for one in mine(walks, 1, shrinkage=shrinkage)}
    assert not any(better in table for better in table.values())


def test_request_that_fails_is_rewritten_to_what_users_ask_next_with_success() -> None:
    walks = Walks()
    repair(walks, "dark here", "light on", range(8))
    repair(walks, "what is new", "the news", range(20, 60))
    (found,) = [one for one in mine(walks, 5) if one.request == "dark here"]
    assert (found.rewrite, found.users, found.moved, found.requests) == ("light on", 8, 8, 8)
    assert [found.before.value, found.after.value] == pytest.approx([0.05, 0.95])


def test_success_behind_a_second_failure_is_found() -> None:
    walks = Walks()
    for user in range(12):
        walks.add(f"u{user}", [("dark here", 0.05), ("lamp", 0.05)])
        walks.add(f"v{user}", [("lamp", 0.05), ("light on", 0.95)])
    repair(walks, "what is new", "the news", range(20, 300))
    table = {one.request: one.rewrite for one in mine(walks, 5)}
    assert table["lamp"] == "light on"
    assert table.get("dark here") != "lamp"


def test_requests_of_few_users_and_blocked_words_are_in_no_rewrite() -> None:
    walks = Walks()
    repair(walks, "call alice", "phone alice", range(4))
    repair(walks, "dark here", "light on", range(10, 18))
    repair(walks, "what is new", "the news", range(20, 60))
    assert {one.request for one in mine(walks, 5)} == {"dark here", "what is new"}
    assert {one.request for one in mine(walks, 5, ["light"])} == {"what is new"}


def test_blind_spots_fail_for_all_users_of_one_log_alone() -> None:
    step, heard = GoalStep(("next_song",), (), {}, "full"), Phrase(["next", "song"], [-1, -1])
    options = WorldOptions(blind_spots=0.3, intent_errors=0.0, result_errors=0.0, silent_errors=0.0)
    served: list[set[bool]] = []
    for world in range(20):
        served.append(set())
        for user in range(8):
            rng = Draws(f"{world}/{user}")
            rng.world = str(world)
            reply = answer(step, HeardRequest(heard, 0.9, frozenset(), (), ()), user_of(world, user), options, rng)
            served[-1].add(reply.served)
    assert {True} in served
    assert {False} in served
    assert all(len(of) == 1 for of in served)
