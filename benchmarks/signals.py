"""How well signals predict what is known about a log: its ground truth, human annotations, or the users' own answers.

`quality` is evaluated at each rated turn: bad if the mean rating is below 3, else good. `outcome` is evaluated at each goal with an
outcome: bad means failure. Of several annotations of the kind, the first that divides the dialogue gives the goals.

For each detector and vote: precision (share of the places where the vote is right), the base rate (precision of voting everywhere)
and recall. For each way to combine detectors the same, by the side of 1/2 that its probability is on, and the area under the
precision-recall curve: once with implicit signals alone, once with all. `em` learns from the content and the signals of this log, never from annotations. A
method without a probability gives one half. Intervals are 95% bootstrap intervals over users, where dialogues name them; `setting` has the
number of users. The area of each method also stands beside that of the rules, paired.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from msgspec import structs

from labelgen.base.errors import InputError
from labelgen.base.registry import require, resolve
from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import Annotation, At, AtGoal, AtTurn, Label, division, quality_name
from labelgen.data.log import Log
from labelgen.data.split import user_key
from labelgen.feedback import items
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.detectors.words import repeated_requests
from labelgen.feedback.items import METHODS, Method
from labelgen.feedback.signal import concerns_dialogue, signals_of
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric, divide, of_counts

from .results import Cell, Result, bootstrap, versions

TASKS = {"quality": ("bad", "good"), "outcome": ("failure", "success")}
"""task -> the names that a bad and a good vote stand for."""
EXPLORATION = "exploration"
"""A request for another thing of the same kind, in nearly the same words. It is not a signal of labelgen; measured as a good vote."""
Chosen = tuple[str, Method, Callable[[Signal], bool]]
"""A method's name as the table has it, the method, and which signals it reads."""

Counts = tuple[int, int, int, int]
"""Of one dialogue: places spoken of, of these rightly, places with that truth, places."""


@dataclass
class VoteCounts:
    """Of one task. known: of each dialogue, whether each place is bad; users: its user. votes: by evidence and vote, of each dialogue
    that it speaks in, the places. items: by method of aggregation, of each dialogue. based: votes whose base rate is a row already."""

    known: list[Mapping[At, bool]] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    votes: dict[tuple[str, str], dict[int, set[At]]] = field(default_factory=dict)
    items: dict[str, list[Item]] = field(default_factory=dict)
    based: dict[str, bool] = field(default_factory=dict)

    def add_vote(self, evidence: str, vote: str, at: At) -> None:
        self.votes.setdefault((evidence, vote), {}).setdefault(len(self.known) - 1, set()).add(at)

    def counts(self, evidence: str, vote: str) -> list[Counts]:
        out = []
        for d, known in enumerate(self.known):
            spoken = self.votes[evidence, vote].get(d, set())
            true = {at for at, bad in known.items() if bad == (vote == "bad")}
            out.append((len(spoken), len(spoken & true), len(true), len(known)))
        return out


def measure(
    log: Sequence[Path], format: str, against: str, corpus: str, without: Sequence[str] = (), seed: int = 0
) -> list[Result]:
    """The rows of one log.

    against: kind of the annotations that are right, such as truth, person or user. without: kinds of signals that repeat those
    annotations. Raises InputError if no annotation of that kind has a quality or an outcome."""
    for kind in without:
        require(kind, DETECTORS, "signal")
    counts = {task: VoteCounts() for task in TASKS}
    dialogues = list(Log(list(log), format))
    found = signals_of(dialogues, [kind for kind in DETECTORS if kind not in without])
    read = list(zip(dialogues, found, strict=True))
    methods = list(_methods(read, against))
    for dialogue, signals in read:
        explored = [
            Signal(kind=EXPLORATION, turns=(again.turn,), vote="good", evidence=(again.later,))
            for again in repeated_requests(dialogue)
            if again.explores
        ]
        annotations = [a for a in dialogue.annotations if a.kind == against]
        _judge(dialogue, signals, explored, annotations, methods, counts)
    if not any(one.known for one in counts.values()):
        where = ", ".join(map(str, log))
        raise InputError(f"no annotation of kind {against} has a quality or an outcome", where, "name another kind")
    names = [name for name, _, _ in methods]
    rows = [row for task, one in counts.items() if one.known for row in _rows(task, one, names, seed)]
    return [structs.replace(row, corpus=corpus, split="all", versions=versions("numpy")) for row in rows]


