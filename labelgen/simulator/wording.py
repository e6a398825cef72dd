"""How a user puts a step into words: the first time, once more, or to put one slot right."""

from random import Random

from labelgen.simulator.goals import Step
from labelgen.simulator.grammar import Phrase, plain, say, write
from labelgen.simulator.meaning import GIVING_UP
from labelgen.simulator.phrases import (
    ANSWERS,
    ASKING_OPENERS,
    CLOSERS,
    COMPLAINTS,
    CORRECTIONS,
    OPENERS,
    ORDERS,
    TABLE,
    lines,
    pick,
)
from labelgen.simulator.user import User

_OPENER, _ASKING, _CLOSER = lines(OPENERS), lines(ASKING_OPENERS), lines(CLOSERS)
_COMPLAINT, _FAILED = lines(COMPLAINTS)
_CORRECTION = {slot: lines(text) for slot, text in CORRECTIONS.items()}
_ANSWER = {slot: lines(text) for slot, text in ANSWERS.items()}


def written(text: str) -> str:
    """As it stands: this world knows no capitals and no stops."""
    return text


def request(step: Step, user: User, rng: Random) -> Phrase:
    """The step in any of the words for it, with a please or a filler as the user's manners are."""
    templates = TABLE[step.key(), step.manner][tuple(sorted(name for name, _ in step.said))]
    phrase = say(pick(templates, rng), step.said, rng)
    if step.intents == (GIVING_UP,):
        return phrase
    if step.manner == "full" and rng.random() < 0.15 + 0.4 * user.manners:
        orders = phrase.words[0] in ORDERS and rng.random() < 0.7
        phrase = plain(write(pick(_ASKING if orders else _OPENER, rng), {}, rng)) + phrase
    if rng.random() < 0.05 + 0.25 * user.manners:
        phrase = phrase + plain(write(pick(_CLOSER, rng), {}, rng))
    return phrase


again = request
"""The grammar has many words for everything."""


def complaint(phrase: Phrase, nothing_happened: bool, rng: Random) -> Phrase:
    """The request again, after a word about what the assistant made of it."""
    template = _FAILED if nothing_happened else _COMPLAINT
    return plain(write(template, {}, rng)) + phrase


def correction(step: Step, k: int, rng: Random) -> tuple[Step, Phrase]:
    """Only the slot said k-th, put right; and the step that those words alone stand for."""
    name, value = step.said[k]
    return _only(step, name, value), say(pick(_CORRECTION[name], rng), ((name, value),), rng)


def answer_to(step: Step, slot: str, value: str, rng: Random) -> tuple[Step, Phrase]:
    """What the assistant has asked for, and the step that those words stand for."""
    return _only(step, slot, value), say(pick(_ANSWER[slot], rng), ((slot, value),), rng)


def _only(step: Step, name: str, value: str) -> Step:
    return Step(step.intents, ((name, value),), step.frame, "follow")
