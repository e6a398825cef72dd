"""Sample size planning: the intervals and guarantees that a planned annotation can give.

The model: annotators err independently, each on a share of the answers, between two classes. Sources: Wilson 1927, "Probable
Inference" (interval of a rate); Kish 1965, "Survey Sampling" (answers of one dialogue that depend on each other)."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm

from labelgen.confidence.certificate import dialogues_needed, upper_bound
from labelgen.metrics.results import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """items: dialogues; answers: of each, that are judged; within: 0..1, how much the answers of a dialogue resemble each
    other (intraclass correlation). votes: people a dialogue; annotator_error: 0..0.5, how often each errs. rate: 0..1, what
    is to be estimated, as it is expected to be."""

    items: int
    votes: int
    rate: float = 0.8
    annotator_error: float = 0.1
    answers: float = 1.0
    within: float = 0.2
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """independent: as many independent answers would tell as much. ties: share of answers the votes leave open. wrong: share
    of the others that the consensus gets wrong. perfect, single: what one who is always right, and one more annotator, score
    against the consensus. measured: the rate as the consensus will have it. alone: the same by one person's labels."""

    independent: float
    ties: float
    wrong: float
    perfect: float
    single: float
    measured: Interval
    alone: Interval


def promise(plan: Plan) -> Promise:
    """Expected accuracy and intervals of a plan."""
    independent = plan.items * plan.answers / (1 + (plan.answers - 1) * plan.within)
    wrong, ties = consensus_error(plan.votes, plan.annotator_error)
    decided = independent * (1 - ties)
    return Promise(
        independent=independent,
        ties=ties,
        wrong=wrong,
        perfect=1 - wrong,
        single=(1 - plan.annotator_error) * (1 - wrong) + plan.annotator_error * wrong,
        measured=wilson(_seen(plan.rate, wrong), decided, plan.confidence),
        alone=wilson(_seen(plan.rate, plan.annotator_error), independent, plan.confidence),
    )


def consensus_error(votes: int, error: float) -> tuple[float, float]:
    """How often the majority is wrong where there is one, and how often there is none."""
    ties = float(binom.pmf(votes // 2, votes, error)) if votes % 2 == 0 else 0.0
    wrong = float(binom.sf(votes // 2, votes, error))
    return wrong / (1 - ties), ties


def wilson(rate: float, count: float, confidence: float) -> Interval:
    """The interval of a rate that so many independent answers are expected to give."""
    z = float(norm.ppf((1 + confidence) / 2))
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z * float(np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))) / (1 + z * z / count)
    return Interval(rate, max(0.0, middle - half), min(1.0, middle + half))


def certifiable(dialogues: int, max_error: float, confidence: float) -> tuple[float, int | None]:
    """The least error that so many independent dialogues can be certified for, and how many of them may be wrong at
    `max_error`; None where even none may."""

    def suffice(wrong: int) -> bool:
        return dialogues_needed(wrong, max_error, confidence) <= dialogues

    allowed = None
    if suffice(0):
        allowed, beyond = 0, 1
        while suffice(beyond):
            allowed, beyond = beyond, 2 * beyond
        while beyond - allowed > 1:
            middle = (allowed + beyond) // 2
            allowed, beyond = (middle, beyond) if suffice(middle) else (allowed, middle)
    return upper_bound(0, dialogues, confidence), allowed


def _seen(rate: float, error: float) -> float:
    return rate * (1 - error) + (1 - rate) * error