def _judge(
    dialogue: Dialogue,
    signals: Sequence[Signal],
    explored: Sequence[Signal],
    annotations: Sequence[Annotation],
    methods: Sequence[Chosen],
    counts: Mapping[str, VoteCounts],
) -> None:
    """Add what the signals of one dialogue say of the places that the annotations know."""
    for task, places in (("quality", known_qualities(annotations)), ("outcome", known_outcomes(annotations))):
        if not places:
            continue
        of_task = counts[task]
        of_task.known.append(places)
        of_task.users.append(user_key(dialogue))
        reference = {at: (Label(task, at, TASKS[task][not bad]),) for at, bad in places.items()}
        relevant_to = {at: about(at, (*signals, *explored), dialogue, places) for at in places}
        for at, relevant in relevant_to.items():
            for signal in relevant:
                of_task.add_vote(signal.kind, signal.vote, at)
        bare = _unlabeled(dialogue)
        for name, method, used in methods:
            predicted: dict[At, tuple[Label, ...]] = {}
            asked = [
                items.FeedbackItem(bare, at, tuple(s for s in relevant if used(s)))
                for at, relevant in relevant_to.items()
                if isinstance(at, AtTurn | AtGoal)
            ]
            for at, posterior in zip(places, method(asked), strict=True):
                good = 0.5 if posterior is None else posterior.good
                both = ((TASKS[task][0], 1.0 - good), (TASKS[task][1], good))
                predicted[at] = (Label(task, at, max(both, key=lambda pair: pair[1])[0], distribution=both),)
                if good != 0.5:
                    of_task.add_vote(name, "good" if good > 0.5 else "bad", at)
            of_task.items.setdefault(name, []).append(Item((), reference, predicted))


Read = Sequence[tuple[Dialogue, Sequence[Signal]]]
"""A log with the signals that a method reads."""


def _methods(read: Read, against: str) -> Iterator[Chosen]:
    """Each method by implicit signals, and by all. Goals are those of the annotations; no method sees any other label."""
    for name in METHODS:
        for level, used in (("implicit", _implicit), ("all", _every)):
            own = [(dialogue, [s for s in signals if used(s)]) for dialogue, signals in read]
            yield f"{name}, {level}", method_of(name, own, against), used


def method_of(name: str, read: Read, against: str) -> Method:
    """A method that learned from the signals of a log."""
    found: Method = resolve(METHODS, name, "method")(items_of_log(read, against))
    return found


def items_of_log(read: Read, against: str) -> Iterator[items.FeedbackItem]:
    """All items of a log, without labels; goals are those of the first annotation of the kind `against` that divides the dialogue."""
    for dialogue, signals in read:
        goals = next((a.annotator for a in dialogue.annotations if a.kind == against and division(a)), None)
        for item in items.items_of(dialogue, signals, goals):
            yield replace(item, dialogue=_unlabeled(dialogue))


def _unlabeled(dialogue: Dialogue) -> Dialogue:
    return structs.replace(dialogue, annotations=())


def _implicit(signal: Signal) -> bool:
    return not signal.explicit and signal.kind != EXPLORATION


def _every(signal: Signal) -> bool:
    return signal.kind != EXPLORATION


