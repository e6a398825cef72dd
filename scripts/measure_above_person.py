"""From which threshold on a model finds dissatisfaction more precisely than a single annotator, on logs that it labeled:
`python scripts/measure_above_person.py LOG... --out FILE`.

An item is a turn or a dialogue that people rated; it is called dissatisfied where its probability of `bad` is at least the threshold.
Each annotator is left out in turn: what the others say together is right, for the annotator and for the model on the same items.
Precision is the share of what is called dissatisfied that is; found, the share of what is dissatisfied that is called so.

The dialogues are divided in three by a stable hash. The first part lays the thresholds, from the one at which the interval of model minus
annotator reaches highest there, downwards. The second tests them in that order, each at the full level, until the first at which
the interval of the difference does not lie above 0; the last before it is kept (fixed-sequence testing), so the search costs no
certainty. All figures are those of the third part, which had no say in the threshold. Where the first threshold fails the test it is shown,
as not confirmed. Intervals are bootstraps over dialogues, the difference paired."""

import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from command import tells_errors
from rated import RESAMPLES, SEED, arguments, names_of, together, write_table

from labelgen.agreement.vote import Ratings
from labelgen.base.errors import InputError
from labelgen.confidence.resampling import Array, interval, of_statistic, resampled, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, answers
from labelgen.data.log import Log
from labelgen.data.split import Part, part_of
from labelgen.labeling.run import HUMAN_MIN
from labelgen.metrics.metric import divide
from labelgen.metrics.results import Interval
from labelgen.metrics.scores import probability_of
from labelgen.model.annotator import Annotator

COLUMNS = [
    "log",
    "threshold",
    "confirmed",
    "precision, model",
    "precision, single annotator",
    "model minus annotator",
    "called dissatisfied",
    "found, model",
    "found, single annotator",
    "dialogues",
    "labels an hour",
    "by a person",
]
BAD, ALL = "bad", "all logs together"
_THRESHOLDS, _LEAST_CALLED, _TIMED = 40, 20, 100
T = TypeVar("T")
_PARTS = (Part("choose", 0.3), Part("test", 0.35), Part("report", 0.35))


@dataclass(slots=True)
class Items:
    """One item judged beside one annotator: own: its dialogue; sure: p(bad) of the model; person, right: 1 where the annotator,
    and the others together, say bad. rated: items that people rated and the model labeled, each counted once; each: how many one
    person rated, summed over dialogues."""

    own: list[int] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    person: list[bool] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)
    rated: int = 0
    each: float = 0.0

    def add(self, dialogue: Dialogue, rated: int, each: float, beside: Iterable[tuple[float, bool, bool]]) -> None:
        """beside: p(bad), and whether the annotator and the others say bad."""
        for sure, person, right in beside:
            self.own.append(len(self.dialogues))
            self.sure.append(sure)
            self.person.append(person)
            self.right.append(right)
        self.rated += rated
        self.each += each
        self.dialogues.append(dialogue)


@dataclass(frozen=True, slots=True)
class Who:
    """annotator: who is judged. others: how many are drawn for a reference, judged: how many annotators of an item; 0 for all."""

    annotator: str = "model"
    ratings: Ratings = "vote"
    first_turn: int = 0
    others: int = 0
    judged: int = 0


def items_of(dialogue: Dialogue, who: Who) -> tuple[int, float, list[tuple[float, bool, bool]]] | None:
    """How many items people rated and the model labeled, how many one person rated, and each item beside each of its
    annotators, as Items takes them; None without three people or a model. Who is judged and who is right are drawn of those who
    rated the item."""
    people = [a for a in dialogue.annotations if a.kind == "person"]
    said = dialogue.annotation(who.annotator)
    if len(people) < 3 or said is None:
        return None
    given = answers(said, "quality")
    sure = {at: p for at in names_of(said, who.first_turn) if (p := probability_of(BAD, given[at])) is not None}
    own = [names_of(person, who.first_turn) for person in people]
    rated = [at for at in sure if any(at in names for names in own)]
    beside = []
    for at in rated:
        raters = [(_only(person, at), names[at]) for person, names in zip(people, own, strict=True) if at in names]
        rng = random.Random(f"{SEED}/{dialogue.id}/{at}")
        for k in _drawn(range(len(raters)), who.judged, rng) if len(raters) > 2 else []:
            others = _drawn([raters[j][0] for j in range(len(raters)) if j != k], who.others, rng)
            wanted = together(others, who.ratings, who.first_turn).get(at)
            if wanted is not None:
                beside.append((sure[at], raters[k][1] == BAD, wanted == BAD))
    return len(rated), sum(map(len, own)) / len(people), beside


def _only(person: Annotation, at: At) -> Annotation:
    """What a person said of one item's quality."""
    return Annotation(person.annotator, person.kind, answers(person, "quality")[at])


def _drawn(of: Sequence[T], count: int, rng: random.Random) -> Sequence[T]:
    return rng.sample(of, count) if 0 < count < len(of) else of


