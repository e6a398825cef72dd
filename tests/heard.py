"""Dialogues for the tests of feedback: a short way to write one, and any at all."""

from hypothesis import strategies as st

from labelgen.data.dialogue import (
    Audio,
    Dialogue,
    Feedback,
    Hypothesis,
    HypothesisIntent,
    HypothesisSlot,
    Recognition,
    Step,
    Turn,
)


def talk(*lines: str, **more: object) -> Dialogue:
    """Requests and responses in turn."""
    sides = [*lines, ""] if len(lines) % 2 else list(lines)
    turns = tuple(Turn(request=r, response=a) for r, a in zip(sides[::2], sides[1::2], strict=True))
    return Dialogue(id=str(more.pop("id", "d")), turns=turns, **more)  # type: ignore[arg-type]


PHRASES = (
    "play purple haze",
    "no, I meant the other one",
    "thanks, perfect",
    "thanks for nothing",
    "Sorry, I didn't get that.",
    "I'm sorry, but there is no room.",
    "Did I answer your question?",
    "yes",
    "no",
    "five stars",
    "three stars",
    "Playing Purple Haze.",
    "Is there anything else?",
    "For how long?",
    "never mind",
    "stop",
    "",
)

texts = st.sampled_from(PHRASES) | st.text(max_size=20)
seconds = st.none() | st.floats(0, 1000, allow_nan=False)


KINDS = (
    *("answer", "rating", "barge_in", "stop", "disconnect", "questionnaire"),
    *("regenerate", "retry", "edit", "edit_response", "copy"),
)
steps = st.builds(
    Step,
    kind=st.sampled_from(("tool", "recognition")),
    name=st.sampled_from((None, "search", "book")),
    error=st.sampled_from((None, "no route")),
)


def feedbacks(count: int) -> st.SearchStrategy[Feedback]:
    return st.builds(
        Feedback,
        kind=st.sampled_from(KINDS),
        answer=st.sampled_from((None, "yes", "no", "perhaps")),
        about=st.none() | st.integers(0, count - 1) if count else st.none(),
        rating=st.none() | st.floats(-10, 10, allow_nan=False) | st.integers(1, 5).map(float),
        scale=st.none() | st.tuples(st.floats(0, 5), st.floats(0, 10)),
        question=st.sampled_from((None, "Was it helpful?")),
        text=st.sampled_from((None, "play purple haze")),
    )


@st.composite
def _hypothesis(draw: st.DrawFn, request: str) -> Hypothesis | None:
    names = draw(st.lists(st.sampled_from(("music.Play", "music.Stop", "SetTimer")), max_size=2))
    slots = []
    if request and draw(st.booleans()):
        start = draw(st.integers(0, len(request) - 1))
        slots.append(HypothesisSlot(name="song", start=start, end=draw(st.integers(start + 1, len(request)))))
    made = Hypothesis(intents=tuple(HypothesisIntent(name=n) for n in names), slots=tuple(slots))
    return draw(st.sampled_from((None, made)))


@st.composite
def dialogues(draw: st.DrawFn, max_turns: int = 6, name: str | None = None) -> Dialogue:
    """Any dialogue, with and without clocks, sound, statuses, hypotheses, and every kind of feedback."""
    count = draw(st.integers(0, max_turns))
    turns = []
    for _ in range(count):
        request = draw(texts)
        turns.append(
            Turn(
                request=request,
                response=draw(texts),
                time_s=draw(seconds),
                response_time_s=draw(seconds),
                domain=draw(st.sampled_from((None, "music", "timers"))),
                status=draw(st.sampled_from((None, "answered", "failed"))),
                asr_confidence=draw(st.sampled_from((None, 0.5))),
                hypothesis=draw(_hypothesis(request)),
                nbest=draw(st.sampled_from(((), (Recognition(text="haze"),)))),
                audio=draw(st.sampled_from((None, Audio(path="a.wav")))),
                feedback=tuple(draw(st.lists(feedbacks(count), max_size=2))),
                steps=tuple(draw(st.lists(steps, max_size=2))),
            )
        )
    return Dialogue(
        id=name or draw(st.sampled_from("abc")),
        turns=tuple(turns),
        source=draw(st.sampled_from((None, "toy"))),
        feedback=tuple(draw(st.lists(feedbacks(count), max_size=2))),
        extra=draw(st.sampled_from((None, '{"x":1}'))),
    )
