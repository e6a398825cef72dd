"""A dialogue as Label Studio shows it: three lines a turn, and the names of the questions about them.

The first line of a turn is its number: what is said of the turn as a whole is said there, so that neither an empty request
nor a slot over all of it is in the way. Its request and its response follow; slots are marked in the request's line."""

from collections.abc import Sequence

from labelgen.data.dialogue import Dialogue

LINES = 3
"""Lines of a turn: its number, its request, its response."""

OBJECT = "dialogue"
"""The name of the Paragraphs tag, and of the field of a task's data with the lines."""

IDENTITY = "id"
LOOK_AT = "look_at"

TURN, SLOTS, VALUE, INTENTS, NONE = "turn", "slots", "value", "intents", "none"
QUALITY, GOAL, DIALOGUE_QUALITY = "quality", "goal", "dialogue_quality"
OUTCOME = "outcome_"
"""Begins the names of the questions for the outcomes of goals."""

NO_INTENT, NO_SLOT = "no intent", "no slot"
NO_GOAL = "none"

TASKS = ("goals", "outcome", "quality", "intents", "slots")
"""Tasks that can be asked."""


def outcome_of(goal: int) -> str:
    """The question for the outcome of that goal, counted from 1."""
    return f"{OUTCOME}{goal}"


def turn_line(turn: int) -> str:
    return f"turn {turn}"


def lines(dialogue: Dialogue) -> list[dict[str, str]]:
    out = []
    for t, turn in enumerate(dialogue.turns):
        texts = (("", turn_line(t)), ("user", turn.request), ("assistant", turn.response))
        out += [{"author": author, "text": text} for author, text in texts]
    return out


def requests(texts: Sequence[str]) -> tuple[str, ...]:
    """Of the texts of all lines."""
    return tuple(texts[1::LINES])


def responses(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts[2::LINES])
