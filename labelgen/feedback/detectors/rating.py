"""Stars and other ratings, given on a scale or said in words."""

import re
from collections.abc import Iterator

from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.data.quality import from_scale, quality_name
from labelgen.feedback.recorded_feedback import recorded, recorded_feedback
from labelgen.feedback.wording import plain

EVIDENCE = ("feedback", "request")

_NUMBER = r"(?P<rating>zero|one|two|three|four|five|[0-5])"
# Only a request that is nothing but a rating: "find a five star hotel" rates nothing.
_SAID = re.compile(
    r"(?:(?:i (?:would |will |'d |'ll )?|i'd |i'll |let me |well |ok |okay )?(?:give|rate)(?: it| that| this| you| him| her)?(?: an?)? )?"
    rf"{_NUMBER} (?:stars?|out of (?:5|five)(?: stars?)?)(?: from me| for you| for that| please| thanks| thank you)?"
)
_NUMBERS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def detect(dialogue: Dialogue) -> Iterator[Signal]:
    """Reads feedback of kind `rating` (1 to 5 where no scale is given), and requests that only say a rating, such as
    "five stars" or "I'd rate that 2 out of 5".

    Votes good above the middle of the scale and bad below, as strongly as it lies from it, and fair at the middle itself;
    explicit. A rating outside its scale is silence. Words speak of the turn before, feedback of the turn that is meant or
    it stands on, feedback of the dialogue of all turns. Where feedback rates, the words beside it are not read."""
    told: set[int] = set()
    for feedback, turns, evidence in recorded_feedback(dialogue, "rating"):
        scale = feedback.scale or (1.0, 5.0)
        if feedback.rating is not None and scale[0] != scale[1] and min(scale) <= feedback.rating <= max(scale):
            told.update(evidence)
            yield _signal(from_scale(feedback.rating, scale), turns, evidence)
    for t, turn in enumerate(dialogue.turns):
        if t and t not in told:
            said = _SAID.fullmatch(plain(turn.request))
            if said:
                number = said["rating"]
                rating = float(_NUMBERS.get(number, number))
                yield _signal(max(rating, 1.0), (t - 1,), (t,))


def observable(dialogue: Dialogue, turn: int) -> bool:
    """A request follows, which may be a rating; or one is recorded."""
    return turn + 1 < len(dialogue.turns) or recorded(dialogue, turn, "rating")


def _signal(rating: float, turns: tuple[int, ...], evidence: tuple[int, ...]) -> Signal:
    """rating: on 1..5."""
    strength = min(1.0, abs(rating - 3.0) / 2.0) or 1.0
    return Signal(
        kind="rating", turns=turns, vote=quality_name(rating), strength=strength, explicit=True, evidence=evidence
    )
