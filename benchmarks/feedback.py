"""Feedback methods on people's and simulated logs: em, waterfall, majority and a learned detector, against what is known.

The reference is the users' own answers (STAR, GetGoing; every question about success is left out of the signals), the mean rating of annotators
(USS), or the ground truth (simulated). Places are goals with an outcome, and rated turns. `em` is fitted on the signals of the log alone.
A method without a probability for a place gives one half.

`+ learned` adds the signals of a detector that was learned from explicit feedback of the other logs. `learned` is its evidence alone, at the
place's last turn.

`em anchored` also learns from what is known about four fifths of the users, and is judged on the fifth.

Calibrated: a logistic regression on the log-odds (Platt), fitted on four fifths of the users and applied to the fifth. Constant: the share of
bad places in the same four fifths. Intervals are 95% bootstrap intervals over users, or over dialogues where users are unknown; differences
are paired.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from labelgen.confidence.resampling import resamples
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import At, AtGoal, AtTurn
from labelgen.data.log import Log
from labelgen.feedback import items
from labelgen.feedback.em.estimation import fit
from labelgen.feedback.em.patterns import pattern_of
from labelgen.feedback.learned import LearnedDetector, load
from labelgen.feedback.posterior import Method, from_log_odds, majority, waterfall
from labelgen.feedback.signal import LEARNED, find_signals

from .results import Cell, Result, versions
from .signals import Read, about, fitted_em, items_of_log, known_outcomes, known_qualities

Numbers = NDArray[np.float64]

RESAMPLES = 300
ANCHORED = "em anchored"
METRICS = ("bad_auprc", "log_loss")
_SURE = 1e-4


@dataclass(frozen=True)
class Places:
    """Of one task. bad: whether each place is, [N]. group: its user or dialogue, [N]. at: its dialogue and place, [N]. probabilities: of bad,
    by system, [N]."""

    bad: list[bool]
    group: list[str]
    at: list[tuple[str, At]]
    probabilities: dict[str, list[float]]


def methods(
    log: Sequence[Path],
    format: str,
    against: str,
    corpus: str,
    learned: Sequence[Path],
    without: Sequence[str] = (),
    seed: int = 0,
) -> list[Result]:
    """The rows of one corpus. log: files, of which each is fitted on its own. learned: file of the learned detector. against: kind of the annotations that are right. without: kinds
    of signals that repeat these."""
    detector = load(learned[0])
    found: dict[str, Places] = {}
    for number, path in enumerate(log):
        _judge(path, number, format, against, without, detector, found)
    rows = [row for task, places in sorted(found.items()) for row in _rows(task, places, seed)]
    used = versions("numpy", "scipy", "scikit-learn")
    return [structs.replace(row, corpus=corpus, split="all", reference=against, versions=used) for row in rows]


def _judge(
    path: Path,
    number: int,
    format: str,
    against: str,
    without: Sequence[str],
    detector: LearnedDetector,
    found: dict[str, Places],
) -> None:
    """Add the places of one file, with what every system says."""
    read: list[tuple[Dialogue, list[Signal], list[Signal]]] = []
    for dialogue in Log([path], format):
        signals = [s for s in find_signals(dialogue) if s.kind not in without]
        read.append((dialogue, signals, [*signals, *detector.detect(dialogue)]))
    first = {task: len(places.bad) for task, places in found.items()}
    plain_log, more_log = [(d, plain) for d, plain, _ in read], [(d, more) for d, _, more in read]
    systems: dict[str, tuple[Method, bool]] = {
        "majority": (majority, False),
        "waterfall": (waterfall, False),
        "em": (fitted_em(plain_log, against), False),
        "waterfall + learned": (waterfall, True),
        "em + learned": (fitted_em(more_log, against), True),
    }
    for dialogue, plain, more in read:
        annotations = [a for a in dialogue.annotations if a.kind == against]
        for task, known in (("quality", known_qualities(annotations)), ("outcome", known_outcomes(annotations))):
            if not known:
                continue
            places = found.setdefault(task, Places([], [], [], {}))
            for at, bad in known.items():
                places.bad.append(bad)
                places.group.append(f"{number} {dialogue.user or dialogue.id}")
                places.at.append((dialogue.id, at))
                for name, good in _said(at, dialogue, plain, more, known, systems, detector):
                    places.probabilities.setdefault(name, []).append(1.0 - good)
    for task, places in found.items():
        own = slice(first.get(task, 0), None)
        _add_anchored(task, places, own, plain_log, against)


def _add_anchored(
    task: str,
    places: Places,
    own: slice,
    read: Read,
    against: str,
) -> None:
    """Add em that learned from four fifths of what is known, out of fold. own: the places of this file."""
    bad, group, at = np.array(places.bad[own]), np.array(places.group[own]), places.at[own]
    unit = AtGoal if task == "outcome" else AtTurn
    patterns = {
        (item.dialogue.id, item.at): pattern_of(item)
        for item in items_of_log(read, against)
        if isinstance(item.at, unit)
    }
    good = np.zeros(len(bad))
    for train, test in GroupKFold(5).split(bad, bad, group):
        known = {at[k]: float(not bad[k]) for k in train}
        counts = Counter(replace(p, known=known.get(place)) for place, p in patterns.items())
        rates = fit(counts)
        good[test] = [rates.posterior(patterns[at[k]]) for k in test]
    places.probabilities.setdefault(ANCHORED, []).extend(float(x) for x in 1.0 - good)


def _said(
    at: At,
    dialogue: Dialogue,
    plain: Sequence[Signal],
    more: Sequence[Signal],
    known: Mapping[At, bool],
    systems: Mapping[str, tuple[Method, bool]],
    detector: LearnedDetector,
) -> Iterator[tuple[str, float]]:
    """Each system with its probability of good."""
    both = [items.FeedbackItem(dialogue, at, tuple(about(at, own, dialogue, known))) for own in (plain, more)]  # type: ignore[arg-type]
    for name, (method, with_learned) in systems.items():
        posterior = method(both[with_learned])
        yield name, 0.5 if posterior is None else posterior.good
    yield LEARNED, from_log_odds(detector.evidence(dialogue, both[0].turns[-1]))


def _rows(task: str, places: Places, seed: int) -> Iterator[Result]:
    """Every system as it is and calibrated, and its differences from the waterfall."""
    bad = np.array(places.bad)
    names, group = np.unique(places.group, return_inverse=True)
    times = resamples(len(names), RESAMPLES, seed)
    said = {name: np.clip(p, _SURE, 1.0 - _SURE) for name, p in places.probabilities.items()}
    anchored = {ANCHORED: said.pop(ANCHORED)}
    settings = {
        "as it is": said,
        "calibrated": {name: _calibrated(p, bad, group) for name, p in said.items()}
        | {"constant": _calibrated(np.full(len(bad), 0.5), bad, group)}
        | anchored,
    }
    values = {
        (setting, name, metric): _value(metric, p, bad, group, times)
        for setting, systems in settings.items()
        for name, p in systems.items()
        for metric in METRICS
    }

    def row(system: str, setting: str, metric: str, cell: Cell, baseline: str = "") -> Result:
        return Result(
            task=task, system=system, setting=setting, metric=metric, baseline=baseline, n=len(bad), seed="", **cell
        )

    for (setting, name, metric), value in values.items():
        yield row(name, setting, metric, _cell(value))
    for (setting, name, metric), value in values.items():
        if name in ("em", ANCHORED, "waterfall + learned", "em + learned"):
            yield row(name, setting, metric, _cell(value - values[setting, "waterfall", metric]), "waterfall")
            if setting == "as it is":
                calibrated = values["calibrated", "waterfall", metric]
                yield row(name, setting, metric, _cell(value - calibrated), "calibrated waterfall")


def _cell(values: Numbers) -> Cell:
    """The value of all groups comes first."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {
        "value": round(float(values[0]), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "interval": "bootstrap",
    }


