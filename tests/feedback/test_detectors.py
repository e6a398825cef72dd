"""Every detector gives signals for its cues and none elsewhere; laws over the registry."""

from typing import Any

import pytest
from heard import dialogues, talk
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback, Signal, Step, Turn
from labelgen.data.labels import QUALITY_NAMES
from labelgen.data.record import encode
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.detectors.words import repeated_requests
from labelgen.feedback.signal import detector, find_signals


def found(kind: str, dialogue: Dialogue) -> list[tuple[tuple[int, ...], str]]:
    return [(s.turns, s.vote) for s in find_signals(dialogue, [kind])]


def clocked(*turns: tuple[str, str, float, float | None], spoken: bool = True) -> Dialogue:
    sure = 0.9 if spoken else None
    return Dialogue(
        id="d",
        turns=tuple(
            Turn(request=r, response=a, time_s=at, response_time_s=then, asr_confidence=sure)
            for r, a, at, then in turns
        ),
    )


def moved(*lines: str) -> Dialogue:
    """Every turn of another domain than the one before."""
    dialogue = talk(*lines)
    return replace(dialogue, turns=tuple(replace(turn, domain=f"d{t}") for t, turn in enumerate(dialogue.turns)))


def asked(*feedback: Feedback) -> Dialogue:
    return talk("play haze", "Playing.", feedback=feedback)


def pressed(kind: str, **more: Any) -> Dialogue:
    """A button pressed at the first of two turns."""
    dialogue = talk("play haze", "Playing.", "louder", "Louder.")
    turns = (replace(dialogue.turns[0], feedback=(Feedback(kind=kind, **more),)), dialogue.turns[1])
    return replace(dialogue, turns=turns)


def tooled(*steps: tuple[str, str | None]) -> Dialogue:
    """A turn with tools, each with its error."""
    dialogue = talk("play haze", "Playing.")
    made = tuple(Step(kind="tool", name=name, error=error) for name, error in steps)
    return replace(dialogue, turns=(replace(dialogue.turns[0], steps=made),))


LONG = "Here is a rather long story about a king and his seven horses"

MOMENTS = ("preference", "fact", "remember")
"""Kinds that judge no turn."""

