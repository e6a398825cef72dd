"""Fit of the linear members of heads, and the logistic regression that the bag of words of an evaluation shares."""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.base.errors import UsageError
from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, At, Target, Unit
from labelgen.data.split import FOLDS, fold_of, position
from labelgen.features.ngrams import LAST_TURN, NGrams, Texts, place_texts
from labelgen.feedback.masking import decoys, mask
from labelgen.nn.linear_member import LinearMap
from labelgen.tasks.exclusive import ExclusiveTask, exclusive_rows
from labelgen.tasks.task import Task

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

C_GRID = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of regularization that are tried, the strongest first."""
MOST_TURNS = 50_000
"""Turns that a linear member is fitted on; of a larger log whole dialogues are drawn."""

_TOLERANCE = 1e-3
_STEPS = 300
_ABSENT = -10.0
"""Score of a label that a fit did not see."""
_OF_LAST_TURN = 0.5
"""What the fields of the last turn are multiplied by before a fit, so that regularization holds their weights smaller. Two other fields
have the same words."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def fit_regression(
    matrix: Any, answers: Indices, weights: Floats, c: float, model: "LogisticRegression | None" = None
) -> "LogisticRegression":
    """Logistic regression on weighted rows [rows, n-grams]. c: inverse strength of regularization. model: where to go on from."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if model is None:
        model = LogisticRegression(tol=_TOLERANCE, max_iter=_STEPS, warm_start=True)
    model.C = c
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(matrix, answers, weights)


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear member at one unit."""

    ngrams: NGrams
    map: LinearMap


def fit_linear(
    tasks: Mapping[str, Task[Any]], dialogues: Collection[Dialogue], masked: bool = False
) -> dict[str, dict[Unit, LinearFit]]:
    """Fit a linear member for each task whose options ask for one, on the targets of the dialogues.

    masked: the evidence of the dialogues' signals is masked, with as many decoys, so that targets from feedback are not read off it.

    A unit whose targets show fewer than two labels in a fold has none. The strength of regularization has the least log loss on the folds
    of the dialogues. Raises UsageError for a task that is not exclusive."""
    wanted = {name: task for name, task in tasks.items() if task.options.ngrams}
    for name, task in wanted.items():
        if not isinstance(task, ExclusiveTask):
            raise UsageError(
                f"the task {name} may have several labels at a place, so it has no linear member",
                f"tasks.{name}.ngrams",
                "give 0, or leave it out",
            )
    if not wanted:
        return {}
    drawn = _drawn(dialogues)
    if masked:
        drawn = [_without_evidence(dialogue) for dialogue in drawn]
    return {name: dict(_fits(task, drawn)) for name, task in wanted.items() if isinstance(task, ExclusiveTask)}


def _without_evidence(dialogue: Dialogue) -> Dialogue:
    more = decoys(dialogue, dialogue.signals, Random(f"linear {dialogue.id}"))
    return mask(dialogue, (*dialogue.signals, *more))


def _drawn(dialogues: Collection[Dialogue]) -> list[Dialogue]:
    """Dialogues with targets, of at most MOST_TURNS turns together: those that lie first by a hash of the id."""
    sizes = [(position(0, f"linear {x.id}"), k, len(x.turns)) for k, x in enumerate(dialogues) if x.targets]
    order = sorted(sizes)
    turns = np.cumsum([count for _, _, count in order])
    kept = {k for _, k, _ in order[: max(1, int((turns <= MOST_TURNS).sum()))]}
    return [dialogue for k, dialogue in enumerate(dialogues) if k in kept]


@dataclass(frozen=True)
class _Rows:
    """Places with targets, and their distinct answers as weighted rows."""

    texts: list[Texts]
    fold: Indices
    place: Indices
    answer: Indices
    weight: Floats


def _fits(task: ExclusiveTask, dialogues: Sequence[Dialogue]) -> Iterator[tuple[Unit, LinearFit]]:
    for unit in task.units:
        rows = _rows_of(task, unit, dialogues)
        folds = [rows.fold[rows.place] != fold for fold in range(FOLDS)]
        if rows.texts and all(len(np.unique(rows.answer[fold])) > 1 for fold in folds):
            yield unit, _fit(task, unit, rows, folds)


def _rows_of(task: ExclusiveTask, unit: Unit, dialogues: Sequence[Dialogue]) -> _Rows:
    texts: list[Texts] = []
    fold: list[int] = []
    targets: list[list[Target]] = []
    for dialogue in dialogues:
        exchanges = [(turn.request, turn.response) for turn in dialogue.turns]
        at_place: dict[At, list[Target]] = {}
        for target in dialogue.targets:
            if target.task == task.name and UNIT_OF[type(target.at)] == unit:
                at_place.setdefault(target.at, []).append(target)
        texts += [place_texts(exchanges, at) for at in at_place]
        fold += [fold_of(dialogue)] * len(at_place)
        targets += at_place.values()
    tensors = exclusive_rows(targets, task.index)
    # Of evidence, the posterior at equal priors.
    expected = tensors.expected.double().numpy() * tensors.weight.double().numpy()[:, None]
    if tensors.likelihood is not None and tensors.likelihood_weight is not None:
        likelihood, weight = (x.double().numpy() for x in (tensors.likelihood, tensors.likelihood_weight))
        expected = expected + weight[:, None] * likelihood / likelihood.sum(axis=1, keepdims=True)
    place, answer = np.nonzero(expected)
    return _Rows(texts, np.array(fold, dtype=np.int64), place, answer, expected[place, answer])


def _fit(task: ExclusiveTask, unit: Unit, rows: _Rows, folds: Sequence[NDArray[np.bool_]]) -> LinearFit:
    from scipy.sparse import diags
    from scipy.special import log_softmax

    ngrams, labels = NGrams.learn(rows.texts, task.options.ngrams), len(task.index)
    scale = np.repeat(np.where(LAST_TURN, _OF_LAST_TURN, 1.0), [len(field.terms) for field in ngrams.fields])
    matrix = ngrams.matrix(rows.texts)[rows.place] @ diags(scale)
    nats = np.zeros(len(C_GRID))
    for inside in progress(folds, f"linear member of {task.name}, {unit}", "folds", len(folds)):
        model, outside = None, np.flatnonzero(~inside)
        for k, c in enumerate(C_GRID):
            model = fit_regression(matrix[inside], rows.answer[inside], rows.weight[inside], c, model)
            fitted = linear_map(model, labels)
            log_p = log_softmax(matrix[outside] @ fitted.weight.astype(np.float64) + fitted.bias, axis=1)
            nats[k] -= rows.weight[outside] @ log_p[np.arange(len(outside)), rows.answer[outside]]
    c = C_GRID[int(nats.argmin())]
    fitted = linear_map(fit_regression(matrix, rows.answer, rows.weight, c), labels)
    return LinearFit(ngrams, LinearMap(fitted.weight * scale[:, None].astype(np.float32), fitted.bias))


def linear_map(model: "LogisticRegression", labels: int) -> LinearMap:
    """The scores of a fitted regression; of two labels, the first has the score zero."""
    weight, bias = np.zeros((model.coef_.shape[1], labels), np.float32), np.full(labels, _ABSENT, np.float32)
    known = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
    bias[model.classes_] = 0.0
    weight[:, known], bias[known] = model.coef_.T, model.intercept_
    return LinearMap(weight, bias)
