"""Fit of the linear members: a regression on content, the rates of the witnesses, and how a label is chosen."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labelgen.base.terminal import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, At, AtGoal, Target, Unit
from labelgen.data.split import FOLDS, fold_of, position, user_key
from labelgen.features.layout import Voice
from labelgen.feedback.items import items_at
from labelgen.nn.linear_member import HeldOut, LinearMap, MemberSettings
from labelgen.tasks.exclusive import ExclusiveTask, exclusive_rows
from labelgen.tasks.task import Task
from labelgen.verdicts.columns import Columns, fit_regression
from labelgen.verdicts.content import PlaceContent
from labelgen.verdicts.estimate import share_of_people
from labelgen.verdicts.witnesses import GOOD, Rates, Statements, all_statements, fit_rates

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

C_GRID, VOICE_LENGTHS = (0.01, 0.1, 1.0, 10.0), (0.0, 0.25, 0.5)
"""Tried by cross-validation: inverse strengths of regularization, the strongest first, and norms of a voice's row relative to that of a text
field, as powers of its number of columns. At 0 it counts as one field, at 0.5 each of its columns has a scale of about 1."""
MOST_TURNS, MOST_HEARD = 50_000, 10_000
"""Turns that a linear member is fitted on, without and with sound; of a larger log whole dialogues are drawn."""

_ABSENT = -10.0
"""Score of a label that a fit did not see."""
_ROUNDS = 200

BLUR = 0.05
"""Differences of log-probabilities that say nothing, in nats."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Numbered = Sequence[tuple[int, Dialogue]]
Voices = Mapping[int, Sequence[Voice | None]]
VoicesOf = Callable[[int, Dialogue], Sequence[Voice | None]]


@dataclass(frozen=True)
class LinearFit:
    """A fitted linear member at one unit."""

    settings: MemberSettings
    map: LinearMap
    held_out: HeldOut


def fit_linear(
    tasks: Mapping[str, Task[Any]],
    dialogues: Collection[Dialogue],
    from_feedback: bool = False,
    leave_out: Sequence[str] = (),
    voices_of: VoicesOf | None = None,
) -> dict[str, dict[Unit, LinearFit]]:
    """Fit a linear member for each task about verdicts whose options ask for one, on the targets of the dialogues.

    from_feedback: targets come from feedback, so later words are evidence and no content. leave_out: categories and numbers that are not
    read. voices_of: how the turns of the dialogue with a number sound.

    A unit whose targets show fewer than two labels in a fold has none. The strength of regularization has the least log loss on the folds
    of the dialogues, in which users are apart."""
    wanted = [task for task in tasks.values() if isinstance(task, ExclusiveTask) and task.uses_member]
    drawn = _drawn(dialogues, MOST_TURNS if voices_of is None else MOST_HEARD) if wanted else []
    voices = {k: voices_of(k, dialogue) for k, dialogue in drawn} if voices_of is not None else {}
    return {
        task.name: dict(_fits(task, drawn, voices, task.has_member or not from_feedback, leave_out)) for task in wanted
    }


def _drawn(dialogues: Collection[Dialogue], most: int) -> list[tuple[int, Dialogue]]:
    """Dialogues with targets, and their numbers, of at most so many turns together: those that lie first by a hash of the id."""
    sizes = [(position(0, f"linear {x.id}"), k, len(x.turns)) for k, x in enumerate(dialogues) if x.targets]
    order = sorted(sizes)
    turns = np.cumsum([count for _, _, count in order])
    kept = {k for _, k, _ in order[: max(1, int((turns <= most).sum()))]}
    return [(k, dialogue) for k, dialogue in enumerate(dialogues) if k in kept]


@dataclass(frozen=True)
class _Rows:
    """Places with targets, and their distinct answers as weighted rows. known: the share of people who call a place good, NaN where nobody
    judged it."""

    contents: list[PlaceContent]
    said: list[Statements]
    known: Floats
    users: list[str]
    fold: Indices
    place: Indices
    answer: Indices
    weight: Floats


def _fits(
    task: ExclusiveTask, dialogues: Numbered, voices: Voices, later: bool, leave_out: Sequence[str]
) -> Iterator[tuple[Unit, LinearFit]]:
    for unit in task.units:
        rows = _rows_of(task, unit, dialogues, voices, later)
        folds = [rows.fold[rows.place] != fold for fold in range(FOLDS)]
        if rows.contents and all(len(np.unique(rows.answer[fold])) > 1 for fold in folds):
            yield unit, _fit(task, unit, rows, folds, later, leave_out)


def _rows_of(task: ExclusiveTask, unit: Unit, dialogues: Numbered, voices: Voices, later: bool) -> _Rows:
    contents: list[PlaceContent] = []
    said: list[Statements] = []
    known: list[float] = []
    users: list[str] = []
    fold: list[int] = []
    targets: list[list[Target]] = []
    for number, dialogue in dialogues:
        at_place: dict[At, list[Target]] = {}
        for target in dialogue.targets:
            if target.task == task.name and UNIT_OF[type(target.at)] == unit:
                at_place.setdefault(target.at, []).append(target)
        if not at_place:
            continue
        contents += task.contents(dialogue, _goals_of(dialogue), list(at_place), later, voices.get(number, ()))
        items = items_at(dialogue, list(at_place))
        said += all_statements(items)
        known += map(share_of_people, items)
        users += [user_key(dialogue)] * len(at_place)
        fold += [fold_of(dialogue)] * len(at_place)
        targets += at_place.values()
    tensors = exclusive_rows(targets, task.index)
    # Of evidence, the posterior at equal priors.
    expected = tensors.expected.double().numpy() * tensors.weight.double().numpy()[:, None]
    if tensors.likelihood is not None and tensors.likelihood_weight is not None:
        likelihood, weight = (x.double().numpy() for x in (tensors.likelihood, tensors.likelihood_weight))
        expected = expected + weight[:, None] * likelihood / likelihood.sum(axis=1, keepdims=True)
    place, answer = np.nonzero(expected)
    return _Rows(
        contents, said, np.array(known), users, np.array(fold, dtype=np.int64), place, answer, expected[place, answer]
    )


