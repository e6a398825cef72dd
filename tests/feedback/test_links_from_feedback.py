"""Links and cuts between turns, the targets made of them, and the topic shifts that they read."""

from heard import dialogues, talk
from hypothesis import given
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label, Target
from labelgen.feedback.items import rules
from labelgen.feedback.links import CUT_PRECISION, LINK_PRECISION, goal_links, topic_depths, topic_shifts
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets

TWO_TASKS = talk(
    "book the grand hotel in rome",
    "For which nights should I book the hotel?",
    "from monday to friday please",
    "The grand hotel in rome is booked.",
    "thanks, now what is the weather forecast for oslo",
    "The forecast for oslo: rain, two degrees.",
    "thank you, bye",
    "Goodbye.",
)


def kinds(dialogue: Dialogue) -> dict[tuple[int, int], str]:
    return {(link.earlier, link.later): link.kind for link in goal_links(dialogue, find_signals(dialogue))}


def pairs(targets: tuple[Target, ...]) -> dict[tuple[int, ...], float]:
    return {
        t.at.turns: dict(t.distribution or ())["goal"]
        for t in targets
        if t.task == "goals" and isinstance(t.at, AtGoal)
    }


def test_answers_and_farewells_link_and_new_topics_after_thanks_cut() -> None:
    assert kinds(TWO_TASKS) == {
        (0, 1): "answer to a question",
        (1, 2): "other topic after thanks",
        (2, 3): "farewell",
    }


def test_domains_cut_unless_they_stay() -> None:
    said = talk("a room in rome", "Booked.", "rain in rome", "No.")
    first, second = said.turns
    other = replace(said, turns=(replace(first, domain="hotels"), replace(second, domain="weather")))
    same = replace(said, turns=(replace(first, domain="hotels"), replace(second, domain="hotels")))
    assert kinds(other) == {(0, 1): "other domain"}
    assert kinds(same) == {}


def test_targets_are_links_unless_an_annotator_gave_goals() -> None:
    signals = find_signals(TWO_TASKS)
    expected = pairs(feedback_targets(TWO_TASKS, signals, rules()))
    assert expected == {(0, 1): 0.95, (1, 2): 0.5, (2, 3): 0.9}
    goals = (Label("goals", AtGoal((0, 1)), "goal"), Label("goals", AtGoal((2, 3)), "goal"))
    annotated = replace(TWO_TASKS, annotations=(Annotation("anna", "person", goals),))
    assert pairs(feedback_targets(annotated, signals, rules(), "anna")) == {}
    assert pairs(feedback_targets(annotated, signals, rules())) == expected


@given(dialogues())
def test_links_are_of_two_turns_in_order_with_known_precision(dialogue: Dialogue) -> None:
    links = list(goal_links(dialogue, find_signals(dialogue)))
    assert len({(link.earlier, link.later) for link in links}) == len(links)
    for link in links:
        assert 0 <= link.earlier < link.later < len(dialogue.turns)
        precision = LINK_PRECISION.get(link.kind) or 1.0 - CUT_PRECISION[link.kind]
        assert link.same == precision


@given(dialogues())
def test_topic_depths_are_bounded_and_symmetric(dialogue: Dialogue) -> None:
    depths = topic_depths(dialogue)
    assert len(depths) == len(topic_shifts(dialogue)) == max(0, len(dialogue.turns) - 1)
    assert all(-1e-9 <= depth <= 2.0 + 1e-9 for depth in depths)
    mirrored = topic_depths(replace(dialogue, turns=dialogue.turns[::-1]))
    assert all(abs(a - b) < 1e-9 for a, b in zip(depths, mirrored[::-1], strict=True))
