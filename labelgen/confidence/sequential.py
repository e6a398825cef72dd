"""An alarm that may be read after every week: has the mean of users changed since a release? A test by betting.

Users are independent, their dialogues are not, so a user is one draw, and counts once. Each user after the release is paired with one
from before: with himself where he was there, else with the next one by digest. Nobody is in two pairs. If nothing changed, the
difference of a pair has mean 0, and bets on its sign are a fair game: the wealth reaches 1 / p ever with a chance of at most p, at
whatever week one looks. The bets are a mixture of stakes in both directions, fixed in advance. A user who comes for the first time after the release must be like
those before it; who was there before need not.

Sources: Ville 1939; Shafer 2021, "Testing by betting"; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_STAKES = np.array([sign * stake for sign in (1, -1) for stake in (0.05, 0.1, 0.2, 0.4, 0.8)])


@dataclass(frozen=True, slots=True)
class Evidence:
    """After a period. p_value: valid at all times together. pairs: bets so far. rises: whether the mean rather rose than fell."""

    p_value: float
    pairs: int
    rises: bool


def evidence_of_change(before: Mapping[int, float], periods: Sequence[Mapping[int, float]]) -> list[Evidence]:
    """The evidence after each period. before, periods: digest of a user -> mean of what is judged of
    the user's dialogues there, 0..1."""
    left = dict(sorted(before.items()))
    logs = np.zeros(len(_STAKES))
    seen: set[int] = set()
    best, pairs, rises = 0.0, 0, False
    out = []
    for period in periods:
        for user in sorted(set(period) - seen):
            seen.add(user)
            # Whose earlier dialogues are in another pair is no new draw.
            if not left or (user in before and user not in left):
                continue
            partner = left.pop(user if user in left else next(iter(left)))
            logs += np.log1p(_STAKES * (period[user] - partner))
            pairs += 1
            wealth = float(np.logaddexp.reduce(logs)) - np.log(len(logs))
            if wealth > best:
                best, rises = wealth, bool(np.logaddexp.reduce(logs[:5]) > np.logaddexp.reduce(logs[5:]))
        out.append(Evidence(float(np.exp(-best)), pairs, rises))
    return out
