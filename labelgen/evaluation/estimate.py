"""How often a label holds in a log: prediction-powered inference (PPI++) from few annotations by people and a model's on all dialogues.

Did a release help? The difference of a rate between two sides, by slices, with an alarm over weeks: prediction-powered inference on the
difference, with users as the unit, by the same estimate of each side as `labelgen estimate`.

Without labels of people on both sides there is no difference of rates: a model may be biased differently on the two sides, as where a
new assistant words its failures differently, and no number of model labels can tell.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from msgspec.structs import replace
from scipy.stats import norm

from labelgen.base.files import short_digest
from labelgen.base.registry import require
from labelgen.confidence.prediction_powered import (
    IMAGINED_AT_ONE_SIDE,
    LEAST,
    RateEstimate,
    Sums,
    difference,
    interval_of,
    labels_needed,
    p_value_of,
    people_alone,
    prediction_powered,
    rate_of,
    weight_of,
)
from labelgen.confidence.resampling import holm
from labelgen.confidence.two_sample import evidence_of_change
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label, division
from labelgen.data.split import user_key
from labelgen.evaluation.evaluate import trained_on
from labelgen.evaluation.slices import PROBABILITY, TIMES, Value, known_fields, names_of, value_of
from labelgen.metrics.results import PartRate, SliceDifference
from labelgen.metrics.scores import probability_of
from labelgen.review.sampling import doubt_strategy
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns

ALL = "all"
"""The name of the slice of all dialogues."""

Counts = tuple[float, float]
"""Of one dialogue: answers with the label, and answers."""


@dataclass(frozen=True, slots=True)
class CountedDialogue:
    """What a dialogue adds to a rate. model, people: what each says of it, None where people said nothing that counts. user: its digest. values: of the fields
    that the log is sliced by. divided: people left an answer open. difficult: it was drawn because it is."""

    user: int
    model: Counts
    people: Counts | None
    values: tuple[Value, ...]
    divided: bool
    difficult: bool
    trained_on: bool


def count_dialogue(
    dialogue: Dialogue,
    task: EvaluationTask,
    name: str,
    model: str,
    reference: str,
    by: Sequence[str] = (),
    people: Callable[[Dialogue], Sequence[Annotation]] | None = None,
) -> CountedDialogue | None:
    """What a dialogue adds to the share of `name`; None where the model did not annotate it. Values are read by the model's goals, since
    people divided few. people: as in estimate."""
    annotation = dialogue.annotation(model)
    if annotation is None:
        return None
    right = dialogue.annotation(reference)
    ours = None if right is None or not _labeled(right, task) else _counted(right, task, name)
    difficult = ours is not None and doubt_strategy(dialogue) is not None
    return CountedDialogue(
        short_digest(user_key(dialogue)) >> 1,
        _expected(annotation, task, name),
        None if difficult else ours,
        tuple(value_of(dialogue, field, model) for field in by),
        people is not None and _divided(people(dialogue), right, task),
        difficult,
        bool(trained_on(annotation)),
    )


def sums_of(rows: Sequence[CountedDialogue]) -> Sums:
    """The sums of these dialogues."""
    labeled = [row for row in rows if row.people is not None]
    rest = [row for row in rows if row.people is None]
    parts = [row.people or (0.0, 0.0) for row in labeled], [row.model for row in labeled], [row.model for row in rest]
    people, model, others = (np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in parts)
    return Sums(people, model, others, np.array([row.user for row in (*labeled, *rest)], dtype=np.int64))


def slices_of(rows: Sequence[CountedDialogue], by: Sequence[str]) -> Iterator[tuple[str | None, str, list[int]]]:
    """Field, name, and places of the rows: all of them, then each slice of each field that `values` has, numbers in quarters."""
    yield None, ALL, list(range(len(rows)))
    for field in dict.fromkeys(by):
        members: dict[str, list[int]] = {}
        for place, name in enumerate(names_of([row.values[by.index(field)] for row in rows])):
            if name is not None:
                members.setdefault(name, []).append(place)
        for name in sorted(members):
            yield field, name, members[name]


def estimate(
    dialogues: Iterable[Dialogue],
    task: EvaluationTask,
    name: str,
    model: str,
    reference: str,
    by: Sequence[str] = (),
    level: float = 0.95,
    people: Callable[[Dialogue], Sequence[Annotation]] | None = None,
    planned: int | None = None,
) -> list[dict[str, Any]]:
    """The share of `name` among the answers to an exclusive task, in the whole log and in each slice.

    Left out are dialogues that the model did not annotate or was trained on. Annotations by people of dialogues that were drawn because they
    are difficult are ignored, since they do not hold for the rest. people: those whose consensus is the reference; a dialogue in
    which it leaves open an answer of two of them counts as divided. planned: number of dialogues labeled by people for which intervals are
    expected, too. Memory: some numbers for each dialogue. Raises UsageError for a field that no dialogue has."""
    counted = (count_dialogue(d, task, name, model, reference, by, people) for d in with_fields(dialogues, by))
    rows = [row for row in counted if row is not None]
    return [_row(key, value, [rows[k] for k in places], level, planned) for key, value, places in slices_of(rows, by)]


def with_fields(dialogues: Iterable[Dialogue], by: Sequence[str]) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError at their end for a field that none of them has."""
    known = known_fields(())
    for dialogue in dialogues:
        if not known.issuperset(by):
            known |= known_fields([dialogue])
        yield dialogue
    for name in by:
        require(name, known - {PROBABILITY}, "field to slice by")


