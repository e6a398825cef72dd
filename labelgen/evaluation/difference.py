"""Did a release help? The difference of a rate between two sides, by slices, with an alarm over weeks: prediction-powered inference on the
difference, with users as the unit, by the same estimate of each side as `labelgen estimate`.

Without labels of people on both sides there is no difference of rates: a model may be biased differently on the two sides, as where a
new assistant words its failures differently, and no number of model labels can tell."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil

import numpy as np
from msgspec.structs import replace
from scipy.stats import norm

from labelgen.confidence.prediction_powered import (
    IMAGINED_AT_ONE_SIDE,
    LEAST,
    RateEstimate,
    Sums,
    difference,
    interval_of,
    labels_needed,
    p_value_of,
    prediction_powered,
    rate_of,
    weight_of,
)
from labelgen.confidence.resampling import holm
from labelgen.confidence.sequential import evidence_of_change
from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.estimate import CountedDialogue, slices_of, sums_of
from labelgen.evaluation.slices import TIMES, value_of
from labelgen.metrics.results import PartRate, SliceDifference

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
        rate=prediction_powered(side, level).interval,
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
