"""Quality beside single annotators, on logs that a model labeled: `python scripts/measure_quality.py LOG... --out FILE`.

Two references. `of all`: what all annotators of an item say together, as published work judges models. `of the others`: each
annotator is left out in turn and judged against all others, the model on the same items against the same references. A tie among the others leaves an item out, whatever the judged annotator said.
With `--ratings mean` two ceilings stand beside them. Against the others: who always says what all say together, which nobody who knows
the dialogue alone can hope to pass (Nili et al. 2014); with votes of many annotators it is 1 by construction and left out. Against all: who
knows of an item all but who rates it (scripts/item_ceiling.py), raters being taken for alike. What all say is the name with most votes
(a tie is left out) or, with `--ratings mean`, the class of the mean rating. Turns and dialogues are judged together, as published work on satisfaction does."""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from command import tells_errors
from item_ceiling import macro_f1_of_who_knows_the_item
from rated import RESAMPLES, SEED, arguments, names_of, together, write_table
from several_trainings import digest, over_trainings

from labelgen.agreement.vote import Ratings
from labelgen.base.errors import InputError, UsageError
from labelgen.base.registry import resolve
from labelgen.confidence.resampling import Array, interval, of_statistic, resampled, resamples
from labelgen.confidence.resampling import over_trainings as mean_over_trainings
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, At, answers
from labelgen.data.log import Log
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Metric

METRIC_NAMES = ("macro_f1", "accuracy", "cohen_kappa", "bad_f1")
COLUMNS = ["log", "reference", "metric", "model", "single annotator", "model minus annotator", "ceiling", "items"]
Row = Counter[tuple[str, str]]
View = Callable[[Mapping[At, str]], dict[At, str]]
"""What is looked at: some of the items, their names as they are or put together."""


@dataclass(slots=True)
class Judged:
    """Confusions of each dialogue of one log, as (reference, said)."""

    of_all: list[Row] = field(default_factory=list)
    model: list[Row] = field(default_factory=list)
    person: list[Row] = field(default_factory=list)
    ceiling: list[Row] = field(default_factory=list)
    grades: list[list[float]] = field(default_factory=list)
    """Of each item of a dialogue, by each person."""


@tells_errors
def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--text", default="")
    parser.add_argument("--published", nargs="*", default=[], metavar="LOG=MACRO_F1", help="rows of published figures")
    parser.add_argument(
        "--training", metavar="SEED", help="the table keeps the figures of other trainings of the same logs"
    )
    parser.add_argument(
        "--judged", type=Path, nargs="+", metavar="LOG", help="with --training: those logs, without labels"
    )
    args = parser.parse_args()
    if (args.training is None) != (args.judged is None) or (args.training and not args.command):
        raise UsageError("a training needs its logs and command", "--training", "give --judged and --command too")
    found = judge(Log(args.log), args.annotator, args.ratings, args.first_turn)
    published = [
        [name, "published, other test rows", "macro_f1", float(value), None, None, None, None]
        for name, value in _pairs(args)
    ]
    rows: list[list[Any]] = []
    for name in sorted(found):
        for row in rows_of(name, found[name]):
            if row[1:3] == ["of all", "macro_f1"]:
                row[COLUMNS.index("ceiling")] = knows_the_item(found[name].grades) if args.ratings == "mean" else None
            rows.append(row)
    more: dict[str, Any] = {"rows": [*published, *rows]}
    if args.training is not None:
        more = over_trainings(args.out, digest(args.judged), {args.training: rows}, args.command, published)
        seeds = " ".join(more["trainings"])
        more["command"] = f"for seed in {seeds}; do SEED=$seed {args.command}; done"
    write_table(args, "measure_quality", args.text, COLUMNS, **more)
    return 0


def knows_the_item(grades: Sequence[Sequence[float]]) -> float | None:
    """The macro F1 of who knows of an item all but who rates it; None where no item was rated twice."""
    found = macro_f1_of_who_knows_the_item(grades, SEED)
    return None if math.isnan(found) else round(found, 4)