def _calibrated(p: Numbers, bad: NDArray[np.bool_], group: NDArray[np.intp]) -> Numbers:
    """Probabilities by Platt's scaling, out of fold."""
    nats = np.log(p / (1.0 - p))[:, None]
    out = np.zeros(len(p))
    for train, test in GroupKFold(5).split(nats, bad, group):
        out[test] = LogisticRegression(C=1e4).fit(nats[train], bad[train]).predict_proba(nats[test])[:, 1]
    return np.clip(out, _SURE, 1.0 - _SURE)


def _value(metric: str, p: Numbers, bad: NDArray[np.bool_], group: NDArray[np.intp], times: Numbers) -> Numbers:
    """The metric with every group once, then in each resample, [1 + R]. times [R, G]: how often each group is drawn."""
    every = np.vstack([np.ones(times.shape[1]), times])
    if metric == "log_loss":
        nats = -np.log(np.where(bad, p, 1.0 - p))
        totals, sizes = (np.bincount(group, x, times.shape[1]) for x in (nats, np.ones(len(p))))
        losses: Numbers = every @ totals / (every @ sizes)
        return losses
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.append(np.diff(p[order]) != 0.0, True))
    sorted_bad, sorted_group = bad[order], group[order]
    areas = []
    for weights in every:
        weight = weights[sorted_group]
        right, taken = np.cumsum(weight * sorted_bad)[last], np.cumsum(weight)[last]
        gained = np.diff(right, prepend=0.0) / right[-1]
        areas.append(float((gained * right / np.maximum(taken, 1e-12)).sum()))
    return np.array(areas)
