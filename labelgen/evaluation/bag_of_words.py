"""A bag of words: logistic regression on TF-IDF of requests, responses and their neighbors.

Words and pairs of neighboring words, each text field with a vocabulary of its own, sublinear term frequencies. Vocabulary, weights of
words and coefficients are learnt from the training part alone. The strength of regularization is the one with the least log loss on
held-out folds of the training part. Where a question is judged by macro F1, the name that is given is found by weights that serve it on
the same held-out folds, as in `labelgen calibrate --decide macro_f1`; probabilities stay as they are. Source: Salton and Buckley 1988,
"Term-weighting approaches in automatic text retrieval"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling, fit_weights
from labelgen.data.labels import AtTurn
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, Example, Given, Names, Place, fold_of, turns_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

C_GRID = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of regularization that are tried, the strongest first."""

FOLDS = 5
MOST_ANSWERS = 100
"""Distinct answers to a question; with more this is no task with a fixed list of names."""

_MOST_TRIED = 10_000
_MOST_SCORED = 100_000
"""Places that the choice of C is made on, and their probabilities; the fit itself has all."""

_WORD = r"(?u)\b\w+\b"
_TOLERANCE = 1e-3
_STEPS = 300


@dataclass(slots=True)
class _Fitted:
    """answers: in the order of the probabilities. words: a vectorizer for each text field, None for one without words. model: None where
    one answer is all there is, or no word."""

    answers: tuple[Names, ...]
    shares: Array
    words: "list[TfidfVectorizer | None]"
    model: "LogisticRegression | None"
    decide: Scaling


class BagOfWords:
    """TF-IDF and logistic regression; the seed draws folds."""

    name = PLAIN + "bag of words"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._fitted: dict[str, _Fitted] = {}

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]:
        answers = tuple(sorted({x.names for x in examples}))
        if question.divides or question.unit == "span" or len(answers) > MOST_ANSWERS:
            return {}
        place_of = {names: k for k, names in enumerate(answers)}
        first: dict[tuple[int, Any], int] = {}
        places: list[Example] = []
        row = np.empty(len(examples), dtype=np.int64)
        for k, x in enumerate(examples):
            key = (id(x.dialogue), x.at)
            if key not in first:
                first[key] = len(places)
                places.append(x)
            row[k] = first[key]
        answer = np.array([place_of[x.names] for x in examples])
        weight = np.array([x.weight for x in examples])
        shares = np.bincount(answer, weights=weight, minlength=len(answers)) / weight.sum()
        words, matrix = _vectorized(places)
        if len(answers) < 2 or matrix is None:
            self._fitted[question.name] = _Fitted(answers, shares, words, None, Scaling())
            return {"words": 0}
        rows = _Rows(matrix, row, answer, weight, len(answers))
        fold = np.array([fold_of(x.dialogue, FOLDS, self.seed) for x in places])
        c, held, out_of_fold = _choose(rows, fold, self.seed)
        decide = Scaling()
        if question.names is not None and question.metrics[0] == "macro_f1" and len(held):
            right = np.array([-1 if x.agreed is None else place_of.get(x.agreed, -1) for x in places])[held]
            known = right >= 0
            decide = Scaling(weights=fit_weights(out_of_fold[known].tolist(), right[known].tolist()))
        model = _fit(rows, np.ones(len(places), dtype=bool), c)
        self._fitted[question.name] = _Fitted(answers, shares, words, model, decide)
        return {"words": int(matrix.shape[1]), "c": c, "folds": len(np.unique(fold)), "weights": list(decide.weights)}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        fitted = self._fitted.get(question.name)
        if fitted is None:
            return [None] * len(places)
        return [_given(fitted, row) for row in _probabilities(fitted, places)]


