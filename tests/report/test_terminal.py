"""The terminal view: whole, and deaf to what a log's text would like to do to the terminal."""

import io
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from strategies import dialogues

from labelgen.data.dialogue import Dialogue, Feedback, Signal, Turn
from labelgen.data.labels import Abstained, Annotation, AtGoal, AtSpan, AtTurn, Field, Label, NoLabel
from labelgen.report.terminal import DialogueView


def draw(what, width=100, color=False):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=color, color_system="truecolor" if color else None).print(what)
    return out.getvalue()


@settings(max_examples=50, deadline=None)
@given(dialogues(), st.integers(30, 140), st.booleans())
def test_any_dialogue_is_drawn_and_none_reaches_the_terminal(dialogue, width, labeled):
    drawn = draw(DialogueView(dialogue, dialogue.annotations[0] if labeled and dialogue.annotations else None), width)
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
