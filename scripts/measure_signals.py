"""How well signals tell what is known of a log otherwise: its truth, what people annotated, or what users answered.

The signals of each dialogue are found anew and held against the annotations of one kind in it:

    python scripts/measure_signals.py runs/sim.jsonl --against truth
    python scripts/measure_signals.py corpora/star --format star --against user --without answer
    python scripts/measure_signals.py corpora/uss --format uss --against person

`quality` is judged at each turn that they rate: bad where the mean rating is below 3, else good. `outcome` is judged at
each goal that they give one: bad is a failure. Of several annotations of the kind, the first that divides the dialogue
gives the goals. `--without` leaves out the kind of signal that repeats the annotations.

Per kind and vote: the places (turns, goals) it speaks of, its precision (share of these where the vote agrees), the base
rate (the precision of voting everywhere) and its recall (share of the places with that truth of which it speaks). The
same for each method of aggregation, by the side to which the evidence leans, and its AUPRC of bad: of implicit signals alone, and of
all. `em` is fitted on the signals of this log, never on the annotations, as `labelgen feedback aggregate --method em --no-anchors` does;
"not pooled" is without other users' votes and the assistant's confidence. Where a method has no posterior it says the share of good items
that it learned, or one half. Intervals are 95% bootstrap intervals over dialogues. The speed of
all detectors together is in turns a second of one core's time; it is printed only."""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from command import tells_errors, write_table

from labelgen import __version__
from labelgen.base.errors import InputError
from labelgen.base.files import fresh_file
from labelgen.base.registry import require, resolve
from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import Annotation, At, AtGoal, AtTurn, Label, Unit, division, quality_name
from labelgen.data.log import Log
from labelgen.feedback import items
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.detectors.rephrase import repeated_requests
from labelgen.feedback.em.method import EmMethod, learn, learn_pooled
from labelgen.feedback.posterior import METHODS, Method
from labelgen.feedback.signal import concerns_dialogue, find_signals
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric, divide, of_counts

TASKS = {"quality": ("bad", "good"), "outcome": ("failure", "success")}
"""task -> the names that a bad and a good vote stand for."""
COLUMNS = ("about", "evidence", "vote", "places", "precision (95%)", "base rate", "recall (95%)", "AUPRC (95%)")
EXPLORATION = "exploration"
"""What `rephrase` sees and keeps to itself: the user asks for another thing of the same kind. Measured as a good vote."""
TIMED_DIALOGUES = 2_000

Chosen = tuple[str, Method, Callable[[Signal], bool]]
"""A method's name as the table has it, the method, and which signals it reads."""

Counts = tuple[int, int, int, int]
"""Of one dialogue: places spoken of, of these rightly, places with that truth, places."""


@dataclass
class Found:
    """Of one task. known: of each dialogue, whether each place is bad. spoken: by evidence and vote, of each dialogue
    that it speaks in, the places. items: by method of aggregation, of each dialogue."""

    known: list[Mapping[At, bool]] = field(default_factory=list)
    spoken: dict[tuple[str, str], dict[int, set[At]]] = field(default_factory=dict)
    items: dict[str, list[Item]] = field(default_factory=dict)

    def speaks(self, evidence: str, vote: str, at: At) -> None:
        self.spoken.setdefault((evidence, vote), {}).setdefault(len(self.known) - 1, set()).add(at)

    def counts(self, evidence: str, vote: str) -> list[Counts]:
        out = []
        for d, known in enumerate(self.known):
            spoken = self.spoken[evidence, vote].get(d, set())
            true = {at for at, bad in known.items() if bad == (vote == "bad")}
            out.append((len(spoken), len(spoken & true), len(true), len(known)))
        return out


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("log", help="file or folder of records")
    args.add_argument("--format", default="labelgen", help="how it is read (default %(default)s)")
    args.add_argument("--against", required=True, metavar="KIND", help="of annotation: truth, person, user, ...")
    args.add_argument("--without", action="append", default=[], metavar="KIND", help="of signal; may be repeated")
    args.add_argument("--json", type=Path, metavar="OUT", help="write the table here, as results/ has it")
    args.add_argument("--title", help="of the table (default: the log)")
    args.add_argument("--order", type=int, default=6, help="of the table among the others (default %(default)s)")
    args.add_argument("--note", default="", help="what else a reader must know of the log, said below the table")
    args.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default %(default)s)")
    args.add_argument("--seed", type=int, default=0, help="of the bootstrap (default %(default)s)")
    args.add_argument("--force", action="store_true", help="replace what stands at OUT")
    given = args.parse_args(argv)
    for kind in given.without:
        require(kind, DETECTORS, "signal")
    if given.json:
        fresh_file(given.json, given.force)
    log = Log([given.log], given.format)
    table = measure(log, given.against, given.without, given.resamples, given.seed)
    table |= {"order": given.order, "title": given.title or given.log, "command": _command(given)}
    table["data"] = " ".join(part for part in (table["data"], given.note) if part)
    write_table(given.json, table)
    _show(table)
    print(f"all detectors together: {turns_a_s(log):,.0f} turns a second on one core")
    return 0


