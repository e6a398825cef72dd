"""Slice metrics: a system on parts of the data, by any field of the record, and where it is significantly worse.

A field of the turns is read at the turns that an answer is about: its turn, the turns of its goal, or all. The most frequent word of these
turns counts, the mean of their numbers; numbers are cut into quarters of the judged fields.

The test of a slice is one-sided, of the main metric on the slice against that on the rest. Its unit is the dialogue: the spread of the
difference is that over resampled dialogues or, where that is larger, the spread of as many fields taken anywhere, since a slice of
a few dialogues that are all wrong has no spread of its own. Student's t with as many degrees of freedom as the smaller side has
dialogues, less one. P-values are adjusted over all slices by Holm's method, which holds however slices overlap. Sources: Chung
et al. 2019, "Slice Finder: Automated Data Slicing for Model Validation" (a slice against its counterpart, by size and effect, with care
for many tests); Pastor et al. 2021, "Looking for Trouble: Analyzing Classifier Behavior via Pattern Divergence" (DivExplorer; slices
by the t of their divergence); Holm 1979.

The search for the worst slices tries single conditions and pairs of them. Many slices make one look bad by chance, so the dialogues are
halved by a stable hash of the user, else of the dialogue: one half is searched, the other half measures what was found. Slices
are ranked by the gap to the rest in units of the chance for slices of that size. A pair counts where it is worse than both of its
conditions, and a slice that is mostly another one of higher rank is left out."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from labelgen.base.registry import require
from labelgen.confidence.resampling import Array
from labelgen.data.dialogue import Dialogue, Turn, extra, step_features
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Label, division
from labelgen.data.split import Part, part_of
from labelgen.evaluation.measure import Measured, measure_all
from labelgen.evaluation.protocol import Judgment
from labelgen.metrics.metric import Item, metric
from labelgen.metrics.results import Condition, SearchHalf, Setting, SliceMetric, WorstSlice, number
from labelgen.tasks.evaluation import EvaluationTask

LEAST_DIALOGUES = 5
"""Dialogues of a slice. Smaller ones join OTHER, which is left out where it is as small: its interval would be too wide."""

OTHER = "(others)"

DEFAULT = ("source", "device", "locale", "domain", "length", "interleaved", "asr_confidence")
"""Fields that every evaluation slices by, where the log has them."""

PROBABILITY = "probability"
"""Slices by the first system's own probability: that of the least probable label of a field."""

_OF_DIALOGUE = ("user", "locale", "device", "source")
_OF_TURN = ("domain", "status", "asr_confidence", "nlu_confidence")
_LENGTHS = ((1, 4), (5, 9), (10, 19))
_QUARTERS = 4
_WHOLE = AtDialogue()

Value = str | float | None
Judged = tuple[Dialogue, At, tuple[Label, ...]]
"""A judged field: its dialogue, its place, and the first system's answer there."""


def _length(dialogue: Dialogue, reference: str) -> str | None:
    turns = len(dialogue.turns)
    for low, high in _LENGTHS:
        if low <= turns <= high:
            return f"{low} to {high} turns"
    return f"{_LENGTHS[-1][1] + 1} turns or more" if turns else None


def _interleaved(dialogue: Dialogue, reference: str) -> str | None:
    """Whether a goal is resumed after another one, by the reference."""
    annotation = dialogue.annotation(reference)
    goals = None if annotation is None else division(annotation)
    if goals is None:
        return None
    members = [label.at.turns for label in goals if isinstance(label.at, AtGoal)]
    resumed = any(a[0] < turn < a[-1] for a in members for b in members if a is not b for turn in b)
    return "a goal is resumed after another" if resumed else "one goal after the other"


_DERIVED: Mapping[str, Callable[[Dialogue, str], str | None]] = {"length": _length, "interleaved": _interleaved}

DIALOGUE_FIELDS = (*_OF_DIALOGUE, "domain", *_DERIVED)
"""Fields that have one value for a whole dialogue."""


def known_fields(dialogues: Iterable[Dialogue]) -> set[str]:
    """Every field that dialogues can be sliced by: those of the record, and the features and other fields that some dialogue has."""
    names = {*_DERIVED, *_OF_DIALOGUE, *_OF_TURN, PROBABILITY}
    for dialogue in dialogues:
        names.update(extra(dialogue))
        for turn in dialogue.turns:
            names.update(x.name for x in turn.categories)
            names.update(x.name for x in turn.numbers)
            names.update(step_features(turn))
            names.update(extra(turn))
    return names


