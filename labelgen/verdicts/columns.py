"""Columns of content for a regression: words, categories, numbers and rules, all that a member without context reads."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.features.ngrams import NGrams
from labelgen.verdicts.content import LATER, NUMBERS, TEXTS, PlaceContent

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_LEAST = 2
"""Number of places that a category needs."""
_OF_NUMBERS, _RULES = 0.3, 0.5
"""Scales of the numbers and of the log-odds of the rules, beside words, whose rows have length 1 in each field, and so a voice: about 1."""
_TOLERANCE, _STEPS = 1e-3, 300


@dataclass(frozen=True)
class Columns:
    """What was learned of the columns. numbers: mean and standard deviation of each of NUMBERS. later: later words are content.
    voice: numbers of a voice; 0 where none was heard."""

    ngrams: NGrams
    categories: tuple[str, ...]
    numbers: tuple[tuple[float, float], ...]
    later: bool = False
    voice: int = 0

    @classmethod
    def learn(
        cls, contents: Sequence[PlaceContent], most: int | None, leave_out: Sequence[str] = (), later: bool = False
    ) -> "Columns":
        """Of a log. most: number of n-grams of a text field. leave_out: names of categories and numbers that are not read."""
        ngrams = NGrams.learn(_texts(contents, later), most)
        counts = Counter(name for content in contents for name in content.categories)
        kept = sorted(n for n, count in counts.items() if count >= _LEAST and _name(n) not in leave_out)
        scales = []
        for name in NUMBERS:
            values = [] if name in leave_out else [c.numbers[name] for c in contents if name in c.numbers]
            deviation = pstdev(values) if len(values) > 1 else 0.0
            scales.append((fmean(values), deviation) if deviation > 0.0 else (0.0, 0.0))
        voice = next((len(content.voice) for content in contents if content.voice is not None), 0)
        return cls(ngrams, tuple(kept), tuple(scales), later, voice)

    def __len__(self) -> int:
        return len(self.ngrams) + len(self.categories) + len(NUMBERS) + 1 + self.voice

    @cached_property
    def column_names(self) -> list[str]:
        """What each column is, in words."""
        fields = (*TEXTS, *LATER, "before")
        texts = [f"{field} '{term}'" for field, one in zip(fields, self.ngrams.fields) for term in one.terms]  # noqa: B905
        return [*texts, *self.categories, *NUMBERS, "rules"]

    def matrix(self, contents: Sequence[PlaceContent]) -> Any:
        """The rows as a sparse matrix [rows, columns] in double precision; a row depends on its own content only."""
        from scipy import sparse

        index = {name: k for k, name in enumerate(self.categories)}
        others = np.zeros((len(contents), len(NUMBERS) + 1))
        cells: list[tuple[int, int, float]] = []
        for row, content in enumerate(contents):
            for name, value in content.categories.items():
                if (column := index.get(name)) is not None:
                    cells.append((row, column, value))
            for k, (mean, deviation) in enumerate(self.numbers):
                if deviation and NUMBERS[k] in content.numbers:
                    others[row, k] = (content.numbers[NUMBERS[k]] - mean) / deviation * _OF_NUMBERS
            others[row, -1] = content.rules * _RULES
        rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
        of_categories = sparse.csr_matrix((values, (rows, columns)), shape=(len(contents), len(index)))
        texts = self.ngrams.matrix(_texts(contents, self.later))
        silent = np.zeros(self.voice, dtype=np.float32)
        voices = [silent if c.voice is None or not self.voice else c.voice for c in contents]
        of_voice = sparse.csr_matrix(np.array(voices).reshape(len(contents), self.voice) / max(self.voice, 1) ** 0.5)
        return sparse.hstack([texts, of_categories, sparse.csr_matrix(others), of_voice]).tocsr()


def _texts(contents: Sequence[PlaceContent], later: bool) -> list[tuple[str, ...]]:
    return [(*content.texts, content.before) if later else content.texts for content in contents]


def _name(category: str) -> str:
    return category.removeprefix("last ").partition("=")[0]


def fit_regression(
    matrix: Any, answers: Indices, weights: Floats, c: float, model: "LogisticRegression | None" = None
) -> "LogisticRegression":
    """Logistic regression on weighted rows [rows, columns]. c: inverse strength of regularization. model: where to go on from."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if model is None:
        model = LogisticRegression(tol=_TOLERANCE, max_iter=_STEPS, warm_start=True)
    model.C = c
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(matrix, answers, weights)
