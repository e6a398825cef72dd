"""A part of the judged fields beside the rest: is a candidate worse there, or is it chance?

The test is one-sided, of the main metric on the part against that on the rest. Its unit is the dialogue: the spread of the
difference is that over resampled dialogues or, where that is larger, the one that as many fields taken anywhere would have,
since a part of a few dialogues that are all wrong has no spread of its own. Student's t with as many degrees as the smaller
side has dialogues, less one. As many parts are looked at, p-values are adjusted over all of them by Holm's method, which holds
however the parts overlap. Sources: Chung et al. 2019, "Slice Finder: Automated Data Slicing for Model Validation" (a slice
beside its counterpart, by size and effect, with care for many tests); Pastor et al. 2021, "Looking for Trouble: Analyzing
Classifier Behavior via Pattern Divergence" (DivExplorer; parts by the t of their divergence); Holm 1979."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from labelgen.confidence.resampling import Array
from labelgen.evaluation.compare import Measured, measure_all, metric, number
from labelgen.evaluation.trials import Setting, Trial
from labelgen.metrics.metric import Item

_RESAMPLES = 200
"""Enough for a spread; an interval needs more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate on all trials of a question. name: of the metric; whole: its value on all of them."""

    name: str
    items: Sequence[Item]
    trials: Sequence[Trial]
    whole: Measured


def contrast(candidate: Candidate, inside: Collection[tuple[int, Any]], setting: Setting) -> dict[str, float | None]:
    """`rest`, the metric on the fields that are not inside, and `p_value`, None where nothing can be tested.

    inside: (trial, place) of the fields of the part."""
    part, rest = (_restricted(candidate, inside, keep) for keep in (True, False))
    quick = replace(setting, resamples=min(_RESAMPLES, setting.resamples))
    ours, theirs = (
        measure_all([candidate.name], items, candidate.trials, quick)[candidate.name] for items in (part, rest)
    )
    sign = 1.0 if metric(candidate.name).larger_is_better else -1.0
    gap = sign * (theirs.interval.value - ours.interval.value)
    spread = max(_spread(ours.draws - theirs.draws), _anywhere(candidate.whole, ours.items, theirs.items))
    degrees = min(_dialogues(part, candidate.trials), _dialogues(rest, candidate.trials)) - 1
    return {"rest": number(theirs.interval.value), "p_value": _p_value(gap, spread, degrees)}


def _p_value(gap: float, spread: float, degrees: int) -> float | None:
    if not np.isfinite(gap) or degrees < 1:
        return None
    return float(student.sf(gap / spread, degrees)) if spread > 0 else 1.0


def _spread(draws: Array) -> float:
    defined = draws[np.isfinite(draws)]
    return float(defined.std()) if len(defined) else 0.0


def _anywhere(whole: Measured, inside: int, outside: int) -> float:
    """The spread of a difference between so many fields and so many others that are no different."""
    if not inside or not outside:
        return 0.0
    return _spread(whole.draws) * float(np.sqrt(whole.items / inside + whole.items / outside))


def _restricted(candidate: Candidate, inside: Collection[tuple[int, Any]], keep: bool) -> list[Item]:
    return [
        replace(item, reference={at: x for at, x in item.reference.items() if ((k, at) in inside) == keep})
        for k, item in enumerate(candidate.items)
    ]


def _dialogues(items: Sequence[Item], trials: Sequence[Trial]) -> int:
    return len({trial.dialogue for item, trial in zip(items, trials, strict=True) if item.reference})


def within(
    items: Sequence[Item], trials: Sequence[Trial], inside: set[tuple[int, Any]]
) -> tuple[list[Item], list[Trial]]:
    """The items with the fields inside alone, without those that are left with none."""
    kept = [
        (replace(item, reference=reference), trials[k])
        for k, item in enumerate(items)
        if (reference := {at: x for at, x in item.reference.items() if (k, at) in inside})
    ]
    return [item for item, _ in kept], [trial for _, trial in kept]


def adjust(tested: Sequence[dict[str, Any]]) -> int:
    """Adds `p_adjusted` to each that has a `p_value`, over all of them together; how many those are."""
    those = [one for one in tested if one.get("p_value") is not None]
    for one, p in zip(those, holm([one["p_value"] for one in those]), strict=True):
        one["p_adjusted"] = p
    return len(those)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: to reject those at most at a level rejects any true null with a chance of at most the level."""
    order = np.argsort(p_values, kind="stable")
    times = np.arange(len(order), 0, -1)
    out = np.empty(len(order))
    out[order] = np.minimum(1.0, np.maximum.accumulate(times * np.asarray(p_values, dtype=np.float64)[order]))
    return [float(p) for p in out]
