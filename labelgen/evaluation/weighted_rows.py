"""Training answers as weighted rows of a classifier, its held-out folds, and how its probabilities become an answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling, fit_weights
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import Example, Given, Names, fold_of

FOLDS = 5

_MOST_HELD = 10_000
_MOST_SCORED = 100_000
"""Places that are held out in turn, and their probabilities; a final fit has all."""


@dataclass(frozen=True, slots=True)
class Rows:
    """answers: distinct ones, in the order of the probabilities. places: distinct ones. Of each weighted answer, row: its place, answer: its
    number, weight. agreed [places]: the number of the answer that all gave together, -1 where that is none. fold [places]. drawn [places]:
    those that are held out in turn."""

    answers: tuple[Names, ...]
    places: tuple[Example, ...]
    row: NDArray[np.int64]
    answer: NDArray[np.int64]
    weight: Array
    agreed: NDArray[np.int64]
    fold: NDArray[np.int64]
    drawn: NDArray[np.bool_]

    def shares(self) -> Array:
        """Of each answer, over all training."""
        found: Array = np.bincount(self.answer, weights=self.weight, minlength=len(self.answers)) / self.weight.sum()
        return found

    def held_out(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
        """For each fold the places to fit on, as a mask, and the numbers of those that are held out. Nothing where a fold would leave less than
        two answers to be told apart."""
        parts = [self.drawn & (self.fold != k) for k in np.unique(self.fold[self.drawn])]
        if all(len(np.unique(self.answer[part[self.row]])) > 1 for part in parts):
            yield from ((part, np.flatnonzero(self.drawn & ~part)) for part in parts)

    def taken(self, places: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The answers that stand at these places."""
        return places[self.row]

    def log_loss(self, probabilities: Array) -> float:
        """Weighted nats of the answers at drawn places. probabilities: [places, answers]."""
        own = self.taken(self.drawn)
        said = probabilities[self.row[own], self.answer[own]]
        return float(-(self.weight[own] * np.log(np.clip(said, np.finfo(np.float64).eps, 1.0))).sum())

    def decision(self, question: Question, probabilities: Array) -> Scaling:
        """How an answer is chosen: where the main metric is macro F1, by weights that serve it on held-out places; else the most probable."""
        known = self.drawn & (self.agreed >= 0)
        if question.names is None or question.metrics[0] != "macro_f1":
            return Scaling()
        return Scaling(weights=fit_weights(probabilities[known].tolist(), self.agreed[known].tolist()))


def rows_of(examples: Sequence[Example], seed: int) -> Rows:
    answers = tuple(sorted({x.names for x in examples}))
    place_of = {names: k for k, names in enumerate(answers)}
    first: dict[tuple[int, Any], int] = {}
    places: list[Example] = []
    row = np.empty(len(examples), dtype=np.int64)
    for k, x in enumerate(examples):
        row[k] = first.setdefault((id(x.dialogue), x.at), len(places))
        if row[k] == len(places):
            places.append(x)
    drawn = np.zeros(len(places), dtype=bool)
    most = min(_MOST_HELD, _MOST_SCORED // len(answers))
    drawn[np.random.default_rng(seed).permutation(len(places))[:most]] = True
    return Rows(
        answers,
        tuple(places),
        row,
        np.array([place_of[x.names] for x in examples]),
        np.array([x.weight for x in examples]),
        np.array([-1 if x.agreed is None else place_of.get(x.agreed, -1) for x in places]),
        np.array([fold_of(x.dialogue, FOLDS, seed) for x in places]),
        drawn,
    )


def given(answers: Sequence[Names], probabilities: Array, decide: Scaling) -> list[Given]:
    """What is answered at each place. probabilities: [places, answers]."""
    return [Given(answers[decide.decide(own)], dict(zip(answers, own, strict=True))) for own in probabilities.tolist()]