def measure(log: Log, against: str, without: Sequence[str] = (), count: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The table of one log. Raises InputError where no annotation of that kind says anything of quality or outcome."""
    found = {task: Found() for task in TASKS}
    read = [(dialogue, [s for s in find_signals(dialogue) if s.kind not in without]) for dialogue in log]
    turns = sum(len(dialogue.turns) for dialogue, _ in read)
    methods = [*_plain_methods(), *_fitted_methods(read, against)]
    for dialogue, signals in read:
        explored = [
            Signal(kind=EXPLORATION, turns=(again.turn,), vote="good", evidence=(again.later,))
            for again in repeated_requests(dialogue)
            if again.explores
        ]
        annotations = [a for a in dialogue.annotations if a.kind == against]
        _judge(dialogue, signals, explored, annotations, methods, found)
    if not any(own.known for own in found.values()):
        raise InputError(
            f"no annotation of kind {against} says anything of quality or outcome",
            ", ".join(map(str, log.paths)),
            "name another kind by --against",
        )
    judged = [f"{sum(map(len, own.known)):,} places of {task}" for task, own in found.items() if own.known]
    return {
        "text": f"Signals held against annotations of kind `{against}`; `scripts/measure_signals.py --help` says how.",
        "versions": {"labelgen": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "data": f"{len(read):,} dialogues, {turns:,} turns; {', '.join(judged)}; bootstrap seed {seed}, {count:,} resamples.",
        "columns": list(COLUMNS),
        "rows": [
            row
            for task, own in found.items()
            for row in _rows(task, own, [name for name, _, _ in methods], count, seed)
        ],
    }


def turns_a_s(log: Log) -> float:
    """How fast all detectors together are: turns in a second of one core's time, over the first dialogues of a log."""
    turns = 0
    spent_s = 0.0
    for dialogue in islice(log, TIMED_DIALOGUES):
        began = time.process_time()
        find_signals(dialogue)
        spent_s += time.process_time() - began
        turns += len(dialogue.turns)
    return turns / spent_s if spent_s else 0.0


def _judge(
    dialogue: Dialogue,
    signals: Sequence[Signal],
    explored: Sequence[Signal],
    annotations: Sequence[Annotation],
    methods: Sequence[Chosen],
    found: Mapping[str, Found],
) -> None:
    """Add what the signals of one dialogue say of the places that the annotations know."""
    for task, places in (("quality", _qualities(annotations)), ("outcome", _outcomes(annotations))):
        if not places:
            continue
        own = found[task]
        own.known.append(places)
        reference = {at: (Label(task, at, TASKS[task][not bad]),) for at, bad in places.items()}
        about = {at: _about(at, (*signals, *explored), dialogue, places) for at in places}
        for at, speaking in about.items():
            for signal in speaking:
                own.speaks(signal.kind, signal.vote, at)
        for name, method, used in methods:
            predicted: dict[At, tuple[Label, ...]] = {}
            for at, speaking in about.items():
                assert isinstance(at, AtTurn | AtGoal)
                posterior = method(items.Item(dialogue, at, tuple(s for s in speaking if used(s))))
                good = _without_evidence(method, task) if posterior is None else posterior.good
                both = ((TASKS[task][0], 1.0 - good), (TASKS[task][1], good))
                predicted[at] = (Label(task, at, max(both, key=lambda pair: pair[1])[0], distribution=both),)
                if good != 0.5:
                    own.speaks(name, "good" if good > 0.5 else "bad", at)
            own.items.setdefault(name, []).append(Item((), reference, predicted))


def _plain_methods() -> Iterator[Chosen]:
    """Those that learn nothing from the log."""
    for name in METHODS:
        method: Method = resolve(METHODS, name, "method")
        yield f"{name}, implicit", method, _implicit
        yield f"{name}, all", method, _every


def _fitted_methods(read: Sequence[tuple[Dialogue, Sequence[Signal]]], against: str) -> Iterator[Chosen]:
    """`em` fitted on what it is to read; goals are those of the annotations, as for the others."""
    unanchored = partial(learn, anchored=False)
    for level, used in (("implicit", _implicit), ("all", _every)):

        def own(used: Callable[[Signal], bool] = used) -> Iterator[items.Item]:
            for dialogue, signals in read:
                goals = next((a.annotator for a in dialogue.annotations if a.kind == against and division(a)), None)
                yield from items.items_of(dialogue, [s for s in signals if used(s)], goals)

        yield f"em, {level}", learn_pooled(own, unanchored)[1], used
        yield f"em not pooled, {level}", unanchored(own()), used


def _implicit(signal: Signal) -> bool:
    return not signal.explicit and signal.kind != EXPLORATION


def _every(signal: Signal) -> bool:
    return signal.kind != EXPLORATION


def _without_evidence(method: Method, task: str) -> float:
    """What a method says of a place of which no signal speaks: the share of good ones where it learned it."""
    unit: Unit = "goal" if task == "outcome" else "turn"
    return method.whole[unit].good if isinstance(method, EmMethod) and unit in method.whole else 0.5


def _qualities(annotations: Sequence[Annotation]) -> dict[At, bool]:
    """Of each rated turn, whether it is bad."""
    ratings: dict[At, list[float]] = {}
    for label in (label for a in annotations for label in a.labels):
        if label.task == "quality" and isinstance(label.at, AtTurn) and isinstance(label.value, (int, float)):
            ratings.setdefault(label.at, []).append(float(label.value))
    return {at: quality_name(fmean(own)) == "bad" for at, own in sorted(ratings.items())}


def _outcomes(annotations: Sequence[Annotation]) -> dict[At, bool]:
    """Of each goal with a known outcome, whether it failed."""
    annotation = next((a for a in annotations if division(a) is not None), None)
    if annotation is None:
        return {}
    named = {label.at: label.name for label in annotation.labels if label.task == "outcome"}
    return {at: name == "failure" for at, name in named.items() if name in TASKS["outcome"]}


def _about(at: At, signals: Sequence[Signal], dialogue: Dialogue, places: Mapping[At, bool]) -> list[Signal]:
    """The signals that speak of a turn singly, or of a goal where it ended."""
    if isinstance(at, AtGoal):
        goals = tuple(x.turns for x in places if isinstance(x, AtGoal))
        return list(next(item.signals for item in items.goal_items(dialogue, signals, goals) if item.at == at))
    assert isinstance(at, AtTurn)
    single = len(dialogue.turns) == 1
    return [s for s in signals if at.turn in s.turns and (single or not concerns_dialogue(s, dialogue))]


def _rows(task: str, found: Found, methods: Sequence[str], count: int, seed: int) -> Iterator[list[Any]]:
    """A row for each kind and method that speaks, in the order of the registry; kinds that never do are left out."""
    times = resamples(len(found.known), count, seed)
    auprc: Metric = resolve(METRICS, f"{TASKS[task][0]}_auprc", "metric")
    for evidence in (*DETECTORS, EXPLORATION, *methods):
        for vote in ("bad", "good"):
            if (evidence, vote) not in found.spoken:
                continue
            counts = found.counts(evidence, vote)
            total = np.sum(counts, axis=0)
            curve = None
            if vote == "bad" and evidence in found.items:
                curve = _estimate(auprc.value, [auprc.tally(item) for item in found.items[evidence]], times)
            yield [
                task,
                evidence,
                vote,
                int(total[0]),
                _estimate(of_counts(lambda n: divide(n[:, 1], n[:, 0])), counts, times),
                round(float(total[2] / total[3]), 4),
                _estimate(of_counts(lambda n: divide(n[:, 1], n[:, 2])), counts, times),
                curve,
            ]


def _estimate(
    value: Callable[[Sequence[Any], Array], Array], rows: Sequence[Any], times: Array
) -> dict[str, float | None]:
    return of_statistic(lambda taken: value(rows, taken), times).rounded()


def _command(given: argparse.Namespace) -> str:
    words = ["python scripts/measure_signals.py", given.log]
    words += ["--format", given.format] if given.format != "labelgen" else []
    words += ["--against", given.against, *(word for kind in given.without for word in ("--without", kind))]
    return " ".join((*words, f"--seed {given.seed}"))


def _show(table: Mapping[str, Any]) -> None:
    print(f"{table['title']}: {table['data']}")
    rows = [[_cell(value) for value in row] for row in (COLUMNS, *table["rows"])]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        if value["value"] is None:
            return "-"
        around = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
        return f"{value['value']:.3f}{around}"
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
