"""Slice metrics: a system on parts of the data, by any field of the record, and where it is significantly worse.

A field of the turns is read at the turns that an answer is about: its turn, the turns of its goal, or all. The most frequent word of these
turns counts, the mean of their numbers; numbers are cut into quarters of the judged fields.

The test of a slice is one-sided, of the main metric on the slice against that on the rest. Its unit is the dialogue: the spread of the
difference is that over resampled dialogues or, where that is larger, the spread of as many fields taken anywhere, since a slice of
a few dialogues that are all wrong has no spread of its own. Student's t with as many degrees of freedom as the smaller side has
dialogues, less one. P-values are adjusted over all slices by Holm's method, which holds however slices overlap. Sources: Chung
et al. 2019, "Slice Finder: Automated Data Slicing for Model Validation" (a slice against its counterpart, by size and effect, with care
for many tests); Pastor et al. 2021, "Looking for Trouble: Analyzing Classifier Behavior via Pattern Divergence" (DivExplorer; slices
by the t of their divergence); Holm 1979."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from labelgen.base.registry import require
from labelgen.confidence.resampling import Array
from labelgen.data.dialogue import Dialogue, Turn, extra, step_features
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Label, division
from labelgen.data.split import user_key
from labelgen.evaluation.measure import Measured, measure_all
from labelgen.evaluation.protocol import Judgment
from labelgen.metrics.metric import Item, metric
from labelgen.metrics.results import Setting, SliceMetric
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


def _start(form: Callable[[date], str]) -> Callable[[Dialogue, str], str | None]:
    """When a dialogue starts, in its own zone; None where the log does not say."""

    def value(dialogue: Dialogue, reference: str) -> str | None:
        try:
            return form(datetime.fromisoformat(dialogue.start or "").date())
        except ValueError:
            return None

    return value


TIMES = {
    "day": _start(date.isoformat),
    "week": _start(lambda day: (day - timedelta(day.weekday())).isoformat()),
    "month": _start(lambda day: day.isoformat()[:7]),
}
_DERIVED = {"length": _length, "interleaved": _interleaved, **TIMES}


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
    for place, name in enumerate(names_of(values)):
        if name is not None:
            by_name.setdefault(name, []).append(place)
    small = [name for name, members in by_name.items() if len({fields[k][0].id for k in members}) < LEAST_DIALOGUES]
    others = sorted(place for name in small for place in by_name.pop(name))
    if len({fields[k][0].id for k in others}) >= LEAST_DIALOGUES:
        by_name[OTHER] = others
    return {name: np.array(members) for name, members in by_name.items()} if len(by_name) > 1 else {}


def names_of(values: Sequence[Value]) -> list[str | None]:
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


_RESAMPLES = 200
"""Enough for a spread; an interval needs more."""

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
) -> list[SliceMetric]:
    """The main metric of all systems in `items` on every slice.

    first: the system that is tested, empty where it does not answer. whole: system -> metric -> its value on all fields."""
    if not items or not judgments:
        return []
    main = task.metrics[0]
    tested = [System(main, items[name], judgments, whole[name][main]) for name in first]
    fields = [(k, at) for k, judgment in enumerate(judgments) for at in judgment.reference]
    judged: list[Judged] = [
        (dialogues[judgments[k].dialogue], at, tested[0].items[k].predicted.get(at, ()) if tested else ())
        for k, at in fields
    ]
    owners = list(map(user_key, dialogues))
    by_field = {by: slices(judged, by, setting.reference) for by in dict.fromkeys((*DEFAULT, *setting.slices))}
    out = []
    for by, named in by_field.items():
        for name, places in named.items():
            inside = {fields[k] for k in places.tolist()}
            tests = [contrast(one, inside, setting, owners) for one in tested]
            for system, system_items in items.items():
                part, part_judgments = within(system_items, judgments, inside)
                estimate = measure_all([main], part, part_judgments, setting, owners)[main].estimate()
                test = tests[0] if system in first else {}
                out.append(
                    SliceMetric(
                        by=by, name=name, system=system, metric=main, **msgspec.structs.asdict(estimate), **test
                    )
                )
    return out


def contrast(
    system: System, inside: Collection[JudgedField], setting: Setting, owners: Sequence[str]
) -> dict[str, Any]:
    """`rest`, the metric on the fields that are not inside, and `p_value`, None where nothing can be tested."""
    part, rest = (_restricted(system, inside, keep) for keep in (True, False))
    quick = msgspec.structs.replace(setting, resamples=min(_RESAMPLES, setting.resamples))
    ours, theirs = (
        measure_all([system.metric], items, system.judgments, quick, owners)[system.metric] for items in (part, rest)
    )
    test: dict[str, Any] = {"rest": theirs.interval.value, "p_value": None}
    degrees = min(_dialogues(part, system.judgments), _dialogues(rest, system.judgments)) - 1
    if ours.interval.value is not None and theirs.interval.value is not None and degrees >= 1:
        sign = 1.0 if metric(system.metric).larger_is_better else -1.0
        gap = sign * (theirs.interval.value - ours.interval.value)
        spread = max(_spread(ours.draws - theirs.draws), _anywhere(system.whole, ours.items, theirs.items))
        test["p_value"] = float(student.sf(gap / spread, degrees)) if spread > 0 else 1.0
    return test


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