SPEAKS: list[tuple[str, Dialogue, tuple[int, ...], str]] = [
    ("reaction", talk("a table for Friday", "Your table is booked for Thursday.", "Friday, I said."), (0,), "bad"),
    ("answer", talk("rain?", "No. Did I answer your question?", "yes"), (0,), "good"),
    ("answer", talk("rain?", "No. Was that helpful?", "Not really, no."), (0,), "bad"),
    ("answer", talk("rain?", "No.", "ok", "Fine.", feedback=(Feedback(kind="answer", answer="no"),)), (0, 1), "bad"),
    ("answer", talk("a", "b", "c", "d", feedback=(Feedback(kind="answer", answer="yes", about=1),)), (1,), "good"),
    ("rating", talk("play", "Playing.", "five stars"), (0,), "good"),
    ("rating", talk("play", "Playing.", "I'd give that 2 out of 5"), (0,), "bad"),
    ("rating", talk("play", "Playing.", feedback=(Feedback(kind="rating", rating=1, scale=(0, 10)),)), (0,), "bad"),
    ("rating", talk("play", "Playing.", feedback=(Feedback(kind="rating", rating=1, scale=(6, 1)),)), (0,), "good"),
    ("rating", talk("play", "Playing.", "three stars"), (0,), "fair"),
    ("rating", talk("play", "Playing.", feedback=(Feedback(kind="rating", rating=5, scale=(0, 10)),)), (0,), "fair"),
    (
        "questionnaire",
        asked(Feedback(kind="questionnaire", rating=4), Feedback(kind="questionnaire", rating=1)),
        (0,),
        "bad",
    ),
    ("questionnaire", asked(Feedback(kind="questionnaire", rating=1, scale=(6, 1))), (0,), "good"),
    ("questionnaire", asked(Feedback(kind="questionnaire", answer="no", question="Was it helpful?")), (0,), "bad"),
    ("stop", talk("play haze", "I don't know haze.", "never mind"), (0,), "bad"),
    ("stop", talk("play haze", "Playing Rain by Ann.", "ugh, forget it!", "Ok."), (0,), "bad"),
    ("stop", talk("how are you", "Let me tell you of my day, which began", "Stop it, please", "Ok."), (0,), "bad"),
    ("stop", talk("a table", "For how many?", "cancel that", "All right."), (0,), "bad"),
    ("stop", talk("play", "Ok.", "hm", "Ok.", feedback=(Feedback(kind="stop"),)), (0, 1), "bad"),
    ("abandonment", talk("hi", "Hello.", "set a timer", "For how long?"), (1,), "bad"),
    ("abandonment", moved("set a timer", "For how long?", "rain?", "No."), (0,), "bad"),
    ("disconnect", talk("play", "Ok.", "stop", "Ok.", feedback=(Feedback(kind="disconnect"),)), (0, 1), "bad"),
    ("disconnect", talk("hi", "Hello.", "book a room", "I'm sorry, but there is no room."), (1,), "bad"),
    ("disconnect", talk("hi", "Hello.", "book a room", ""), (1,), "bad"),
    ("barge_in", clocked(("tell me a story", LONG, 0, 1), ("play jazz", "Ok.", 2, None)), (0,), "bad"),
    ("rephrase", talk("play the purple haze", "Playing Purple Rain.", "play that purple haze", "Ok."), (0,), "bad"),
    ("rephrase", talk("turn on the lamp", "Sorry, I didn't get that.", "turn on the lamp", "Ok."), (0,), "bad"),
    ("rephrase", talk("turn on the red lamp", "", "hm", "", "turn on a red lamp", "Ok."), (0,), "bad"),
    ("correction", talk("play haze", "Playing Rain.", "no, I meant Purple Haze"), (0,), "bad"),
    ("correction", talk("play haze", "Playing Rain.", "Not that, the old one"), (0,), "bad"),
    ("correction", talk("play haze", "Playing Rain.", "the other one"), (0,), "bad"),
    ("correction", talk("play haze on the tv", "Playing it in the hall.", "no on the tv"), (0,), "bad"),
    ("correction", talk("play haze", "Playing Rain.", "You’re wrong"), (0,), "bad"),
    ("repetition", talk("play haze", "Sorry, I didn't get that."), (0,), "bad"),
    ("repetition", talk("a room", "Unfortunately the hotel is full."), (0,), "bad"),
    ("repetition", talk("a room", "May I have your name?", "Ann", "May I have your name?"), (1,), "bad"),
    ("gratitude", talk("play haze", "Playing.", "thanks!"), (0,), "good"),
    ("gratitude", talk("play haze", "Playing.", "That's perfect."), (0,), "good"),
    ("regenerate", pressed("regenerate"), (0,), "bad"),
    ("retry", pressed("retry"), (0,), "bad"),
    ("edit", pressed("edit", text="play the purple haze"), (0,), "bad"),
    ("edit", pressed("edit_response", text="Playing Haze."), (0,), "bad"),
    ("copy", replace(pressed("copy"), feedback=(Feedback(kind="copy", about=0),)), (0,), "good"),
    ("tool_error", tooled(("search", "no route")), (0,), "bad"),
    ("preference", talk("I always want window seats"), (), "fair"),
    ("fact", talk("where is my brother", "In London.", "no, my brother lives in Leeds"), (), "fair"),
    ("remember", talk("remember that my locker is number 12"), (), "fair"),
]
SILENT: list[tuple[str, Dialogue]] = [
    ("reaction", talk("a table for Friday", "Is a table at 7 pm alright?", "no")),
    ("answer", talk("rain?", "No. Did I answer your question?", "play jazz")),
    ("answer", talk("a table", "For two?", "yes")),
    ("answer", talk("a table", "For two at noon, is that correct?", "no, at one")),
    ("answer", talk("a", "b", feedback=(Feedback(kind="questionnaire", answer="yes"),))),
    ("rating", talk("hi", "Hello.", "find a five star hotel")),
    ("rating", talk("five stars", "Hm?")),
    ("rating", talk("play", "Playing.", feedback=(Feedback(kind="rating", rating=11, scale=(0, 10)),))),
    ("questionnaire", asked(Feedback(kind="questionnaire", rating=2), Feedback(kind="questionnaire", rating=4))),
    ("questionnaire", asked(Feedback(kind="questionnaire", rating=11, scale=(0, 10)))),
    ("questionnaire", asked(Feedback(kind="questionnaire", answer="yes", question="Was it helpful?"))),
    ("questionnaire", asked(Feedback(kind="questionnaire", answer="no", question="Was it not helpful?"))),
    ("questionnaire", asked(Feedback(kind="questionnaire", answer="no", question="Did it talk of rain?"))),
    ("questionnaire", asked(Feedback(kind="rating", rating=1), Feedback(kind="answer", answer="no"))),
    ("stop", talk("play haze", "I don't know haze.", "stop the music", "Ok.")),
    ("stop", talk("play haze", "Playing Rain by Ann.", "stop", "Ok.")),
    ("stop", talk("a timer for tea", "Your timer is set.", "cancel it", "Ok.")),
    ("stop", talk("a table", "You have a table for two.", "cancel that", "It is cancelled.")),
    ("stop", talk("a table", "Booked. Anything else?", "never mind")),
    ("stop", talk("a table", "Is noon fine?", "no, forget it")),
    ("stop", talk("stop", "Ok.")),
    ("stop", talk("two teas", "Two teas.", "enough", "That makes five dollars.")),
    ("correction", talk("a latte", "Is a latte right?", "just what I asked for")),
    ("stop", clocked(("play haze", "I don't know haze.", 0, 1), ("never mind", "Ok.", 500, None))),
    ("abandonment", talk("set a timer", "For how long?", "five minutes", "Set.")),
    ("abandonment", talk("set a timer", "Set. Is there anything else?")),
    ("abandonment", talk("set a timer", "Set. Is that what you wanted?")),
    ("abandonment", talk("set a timer", "Sorry, I didn't get that. What timer?")),
    ("abandonment", talk("thanks, bye", "Will you come back?")),
    ("abandonment", talk("a timer", "For how long?", feedback=(Feedback(kind="disconnect"),))),
    ("abandonment", moved("set a timer", "For how long?", "never mind", "Ok.")),
    ("abandonment", moved("set a timer", "Set.", "rain?", "No.")),
    ("abandonment", clocked(("set a timer", "For how long?", 0, 1), ("five minutes", "Ok.", 999, None))),
    ("disconnect", talk("hi", "Hello.", "book a room", "Booked.")),
    ("disconnect", talk("hi", "Hello.", "thanks, bye", "")),
    ("disconnect", talk("rain?", "No. Was that helpful?", "no", "")),
    ("disconnect", talk("rain?", "No. Anything else?", "no", "")),
    ("barge_in", clocked(("tell me a story", LONG, 0, 1), ("play jazz", "Ok.", 2, None), spoken=False)),
    ("barge_in", clocked(("tell me a story", LONG, 0, 1), ("play jazz", "Ok.", 30, None))),
    ("barge_in", clocked(("tell me a story", LONG, 0, None), ("play jazz", "Ok.", 2, None))),
    ("barge_in", clocked(("tell me a story", LONG, 9, 10), ("play jazz", "Ok.", 3, None))),
    ("rephrase", talk("play the next song", "Ok.", "play the next song", "Ok.")),
    ("rephrase", talk("how is the weather in paris", "Sunny.", "how is the weather in rome", "Sunny.")),
    ("rephrase", talk("find me some events", "In what city?", "find me some events in rome", "Ok.")),
    ("rephrase", talk("yes that is correct", "", "yes that is correct", "Ok.")),
    ("rephrase", talk("how is the weather in paris", "Sorry, I can't find that.", "how is the weather in rome", "Ok.")),
    ("rephrase", talk("yes", "", "yes", "Ok.")),
    (
        "rephrase",
        clocked(("turn on the lamp", "Sorry, I didn't get that.", 0, 1), ("turn on the lamp", "Ok.", 500, 501)),
    ),
    ("correction", talk("two seats", "For when?", "actually, make that three")),
    ("correction", talk("two seats", "Anything else?", "no")),
    ("correction", talk("two seats", "For today?", "no for monday")),
    ("correction", talk("two seats", "Booked.", "no problem")),
    ("correction", talk("mar", "When will you come?", "Sorry, I meant Mark.")),
    ("correction", talk("no, I meant Purple Haze", "Ok.")),
    ("repetition", talk("a", "Is there anything else I can do?", "b", "Is there anything else I can do?")),
    ("repetition", talk("a", "The Hilton has a rating of 2.", "b", "The Hilton has a rating of 4.")),
    ("repetition", talk("to the airport", "Let me know if you didn't understand a step.")),
    ("repetition", talk("my cat is ill", "I'm sorry to hear that.")),
    ("gratitude", talk("play haze", "Playing.", "thanks for nothing")),
    ("gratitude", talk("play haze", "Anything else?", "no thanks")),
    ("gratitude", talk("thanks", "You're welcome.")),
    ("regenerate", pressed("retry")),
    ("retry", pressed("regenerate")),
    ("edit", pressed("edit", text="Play haze!")),
    ("edit", pressed("edit_response", text="playing")),
    ("copy", pressed("stop")),
    ("tool_error", tooled(("search", None))),
    (
        "tool_error",
        replace(tooled(), turns=(Turn(request="a", response="b", steps=(Step(kind="result", error="x"),)),)),
    ),
    ("preference", talk("call me a taxi")),
    ("preference", replace(talk("I always want window seats"), locale="de-DE")),
    ("fact", talk("a train", "To London?", "no, to Leeds")),
    ("fact", talk("no, my brother lives in Leeds")),
    ("remember", talk("remember to water the plants")),
]


