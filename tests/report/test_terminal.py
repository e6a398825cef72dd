"""The terminal view: whole, and deaf to what a log's text would like to do to the terminal."""

import io
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from labelgen.data.dialogue import Dialogue, Feedback, Signal, Turn
from labelgen.data.labels import Abstained, Annotation, AtDialogue, AtGoal, AtSpan, AtTurn, Field, Label, NoLabel
from labelgen.report.terminal import DialogueView


def draw(what, width=100, color=False):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=color, color_system="truecolor" if color else None).print(what)
    return out.getvalue()


TEXT = st.text(st.characters() | st.sampled_from("\x1b\x07\r\n\t[]\u202e\u2028"), max_size=25)
NAME = st.sampled_from(["goals", "outcome", "quality", "intents", "slots", "mood", "[red]"])


@st.composite
def dialogues(draw_from):
    turns = tuple(
        Turn(request=draw_from(TEXT), response=draw_from(TEXT), status=draw_from(st.none() | TEXT))
        for _ in range(draw_from(st.integers(0, 4)))
    )
    count = max(1, len(turns))
    turn = st.integers(0, count - 1)
    goal = st.sets(turn, min_size=1).map(lambda found: AtGoal(tuple(sorted(found))))
    span = st.builds(lambda t, a, n: AtSpan(t, a, a + n), turn, st.integers(0, 20), st.integers(1, 9))
    place = st.one_of(st.builds(AtTurn, turn), goal, span, st.just(AtDialogue()))
    probability = st.none() | st.floats(0, 1)
    label = st.builds(Label, NAME, place, TEXT, probability, st.none() | TEXT | st.floats(1, 5))
    answered = st.builds(Field, NAME, place)
    annotation = Annotation(
        annotator=draw_from(TEXT),
        kind="model",
        labels=tuple(draw_from(st.lists(label, max_size=8))),
        none=tuple(draw_from(st.lists(st.builds(NoLabel, NAME, place, probability), max_size=3))),
        abstained=tuple(draw_from(st.lists(st.builds(Abstained, answered, st.tuples(label)), max_size=3))),
    )
    feedback = (Feedback(kind=draw_from(TEXT), rating=draw_from(st.none() | st.floats(1, 5)), scale=(1, 5)),)
    signal = st.builds(
        Signal,
        kind=TEXT,
        turns=st.sets(turn).map(lambda s: tuple(sorted(s))),
        vote=st.sampled_from(["good", "fair", "bad"]),
    )
    return Dialogue(
        id=draw_from(TEXT),
        turns=turns,
        user=draw_from(st.none() | TEXT),
        feedback=feedback,
        annotations=(annotation,),
        signals=tuple(draw_from(st.lists(signal, max_size=3))),
    )


@settings(max_examples=50, deadline=None)
@given(dialogues(), st.integers(30, 140), st.booleans())
def test_any_dialogue_is_drawn_and_none_reaches_the_terminal(dialogue, width, labeled):
    drawn = draw(DialogueView(dialogue, dialogue.annotations[0] if labeled else None), width)
    for character in drawn:
        assert character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    drawn.encode("utf-8")


def test_colour_brings_no_sequence_but_those_of_style():
    dialogue = Dialogue(id="d", turns=(Turn(request="\x1b[2J\x1b]0;title\x07 play", response="\x1b[31mred"),))
    drawn = draw(DialogueView(dialogue, None), color=True)
    assert "\\x1b[2J\\x1b]0;title\\x07 play" in drawn
    assert "\x1b[2J" not in drawn
    assert "\x1b]" not in drawn
    assert "\x1b[31mred" not in drawn


def test_what_is_labeled_and_what_is_withheld_can_be_seen():
    turns = (
        Turn(request="play purple haze", response="Okay.", feedback=(Feedback(kind="barge_in"),)),
        Turn(request="set a timer", response="For how long?", status="clarify"),
        Turn(request="next", response=""),
    )
    first, second = AtGoal((0, 2)), AtGoal((1,))
    labels = (
        Label("goals", first, "goal", 0.91),
        Label("outcome", first, "failure", 0.83),
        Label("goals", second, "goal", 0.72),
        Label("quality", AtTurn(0), "bad", 0.66, 2.0),
        Label("intents", AtTurn(0), "play_music", 0.97),
        Label("slots", AtSpan(0, 5, 16), "song", 0.88, "Purple Haze"),
    )
    abstained = (
        Abstained(Field("intents", AtTurn(2)), (Label("intents", AtTurn(2), "skip", 0.41),)),
        Abstained(Field("outcome", second), (Label("outcome", second, "success", 0.55),)),
    )
    none = (NoLabel("slots", AtTurn(1), 0.94), NoLabel("another", first))
    annotation = Annotation("m", "model", labels, none, abstained)
    signal = Signal(kind="rephrase", turns=(0,), vote="bad", strength=0.7, evidence=(2,))
    drawn = draw(DialogueView(Dialogue(id="d", turns=turns, signals=(signal,)), annotation))
    assert "goal 1: turns 0 2 0.91 · outcome failure 0.83 · no another" in drawn
    assert "goal 2: turns 1 0.72 · outcome withheld (success? 0.55)" in drawn
    assert "play purple haze‹song=Purple Haze 0.88›" in drawn
    assert "quality bad 2 0.66 · intents play_music 0.97 · ⚑ barge_in" in drawn
    assert "no slots 0.94 · status clarify" in drawn
    assert "intents withheld (skip? 0.41) · ⚐ rephrase bad 0.70 on 0" in drawn
    # The first goal's track goes on beside the second goal's turn.
    rows = [line[:2] for line in drawn.splitlines() if "user" in line]
    assert rows == ["● ", "│●", "● "]
