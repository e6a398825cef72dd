"""Feedback that the log itself recorded."""

from labelgen.data.dialogue import Dialogue


def recorded(dialogue: Dialogue, turn: int, *kinds: str) -> bool:
    """Whether the log holds feedback of one of these kinds about this turn, or about the dialogue as a whole."""
    return any(f.kind in kinds and f.about in (None, turn) for f in dialogue.feedback) or any(
        f.kind in kinds and (t if f.about is None else f.about) == turn
        for t, other in enumerate(dialogue.turns)
        for f in other.feedback
    )
