"""Single actions of an agent that people rewarded with 0 or 1 (Taskmaster): labelgen's linear member of quality beside plain rivals.

Actions with the same first two messages are never on both sides of a fold, and intervals are over such families. Each seed divides the
families anew. The rarer of the two rewards is what is found. Strengths of regularization are chosen within what is learned from."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.stats import rankdata

from labelgen.confidence.resampling import Array, interval, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtTurn, targets_of
from labelgen.data.log import Log
from labelgen.data.split import position
from labelgen.features.layout import Layout
from labelgen.model.build import make_tasks
from labelgen.model.linear import fit_linear
from labelgen.nn.linear_member import LinearMember
from labelgen.tasks import TaskOptions

from .readers.taskmaster import PEOPLE, opening_of
from .results import Result, versions

_DRAWS = 1000
_C = (0.1, 1.0, 10.0)
"""Inverse strengths of regularization of the rivals that are tried."""
_SMOOTHING = 5.0
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Actions:
    """Dialogues that end with a judged action, whether it was rewarded, and the number of the family of each."""

    dialogues: list[Dialogue]
    good: NDArray[np.bool_]
    family: NDArray[np.int64]

    def some(self, chosen: NDArray[np.bool_]) -> "Actions":
        return Actions(
            [d for d, one in zip(self.dialogues, chosen, strict=True) if one], self.good[chosen], self.family[chosen]
        )


System = Callable[[Actions, Actions], Scores]
"""Log-odds, or anything that rises with them, that the actions of the second are good, learned on the first."""


def read(log: Sequence[Path]) -> Actions:
    """The actions of a corpus. The user of a dialogue is its family, so that folds within labelgen keep families apart too."""
    dialogues = [replace(d, user=opening_of(d)) for d in Log(list(log), "taskmaster")]
    numbers = {user: k for k, user in enumerate(dict.fromkeys(d.user for d in dialogues))}
    good = [annotation.labels[0].name == "good" for d in dialogues if (annotation := d.annotation(PEOPLE))]
    return Actions(dialogues, np.array(good), np.array([numbers[d.user] for d in dialogues]))


def member(learned: Actions, asked: Actions, ngrams: int) -> Scores:
    """The linear member of quality, fitted as in a training."""
    tasks = make_tasks({"quality": TaskOptions(ngrams=ngrams)}, {})
    task: Any = tasks["quality"]
    log = [
        replace(d, targets=targets_of(annotation)) for d in learned.dialogues if (annotation := d.annotation(PEOPLE))
    ]
    fit = fit_linear(tasks, log)["quality"]["turn"]
    made = LinearMember({"turn": fit.settings}, task.names, 1.0, task.contents)
    made.fill("turn", fit.map)
    none, unknown = torch.zeros(0, dtype=torch.long), (None,) * len(asked.dialogues)
    turns = tuple(len(d.turns) for d in asked.dialogues)
    layout = Layout(
        turns, unknown, unknown, ((),) * len(turns), *(none,) * 5, (), none, dialogues=tuple(asked.dialogues)
    )
    scores = made.scores("turn", [(k, AtTurn(count - 1)) for k, count in enumerate(turns)], layout)
    odds: Scores = (scores[:, task.index["good"]] - scores[:, task.index["bad"]]).double().numpy()
    return odds


def words(learned: Actions, asked: Actions) -> Scores:
    """A bag of words and pairs of words over the action, and another one over all that precedes it (TF-IDF, logistic regression)."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    parts = [[_texts(d) for d in actions.dialogues] for actions in (learned, asked)]
    columns = []
    for k in (0, 1):
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        columns.append((vectorizer.fit_transform(t[k] for t in parts[0]), vectorizer.transform(t[k] for t in parts[1])))
    return _regression(learned, *(sparse.hstack([one[side] for one in columns]).tocsr() for side in (0, 1)))


def _texts(dialogue: Dialogue) -> tuple[str, str]:
    """The words before the last action, and those of it."""
    said = [text for turn in dialogue.turns for text in (turn.request, turn.response)]
    return "\n".join(said[:-1]), said[-1]


