"""What the feedback of other users says of the same request, served in the same way.

Most users stay silent, but many ask for the same. Of every turn the others who made the same request and got the same
response are looked up, and on the mean of what a fitted method thinks of their turns they vote as one more kind of signal,
`others`. How far that can be believed is then learned as of any kind, from how it agrees with the rest; so is what it tells
that nobody else asked for this. A user counts once, with the mean of all such turns, and never for own turns."""

from array import array
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from labelgen.base.files import short_digest
from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.data.labels import AtTurn
from labelgen.feedback.items import Item
from labelgen.feedback.posterior import Method

OTHERS = "others"
"""The kind of the pooled vote."""

LEAST_USERS = 2
"""Fewer others do not vote: one alone says little, and could be recognized."""

_ROUNDING = 1e-9
"""A tie is not to be decided by it."""


class Others:
    """What was thought of the turns of a log, by request and response, and by user.

    Takes 24 bytes a turn. The order of the items is of no influence."""

    def __init__(self, items: Iterable[Item], method: Method) -> None:
        same, users, goods = array("Q"), array("Q"), array("d")
        for item in items:
            found = method(item) if isinstance(item.at, AtTurn) else None
            if found is not None and isinstance(item.at, AtTurn):
                same.append(_same(item.dialogue, item.at.turn))
                users.append(_user(item.dialogue))
                goods.append(found.good)
        # All [P], a row for each request, response and user.
        self._same: NDArray[np.uint64] = np.array(same, dtype=np.uint64)
        self._users: NDArray[np.uint64] = np.array(users, dtype=np.uint64)
        self._means: NDArray[np.float64] = np.array(goods, dtype=np.float64)
        self._share = float(np.sort(self._means).mean()) if len(goods) else 0.5
        self._count_users_once()

    def _count_users_once(self) -> None:
        order = np.lexsort((self._means, self._users, self._same))
        same, users, goods = self._same[order], self._users[order], self._means[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (same[1:] != same[:-1]) | (users[1:] != users[:-1])
        first = np.flatnonzero(new)
        self._same, self._users = same[first], users[first]
        sizes = np.diff(np.append(first, len(order)))
        self._means = np.add.reduceat(goods, first) / sizes if len(first) else goods

    def vote(self, dialogue: Dialogue, turn: int) -> Signal | None:
        """Good where the others' turns of this kind went at least as well as turns do in this log, else bad; None where too
        few others made the request."""
        same = np.uint64(_same(dialogue, turn))
        start, end = np.searchsorted(self._same, same, "left"), np.searchsorted(self._same, same, "right")
        others = self._means[start:end][self._users[start:end] != np.uint64(_user(dialogue))]
        if len(others) < LEAST_USERS:
            return None
        good = others.mean() >= self._share - _ROUNDING
        return Signal(kind=OTHERS, turns=(turn,), vote="good" if good else "bad")

    def heard(self, item: Item) -> Item:
        """A turn with the vote of the others beside its own signals; goals and dialogues as they are."""
        vote = self.vote(item.dialogue, item.at.turn) if isinstance(item.at, AtTurn) else None
        return item if vote is None else replace(item, signals=(*item.signals, vote))


def _same(dialogue: Dialogue, turn: int) -> int:
    """Equal where request and response are, but for case and blanks."""
    own = dialogue.turns[turn]
    return short_digest("\n".join(" ".join((text or "").casefold().split()) for text in (own.request, own.response)))


def _user(dialogue: Dialogue) -> int:
    """Where the log names no user, each dialogue is one."""
    return short_digest(f"user {dialogue.user}" if dialogue.user is not None else f"dialogue {dialogue.id}")
