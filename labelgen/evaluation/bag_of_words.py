"""A bag of words: logistic regression on TF-IDF of requests, responses and their neighbors.

Words and pairs of neighboring words, each text field with a vocabulary of its own, sublinear term frequencies. Vocabulary, weights of
words and coefficients are learned from the training part alone. The strength of regularization is the one with the least log loss on
held-out folds of the training part. Where a question is judged by macro F1, the name that is given is found by weights that serve it on
the same held-out folds, as in `labelgen calibrate --decide macro_f1`; probabilities stay as they are. Source: Salton and Buckley 1988,
"Term-weighting approaches in automatic text retrieval"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling
from labelgen.data.labels import AtTurn
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, Example, Given, Names, Place, has_names, turns_of
from labelgen.evaluation.weighted_rows import Rows, given, rows_of

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

C_GRID = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of regularization that are tried, the strongest first."""

MOST_ANSWERS = 100
"""Distinct answers to a question; with more this is no task with a fixed list of names."""

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
        if not has_names(question) or len({x.names for x in examples}) > MOST_ANSWERS:
            return {}
        rows = rows_of(examples, self.seed)
        words, matrix = _vectorized(rows.places)
        if len(rows.answers) < 2 or matrix is None:
            self._fitted[question.name] = _Fitted(rows.answers, rows.shares(), words, None, Scaling())
            return {"words": 0}
        c, decide = _choose(rows, matrix, question)
        model = _fit(rows, matrix, np.ones(len(rows.places), dtype=bool), c)
        self._fitted[question.name] = _Fitted(rows.answers, rows.shares(), words, model, decide)
        return {"words": int(matrix.shape[1]), "c": c, "weights": list(decide.weights)}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        fitted = self._fitted.get(question.name)
        if fitted is None:
            return [None] * len(places)
        return [*given(fitted.answers, _probabilities(fitted, places), fitted.decide)]


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
    rows: Rows, matrix: Any, places: NDArray[np.bool_], c: float, model: "LogisticRegression | None" = None
) -> "LogisticRegression":
    """On these places; a model that is given goes on from where it is."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if model is None:
        model = LogisticRegression(tol=_TOLERANCE, max_iter=_STEPS, warm_start=True)
    model.C = c
    own = rows.taken(places)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(matrix[rows.row[own]], rows.answer[own], rows.weight[own])
    return model


def _choose(rows: Rows, matrix: Any, question: Question) -> tuple[float, Scaling]:
    """C with the least log loss on held-out folds, 1 where there is nothing to hold out, and how answers are chosen by it."""
    out = np.zeros((len(C_GRID), len(rows.places), len(rows.answers)))
    any_held = False
    for places, held in rows.held_out():
        any_held = True
        model = None
        for i, c in enumerate(C_GRID):
            model = _fit(rows, matrix, places, c, model)
            out[i][np.ix_(held, model.classes_)] = model.predict_proba(matrix[held])
    if not any_held:
        return 1.0, Scaling()
    best = int(np.argmin([rows.log_loss(probabilities) for probabilities in out]))
    return C_GRID[best], rows.decision(question, out[best])


def _probabilities(fitted: _Fitted, places: Sequence[Place]) -> Array:
    from scipy import sparse

    if fitted.model is None or not places:
        return np.tile(fitted.shares, (len(places), 1))
    columns = zip(*(texts_of(place) for place in places), strict=True)
    parts = [v.transform(texts) for v, texts in zip(fitted.words, columns, strict=True) if v is not None]
    found: Array = fitted.model.predict_proba(sparse.hstack(parts).tocsr())
    return found