def lengths(learned: Actions, asked: Actions) -> Scores:
    """Logarithms of the numbers of turns, of calls, and of words before and in the action (logistic regression)."""
    return _regression(learned, *(np.array([_lengths(d) for d in one.dialogues]) for one in (learned, asked)))


def _lengths(dialogue: Dialogue) -> list[float]:
    before, action = _texts(dialogue)
    counts = len(dialogue.turns), sum(bool(t.steps) for t in dialogue.turns), len(before.split()), len(action.split())
    return [float(np.log1p(count)) for count in counts]


def _regression(learned: Actions, matrix: Any, asked: Any) -> Scores:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import GroupKFold

    folds = list(GroupKFold(3).split(matrix, groups=learned.family))
    model = LogisticRegressionCV(Cs=_C, cv=folds, scoring="neg_log_loss", max_iter=300, solver="liblinear")
    odds: Scores = model.fit(matrix, learned.good).decision_function(asked)
    return odds


def constant(learned: Actions, asked: Actions) -> Scores:
    """The share of good actions among those that are of the same kind, a text or a call of the same tool."""
    kinds = [_kind(d) for d in learned.dialogues]
    every, good = Counter(kinds), Counter(kind for kind, one in zip(kinds, learned.good, strict=True) if one)
    base = learned.good.mean()
    found = [(good[k] + _SMOOTHING * base) / (every[k] + _SMOOTHING) for k in map(_kind, asked.dialogues)]
    return np.array(found)


def _kind(dialogue: Dialogue) -> str:
    """The tool that the judged action calls; a text calls none."""
    return next((step.name or "" for step in dialogue.turns[-1].steps), "text")


def measure(log: Sequence[Path], corpus: str, seeds: Sequence[int], folds: int, ngrams: int) -> Iterator[Result]:
    """AUPRC of the rarer reward by each system, and how much better the model is."""
    actions = read(log)
    systems: Mapping[str, System] = {
        "model": partial(member, ngrams=ngrams),
        "bag of words over context and action": words,
        "constant of the kind of action": constant,
        "lengths": lengths,
    }
    rarer = actions.good if actions.good.mean() < 0.5 else ~actions.good
    sign = 1.0 if actions.good.mean() < 0.5 else -1.0
    times = np.concatenate(
        [np.ones((1, len(rarer))), resamples(actions.family.max() + 1, _DRAWS, 0)[:, actions.family]]
    )
    found = {name: np.zeros(len(times)) for name in systems}
    for seed in seeds:
        place = [position(seed, d.user or "") for d in actions.dialogues]
        fold = np.minimum((np.array(place) * folds).astype(int), folds - 1)
        for name, system in systems.items():
            scores = np.zeros(len(rarer))
            for k in range(folds):
                # Ranks, since scores of different fits are on different scales.
                odds = sign * system(actions.some(fold != k), actions.some(fold == k))
                scores[fold == k] = rankdata(odds) / len(odds)
            found[name] += auprc(scores, rarer, times) / len(seeds)
    row = partial(
        Result, corpus=corpus, task="quality", reference=PEOPLE, n=len(rarer), versions=versions("scikit-learn"),
        seed=" ".join(map(str, seeds)), metric="rarer_auprc", interval="bootstrap",
    )  # fmt: skip
    yield row(system="share of the rarer reward", value=float(rarer.mean()), interval="")
    for name, values in found.items():
        pairs = [("", values), *((other, values - found[other]) for other in found if name == "model" != other)]
        for baseline, drawn in pairs:
            at = interval(float(drawn[0]), drawn[1:])
            yield row(system=name, baseline=baseline, value=at.value, low=at.low, high=at.high)


def auprc(scores: Array, wanted: NDArray[np.bool_], times: Array) -> Array:
    """Average precision [R] under how often each item counts [R, N]; items of one score are found together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.cumsum([len(list(group)) for _, group in groupby(scores[order])]) - 1
    weight, hits = times[:, order], times[:, order] * wanted[order]
    all_of, right = weight.cumsum(axis=1)[:, ends], hits.cumsum(axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0.0)
    precision = np.divide(right, all_of, out=np.zeros_like(right), where=all_of > 0)
    average: Array = (gained * precision).sum(axis=1) / right[:, -1]
    return average
