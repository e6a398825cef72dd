"""Masking removes the evidence of feedback, and nothing else."""

from heard import dialogues, talk
from hypothesis import example, given
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Hypothesis, HypothesisIntent, HypothesisSlot, Signal
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, Target
from labelgen.data.record import decode, encode
from labelgen.feedback.signal import find_signals, hide_answers, mask, mask_feedback, reactions


def test_mask_removes_the_evidence_fields_of_each_kind() -> None:
    dialogue = talk("play haze", "Sorry, I didn't get that.", "no, I meant purple haze", "Playing.")
    hidden = mask(dialogue, find_signals(dialogue))
    # What the assistant said is no reaction of a user.
    assert [(t.request, t.response) for t in hidden.turns] == [
        ("play haze", dialogue.turns[0].response),
        ("", "Playing."),
    ]
    only = mask(dialogue, find_signals(dialogue, ["correction"]))
    assert [(t.request, t.response) for t in only.turns] == [
        ("play haze", dialogue.turns[0].response),
        ("", "Playing."),
    ]


def test_mask_removes_spans_with_their_text() -> None:
    labels = (
        Label("slots", AtSpan(0, 0, 4), "x"),
        Label("slots", AtSpan(1, 0, 6), "x"),
        Label("quality", AtTurn(1), "bad"),
    )
    targets = tuple(Target("slots", at, (("x", 1.0),)) for at in (AtSpan(0, 0, 4), AtSpan(1, 0, 6)))
    dialogue = talk(
        "play haze",
        "Playing.",
        "thanks a lot",
        "Ok.",
        annotations=(Annotation("a", "person", labels),),
        targets=targets,
    )
    heard = Hypothesis(intents=(HypothesisIntent(name="i"),), slots=(HypothesisSlot(name="x", start=0, end=6),))
    dialogue = replace(dialogue, turns=(dialogue.turns[0], replace(dialogue.turns[1], hypothesis=heard)))
    hidden = mask(dialogue, find_signals(dialogue))
    assert hidden.annotations[0].labels == (labels[0], labels[2])
    assert hidden.targets == targets[:1]
    assert hidden.turns[1].hypothesis is None
    assert isinstance(decode(encode(hidden), "memory"), Dialogue)


EMPTY = talk("play haze", "Playing.", "five stars", "Thanks.")
EMPTY = replace(EMPTY, turns=(EMPTY.turns[0], replace(EMPTY.turns[1], feedback=(Feedback(kind="rating"),))))


@example(EMPTY)
@given(dialogues())
def test_mask_of_detected_signals_leaves_none_in_place(dialogue: Dialogue) -> None:
    signals = find_signals(dialogue)
    hidden = mask(dialogue, signals)
    assert len(hidden.turns) == len(dialogue.turns)
    assert mask(hidden, signals) == hidden
    assert isinstance(decode(encode(hidden), "memory"), Dialogue)
    assert not any(s.explicit for s in find_signals(hidden))
    # Where a response was hidden a request stands unanswered at the end: that alone may be seen anew.
    before = {(s.kind, s.turns, s.evidence) for s in signals}
    after = {(s.kind, s.turns, s.evidence) for s in find_signals(hidden) if s.kind in ("gratitude", "correction")}
    assert not before & after


@given(dialogues())
def test_mask_feedback_without_evidence_changes_nothing(dialogue: Dialogue) -> None:
    hidden = mask_feedback(dialogue)
    assert hidden in (dialogue, mask(dialogue, find_signals(dialogue)))
    if hidden != dialogue:
        assert reactions(find_signals(dialogue)) or dialogue.feedback or any(turn.feedback for turn in dialogue.turns)


def test_mask_feedback_covers_recorded_and_detected_signals() -> None:
    dialogue = talk("play haze", "Playing.", "hm", "Ok.", "thanks, perfect", "Bye.")
    told = replace(dialogue, signals=(Signal(kind="sigh", turns=(0,), vote="bad", evidence=(1,)),))
    assert [t.request for t in mask_feedback(dialogue).turns] == ["play haze", "hm", ""]
    assert [t.request for t in mask_feedback(told).turns] == ["play haze", "", ""]


@given(dialogues())
def test_hide_answers_removes_what_was_said_explicitly_and_keeps_the_rest(dialogue: Dialogue) -> None:
    hidden = hide_answers(dialogue)
    said = find_signals(dialogue)
    assert not any(s.explicit for s in find_signals(hidden))
    assert hidden == dialogue or hidden.signals == tuple(s for s in said if not s.explicit)
    assert (hidden == dialogue) == (not any(s.explicit for s in said))
