"""Baselines that classify, such as logistic regression on a bag of words.

They learn from weighted answers. Held-out folds of the training part, by user, or by dialogue where the user is unknown, choose what is to be
chosen: the strength of regularization, and, where a task's main metric is macro F1, the weights of its names, as in
`labelgen calibrate --decide macro_f1`. Probabilities stay as they are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling, fit_weights
from labelgen.data.split import fold_of
from labelgen.evaluation.baselines import Location, Names, Prediction, TrainingAnswer, has_names
from labelgen.features.ngrams import NGrams, Texts, place_texts
from labelgen.metrics.results import BASELINE
from labelgen.model.linear import C_GRID
from labelgen.tasks.evaluation import EvaluationTask
from labelgen.verdicts.columns import fit_regression

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_MOST_HELD_OUT = 10_000
_MOST_SCORED = 100_000
"""Places that are held out in turn, and their probabilities; a final fit has all."""

Places = NDArray[np.bool_]
"""A mask of places."""


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Training answers as weighted rows of a classifier.

    answers: distinct ones, in the order of the probabilities. places: distinct ones. Of each weighted answer, row: its place, answer: its
    number, weight. agreed [places]: the number of the consensus answer, -1 where there is none. fold [places]. drawn [places]:
    those that are held out in turn."""

    answers: tuple[Names, ...]
    places: tuple[TrainingAnswer, ...]
    row: NDArray[np.int64]
    answer: NDArray[np.int64]
    weight: Array
    agreed: NDArray[np.int64]
    fold: NDArray[np.int64]
    drawn: Places

    def shares(self) -> Array:
        """The share of each answer, over all training."""
        shares: Array = np.bincount(self.answer, weights=self.weight, minlength=len(self.answers)) / self.weight.sum()
        return shares

    def fit(self, model: Any, matrix: Any, places: Places) -> Any:
        """The scikit-learn model, fitted on these places of the matrix [places, columns]."""
        taken = places[self.row]
        return model.fit(matrix[self.row[taken]], self.answer[taken], self.weight[taken])

    def held_out(self) -> Iterator[tuple[Places, NDArray[np.int64]]]:
        """For each fold the places to fit on and the numbers of those that are held out. Nothing where a fold would leave fewer than two
        answers to learn."""
        parts = [self.drawn & (self.fold != k) for k in np.unique(self.fold[self.drawn])]
        if all(len(np.unique(self.answer[part[self.row]])) > 1 for part in parts):
            yield from ((part, np.flatnonzero(self.drawn & ~part)) for part in parts)

    def log_loss(self, probabilities: Array) -> float:
        """Weighted nats of the answers at drawn places. probabilities: [places, answers]."""
        taken = self.drawn[self.row]
        p = probabilities[self.row[taken], self.answer[taken]]
        return float(-(self.weight[taken] * np.log(np.clip(p, np.finfo(np.float64).eps, 1.0))).sum())

    def decision(self, task: EvaluationTask, probabilities: Array) -> Scaling:
        """How an answer is chosen: by weights fitted on held-out places where the main metric is macro F1, else the most probable."""
        known = self.drawn & (self.agreed >= 0)
        if task.names is None or task.metrics[0] != "macro_f1":
            return Scaling()
        return Scaling(weights=fit_weights(probabilities[known].tolist(), self.agreed[known].tolist()))


