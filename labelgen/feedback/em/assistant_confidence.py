"""How sure the assistant was of what it understood, by its place among the turns of the log.

A recognizer's confidence is no feedback, but it tells where silence hides a failure: who is not understood and lets it pass
leaves no other trace. What a confidence of .6 means differs from assistant to assistant, so a turn's is compared with the
rest of the log: the lowest tenth votes bad, the upper half good, as one more kind of signal, `confidence`. How far that can
be believed is then learned as of any kind (fit.py)."""

from array import array
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from labelgen.data.dialogue import Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import AtTurn
from labelgen.feedback.items import Item

CONFIDENCE = "confidence"
"""The kind of the vote."""

LOW, HIGH = 0.1, 0.5
"""Quantiles of the log: a confidence below the first votes bad, one at the second or above good."""


class Sureness:
    """Where the confidences of a log lie. Takes 8 bytes a turn; the order of the items is of no influence."""

    def __init__(self, items: Iterable[Item]) -> None:
        found = array("d")
        for item in items:
            if isinstance(item.at, AtTurn):
                own = confidence_of(item.dialogue.turns[item.at.turn])
                if own is not None:
                    found.append(own)
        low, high = np.quantile(found, (LOW, HIGH)) if found else (0.0, 0.0)
        self._low, self._high = float(low), float(high)

    def heard(self, item: Item) -> Item:
        """A turn with this vote beside its own signals; as it is where the turn has no confidence, or one between, or all of
        the log are alike, and so are goals and dialogues."""
        own = confidence_of(item.dialogue.turns[item.at.turn]) if isinstance(item.at, AtTurn) else None
        if own is None or self._low == self._high or self._low <= own < self._high:
            return item
        vote = Signal(kind=CONFIDENCE, turns=item.turns, vote="bad" if own < self._low else "good")
        return replace(item, signals=(*item.signals, vote))


def confidence_of(turn: Turn) -> float | None:
    """Of the understanding: the turn's own, else that of the hypothesis' likeliest intent."""
    if turn.nlu_confidence is not None:
        return turn.nlu_confidence
    known = [intent.confidence for intent in turn.hypothesis.intents] if turn.hypothesis else []
    return max((c for c in known if c is not None), default=None)
