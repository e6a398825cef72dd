"""Gradient-boosted trees on the fields of a log: domain, status, confidences, categories, numbers, lengths and clocks, but no text.

For logs of assistants that record such fields; not among the default rivals. A turn is told by its own fields and those of the turns before
and after it; a goal or a dialogue by those of its last turn, by the means and extremes of its numbers, and by the turns around it. A value
that is missing or was not seen in training is missing. Recorded feedback is not read. Source: Ke et al. 2017, "LightGBM: A Highly
Efficient Gradient Boosting Decision Tree" (as scikit-learn's HistGradientBoostingClassifier)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling
from labelgen.data.dialogue import Turn
from labelgen.evaluation.question import Question
from labelgen.evaluation.rivals import PLAIN, Example, Given, Names, Place, has_names, turns_of
from labelgen.evaluation.weighted_rows import Rows, given, rows_of

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

MOST_ANSWERS = 20
"""Distinct answers to a question; trees are grown for each."""

_MOST_CATEGORIES = 200

Fields = dict[str, str | float]


@dataclass(slots=True)
class _Fitted:
    """columns: names of the fields; codes: of each that holds words, word -> number. model: None where one answer is all there is."""

    answers: tuple[Names, ...]
    shares: Array
    columns: tuple[str, ...]
    codes: Mapping[str, Mapping[str, int]]
    model: "HistGradientBoostingClassifier | None"
    decide: Scaling


class FieldTrees:
    """Histogram gradient boosting of 100 rounds; the seed draws folds."""

    name = PLAIN + "trees on fields"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._fitted: dict[str, _Fitted] = {}

    def learn(self, question: Question, examples: Sequence[Example]) -> Mapping[str, Any]:
        if not has_names(question) or len({x.names for x in examples}) > MOST_ANSWERS:
            return {}
        rows = rows_of(examples, self.seed)
        read = [fields_of(place) for place in rows.places]
        columns, codes = _columns(read)
        fitted = _Fitted(rows.answers, rows.shares(), columns, codes, None, Scaling())
        if len(rows.answers) > 1 and columns:
            matrix = _matrix(fitted, read)
            out = np.zeros((len(rows.places), len(rows.answers)))
            for places, held in rows.held_out():
                model = self._fit(rows, fitted, matrix, places)
                out[np.ix_(held, model.classes_)] = model.predict_proba(matrix[held])
            if out.any():
                fitted.decide = rows.decision(question, out)
            fitted.model = self._fit(rows, fitted, matrix, np.ones(len(rows.places), dtype=bool))
        self._fitted[question.name] = fitted
        return {"fields": len(columns), "weights": list(fitted.decide.weights)}

    def answer(self, question: Question, places: Sequence[Place]) -> list[Given | None]:
        fitted = self._fitted.get(question.name)
        if fitted is None:
            return [None] * len(places)
        probabilities = np.tile(fitted.shares, (len(places), 1))
        if fitted.model is not None and places:
            probabilities = fitted.model.predict_proba(_matrix(fitted, [fields_of(place) for place in places]))
        return [*given(fitted.answers, probabilities, fitted.decide)]

    def _fit(self, rows: Rows, fitted: _Fitted, matrix: Array, places: Any) -> "HistGradientBoostingClassifier":
        from sklearn.ensemble import HistGradientBoostingClassifier

        words = [column in fitted.codes for column in fitted.columns]
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False, categorical_features=words
        )
        own = rows.taken(places)
        read = matrix[rows.row[own]]
        # scikit-learn finds no bins for a column without any value, as a rare field is in a fold; a constant says as little.
        read[:, np.isnan(read).all(axis=0)] = 0.0
        return model.fit(read, rows.answer[own], rows.weight[own])


def fields_of(place: Place) -> Fields:
    """What the log says of a place, by name; what it does not say is not there."""
    turns, own = place.dialogue.turns, turns_of(place)
    found: Fields = {"turns": float(len(turns)), "own turns": float(len(own))}
    for name in ("source", "device", "locale"):
        if (word := getattr(place.dialogue, name)) is not None:
            found[name] = word
    if not own:
        return found
    found["first turn"], found["turns left"] = float(own[0]), float(len(turns) - 1 - own[-1])
    around = {"": own[-1], "before ": own[0] - 1, "after ": own[-1] + 1}
    for prefix, k in around.items():
        if 0 <= k < len(turns):
            found.update({prefix + name: value for name, value in _of_turn(turns[k]).items()})
            if k and (now := turns[k].time_s) is not None and (then := turns[k - 1].time_s) is not None:
                found[prefix + "gap_s"] = now - then
    if len(own) > 1:
        numbers: dict[str, list[float]] = {}
        for k in own:
            for name, value in _of_turn(turns[k]).items():
                if isinstance(value, float):
                    numbers.setdefault(name, []).append(value)
                else:
                    key = f"share of {name} {value}"
                    found[key] = float(found.get(key, 0.0)) + 1.0 / len(own)
        for name, values in numbers.items():
            found[f"mean {name}"] = sum(values) / len(values)
            found[f"least {name}"] = min(values)
    return found


def _of_turn(turn: Turn) -> Fields:
    found: Fields = {
        "request words": float(len(turn.request.split())),
        "response words": float(len(turn.response.split())),
    }
    for name in ("domain", "status", "asr_confidence", "nlu_confidence"):
        if (value := getattr(turn, name)) is not None:
            found[name] = value
    if turn.hypothesis is not None:
        found["hypothesis slots"] = float(len(turn.hypothesis.slots))
        confidences = [x.confidence for x in turn.hypothesis.intents if x.confidence is not None]
        found["hypothesis intents"] = float(len(turn.hypothesis.intents))
        found["hypothesis intent"] = " ".join(sorted(x.name for x in turn.hypothesis.intents))
        if confidences:
            found["hypothesis confidence"] = max(confidences)
    if turn.response_time_s is not None and turn.time_s is not None:
        found["response_s"] = turn.response_time_s - turn.time_s
    found.update({f"category {x.name}": x.value for x in turn.categories})
    found.update({f"number {x.name}": float(x.value) for x in turn.numbers})
    return found


def _columns(read: Sequence[Fields]) -> tuple[tuple[str, ...], dict[str, dict[str, int]]]:
    """Fields of training, sorted; of those that hold words, a number for each of the most frequent."""
    words: dict[str, Counter[str]] = {}
    names = {name for fields in read for name in fields}
    for fields in read:
        for name, value in fields.items():
            if isinstance(value, str):
                words.setdefault(name, Counter())[value] += 1
    codes = {}
    for name, counts in words.items():
        kept = sorted(counts, key=lambda word: (-counts[word], word))[:_MOST_CATEGORIES]
        codes[name] = {word: k for k, word in enumerate(kept)}
    return tuple(sorted(names)), codes


def _matrix(fitted: _Fitted, read: Sequence[Fields]) -> Array:
    """[places, fields], NaN for what is missing."""
    out = np.full((len(read), len(fitted.columns)), np.nan)
    column_of = {name: k for k, name in enumerate(fitted.columns)}
    for k, fields in enumerate(read):
        for name, value in fields.items():
            if name not in column_of:
                continue
            code = fitted.codes[name].get(str(value)) if name in fitted.codes else value
            if code is not None:
                out[k, column_of[name]] = float(code)
    return out
