"""A dialogue's quality from its parts."""

import pytest
from heard import talk
from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Feedback
from labelgen.data.labels import AtDialogue
from labelgen.feedback.posterior import Posterior, posterior, waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import dialogue_posterior, feedback_targets

PARTS = st.lists(st.floats(0.01, 0.99).map(lambda p: posterior(p, "part")), max_size=6)


@given(PARTS, PARTS)
def test_dialogue_posterior_with_an_unknown_part_is_none(goals: list[Posterior], turns: list[Posterior]) -> None:
    assert dialogue_posterior([*goals, None], turns) is None
    assert dialogue_posterior(goals, [*turns, None]) is None


@given(PARTS, PARTS)
def test_dialogue_posterior_lies_between_its_parts(goals: list[Posterior], turns: list[Posterior]) -> None:
    whole = dialogue_posterior(goals, turns)
    goods = [part.good for part in (*goals, *turns)]
    assert (whole is None) == (not goods)
    assert whole is None or min(goods) - 1e-9 <= whole.good <= max(goods) + 1e-9


def test_dialogue_posterior_averages_the_priors() -> None:
    turn, goal = posterior(0.5, "turn", 0.6), posterior(0.7, "goal", 0.8)
    alone = dialogue_posterior([goal], [turn, turn])
    assert alone is not None
    assert [alone.good, alone.prior] == pytest.approx([0.6, 0.7])
    unknown = dialogue_posterior([goal], [turn, posterior(0.5, "turn")])
    assert unknown is not None
    assert unknown.prior is None


def test_dialogue_posterior_weights_goals_and_turns_equally() -> None:
    bad, good = posterior(0.2, "bad"), posterior(0.9, "good")
    whole = dialogue_posterior([bad], [good, good, good])
    assert whole is not None
    assert whole.good == pytest.approx(0.55)
    assert whole.origin == "how its 1 goals and 3 turns went"


def test_waterfall_of_a_dialogue_with_silent_turns_gives_no_quality() -> None:
    said = talk("play haze", "Playing.", "thanks", "Ok.", "louder", "Louder.")
    assert AtDialogue() not in [t.at for t in feedback_targets(said, find_signals(said), waterfall)]
    rated = talk("play haze", "Playing.", feedback=(Feedback(kind="rating", rating=5, scale=(1, 5)),))
    assert AtDialogue() in [t.at for t in feedback_targets(rated, find_signals(rated), waterfall)]