def check_fields(dialogues: Iterable[Dialogue], fields: Sequence[str]) -> None:
    """Raises UsageError for a field that no dialogue has."""
    known = known_fields(dialogues) if fields else set()
    for name in fields:
        require(name, known, "field to slice by")


def value_of(dialogue: Dialogue, by: str, reference: str, at: At = _WHOLE, labels: Sequence[Label] = ()) -> Value:
    """The value of a field of the record at the place of an answer; None where there is none. labels: the first system's answer."""
    if by in _DERIVED:
        return _DERIVED[by](dialogue, reference)
    if by == PROBABILITY:
        known = [label.probability for label in labels if label.probability is not None]
        return min(known) if known else None
    if by in _OF_DIALOGUE:
        value: Value = getattr(dialogue, by)
        return value
    turns = _turns(dialogue, at)
    values = [x for turn in turns if (x := _of_turn(turn, by)) is not None]
    if not values:
        return _plain(extra(dialogue).get(by))
    numbers = [x for x in values if isinstance(x, float)]
    if len(numbers) == len(values):
        return sum(numbers) / len(numbers)
    words = Counter(map(str, values))
    return min(words, key=lambda word: (-words[word], word))


def _turns(dialogue: Dialogue, at: At) -> Sequence[Turn]:
    match at:
        case AtTurn(turn) | AtSpan(turn):
            return (dialogue.turns[turn],)
        case AtGoal(turns):
            return [dialogue.turns[turn] for turn in turns]
        case AtDialogue():
            return dialogue.turns


def _of_turn(turn: Turn, by: str) -> Value:
    if by in _OF_TURN:
        value: Value = getattr(turn, by)
        return value
    named: Mapping[str, Value] = {x.name: x.value for x in turn.numbers} | {x.name: x.value for x in turn.categories}
    features: Mapping[str, Value] = {**step_features(turn), **named}
    return features[by] if by in features else _plain(extra(turn).get(by))


def _plain(value: object) -> Value:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return float(value)
    return value if isinstance(value, str) else None


def slices(fields: Sequence[Judged], by: str, reference: str) -> dict[str, NDArray[np.int64]]:
    """name -> places of the fields in it, ascending; empty where all of them fall into one slice."""
    values = [value_of(dialogue, by, reference, at, labels) for dialogue, at, labels in fields]
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(_names(values)):
        if name is not None:
            by_name.setdefault(name, []).append(place)
    small = [name for name, members in by_name.items() if len({fields[k][0].id for k in members}) < LEAST_DIALOGUES]
    others = sorted(place for name in small for place in by_name.pop(name))
    if len({fields[k][0].id for k in others}) >= LEAST_DIALOGUES:
        by_name[OTHER] = others
    return {name: np.array(members) for name, members in by_name.items()} if len(by_name) > 1 else {}


def _names(values: Sequence[Value]) -> list[str | None]:
    """Words as they are; numbers as the quarter they lie in, where there are more of them than quarters."""
    numbers = np.array([x for x in values if isinstance(x, float)])
    if len(np.unique(numbers)) <= _QUARTERS:
        return [f"{x:g}" if isinstance(x, float) else x for x in values]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _QUARTERS + 1), method="higher"))
    ends = _written(edges)
    names = [f"{low} to {high}" for low, high in pairwise(ends)]
    inner = edges[1:-1]
    return [names[int(np.searchsorted(inner, x, "right"))] if isinstance(x, float) else x for x in values]


def _written(edges: NDArray[np.float64]) -> list[str]:
    """With three digits, or as many as make them differ."""
    tries = ([f"{x:.{digits}g}" for x in edges] for digits in range(3, 18))
    return next(ends for ends in tries if len(set(ends)) == len(ends))


SHOWN = 2
"""Metrics of a task that are measured on slices; the main one is tested."""

MOST_SLICES = 5
"""Slices of each task that a search confirms."""

LEAST_SEARCHED = 2 * LEAST_DIALOGUES
"""Dialogues that a slice, and the rest, have in the half that is searched."""

_RESAMPLES = 200
"""Enough for a spread; an interval needs more."""

