"""The choice of turns to ask users about."""

import pytest
from heard import talk
from hypothesis import given
from hypothesis import strategies as st

from labelgen.feedback.asking import TurnBelief, choose, turn_beliefs
from labelgen.feedback.posterior import rules
from labelgen.feedback.signal import with_signals

turns = st.lists(
    st.builds(
        TurnBelief,
        dialogue=st.sampled_from(["a", "b", "c", "d"]),
        turn=st.integers(0, 3),
        user=st.none(),
        signals=st.sampled_from([None, 0.1, 0.4, 0.5, 0.95]),
        model=st.sampled_from([None, 0.3, 0.6]),
        asked=st.booleans(),
        askable=st.booleans(),
    ),
    max_size=10,
    unique_by=lambda one: (one.dialogue, one.turn),
)


@given(turns, st.integers(1, 6), st.integers(1, 2), st.integers(0, 3))
def test_choose_takes_the_most_uncertain_turns_within_the_limits(pool, budget, per_dialogue, seed):
    chosen = choose(pool, budget, per_dialogue, seed)
    assert choose(pool[::-1], budget, per_dialogue, seed) == chosen
    assert len(chosen) <= budget
    assert all(one.askable and not one.asked for one in chosen)
    doubts = [abs(one.good - 0.5) for one in chosen]
    assert doubts == sorted(doubts)
    for name in "abcd":
        asked = [one for one in pool if one.dialogue == name and one.asked]
        new = [one for one in chosen if one.dialogue == name]
        assert len(new) <= max(per_dialogue - len(asked), 0)
        left = [one for one in pool if one.dialogue == name and one.askable and not one.asked and one not in chosen]
        if left and len(chosen) < budget:
            assert len(asked) + len(new) >= per_dialogue


@pytest.mark.parametrize(
    ("texts", "askable"),
    [
        (("play haze", "Playing."), True),
        (("play haze", "Which one?"), False),
        (("play haze", "Sorry, I didn't get that."), False),
        (("never mind", "OK."), False),
        (("thank you", "Bye."), False),
    ],
)
def test_turns_that_failed_or_ask_for_nothing_are_not_asked_about(texts, askable):
    (belief,) = turn_beliefs(with_signals(talk(*texts)), rules())
    assert belief.askable == askable
