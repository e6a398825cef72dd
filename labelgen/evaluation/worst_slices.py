"""The parts where a candidate is worst, searched for among single conditions and pairs of them.

Whoever searches many parts finds one that looks bad. So the dialogues are halved by a stable hash of the user, else of the
dialogue: the one half is searched, the other says how bad it is what was found, by an interval and a test that know nothing
of the search. Parts are ranked by the gap to the rest in units of what chance gives to parts of that size; a pair counts
where it is worse than both of its conditions, and a part that is mostly another one of higher rank is passed over. Source:
Chung et al. 2019, "Slice Finder: Automated Data Slicing for Model Validation" (parts as conjunctions of few conditions, the
plain ones first, no part within one that was found), with a held-out half in the place of its spending of error."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgen.confidence.resampling import Array
from labelgen.data.split import Part, part_of
from labelgen.evaluation.compare import measure_all, metric, number
from labelgen.evaluation.contrast import Candidate, contrast, within
from labelgen.evaluation.slices import LEAST_DIALOGUES, OTHER, Judged
from labelgen.evaluation.trials import Setting
from labelgen.metrics.metric import Item

MOST_SLICES = 5
"""Found ones that are confirmed, of each question."""

LEAST_SEARCHED = 2 * LEAST_DIALOGUES
"""Dialogues that a part, and the rest beside it, have in the half that is searched."""

_HALVES = (Part("search", 0.5), Part("confirm", 0.5))
_AT_ONCE = 100
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Found:
    """conditions: (field, name), one or two. fields: [F], those within. value, rest: of the metric; score: the rank."""

    conditions: tuple[tuple[str, str], ...]
    fields: Mask
    value: float
    rest: float
    score: float


def worst_slices(
    candidate: Candidate,
    fields: Sequence[tuple[int, Any]],
    judged: Sequence[Judged],
    parts: Mapping[str, Mapping[str, NDArray[Any]]],
    setting: Setting,
) -> list[dict[str, Any]]:
    """Up to MOST_SLICES parts, the worst first. fields, judged: of the candidate, in one order; parts: what is sliced by ->
    name -> places of fields."""
    half = np.array([part_of(dialogue, _HALVES, setting.seed, "worst slices") == "search" for dialogue, _, _ in judged])
    found = _search(candidate, fields, judged, parts, half)
    return [_confirmed(one, candidate, fields, half, setting) for one in _apart(found)]


def _search(
    candidate: Candidate,
    fields: Sequence[tuple[int, Any]],
    judged: Sequence[Judged],
    parts: Mapping[str, Mapping[str, NDArray[Any]]],
    half: Mask,
) -> list[_Found]:
    owners = np.unique([d.id for d, _, _ in judged], return_inverse=True)[1]
    conditions = [(by, name) for by, named in parts.items() for name in named if name != OTHER]
    single = {c: np.isin(np.arange(len(fields)), parts[c[0]][c[1]]) for c in conditions}
    known = metric(candidate.name)
    sign = 1.0 if known.larger_is_better else -1.0
    searched = np.flatnonzero(half)
    # A metric adds fields up, so a row for each field values any part of them.
    rows = [known.tally(_alone(candidate.items[fields[k][0]], fields[k][1])) for k in searched]

    def valued(named: Sequence[tuple[tuple[tuple[str, str], ...], Mask]]) -> Iterator[_Found]:
        for start in range(0, len(named), _AT_ONCE):
            group = named[start : start + _AT_ONCE]
            masks: Array = np.array([mask[searched] for _, mask in group], dtype=np.float64)
            values, rests = known.value(rows, masks), known.value(rows, 1.0 - masks)
            size = masks.sum(axis=1)
            chance = np.sqrt(len(rows) / size + len(rows) / (len(rows) - size))
            scores = sign * (rests - values) / chance
            for (name, mask), *numbers in zip(group, values, rests, scores, strict=True):
                yield _Found(name, mask, *map(float, numbers))

    def enough(mask: Mask) -> bool:
        sides = (owners[half & mask], owners[half & ~mask])
        return all(len(np.unique(side)) >= LEAST_SEARCHED for side in sides)

    alone = list(valued([((c,), mask) for c, mask in single.items() if enough(mask)]))
    gaps = {one.conditions[0]: sign * (one.rest - one.value) for one in alone}
    pairs = [((a, b), single[a] & single[b]) for a, b in combinations(gaps, 2) if a[0] != b[0]]
    both = list(valued([(names, mask) for names, mask in pairs if enough(mask)]))
    worse = [p for p in both if sign * (p.rest - p.value) > max(gaps[c] for c in p.conditions)]
    return sorted((f for f in (*alone, *worse) if f.score > 0), key=lambda f: (-f.score, len(f.conditions)))


def _alone(item: Item, at: Any) -> Item:
    return replace(item, reference={at: item.reference[at]})


def _apart(found: Sequence[_Found]) -> list[_Found]:
    """The first ones that are not mostly another one before them."""
    kept: list[_Found] = []
    for one in found:
        alike = any((one.fields & k.fields).sum() > 0.5 * (one.fields | k.fields).sum() for k in kept)
        if not alike and len(kept) < MOST_SLICES:
            kept.append(one)
    return kept


def _confirmed(
    one: _Found, candidate: Candidate, fields: Sequence[tuple[int, Any]], half: Mask, setting: Setting
) -> dict[str, Any]:
    """What was found, with what the other half says of it."""
    place = {k: n for n, k in enumerate(dict.fromkeys(fields[k][0] for k in np.flatnonzero(~half)))}
    items, trials = ([rows[k] for k in place] for rows in (candidate.items, candidate.trials))
    inside = {(place[fields[k][0]], fields[k][1]) for k in np.flatnonzero(one.fields & ~half)}
    part, own = within(items, trials, inside)
    (whole,) = measure_all([candidate.name], items, trials, setting).values()
    (measured,) = measure_all([candidate.name], part, own, setting).values()
    return {
        "conditions": [{"by": by, "name": name} for by, name in one.conditions],
        "found": {"value": number(one.value), "rest": number(one.rest)},
        **measured.estimate(),
        **contrast(Candidate(candidate.name, items, trials, whole), inside, setting),
    }