_HALVES = (Part("search", 0.5), Part("confirm", 0.5))
_AT_ONCE = 100
Mask = NDArray[np.bool_]
JudgedField = tuple[int, Any]
"""(judgment, place)."""


@dataclass(frozen=True, slots=True)
class System:
    """One system on all judgments of a task. metric: the name of the main metric; whole: its value on all judgments."""

    metric: str
    items: Sequence[Item]
    judgments: Sequence[Judgment]
    whole: Measured


def slice_metrics(
    items: Mapping[str, Sequence[Item]],
    first: Sequence[str],
    whole: Mapping[str, Mapping[str, Measured]],
    judgments: Sequence[Judgment],
    dialogues: Sequence[Dialogue],
    task: EvaluationTask,
    setting: Setting,
) -> tuple[list[SliceMetric], list[WorstSlice]]:
    """All systems in `items` on every slice; and, where the setting wants them, the worst slices of the one that is tested.

    first: the system that is tested, empty where it does not answer. whole: system -> metric -> its value on all fields."""
    if not items or not judgments:
        return [], []
    main = task.metrics[0]
    tested = [System(main, items[name], judgments, whole[name][main]) for name in first]
    fields = [(k, at) for k, judgment in enumerate(judgments) for at in judgment.reference]
    judged: list[Judged] = [
        (dialogues[judgments[k].dialogue], at, tested[0].items[k].predicted.get(at, ()) if tested else ())
        for k, at in fields
    ]
    by_field = {by: slices(judged, by, setting.reference) for by in dict.fromkeys((*DEFAULT, *setting.slices))}
    out = []
    for by, named in by_field.items():
        for name, places in named.items():
            inside = {fields[k] for k in places.tolist()}
            tests = [contrast(one, inside, setting) for one in tested]
            for system, system_items in items.items():
                part, part_judgments = within(system_items, judgments, inside)
                measured = measure_all(task.metrics[:SHOWN], part, part_judgments, setting)
                for metric_name, one in measured.items():
                    test = tests[0] if system in first and metric_name == main else {}
                    estimate = msgspec.structs.asdict(one.estimate())
                    out.append(SliceMetric(by=by, name=name, system=system, metric=metric_name, **estimate, **test))
    searched = zip(first, tested, strict=True) if setting.worst_slices else ()
    worst = [one for name, system in searched for one in worst_slices(name, system, fields, judged, by_field, setting)]
    return out, worst


def contrast(system: System, inside: Collection[JudgedField], setting: Setting) -> dict[str, Any]:
    """`rest`, the metric on the fields that are not inside, and `p_value`, None where nothing can be tested."""
    part, rest = (_restricted(system, inside, keep) for keep in (True, False))
    quick = msgspec.structs.replace(setting, resamples=min(_RESAMPLES, setting.resamples))
    ours, theirs = (
        measure_all([system.metric], items, system.judgments, quick)[system.metric] for items in (part, rest)
    )
    test: dict[str, Any] = {"rest": theirs.interval.value, "p_value": None}
    degrees = min(_dialogues(part, system.judgments), _dialogues(rest, system.judgments)) - 1
    if ours.interval.value is not None and theirs.interval.value is not None and degrees >= 1:
        gap = _sign(system) * (theirs.interval.value - ours.interval.value)
        spread = max(_spread(ours.draws - theirs.draws), _anywhere(system.whole, ours.items, theirs.items))
        test["p_value"] = float(student.sf(gap / spread, degrees)) if spread > 0 else 1.0
    return test


def _sign(system: System) -> float:
    return 1.0 if metric(system.metric).larger_is_better else -1.0


def _spread(draws: Array) -> float:
    defined = draws[np.isfinite(draws)]
    return float(defined.std()) if len(defined) else 0.0


def _anywhere(whole: Measured, inside: int, outside: int) -> float:
    """The spread of a difference between so many fields and so many others that are no different."""
    if not inside or not outside:
        return 0.0
    return _spread(whole.draws) * float(np.sqrt(whole.items / inside + whole.items / outside))


def _restricted(system: System, inside: Collection[JudgedField], keep: bool) -> list[Item]:
    return [
        replace(item, reference={at: x for at, x in item.reference.items() if ((k, at) in inside) == keep})
        for k, item in enumerate(system.items)
    ]