def _goals_of(dialogue: Dialogue) -> list[tuple[int, ...]]:
    """Goals of the targets, those of most weight first."""
    weights: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for target in dialogue.targets:
        if isinstance(target.at, AtGoal) and target.distribution:
            weights[target.at.turns] += target.weight
    return sorted(weights, key=lambda turns: (-weights[turns], turns))


def _fit(
    task: ExclusiveTask,
    unit: Unit,
    rows: _Rows,
    folds: Sequence[NDArray[np.bool_]],
    later: bool,
    leave_out: Sequence[str],
) -> LinearFit:
    from scipy.special import log_softmax

    columns, labels = Columns.learn(rows.contents, task.options.ngrams, leave_out, later), len(task.index)
    places, voice = columns.matrix(rows.contents), columns.voice
    of_voice = [np.r_[np.ones(len(columns) - voice), np.full(voice, voice**x)] for x in VOICE_LENGTHS if voice or not x]
    tried = [(length, c) for length in of_voice for c in C_GRID]
    held_out = np.zeros((len(tried), len(rows.contents), labels))
    for fold, inside in enumerate(progress(folds, f"linear member of {task.name}, {unit}", "folds", len(folds))):
        model, outside, scaled = None, rows.fold == fold, places
        for k, (length, c) in enumerate(tried):
            if k % len(C_GRID) == 0:
                scaled = places.multiply(length).tocsr()
            model = fit_regression(scaled[rows.place[inside]], rows.answer[inside], rows.weight[inside], c, model)
            fitted = linear_map(model, labels)
            held_out[k, outside] = log_softmax(scaled[outside] @ fitted.weight.astype(np.float64) + fitted.bias, axis=1)
    best = int(np.argmax([rows.weight @ log_p[rows.place, rows.answer] for log_p in held_out]))
    length, c = tried[best]
    matrix = places.multiply(length).tocsr()[rows.place]
    fitted = linear_map(fit_regression(matrix, rows.answer, rows.weight, c), labels)
    fitted = LinearMap((fitted.weight * length[:, None]).astype(np.float32), fitted.bias)
    rates, factors = _decision(task, rows, held_out[best], later)
    return LinearFit(MemberSettings(columns, rates, factors), fitted, HeldOut(held_out[best], rows.said, rows.users))


def _decision(task: ExclusiveTask, rows: _Rows, log_p: Floats, later: bool) -> tuple[Rates, tuple[float, ...]]:
    """The rates of the witnesses, and the factors of names, both by predictions that were held out."""
    if not task.has_witnesses:
        return Rates(), ()
    towards_good = np.array([GOOD[name] for name in task.names])
    good = np.clip(np.exp(log_p) @ towards_good, 1e-6, 1.0 - 1e-6)
    content = np.log(good / (1.0 - good))
    rates = fit_rates(rows.said, content, rows.known, fit_rates(rows.said, content, rows.known))
    rates = rates.explicit() if later else rates
    nats = np.array([rates.total(said) for said in rows.said])
    scores = np.exp(log_p + nats[:, None] * (towards_good - 0.5))
    wanted = np.bincount(rows.answer, rows.weight, log_p.shape[1]) / rows.weight.sum()
    return rates, balancing(scores / scores.sum(axis=1, keepdims=True), wanted)


def balancing(probabilities: Floats, wanted: Floats) -> tuple[float, ...]:
    """Factors of names [names] by which labels of these rows are as frequent as wanted, as far as probabilities tell rows apart.

    Differences below about BLUR nats say nothing, so shares are counted with choices that are blurred by so much: rows that are nearly
    alike then all get the same label, the likelier one, and no tiny difference decides.

    probabilities: [rows, names]. wanted: share of each name."""
    from scipy.special import softmax

    logs, shift = np.log(np.clip(probabilities, 1e-12, 1.0)), np.zeros(len(wanted))
    for _ in range(_ROUNDS):
        given = softmax((logs + shift) / BLUR, axis=1).mean(axis=0)
        shift = shift + BLUR * (np.log(np.clip(wanted, 1e-6, 1.0)) - np.log(given))
    return tuple(float(x) for x in np.exp(shift - shift.max()))


def linear_map(model: "LogisticRegression", labels: int) -> LinearMap:
    """The scores of a fitted regression; of two labels, the first has the score zero."""
    weight, bias = np.zeros((model.coef_.shape[1], labels), np.float32), np.full(labels, _ABSENT, np.float32)
    known = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
    bias[model.classes_] = 0.0
    weight[:, known], bias[known] = model.coef_.T, model.intercept_
    return LinearMap(weight, bias)