def texts_of(place: Place) -> tuple[str, ...]:
    """The text fields of a place: its requests, its responses; those of the turn before and of the turn after; and, where it is more than
    a turn, its last request and its last response."""
    turns = place.dialogue.turns
    own = turns_of(place)
    if not own:
        return ("",) * _FIELDS
    before = turns[own[0] - 1] if own[0] else None
    after = turns[own[-1] + 1] if own[-1] + 1 < len(turns) else None
    last = None if isinstance(place.at, AtTurn) else turns[own[-1]]
    pairs = [(x.request, x.response) if x is not None else ("", "") for x in (before, after, last)]
    joined = ("\n".join(turns[k].request for k in own), "\n".join(turns[k].response for k in own))
    return (*joined, *(text for pair in pairs for text in pair))


_FIELDS = 8


@dataclass(frozen=True, slots=True)
class _Rows:
    """Weighted answers: matrix [places, words]; of each answer the row of its place, its number and its weight."""

    matrix: Any
    row: NDArray[np.int64]
    answer: NDArray[np.int64]
    weight: Array
    answers: int


def _vectorized(places: Sequence[Place]) -> "tuple[list[TfidfVectorizer | None], Any]":
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    columns = list(zip(*(texts_of(place) for place in places), strict=True))
    words: list[TfidfVectorizer | None] = []
    parts = []
    for texts in columns:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, min_df=2, sublinear_tf=True)
        try:
            parts.append(vectorizer.fit_transform(texts))
        except ValueError:  # No word stands in two of the texts.
            words.append(None)
        else:
            words.append(vectorizer)
    return words, sparse.hstack(parts).tocsr() if parts else None


def _fit(
    rows: _Rows, taken: NDArray[np.bool_], c: float, model: "LogisticRegression | None" = None
) -> "LogisticRegression":
    """On the places taken; a model that is given goes on from where it is."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if model is None:
        model = LogisticRegression(tol=_TOLERANCE, max_iter=_STEPS, warm_start=True)
    model.C = c
    own = taken[rows.row]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.matrix[rows.row[own]], rows.answer[own], rows.weight[own])
    return model


def _choose(rows: _Rows, fold: NDArray[np.int64], seed: int) -> tuple[float, NDArray[np.int64], Array]:
    """C with the least log loss on held-out folds; the places that were held out, and their probabilities [places, answers] by it."""
    tried = np.zeros(len(fold), dtype=bool)
    most = min(_MOST_TRIED, _MOST_SCORED // rows.answers)
    tried[np.random.default_rng(seed).permutation(len(fold))[:most]] = True
    places = np.flatnonzero(tried)
    out = np.zeros((len(C_GRID), len(places), rows.answers))
    for k in np.unique(fold[tried]):
        taken = tried & (fold != k)
        if len(np.unique(rows.answer[taken[rows.row]])) < 2:
            return 1.0, places[:0], out[0, :0]
        held = np.flatnonzero(fold[places] == k)
        model = None
        for i, c in enumerate(C_GRID):
            model = _fit(rows, taken, c, model)
            out[i][np.ix_(held, model.classes_)] = model.predict_proba(rows.matrix[places[held]])
    place_of = np.full(len(fold), -1)
    place_of[places] = np.arange(len(places))
    own = np.flatnonzero(tried[rows.row])
    said = out[:, place_of[rows.row[own]], rows.answer[own]]
    nats = -(rows.weight[own] * np.log(np.clip(said, np.finfo(np.float64).eps, 1.0))).sum(axis=1)
    best = int(nats.argmin())
    return C_GRID[best], places, out[best]


def _probabilities(fitted: _Fitted, places: Sequence[Place]) -> Array:
    from scipy import sparse

    if fitted.model is None or not places:
        return np.tile(fitted.shares, (len(places), 1))
    columns = zip(*(texts_of(place) for place in places), strict=True)
    parts = [v.transform(texts) for v, texts in zip(fitted.words, columns, strict=True) if v is not None]
    found: Array = fitted.model.predict_proba(sparse.hstack(parts).tocsr())
    return found


def _given(fitted: _Fitted, probabilities: Array) -> Given:
    shares = dict(zip(fitted.answers, probabilities.tolist(), strict=True))
    return Given(fitted.answers[fitted.decide.decide(probabilities.tolist())], shares)