def _row(
    by: str | None, name: str, every: Sequence[CountedDialogue], level: float, planned: int | None
) -> dict[str, Any]:
    rows = [row for row in every if not row.trained_on]
    sums = sums_of(rows)
    row = {
        "by": by,
        "slice": name,
        "dialogues": len(rows),
        "labeled_by_people": len(sums.people),
        "users": len({row.user for row in rows if row.people is not None}),
        "people_divided": sum(row.divided for row in rows),
        "trained_on": len(every) - len(rows),
        "drawn_for_difficulty": sum(row.difficult for row in rows),
        "people_alone": people_alone(sums, level).rounded(),
        "prediction_powered": prediction_powered(sums, level).rounded(),
        "weight": round(weight_of(sums), 4),
    }
    if planned is not None:
        row["planned_people_alone"] = people_alone(sums, level, planned=planned).rounded()
        row["planned_prediction_powered"] = prediction_powered(sums, level, planned=planned).rounded()
    return row


def _divided(people: Sequence[Annotation], reference: Annotation | None, task: EvaluationTask) -> bool:
    votes = Counter(at for annotation in people for at in answered(annotation, task))
    decided = answered(reference, task)
    return any(count > 1 for at, count in votes.items() if at not in decided)


def _labeled(annotation: Annotation, task: EvaluationTask) -> bool:
    """Whether the annotation answers the task, also by a division without goals."""
    return bool(answered(annotation, task)) or (task.scopes == (AtGoal,) and division(annotation) is not None)


def _counted(annotation: Annotation, task: EvaluationTask, name: str) -> Counts:
    answers = answered(annotation, task).values()
    return float(sum(labels[0].name == name for labels in answers)), float(len(answers))


def _expected(annotation: Annotation, task: EvaluationTask, name: str) -> Counts:
    """Expected numbers; a field that the model withheld counts with its guess."""
    answers: Mapping[Any, tuple[Label, ...]] = answered(annotation, task)
    guesses = [x.best for x in annotation.abstained if concerns(x.field, task)]
    known = [labels for labels in (*answers.values(), *guesses) if labels]
    p = [(labels[0].name == name) if (p := probability_of(name, labels)) is None else p for labels in known]
    return float(sum(p)), float(len(known))


SIDES = ("before", "after")
Rows = Sequence[CountedDialogue]
_UNKNOWN = ": the model may be biased differently on the two sides, and its rates alone cannot tell"


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorts 1.9 before 1.10, and dates of ISO 8601 by time."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name) if part]


def place_in(
    dialogue: Dialogue, log: str, by: str | None, release: str | None, model: str
) -> tuple[str | None, str | None]:
    """Side and period of a dialogue; None where it has no value. log: the side where no field makes sides; periods are then weeks."""
    value = value_of(dialogue, by or "week", model)
    period = f"{value:g}" if isinstance(value, float) else value
    if by is None or period is None:
        return None if by else log, period
    if release is None:
        return period, period
    # The week of the release has days on both sides.
    key = TIMES["day"](dialogue, model) if by in TIMES else period
    return SIDES[natural_order(key or "") >= natural_order(release)], period