UNSEEN: list[tuple[str, Dialogue, int]] = [
    ("answer", talk("rain?", "No.", "ok", "Fine."), 0),
    ("answer", talk("rain?", "No. Was that helpful?"), 0),
    ("rating", talk("play", "Playing."), 0),
    ("questionnaire", talk("play", "Playing."), 0),
    ("disconnect", talk("play", "Playing.", "louder", "Ok."), 0),
    ("stop", talk("play", "Playing.", "louder", "Ok."), 1),
    ("abandonment", talk("set a timer", "For how long?", "five minutes", "Set."), 1),
    ("barge_in", talk("tell me a story", LONG, "play jazz"), 0),
    ("barge_in", clocked(("tell me a story", LONG, 0, None), ("play jazz", "Ok.", 2, None)), 0),
    ("barge_in", clocked(("tell me a story", "No.", 0, 1), ("play jazz", "Ok.", 2, None)), 0),
    ("rephrase", talk("play the next song", "Ok."), 0),
    ("rephrase", talk("yes", "For two?", "yes", "Ok."), 0),
    ("correction", talk("play haze", "Playing Rain."), 0),
    ("reaction", talk("play haze", "Playing Rain."), 0),
    ("repetition", talk("play haze", ""), 0),
    ("gratitude", talk("play haze", "Playing."), 0),
    *((kind, talk("play haze", "Playing."), 0) for kind in ("regenerate", "retry", "edit", "copy", "tool_error")),
    *((kind, talk("play haze", "Playing.", "thanks"), 0) for kind in MOMENTS),
]