def speed(dialogues: Sequence[Dialogue], annotator: Annotator) -> float:
    """Dialogues an hour, by the CPU time that some of them need; the first are read before, for what is loaded on first use."""
    sample = dialogues[:: max(1, len(dialogues) // _TIMED)]
    for _ in annotator.annotate(sample[:8]):
        pass
    started = time.process_time()
    count = sum(1 for _ in annotator.annotate(sample))
    return 3600 * count / (time.process_time() - started)


@dataclass(frozen=True, slots=True)
class Share:
    """Counts of each dialogue, [D]: what a single annotator calls dissatisfied, of that what is, and all that is."""

    own: Array
    sure: Array
    right: Array
    person: Array
    dialogues: int

    def sums(self, taken: Array) -> Array:
        found: Array = np.bincount(self.own.astype(int), weights=taken, minlength=self.dialogues).astype(np.float64)
        return found

    def share(self, above: Array, below: Array) -> Callable[[Array], Array]:
        over, under = self.sums(above), self.sums(below)
        return lambda times: divide(times @ over, times @ under)

    def precision(self, called: Array) -> Callable[[Array], Array]:
        return self.share(called * self.right, called)

    def called(self, threshold: float) -> Array:
        """1 for each item that the model calls dissatisfied, [N]."""
        found: Array = (self.sure >= threshold).astype(np.float64)
        return found

    def gain(self, threshold: float, times: Array) -> Interval:
        ours, theirs = self.precision(self.called(threshold)), self.precision(self.person)
        values = float((ours(np.ones((1, self.dialogues))) - theirs(np.ones((1, self.dialogues))))[0])
        return interval(values, resampled(lambda t: ours(t) - theirs(t), times))


def share(items: Items, name: str) -> Share:
    """The items of one part; no two parts share a user."""
    inside = np.array([part_of(d, _PARTS, SEED, "above a person") == name for d in items.dialogues])
    place = np.cumsum(inside) - 1
    own = np.array(items.own)
    taken = inside[own]
    sure, right, person = (np.array(c, dtype=np.float64)[taken] for c in (items.sure, items.right, items.person))
    return Share(place[own[taken]].astype(np.float64), sure, right, person, int(inside.sum()))


def laid(of: Share) -> list[float]:
    """The thresholds to test, in order, by one part alone; none where too little is called dissatisfied, or nobody errs."""
    times = resamples(of.dialogues, RESAMPLES, SEED)
    grid = np.unique(np.quantile(of.sure, np.linspace(0.0, 0.99, _THRESHOLDS), method="lower"))
    bounds = [
        (low, float(t))
        for t in grid
        if len(np.unique(of.own[of.sure >= t])) >= _LEAST_CALLED and (low := of.gain(float(t), times).low) is not None
    ]
    return [t for _, t in reversed(bounds) if t <= max(bounds)[1]] if bounds else []


def kept(of: Share, thresholds: Sequence[float]) -> tuple[float | None, bool]:
    """The last threshold before the first that the second part does not confirm, and True; the first one and False where that fails."""
    times = resamples(of.dialogues, RESAMPLES, SEED)
    last = None
    for threshold in thresholds:
        low = of.gain(threshold, times).low
        if low is None or low <= 0:
            return (threshold, False) if last is None else (last, True)
        last = threshold
    return last, last is not None


def row(name: str, items: Items, speed: float | None) -> list[Any]:
    """One line of the table. speed: dialogues an hour that the model labels, None where that was not measured."""
    threshold, confirmed = kept(share(items, "test"), laid(share(items, "choose")))
    report = share(items, "report")
    count = len(items.dialogues)
    rates = [
        None if speed is None else round(round(speed) * items.rated // count, -2),
        round(60 / HUMAN_MIN * items.each / count),
    ]
    if threshold is None:
        return [name, None, "no", None, None, None, None, None, None, report.dialogues, *rates]
    times = resamples(report.dialogues, RESAMPLES, SEED)
    called = report.called(threshold)
    every = np.ones(len(called))

    def told(statistic: Callable[[Array], Array]) -> dict[str, float | None]:
        return of_statistic(statistic, times).rounded()

    return [
        name,
        round(threshold, 4),
        "yes" if confirmed else "no",
        told(report.precision(called)),
        told(report.precision(report.person)),
        report.gain(threshold, times).rounded(),
        told(report.share(called, every)),
        told(report.share(called * report.right, report.right)),
        told(report.share(report.person * report.right, report.right)),
        report.dialogues,
        *rates,
    ]


def collected(dialogues: Iterable[Dialogue], who: Who) -> dict[str, Items]:
    """source -> its items, and all of them together where there are several."""
    found: dict[str, Items] = {}
    together = Items()
    for dialogue in dialogues:
        if (items := items_of(dialogue, who)) is not None:
            for kept in (found.setdefault(dialogue.source or "", Items()), together):
                kept.add(dialogue, *items)
    found = {name: items for name, items in sorted(found.items()) if items.own}
    if not found:
        raise InputError(
            f"no dialogue has probabilities of {who.annotator} beside three people", "the logs", "label them first"
        )
    return {**found, **({ALL: together} if len(found) > 1 else {})}


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--others", type=int, default=0, help="others drawn for a reference (default all)")
    parser.add_argument("--judged", type=int, default=0, help="annotators drawn of each item (default all)")
    parser.add_argument("--model", type=Path, help="the model's folder, to take the time that it needs")
    args = parser.parse_args(argv)
    who = Who(args.annotator, args.ratings, args.first_turn, args.others, args.judged)
    annotator = None if args.model is None else Annotator(args.model)
    rows = [
        row(name, items, None if annotator is None else speed(items.dialogues, annotator))
        for name, items in collected(Log(args.log), who).items()
    ]
    text = (
        "Thresholds were laid on one part of the dialogues, tested on a second, downwards until the difference is no longer above 0, and are "
        "reported on a third. Confirmed: whether the first threshold passed its test. "
        "Right is what the other annotators of an item"
        + (f" ({args.others} drawn)" if args.others else "")
        + " say together. Called dissatisfied: the share of items, which is the coverage. Labels an hour: of the model, those of "
        "items that people rated, by the CPU time of one thread on a sample; of a person, as many as one gave in a dialogue, "
        f"at {HUMAN_MIN:g} minutes a dialogue, which is assumed and was not measured."
    )
    write_table(args, "measure_above_person", text, COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