def rows_of(examples: Sequence[TrainingAnswer], seed: int) -> TrainingRows:
    """The rows of all training answers of one task."""
    answers = tuple(sorted({x.names for x in examples}))
    place_of = {names: k for k, names in enumerate(answers)}
    first: dict[tuple[int, Any], int] = {}
    places: list[TrainingAnswer] = []
    row = np.empty(len(examples), dtype=np.int64)
    for k, x in enumerate(examples):
        row[k] = first.setdefault((id(x.dialogue), x.at), len(places))
        if row[k] == len(places):
            places.append(x)
    drawn = np.zeros(len(places), dtype=bool)
    most = min(_MOST_HELD_OUT, _MOST_SCORED // len(answers))
    drawn[np.random.default_rng(seed).permutation(len(places))[:most]] = True
    return TrainingRows(
        answers,
        tuple(places),
        row,
        np.array([place_of[x.names] for x in examples]),
        np.array([x.weight for x in examples]),
        np.array([-1 if x.agreed is None else place_of.get(x.agreed, -1) for x in places]),
        np.array([fold_of(x.dialogue, seed=seed) for x in places]),
        drawn,
    )


@dataclass(frozen=True, slots=True)
class FittedClassifier:
    """probabilities: places -> [places, answers]. decide: how an answer is chosen from them."""

    answers: tuple[Names, ...]
    probabilities: Callable[[Sequence[Location]], Array]
    decide: Scaling


class Classifier(ABC):
    """A baseline that learns the answers of a label set; `most_answers` distinct ones at most. The seed draws folds."""

    name: str
    most_answers: int

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._fitted: dict[str, FittedClassifier] = {}

    @abstractmethod
    def fit(self, task: EvaluationTask, rows: TrainingRows) -> tuple[FittedClassifier, dict[str, Any]]:
        """The classifier of one task, and what the report says about it."""

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        if not has_names(task) or len({x.names for x in examples}) > self.most_answers:
            return {}
        self._fitted[task.name], notes = self.fit(task, rows_of(examples, self.seed))
        return notes

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        fitted = self._fitted.get(task.name)
        if fitted is None or not places:
            return [None] * len(places)
        rows = fitted.probabilities(places).tolist()
        return [
            Prediction(fitted.answers[fitted.decide.decide(p)], dict(zip(fitted.answers, p, strict=True))) for p in rows
        ]


def constant(rows: TrainingRows) -> FittedClassifier:
    shares = rows.shares()
    return FittedClassifier(rows.answers, lambda places: np.tile(shares, (len(places), 1)), Scaling())


class BagOfWords(Classifier):
    """Logistic regression on TF-IDF of requests, responses and their neighbors.

    Words and pairs of neighboring words, each text field with a vocabulary of its own, sublinear term frequencies. Vocabulary, weights
    of words and coefficients are learned from the training part alone. The strength of regularization is the one with the least log
    loss on held-out folds. Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"."""

    name = BASELINE + "bag of words"
    most_answers = 100

    def columns(self, places: Sequence[Location]) -> Callable[[Sequence[Location]], Any]:
        """Columns learned from places, as a function from places to their sparse matrix [places, columns]."""
        words = NGrams.learn(_texts(places))
        return lambda some: words.matrix(_texts(some))

    def fit(self, task: EvaluationTask, rows: TrainingRows) -> tuple[FittedClassifier, dict[str, Any]]:
        read = self.columns(rows.places)
        matrix = read(rows.places)
        if len(rows.answers) < 2 or not matrix.shape[1]:
            return constant(rows), {"words": 0}
        c, decide = _choose(rows, matrix, task)
        model = self.regression(rows, matrix, np.ones(len(rows.places), dtype=bool), c)

        def probabilities(places: Sequence[Location]) -> Array:
            p: Array = model.predict_proba(read(places))
            return p

        notes = {"words": int(matrix.shape[1]), "c": c, "weights": list(decide.weights)}
        return FittedClassifier(rows.answers, probabilities, decide), notes

    @staticmethod
    def regression(
        rows: TrainingRows, matrix: Any, places: Places, c: float, model: "LogisticRegression | None" = None
    ) -> "LogisticRegression":
        """Fitted on these places; a given model goes on from where it is."""
        taken = places[rows.row]
        return fit_regression(matrix[rows.row[taken]], rows.answer[taken], rows.weight[taken], c, model)


def _texts(places: Sequence[Location]) -> list[Texts]:
    turns = {id(x.dialogue): [(t.request, t.response) for t in x.dialogue.turns] for x in places}
    return [place_texts(turns[id(place.dialogue)], place.at) for place in places]


def _choose(rows: TrainingRows, matrix: Any, task: EvaluationTask) -> tuple[float, Scaling]:
    """C with the least log loss on held-out folds, 1 where there is nothing to hold out, and how answers are chosen with it."""
    out = np.zeros((len(C_GRID), len(rows.places), len(rows.answers)))
    folds = list(rows.held_out())
    for places, held_out in folds:
        model = None
        for i, c in enumerate(C_GRID):
            model = BagOfWords.regression(rows, matrix, places, c, model)
            out[i][np.ix_(held_out, model.classes_)] = model.predict_proba(matrix[held_out])
    if not folds:
        return 1.0, Scaling()
    best = int(np.argmin([rows.log_loss(probabilities) for probabilities in out]))
    return C_GRID[best], rows.decision(task, out[best])