@pytest.mark.parametrize(("kind", "dialogue", "turn"), UNSEEN)
def test_observable_where_no_signal_is_possible_is_false(kind: str, dialogue: Dialogue, turn: int) -> None:
    assert not detector(kind).observable(dialogue, turn)
    assert all(turn not in turns for turns, _ in found(kind, dialogue))


@given(dialogues())
def test_detectors_give_no_signal_where_nothing_is_observable(dialogue: Dialogue) -> None:
    for signal in find_signals(dialogue):
        assert all(detector(signal.kind).observable(dialogue, turn) for turn in signal.turns), signal


@pytest.mark.parametrize(("kind", "dialogue", "turns", "vote"), SPEAKS)
def test_detector_of_its_cue_gives_a_signal(kind: str, dialogue: Dialogue, turns: tuple[int, ...], vote: str) -> None:
    assert found(kind, dialogue) == [(turns, vote)]
    evidence = [t for signal in find_signals(dialogue, [kind]) for t in signal.evidence]
    assert set(evidence) <= set(range(len(dialogue.turns)))


@pytest.mark.parametrize(("kind", "dialogue"), SILENT)
def test_detector_without_its_cue_gives_no_signal(kind: str, dialogue: Dialogue) -> None:
    assert found(kind, dialogue) == []


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        (Feedback(kind="barge_in"), "barge_in"),
        (Feedback(kind="stop"), "stop"),
        (Feedback(kind="disconnect"), "disconnect"),
    ],
)
def test_turn_feedback_is_about_its_turn_or_the_one_it_names(feedback: Feedback, kind: str) -> None:
    dialogue = talk("play", "Playing.", "louder", "Louder.")
    for about, meant in ((None, 1), (0, 0)):
        turns = (dialogue.turns[0], replace(dialogue.turns[1], feedback=(replace(feedback, about=about),)))
        assert found(kind, replace(dialogue, turns=turns)) == [((meant,), "bad")]


