"""Counts of a log, against a log that was counted by hand, and against a plain sort."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from labelgen.data.dialogue import Dialogue, Feedback, Signal, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, AtTurn, Label, NoLabel, Target
from labelgen.data.stats import log_stats, spread


@given(st.lists(st.integers(0, 9), min_size=1))
def test_spread_equals_quantiles_of_sorted_values(values: list[int]):
    found = spread(Counter(values))
    assert found is not None
    ordered = sorted(values)
    assert (found.least, found.most) == (ordered[0], ordered[-1])
    assert found.median == ordered[(len(ordered) - 1) // 2]
    assert found.p95 == ordered[-(-len(ordered) * 95 // 100) - 1]
    assert abs(found.mean - sum(values) / len(values)) < 1e-9


def annotation(annotator: str, *goals: tuple[int, ...]) -> Annotation:
    labels = tuple(Label("goals", AtGoal(turns), "goal") for turns in goals)
    return Annotation(
        annotator, "person", (*labels, Label("intents", AtTurn(0), "A")), (NoLabel("intents", AtTurn(1)),)
    )


def test_log_stats_of_small_log_equal_hand_counts():
    turns = (
        Turn(request="play it", response="", time_s=0.0, feedback=(Feedback(kind="stop"),)),
        Turn(request="", response="ok then now"),
        Turn(request="a", response="b"),
    )
    one = Dialogue(
        id="d1",
        user="u",
        source="toy",
        turns=turns,
        feedback=(Feedback(kind="answer", answer="yes"),),
        annotations=(annotation("d1/r1", (0, 2), (1,)), annotation("anna", (0, 1), (2,))),
        signals=(Signal(kind="stop", turns=(0,), vote="bad"),),
        targets=(Target("outcome", AtDialogue(), ()),),
    )
    found = log_stats([one, Dialogue(id="d2", user="u", turns=())])
    assert (found.dialogues, found.turns, found.users, found.sources) == (2, 3, {"u"}, {"toy": 1})
    assert found.turns_of_dialogue == {3: 1, 0: 1}
    assert (found.request_words, found.response_words) == ({2: 1, 0: 1, 1: 1}, {0: 1, 3: 1, 1: 1})
    assert found.turn_fields == {"time_s": 1, "feedback": 1}
    assert found.annotators == {"*/r1": 1, "anna": 1}
    assert (found.goals, found.returning) == (4, 1)
    intents = found.tasks["person", "intents"]
    assert (intents.annotations, intents.fields, intents.none, intents.labels) == (2, 4, 2, {"A": 2})
    assert found.feedback == {("stop", ""): 1, ("answer", "yes"): 1}
    assert (found.signals, found.targets) == ({("stop", "bad"): 1}, {"outcome": 1})
