"""How often the targets that feedback makes are right, by the truth of simulated logs.

    python scripts/measure_targets.py --out results/targets_simulated.json
    python scripts/measure_targets.py --method em --out results/targets_em.json

For each kind of target (a hypothesis that was confirmed, one projected from a rephrase or a correction, a complement) and
each task: how many turns have one, which share of the turns that ask for something that is (coverage), and precision: of
intents, the share of turns whose intents are all right and complete; of slots, the share of spans that are right in name,
start and end; of a complement, the share of turns whose intents are not those. Of slots also recall, the share of the true
spans of these turns that have a target, and F1. Logs of several seeds are put together; intervals are of a bootstrap over
dialogues, and the least and greatest precision of a single seed stand beside them."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from command import arguments, parsed, tells_errors, write_table
from msgspec.structs import replace

from labelgen.base.registry import resolve
from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtSpan, AtTurn, Target, answers
from labelgen.feedback.em.method import Learn, learn_pooled
from labelgen.feedback.items import Item, items_of
from labelgen.feedback.posterior import FITTED_METHODS, METHODS
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets
from labelgen.metrics.metric import divide, f1
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions

RESAMPLES = 1000

KINDS: Mapping[str, tuple[str, ...]] = {
    "confirmed": ("confirmed ",),
    "projected from a rephrase": ("projected from the rephrase ",),
    "projected from a correction": ("projected from the correction ",),
    "projected": ("projected ",),
    "confirmed or projected": ("confirmed ", "projected "),
    "complement": ("failed hypothesis",),
}
"""kind -> how the origins of its targets begin."""

JUDGED = [(kind, task) for kind in KINDS for task in ("intents", "slots") if (kind, task) != ("complement", "slots")]

Counts = dict[tuple[str, str], Array]


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__)
    args.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of the logs (default %(default)s)")
    args.add_argument("--dialogues", type=int, default=2000, help="of each log (default %(default)s)")
    args.add_argument(
        "--method", default="waterfall", help=f"{', '.join((*METHODS, *FITTED_METHODS))} (default %(default)s)"
    )
    given = parsed(args, argv)
    table = measure(given.seeds, given.dialogues, given.method)
    write_table(given.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def measure(seeds: Sequence[int], dialogues: int, method: str) -> dict[str, Any]:
    """The table of these logs."""
    options = WorldOptions(annotated=0.0)
    logs = [[replace(d, signals=find_signals(d)) for d in simulate(dialogues, seed, options)] for seed in seeds]
    counts = [_of_log(log, method) for log in logs]
    asking = sum(_asking(d) for log in logs for d in log)
    times = resamples(dialogues * len(seeds), RESAMPLES, 0)
    name = f"targets_{'simulated' if method in METHODS else method}"
    given = f"--seeds {' '.join(map(str, seeds))} --dialogues {dialogues} --method {method}"
    return {
        "order": 9,
        "title": f"Targets made from feedback by {method}, by the truth of the simulated log",
        "text": (
            "What the live assistant believed becomes a target where feedback confirms it (confirmed), and where it is what "
            "was believed when a failed request was put again (projected). Turns are those that ask for something, and coverage "
            "is their share; precision counts targets that say that nothing was asked for too. Beside the precision stand the least and the greatest of a single seed."
        ),
        "command": f"python scripts/measure_targets.py --out results/{name}.json {given}",
        "versions": {name: version(name) for name in ("labelgen", "numpy", "rapidfuzz")},
        "data": f"{len(seeds)} simulated logs of {dialogues:,} dialogues each, {asking:,} turns that ask for something.",
        "columns": ["target", "task", "turns", "coverage", "precision (95%)", "by seed", "recall (95%)", "F1 (95%)"],
        "rows": [_row(kind, task, counts, asking, times) for kind, task in JUDGED],
    }


def _of_log(log: Sequence[Dialogue], method: str) -> list[Counts]:
    """What a method learns, it learns from the signals of this log."""

    def items() -> Iterator[Item]:
        return (item for d in log for item in items_of(d, d.signals))

    if method in FITTED_METHODS:
        learn: Learn = resolve(FITTED_METHODS, method, "method")
        make = learn_pooled(items, learn)[1]
    else:
        make = resolve(METHODS, method, "method")
    return [_counts(d, feedback_targets(d, d.signals, make)) for d in log]


def _counts(dialogue: Dialogue, targets: Sequence[Target]) -> Counts:
    """(kind, task) -> (turns that ask for something and have such a target; right, given and wanted intents or spans), where
    all intents of a turn are one."""
    truth = dialogue.annotation(TRUTH)
    assert truth is not None
    meant = {at: {own.name for own in labels} for at, labels in answers(truth, "intents").items()}
    asked = {at for at, names in meant.items() if names}
    spans = {at: {(own.at, own.name) for own in labels} for at, labels in answers(truth, "slots").items()}
    found: Counts = {}
    for kind, task in JUDGED:
        own = [t for t in targets if t.task == task and t.origin.startswith(KINDS[kind])]
        turns = {AtTurn(t.at.turn) for t in own if isinstance(t.at, AtTurn | AtSpan)}
        if task == "intents":
            right = sum(_holds(t, meant.get(t.at, set())) for t in own)
            counts = (len(turns & asked), right, len(own), len(own))
        else:
            given = {(t.at, name) for t in own if isinstance(t.at, AtSpan) for name, _ in t.distribution or ()}
            wanted = {span for at in turns for span in spans.get(at, ())}
            counts = (len(turns & asked), len(given & wanted), len(given), len(wanted))
        found[kind, task] = np.array(counts, dtype=np.float64)
    return found


def _holds(target: Target, meant: set[str]) -> bool:
    if target.complement is not None:
        return not set(target.complement) <= meant
    return {name for name, _ in target.distribution or ()} == meant


def _asking(dialogue: Dialogue) -> int:
    """How many turns ask for something, by the truth."""
    truth = dialogue.annotation(TRUTH)
    return sum(bool(labels) for labels in answers(truth, "intents").values()) if truth is not None else 0


def _row(kind: str, task: str, logs: Sequence[Sequence[Counts]], asking: int, times: Array) -> list[Any]:
    seeds = [np.sum([counts[kind, task] for counts in log], axis=0) for log in logs]
    rows = np.array([counts[kind, task] for log in logs for counts in log])
    turns = int(rows[:, 0].sum())
    by_seed = [own[1] / own[2] for own in seeds if own[2]]
    spread = f"{min(by_seed):.3f} to {max(by_seed):.3f}" if by_seed else None
    judged = [
        _estimate(formula, rows, times) if task == "slots" or name == "precision" else None
        for name, formula in FORMULAS.items()
    ]
    return [kind, task, turns, round(turns / asking, 4), judged[0], spread, *judged[1:]]


FORMULAS: Mapping[str, Callable[[Array], Array]] = {
    "precision": lambda n: divide(n[:, 1], n[:, 2]),
    "recall": lambda n: divide(n[:, 1], n[:, 3]),
    "f1": lambda n: f1(n[:, 1], n[:, 2], n[:, 3]),
}
"""From summed counts [R, 4] to values [R]."""


def _estimate(formula: Callable[[Array], Array], rows: Array, times: Array) -> dict[str, float | None]:
    return of_statistic(lambda taken: formula(taken @ rows), times).rounded()


if __name__ == "__main__":
    sys.exit(main())
