"""Rating: stars and other ratings, on a scale or in words."""

from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import from_scale, quality_name
from labelgen.feedback.cues import is_recorded, recorded_feedback
from labelgen.feedback.phrases import phrases

EVIDENCE = ("feedback", "request")
PRECISION = {"good": 0.9, "bad": 0.9}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `rating` (1 to 5 where no scale is given), and requests that only say a rating, such as
    "five stars" or "I'd rate that 2 out of 5".

    Votes good above the middle of the scale and bad below, as strong as its distance from it, and fair at the middle;
    explicit. No signal for a rating outside its scale. Words are about the turn before, feedback about the turn that it
    names or that holds it, feedback of the dialogue about all turns. Words in a turn with a recorded rating are not read."""
    rated: set[int] = set()
    words = phrases(dialogue.locale)
    for feedback, turns, evidence in recorded_feedback(dialogue, "rating"):
        scale = feedback.scale or (1.0, 5.0)
        if feedback.rating is not None and scale[0] != scale[1] and min(scale) <= feedback.rating <= max(scale):
            rated.update(evidence)
            yield _signal(from_scale(feedback.rating, scale), turns, evidence)
    for t, turn in enumerate(dialogue.turns):
        if t and t not in rated:
            said = words.fullmatch("rating", turn.request)
            if said:
                number = said["rating"]
                rating = float(words.numbers.get(number, number))
                yield _signal(max(rating, 1.0), (t - 1,), (t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """Whether a request follows, which may be a rating, or one is recorded."""
    in_words = turn + 1 < len(dialogue.turns) and phrases(dialogue.locale).has("rating")
    return in_words or is_recorded(dialogue, turn, "rating")


def _signal(rating: float, turns: tuple[int, ...], evidence: tuple[int, ...]) -> Signal:
    """rating: on 1..5."""
    strength = min(1.0, abs(rating - 3.0) / 2.0) or 1.0
    return Signal(
        kind="rating", turns=turns, vote=quality_name(rating), strength=strength, explicit=True, evidence=evidence
    )