def _dialogues(items: Sequence[Item], judgments: Sequence[Judgment]) -> int:
    return len({judgment.dialogue for item, judgment in zip(items, judgments, strict=True) if item.reference})


def within(
    items: Sequence[Item], judgments: Sequence[Judgment], inside: Collection[JudgedField]
) -> tuple[list[Item], list[Judgment]]:
    """The items with the fields inside alone, without those that have none."""
    kept = [
        (replace(item, reference=reference), judgments[k])
        for k, item in enumerate(items)
        if (reference := {at: x for at, x in item.reference.items() if (k, at) in inside})
    ]
    return [item for item, _ in kept], [judgment for _, judgment in kept]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A slice of the half that is searched. conditions: (field, name), one or two. fields: [F], those within. value, rest: of the metric;
    score: the rank."""

    conditions: tuple[tuple[str, str], ...]
    fields: Mask
    value: float
    rest: float
    score: float


def worst_slices(
    name: str,
    system: System,
    fields: Sequence[JudgedField],
    judged: Sequence[Judged],
    by_field: Mapping[str, Mapping[str, NDArray[Any]]],
    setting: Setting,
) -> list[WorstSlice]:
    """Up to MOST_SLICES slices, the worst first. fields, judged: in one order; by_field: field -> name -> places of fields."""
    half = np.array([part_of(dialogue, _HALVES, setting.seed, "worst slices") == "search" for dialogue, _, _ in judged])
    kept: list[_Candidate] = []
    for one in _search(system, fields, judged, by_field, half):
        alike = any((one.fields & k.fields).sum() > 0.5 * (one.fields | k.fields).sum() for k in kept)
        if not alike and len(kept) < MOST_SLICES:
            kept.append(one)
    return [_confirmed(name, one, system, fields, half, setting) for one in kept]


def _search(
    system: System,
    fields: Sequence[JudgedField],
    judged: Sequence[Judged],
    by_field: Mapping[str, Mapping[str, NDArray[Any]]],
    half: Mask,
) -> list[_Candidate]:
    owners = np.unique([d.id for d, _, _ in judged], return_inverse=True)[1]
    conditions = [(by, name) for by, named in by_field.items() for name in named if name != OTHER]
    single = {c: np.isin(np.arange(len(fields)), by_field[c[0]][c[1]]) for c in conditions}
    known = metric(system.metric)
    sign = _sign(system)
    searched = np.flatnonzero(half)
    # A metric adds fields up, so a row for each field values any part of them.
    rows = [known.tally(_alone(system.items[fields[k][0]], fields[k][1])) for k in searched]

    def valued(named: Sequence[tuple[tuple[tuple[str, str], ...], Mask]]) -> Iterator[_Candidate]:
        for start in range(0, len(named), _AT_ONCE):
            group = named[start : start + _AT_ONCE]
            masks: Array = np.array([mask[searched] for _, mask in group], dtype=np.float64)
            values, rests = known.value(rows, masks), known.value(rows, 1.0 - masks)
            size = masks.sum(axis=1)
            chance = np.sqrt(len(rows) / size + len(rows) / (len(rows) - size))
            scores = sign * (rests - values) / chance
            for (name, mask), *numbers in zip(group, values, rests, scores, strict=True):
                yield _Candidate(name, mask, *map(float, numbers))

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


def _confirmed(
    name: str,
    one: _Candidate,
    system: System,
    fields: Sequence[JudgedField],
    half: Mask,
    setting: Setting,
) -> WorstSlice:
    """The slice on the half that was not searched."""
    place = {k: n for n, k in enumerate(dict.fromkeys(fields[k][0] for k in np.flatnonzero(~half)))}
    items, judgments = [system.items[k] for k in place], [system.judgments[k] for k in place]
    inside = {(place[fields[k][0]], fields[k][1]) for k in np.flatnonzero(one.fields & ~half)}
    (whole,) = measure_all([system.metric], items, judgments, setting).values()
    (measured,) = measure_all([system.metric], *within(items, judgments, inside), setting).values()
    return WorstSlice(
        system=name,
        metric=system.metric,
        conditions=[Condition(by, value) for by, value in one.conditions],
        search=SearchHalf(number(one.value), number(one.rest)),
        **msgspec.structs.asdict(measured.estimate()),
        **contrast(System(system.metric, items, judgments, whole), inside, setting),
    )