def _pairs(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for pair in args.published:
        name, _, value = pair.partition("=")
        yield name, value


def judge(
    dialogues: Iterable[Dialogue], annotator: str, ratings: Ratings, first_turn: int, view: View = dict
) -> dict[str, Judged]:
    """source -> confusions, of what `view` makes of the names of items. Raises InputError where the annotator said nothing."""
    found: dict[str, Judged] = {}
    for dialogue in dialogues:
        people = [a for a in dialogue.annotations if a.kind == "person"]
        said = dialogue.annotation(annotator)
        if not people or said is None:
            continue
        given = view(names_of(said, first_turn))
        rows = {name: Row() for name in ("of_all", "model", "person", "ceiling")}
        of_all = view(together(people, ratings, first_turn))
        _count(rows["of_all"], of_all, given)
        for person in people if len(people) > 2 else []:
            own = view(names_of(person, first_turn))
            reference = view(together([p for p in people if p is not person], ratings, first_turn))
            reference = {at: name for at, name in reference.items() if at in own and at in given}
            _count(rows["model"], reference, given)
            _count(rows["person"], reference, own)
            if ratings == "mean":
                _count(rows["ceiling"], {at: name for at, name in reference.items() if at in of_all}, of_all)
        kept = found.setdefault(dialogue.source or "", Judged())
        kept.grades += grades_of(people, of_all)
        for name, row in rows.items():
            getattr(kept, name).append(row)
    if not found:
        raise InputError(f"no dialogue is labeled by {annotator} and by people", "the logs", "label them first")
    return found


def grades_of(people: Sequence[Annotation], items: Mapping[At, str]) -> list[list[float]]:
    """Of each of these items what each person gave."""
    given = [answers(person, "quality") for person in people]
    return [
        [value for own in given for label in own.get(at, ()) if isinstance(value := label.value, float)] for at in items
    ]


def _count(row: Row, reference: Mapping[At, str], said: Mapping[At, str]) -> None:
    row.update((name, said.get(at, "")) for at, name in reference.items())


def rows_of(name: str, judged: Judged, metrics: Sequence[str] = METRIC_NAMES) -> Iterator[list[Any]]:
    """The rows of one log."""
    times = resamples(len(judged.of_all), RESAMPLES, SEED)
    for metric_name in metrics:
        metric: Metric = resolve(METRICS, metric_name, "metric")
        alone = _measured(metric, times, judged.of_all)
        yield [name, "of all", metric_name, alone, None, None, None, _items(judged.of_all)]
        if any(judged.person):
            model, person = (_measured(metric, times, rows) for rows in (judged.model, judged.person))
            ceiling = _measured(metric, times, judged.ceiling) if any(judged.ceiling) else None
            gain = _measured(metric, times, judged.model, judged.person)
            yield [name, "of the others", metric_name, model, person, gain, ceiling, _items(judged.person)]


def beside(systems: Mapping[str, Sequence[Mapping[str, Judged]]], metrics: Sequence[str]) -> Iterator[list[Any]]:
    """Rows of systems judged on the same dialogues: log, reference, metric, system, value, the first system minus it, items.

    systems: name -> what each of its trainings was judged to be. Intervals are over dialogues and trainings, differences paired."""
    (leader, trainings), *_ = systems.items()
    for log, first in sorted(trainings[0].items()):
        times = resamples(len(first.of_all), RESAMPLES, SEED)
        for (reference, counts), name in product((("of all", "of_all"), ("of the others", "model")), metrics):
            value = resolve(METRICS, name, "metric").value
            rows = {system: [getattr(one[log], counts) for one in own] for system, own in systems.items()}
            if counts == "model":
                rows["single annotator"] = [first.person]
            if not any(rows[leader][0]):
                continue
            ones = np.ones((1, len(first.of_all)))
            drawn = {
                system: mean_over_trainings(
                    [float(value(one, ones)[0]) for one in own],
                    [resampled(partial(value, one), times) for one in own],
                    SEED,
                )
                for system, own in rows.items()
            }
            for system, (found, draws) in drawn.items():
                gain = None
                if system != leader:
                    gain = interval(drawn[leader][0] - found, drawn[leader][1] - draws).rounded()
                items = _items(getattr(first, counts))
                yield [log, reference, name, system, interval(found, draws).rounded(), gain, items]


def _measured(metric: Metric, times: Array, rows: Sequence[Row], less: Sequence[Row] | None = None) -> dict[str, Any]:
    """A metric of these rows, less that of other rows of the same dialogues where some are given."""

    def value(drawn: Array) -> Array:
        return metric.value(rows, drawn) - (metric.value(less, drawn) if less is not None else 0.0)

    return of_statistic(value, times).rounded()


def _items(rows: Sequence[Row]) -> int:
    return sum(row.total() for row in rows)


if __name__ == "__main__":
    sys.exit(main())
