"""The baseline of gradient-boosted trees on the fields of a log, for `labelgen evaluate --baseline field_trees`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from labelgen.confidence.resampling import Array
from labelgen.confidence.scaling import Scaling
from labelgen.data.dialogue import Turn, step_features
from labelgen.evaluation.baselines import Location, turns_of
from labelgen.evaluation.classifiers import Classifier, FittedClassifier, Places, TrainingRows, constant
from labelgen.metrics.results import BASELINE
from labelgen.tasks.evaluation import EvaluationTask

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

_MOST_CATEGORIES = 200

Fields = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class _Columns:
    """names: of the fields, sorted. codes: of each that holds words, word -> number."""

    names: tuple[str, ...]
    codes: Mapping[str, Mapping[str, int]]

    def matrix(self, read: Sequence[Fields]) -> Array:
        """[places, fields], NaN for what is missing."""
        out = np.full((len(read), len(self.names)), np.nan)
        column_of = {name: k for k, name in enumerate(self.names)}
        for k, fields in enumerate(read):
            for name, value in fields.items():
                code = self.codes[name].get(str(value)) if name in self.codes else value
                if name in column_of and code is not None:
                    out[k, column_of[name]] = float(code)
        return out


class FieldTrees(Classifier):
    """Gradient-boosted trees on the fields of a log: domain, status, confidences, categories, numbers, lengths and clocks, but no text.

    For logs of assistants that record such fields; not among the default baselines. A turn is described by its own fields and those of the
    turns before and after it; a goal or a dialogue by those of its last turn, by the means and extremes of its numbers, and by the
    turns around it. A value that is missing or new counts as missing. Recorded feedback is not read. 100 rounds. Source: Ke et al. 2017,
    "LightGBM: A Highly Efficient Gradient Boosting Decision Tree" (as scikit-learn's HistGradientBoostingClassifier)."""

    name = BASELINE + "trees on fields"
    most_answers = 20

    def fit(self, task: EvaluationTask, rows: TrainingRows) -> tuple[FittedClassifier, dict[str, Any]]:
        read = [fields_of(place) for place in rows.places]
        columns = _columns(read)
        fitted = constant(rows)
        if len(rows.answers) > 1 and columns.names:
            matrix = columns.matrix(read)
            out = np.zeros((len(rows.places), len(rows.answers)))
            for places, held_out in rows.held_out():
                model = self._trees(rows, columns, matrix, places)
                out[np.ix_(held_out, model.classes_)] = model.predict_proba(matrix[held_out])
            decide = rows.decision(task, out) if out.any() else Scaling()
            final = self._trees(rows, columns, matrix, np.ones(len(rows.places), dtype=bool))

            def probabilities(places: Sequence[Location]) -> Array:
                p: Array = final.predict_proba(columns.matrix([fields_of(place) for place in places]))
                return p

            fitted = replace(fitted, probabilities=probabilities, decide=decide)
        return fitted, {"fields": len(columns.names), "weights": list(fitted.decide.weights)}

    def _trees(
        self, rows: TrainingRows, columns: _Columns, matrix: Array, places: Places
    ) -> "HistGradientBoostingClassifier":
        from sklearn.ensemble import HistGradientBoostingClassifier

        words = [name in columns.codes for name in columns.names]
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=15, l2_regularization=1.0, early_stopping=False, categorical_features=words
        )
        # scikit-learn finds no bins for a column without any value, as a rare field is in a fold; a constant says as little.
        empty = np.isnan(matrix[places]).all(axis=0)
        return rows.fit(model, np.where(empty, 0.0, matrix), places)


def fields_of(place: Location) -> Fields:
    """What the log records about a place, by name; what is not recorded is absent."""
    turns, inside = place.dialogue.turns, turns_of(place)
    fields: Fields = {"turns": float(len(turns)), "own turns": float(len(inside))}
    for name in ("source", "device", "locale"):
        if (word := getattr(place.dialogue, name)) is not None:
            fields[name] = word
    if not inside:
        return fields
    fields["first turn"], fields["turns left"] = float(inside[0]), float(len(turns) - 1 - inside[-1])
    around = {"": inside[-1], "before ": inside[0] - 1, "after ": inside[-1] + 1}
    for prefix, k in around.items():
        if 0 <= k < len(turns):
            fields.update({prefix + name: value for name, value in _of_turn(turns[k]).items()})
            if k and (now := turns[k].time_s) is not None and (then := turns[k - 1].time_s) is not None:
                fields[prefix + "gap_s"] = now - then
    if len(inside) > 1:
        numbers: dict[str, list[float]] = {}
        for k in inside:
            for name, value in _of_turn(turns[k]).items():
                if isinstance(value, float):
                    numbers.setdefault(name, []).append(value)
                else:
                    key = f"share of {name} {value}"
                    fields[key] = float(fields.get(key, 0.0)) + 1.0 / len(inside)
        for name, values in numbers.items():
            fields[f"mean {name}"] = sum(values) / len(values)
            fields[f"least {name}"] = min(values)
    return fields


def _of_turn(turn: Turn) -> Fields:
    fields: Fields = {
        "request words": float(len(turn.request.split())),
        "response words": float(len(turn.response.split())),
    }
    for name in ("domain", "status", "asr_confidence", "nlu_confidence"):
        if (value := getattr(turn, name)) is not None:
            fields[name] = value
    if turn.hypothesis is not None:
        fields["hypothesis slots"] = float(len(turn.hypothesis.slots or ()))
        confidences = [x.confidence for x in turn.hypothesis.intents if x.confidence is not None]
        fields["hypothesis intents"] = float(len(turn.hypothesis.intents))
        fields["hypothesis intent"] = " ".join(sorted(x.name for x in turn.hypothesis.intents))
        if confidences:
            fields["hypothesis confidence"] = max(confidences)
    if turn.response_time_s is not None and turn.time_s is not None:
        fields["response_s"] = turn.response_time_s - turn.time_s
    fields.update(step_features(turn))
    fields.update({f"category {x.name}": x.value for x in turn.categories})
    fields.update({f"number {x.name}": float(x.value) for x in turn.numbers})
    return fields


def _columns(read: Sequence[Fields]) -> _Columns:
    """Fields of training, sorted; of those that hold words, a number for each of the most frequent."""
    words: dict[str, Counter[str]] = {}
    for fields in read:
        for name, value in fields.items():
            if isinstance(value, str):
                words.setdefault(name, Counter())[value] += 1
    codes = {}
    for name, counts in words.items():
        kept = sorted(counts, key=lambda word: (-counts[word], word))[:_MOST_CATEGORIES]
        codes[name] = {word: k for k, word in enumerate(kept)}
    return _Columns(tuple(sorted({name for fields in read for name in fields})), codes)
