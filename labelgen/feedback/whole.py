"""How a dialogue went as a whole: by the users' rating where they gave one, and by how its goals and turns went.

Few users rate, and those who do are not like the rest; what is known of the parts is known of nearly every dialogue. Half of
it are the goals, half the turns, since users mind both what they got and what it took. In the simulated log, where the truth
weighs them alike, that ranks dialogues as well as a model that learnt from gold; real ratings are not so simple
(docs/decisions.md)."""

import math
from collections.abc import Sequence
from statistics import fmean

from labelgen.feedback.posterior import Posterior, posterior

_SURE = 1e-6
"""No share is held to be 0 or 1."""


def whole_of(
    goals: Sequence[Posterior | None], turns: Sequence[Posterior | None], rated: Posterior | None
) -> Posterior | None:
    """The posterior of a dialogue from those of its parts and of its rating, each None where nothing is known of it. A part
    of which nothing is known says nothing of the whole either, so the parts count only where all are known: the mean of the
    goals' mean and the turns' mean. A rating's log-odds add to theirs."""
    known = [[part.good for part in parts if part is not None] for parts in (goals, turns)]
    if not any(known) or sum(map(len, known)) < len(goals) + len(turns):
        return rated
    share = fmean(fmean(goods) for goods in known if goods)
    origin = f"how its {len(goals)} goals and {len(turns)} turns went"
    if rated is None:
        return posterior(share, origin)
    log_odds = _logit(share) + _logit(rated.good)
    return posterior(1.0 / (1.0 + math.exp(-log_odds)), f"{rated.origin}; {origin}")


def _logit(p: float) -> float:
    held = min(max(p, _SURE), 1.0 - _SURE)
    return math.log(held / (1.0 - held))