@pytest.mark.parametrize(
    ("kind", "lines", "fields"),
    [
        ("answer", ("rain?", "No. Did I answer your question?", "no"), {"answer": "no"}),
        ("stop", ("play haze", "I don't know haze.", "never mind", "Ok."), {}),
    ],
)
def test_recorded_feedback_is_not_detected_again_in_words(
    kind: str, lines: tuple[str, ...], fields: dict[str, str]
) -> None:
    said = talk(*lines)
    told = Feedback(kind=kind, about=0, **fields)  # type: ignore[arg-type]
    recorded = replace(said, turns=(said.turns[0], replace(said.turns[1], feedback=(told,))))
    assert len(find_signals(said, [kind])) == len(find_signals(recorded, [kind])) == 1


def test_abandonment_of_a_question_taken_up_again_is_none() -> None:
    left = moved("set a timer", "For how long?", "rain?", "No.", "five minutes", "Set.")
    assert found("abandonment", left) == [((0,), "bad")]
    back = replace(left, turns=(*left.turns[:2], replace(left.turns[2], domain="d0")))
    assert found("abandonment", back) == []


@given(dialogues())
def test_abandonment_reads_no_clock(dialogue: Dialogue) -> None:
    turns = tuple(replace(turn, time_s=None, response_time_s=None) for turn in dialogue.turns)
    assert found("abandonment", replace(dialogue, turns=turns)) == found("abandonment", dialogue)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_questionnaire_of_several_items_votes_once_by_the_mean(ratings: list[int]) -> None:
    signals = find_signals(asked(*(Feedback(kind="questionnaire", rating=r) for r in ratings)), ["questionnaire"])
    mean = sum(ratings) / len(ratings)
    assert [(s.vote, s.explicit) for s in signals] == ([] if mean == 3 else [("good" if mean > 3 else "bad", True)])
    assert all(s.strength == pytest.approx(abs(mean - 3) / 2) for s in signals)


@pytest.mark.parametrize(
    ("lines", "struggles", "explores"),
    [
        (("play the purple haze", "Playing Purple Rain.", "play that purple haze", "Ok."), True, False),
        (("weather in paris today", "Sunny in Paris.", "weather in rome today", "Fog."), False, True),
        (("weather in paris today", "It is sunny.", "weather in rome today", "Fog."), False, False),
        (("play the next song", "Ok.", "play the next song", "Ok."), False, True),
        (("turn on the lamp", "Ok.", "turn on the lamp", "Ok."), False, False),
    ],
)
def test_rephrase_distinguishes_struggle_from_exploration(
    lines: tuple[str, ...], struggles: bool, explores: bool
) -> None:
    assert [(again.struggles, again.explores) for again in repeated_requests(talk(*lines))] == [(struggles, explores)]


def test_observable_where_a_signal_is_possible_is_true() -> None:
    told = Feedback(kind="questionnaire", rating=3)
    assert detector("stop").observable(talk("a", "b", "c", "d"), 0)
    assert detector("abandonment").observable(talk("a", "For how long?", "c", "d"), 0)
    assert detector("questionnaire").observable(talk("a", "b", feedback=(told,)), 0)


def test_evidence_of_every_detector_names_fields_of_a_turn() -> None:
    turn_fields = set(Turn.__struct_fields__)
    for kind in DETECTORS:
        assert set(detector(kind).EVIDENCE) <= turn_fields
        assert detector(kind).EVIDENCE


@given(dialogues())
def test_detectors_of_any_dialogue_give_valid_signals(dialogue: Dialogue) -> None:
    before = encode(dialogue)
    signals = find_signals(dialogue)
    assert find_signals(dialogue) == signals
    assert encode(dialogue) == before
    count = len(dialogue.turns)
    for kind in DETECTORS:
        assert all(s.kind == kind for s in find_signals(dialogue, [kind]))
    for s in signals:
        assert bool(s.turns) == (s.kind not in MOMENTS) == (s.span is None)
        assert list(s.turns) == sorted(set(s.turns))
        assert all(0 <= t < count for t in (*s.turns, *s.evidence))
        assert s.vote in (QUALITY_NAMES if s.kind in ("rating", *MOMENTS) else ("good", "bad"))
        assert 0.0 < s.strength <= 1.0
    if not count:
        assert signals == ()


@given(dialogues())
def test_detectors_ignore_annotations_and_old_signals(dialogue: Dialogue) -> None:
    old = Signal(kind="answer", turns=(), vote="bad")
    assert find_signals(replace(dialogue, signals=(old,))) == find_signals(dialogue)
