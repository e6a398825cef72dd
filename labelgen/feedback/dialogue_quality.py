"""How a dialogue went as a whole, where nobody rated it: by how its goals and turns went.

Few users rate, and those who do are not like the rest; what is known of the parts is known of nearly every dialogue. Half of
it are the goals, half the turns, since users mind both what they got and what it took. In the simulated log, where the truth
weighs them alike, that ranks dialogues as well as a model that learned from gold; real ratings are not so simple
(docs/explanation/decisions.md)."""

from collections.abc import Sequence
from statistics import fmean

from labelgen.feedback.posterior import Posterior, posterior


def whole_of(goals: Sequence[Posterior | None], turns: Sequence[Posterior | None]) -> Posterior | None:
    """The posterior of a dialogue from those of its parts, each None where nothing is known of it: the mean of the goals' mean and
    the turns' mean, and so with their priors. None where a part is unknown, which says nothing of the whole."""
    parts = [[part for part in own if part is not None] for own in (goals, turns)]
    if not any(parts) or sum(map(len, parts)) < len(goals) + len(turns):
        return None
    good = fmean(fmean(part.good for part in own) for own in parts if own)
    priors = [[part.prior for part in own if part.prior is not None] for own in parts]
    known = list(map(len, priors)) == list(map(len, parts))
    prior = fmean(fmean(own) for own in priors if own) if known else None
    return posterior(good, f"how its {len(goals)} goals and {len(turns)} turns went", prior)