def known_qualities(annotations: Sequence[Annotation]) -> dict[At, bool]:
    """Of each rated turn, whether it is bad."""
    ratings: dict[At, list[float]] = {}
    for label in (label for a in annotations for label in a.labels):
        if label.task == "quality" and isinstance(label.at, AtTurn) and isinstance(label.value, (int, float)):
            ratings.setdefault(label.at, []).append(float(label.value))
    return {at: quality_name(fmean(values)) == "bad" for at, values in sorted(ratings.items())}


def known_outcomes(annotations: Sequence[Annotation]) -> dict[At, bool]:
    """Of each goal with a known outcome, whether it failed."""
    annotation = next((a for a in annotations if division(a) is not None), None)
    if annotation is None:
        return {}
    named = {label.at: label.name for label in annotation.labels if label.task == "outcome"}
    return {at: name == "failure" for at, name in named.items() if name in TASKS["outcome"]}


def about(at: At, signals: Sequence[Signal], dialogue: Dialogue, places: Mapping[At, bool]) -> list[Signal]:
    """The signals that speak of a turn singly, or of a goal where it ended."""
    if isinstance(at, AtGoal):
        goals = tuple(x.turns for x in places if isinstance(x, AtGoal))
        return list(next(item.signals for item in items.goal_items(dialogue, signals, goals) if item.at == at))
    assert isinstance(at, AtTurn)
    single = len(dialogue.turns) == 1
    return [s for s in signals if at.turn in s.turns and (single or not concerns_dialogue(s, dialogue))]


def _rows(task: str, of_task: VoteCounts, methods: Sequence[str], seed: int) -> Iterator[Result]:
    """Rows of each detector and method that votes, in the order of the registry."""
    names, owner = np.unique(of_task.users, return_inverse=True)
    times = resamples(len(names), 1000, seed)[:, owner]
    curve = f"{TASKS[task][0]}_auprc"
    auprc: Metric = resolve(METRICS, curve, "metric")
    setting = f"{len(names):,} users"

    def row(system: str, metric: str, places: int | None, cell: Cell, baseline: str = "") -> Result:
        return Result(task=task, system=system, baseline=baseline, metric=metric, n=places, setting=setting, **cell)

    def area_of(evidence: str, weights: Array) -> Array:
        value: Array = auprc.value(list(map(auprc.tally, of_task.items[evidence])), weights)
        return value

    for evidence in (*DETECTORS, EXPLORATION, *methods):
        for vote in ("bad", "good"):
            if (evidence, vote) not in of_task.votes:
                continue
            counts = of_task.counts(evidence, vote)
            places, _, true, known = (int(n) for n in np.sum(counts, axis=0))
            base = row("base rate", f"{vote}_precision", None, {"value": round(true / known, 4)})
            if not of_task.based.get(vote):
                of_task.based[vote] = True
                yield base
            for metric, column in ((f"{vote}_precision", 0), (f"{vote}_recall", 2)):
                value = of_counts(partial(_share_right, column=column))
                yield row(evidence, metric, places, _estimate(value, counts, times))
        # Also of a method that calls nothing bad: it ranks all the same. Without a bad place, or only with such, there is no curve.
        area = _estimate(auprc.value, list(map(auprc.tally, of_task.items.get(evidence, ()))), times)
        if area.get("value") is not None:
            yield row(evidence, curve, sum(map(len, of_task.known)), area)
        rules = f"waterfall, {evidence.partition(', ')[2]}"
        if area.get("value") is not None and evidence != rules:
            gain = bootstrap(of_statistic(partial(_gain, area_of, evidence, rules), times).rounded())
            yield row(evidence, curve, sum(map(len, of_task.known)), gain, rules)


def _gain(area: Callable[[str, Array], Array], system: str, baseline: str, weights: Array) -> Array:
    return area(system, weights) - area(baseline, weights)


def _share_right(counts: Array, column: int) -> Array:
    return divide(counts[:, 1], counts[:, column])


def _estimate(value: Callable[[Sequence[Any], Array], Array], rows: Sequence[Any], times: Array) -> Cell:
    return bootstrap(of_statistic(lambda taken: value(rows, taken), times).rounded())