def differences(
    sides: Mapping[str, Rows], by: Sequence[str], level: float, width: float, reference: str
) -> list[SliceDifference]:
    """Each side minus the one before it: of all dialogues, and in each slice that both have. by: fields of slices, in the order of the rows'
    values. width: of an interval, for which the labels are counted. reference: who labels, for messages."""
    out = []
    for names in pairwise(sides):
        first, second = (sides[name] for name in names)
        rows = [*first, *second]
        for field, value, places in slices_of(rows, by):
            parts = [k for k in places if k < len(first)], [k for k in places if k >= len(first)]
            if all(parts):
                both = [sums_of([rows[k] for k in part]) for part in parts]
                one = _difference(names, both, level, width, reference)
                out.append(replace(one, by=field, slice=value))
    for of_all in (True, False):
        tests = [(x, x.p_value) for x in out if (x.by is None) == of_all and x.p_value is not None]
        for (x, _), p in zip(tests, holm([p for _, p in tests]), strict=True):
            x.p_adjusted = p
    return out


def _difference(
    names: Sequence[str], both: Sequence[Sums], level: float, width: float, reference: str
) -> SliceDifference:
    weights = [weight_of(side) for side in both]
    alone = difference(*(rate_of(side, 0.0, IMAGINED_AT_ONE_SIDE) for side in both))
    pairs = zip(both, weights, strict=True)
    powered = difference(*(rate_of(side, weight, IMAGINED_AT_ONE_SIDE) for side, weight in pairs))
    before, after = (_side(name, side, level) for name, side in zip(names, both, strict=True))
    by_both, by_people = (labels_needed(both[0], both[1], chosen, width, level) for chosen in (weights, (0.0, 0.0)))
    few = [f"{side.users:,} in {side.name}" for side in (before, after) if side.users < LEAST]
    if few:
        # People alone, one answer a dialogue, with the model's rates as a guess.
        spread = sum(p * (1 - p) for p in (0.5 if x.model is None else x.model for x in (before, after)))
        by_both = by_people = ceil(spread * (2 * norm.ppf((1 + level) / 2) / width) ** 2)
    return SliceDifference(
        before=before,
        after=after,
        people_alone=interval_of(alone, level, -1.0),
        prediction_powered=interval_of(powered, level, -1.0),
        bias=interval_of(difference(*map(_bias, both)), level, -1.0),
        p_value=p_value_of(powered),
        labels=by_both,
        labels_people_alone=by_people,
        reason=f"{reference} labeled too few users ({', '.join(few)}; {LEAST} are needed){_UNKNOWN}" if few else None,
    )


def _bias(side: Sums) -> RateEstimate | None:
    """The model's rate minus people's, in the dialogues that people labeled."""
    theirs = Sums(side.model, side.model, side.rest, side.users)
    return difference(*(rate_of(one, 0.0, IMAGINED_AT_ONE_SIDE) for one in (side, theirs)))


def _side(name: str, side: Sums, level: float) -> PartRate:
    counted, every = np.concatenate([side.model, side.rest]).sum(axis=0)
    return PartRate(
        name=name,
        side=name,
        dialogues=len(side.users),
        labeled=len(side.people),
        users=len(np.unique(side.users[: len(side.people)])),
        rate=prediction_powered(side, level),
        model=float(counted / every) if every > 0 else None,
    )


def period_rates(periods: Mapping[tuple[str, str], Rows], level: float) -> list[PartRate]:
    """The rate of each period, and the evidence of a change since the first side. periods: (side, name) -> dialogues, in the order of time.

    The model's rate of a period is corrected by the labels of its whole side, since a week has few: that holds if the model errs alike in
    all periods of a side."""
    sides: dict[str, list[CountedDialogue]] = {}
    for (side, _), rows in periods.items():
        sides.setdefault(side, []).extend(rows)
    first = next(iter(sides), "")
    later = [_by_user(rows) for (side, _), rows in periods.items() if side != first]
    evidence = iter(evidence_of_change(_by_user(sides.get(first, ())), later))
    out = []
    for (side, name), rows in periods.items():
        labeled = [row for row in sides[side] if row.people is not None]
        ours, every = sums_of(labeled), np.array([row.model for row in rows])
        owners = np.concatenate([ours.users, [row.user for row in rows]])
        part = _side(name, sums_of(rows), level)
        part.side, part.rate = side, interval_of(rate_of(Sums(ours.people, ours.model, every, owners), 1.0), level)
        if side != first:
            now = next(evidence)
            part.p_value, part.rises = now.p_value, now.rises
        out.append(part)
    return out


def _by_user(rows: Rows) -> dict[int, float]:
    """The rate of each user whom people labeled."""
    sums: dict[int, tuple[float, float]] = {}
    for row in rows:
        if row.people is not None and row.people[1]:
            counted, every = sums.get(row.user, (0.0, 0.0))
            sums[row.user] = counted + row.people[0], every + row.people[1]
    return {user: counted / every for user, (counted, every) in sums.items()}
