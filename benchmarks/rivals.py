"""The plain rivals of a model where people judged: words and actions, trees on surface features, and their average.

They read the fields that the linear member of a model reads, later words included, choose names by class weights as the bag of words
does, and learn from the same answers. Baselines of `labelgen evaluate`."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from labelgen.confidence.resampling import Array
from labelgen.evaluation.baselines import Location
from labelgen.evaluation.classifiers import BagOfWords, Classifier, FittedClassifier, Places, TrainingRows, constant
from labelgen.metrics.results import BASELINE
from labelgen.tasks.evaluation import EvaluationTask
from labelgen.verdicts.content import NUMBERS, PlaceContent, contents_of

Read = Callable[[Sequence[Location]], Any]
"""Places -> their matrix [places, columns]."""


class WordsAndActions(BagOfWords):
    """The bag of words, and beside it a column for each category of a place, such as the name of the assistant's action."""

    name = BASELINE + "words and actions"

    def columns(self, places: Sequence[Location]) -> Read:
        from scipy import sparse
        from sklearn.feature_extraction import DictVectorizer

        words = super().columns(places)
        categories = DictVectorizer().fit([content.categories for content in _contents(places)])
        return lambda some: sparse.hstack(
            [words(some), categories.transform([content.categories for content in _contents(some)])]
        ).tocsr()


class SurfaceTrees(Classifier):
    """Gradient-boosted trees on lengths, overlaps, repetitions, confidences and the position of a place, and on no word of it. 100 rounds.
    Source: Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree" (scikit-learn's HistGradientBoostingClassifier)."""

    name = BASELINE + "surface trees"
    most_answers = 20

    def fit(self, task: EvaluationTask, rows: TrainingRows) -> tuple[FittedClassifier, dict[str, Any]]:
        if len(rows.answers) < 2:
            return constant(rows), {}
        matrix = _surface(rows.places)
        out = _held_out(rows, lambda fitted, held_out: self.trees(rows, matrix, fitted).predict_proba(matrix[held_out]))
        model = self.trees(rows, matrix, np.ones(len(rows.places), dtype=bool))
        decide = rows.decision(task, out)
        return FittedClassifier(rows.answers, lambda places: model.predict_proba(_surface(places)), decide), {}

    @staticmethod
    def trees(rows: TrainingRows, matrix: Array, places: Places) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False)
        # scikit-learn finds no bins for a column without any value; a constant says as little.
        empty = np.isnan(matrix[places]).all(axis=0)
        return rows.fit(model, np.where(empty, 0.0, matrix), places)


class AverageOfRivals(WordsAndActions):
    """Words and actions, and surface trees, averaged in log-probabilities; the class weights are those of the average."""

    name = BASELINE + "average of rivals"

    def fit(self, task: EvaluationTask, rows: TrainingRows) -> tuple[FittedClassifier, dict[str, Any]]:
        of_words, notes = super().fit(task, rows)
        if len(rows.answers) < 2 or "c" not in notes:
            return of_words, notes
        of_trees, _ = SurfaceTrees(self.seed).fit(task, rows)
        words, surface = self.columns(rows.places)(rows.places), _surface(rows.places)

        def held_out(fitted: Places, places: Any) -> Array:
            trees = SurfaceTrees.trees(rows, surface, fitted).predict_proba(surface[places])
            return _average(self.regression(rows, words, fitted, notes["c"]).predict_proba(words[places]), trees)

        decide = rows.decision(task, _held_out(rows, held_out))

        def probabilities(places: Sequence[Location]) -> Array:
            return _average(of_words.probabilities(places), of_trees.probabilities(places))

        return FittedClassifier(rows.answers, probabilities, decide), notes


def _held_out(rows: TrainingRows, predict: Callable[[Places, Any], Array]) -> Array:
    """[places, answers] by models that did not see the place; zeros where none was held out or a fold lacks an answer."""
    out = np.zeros((len(rows.places), len(rows.answers)))
    for fitted, held_out in rows.held_out():
        if len(np.unique(rows.answer[fitted[rows.row]])) == len(rows.answers):
            out[held_out] = predict(fitted, held_out)
    return out


def _average(one: Array, other: Array) -> Array:
    least = np.finfo(np.float64).tiny
    mean = np.exp((np.log(np.maximum(one, least)) + np.log(np.maximum(other, least))) / 2)
    average: Array = mean / mean.sum(axis=1, keepdims=True)
    return average


def _contents(places: Sequence[Location]) -> list[PlaceContent]:
    return [
        content
        for _, group in groupby(places, key=lambda place: id(place.dialogue))
        for of_dialogue in [list(group)]
        for content in contents_of(of_dialogue[0].dialogue, [place.at for place in of_dialogue], later=True)
    ]


def _surface(places: Sequence[Location]) -> Array:
    """[places, numbers], NaN for what is missing."""
    return np.array([[content.numbers.get(name, np.nan) for name in NUMBERS] for content in _contents(places)])
