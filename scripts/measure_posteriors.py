"""What `labelgen feedback aggregate` knows of simulated logs, held against their truth, and what hearing the whole log adds.

    python scripts/measure_posteriors.py --out results/posteriors.json

Turns, goals of the truth, and dialogues are judged that are good or bad by the truth, fair ones left out; of turns also those
of which no signal speaks, and those whose request and response at least two other users had (feedback/em/method.py). Nothing
but signals is learned from. Intervals are over the seeds' dialogues, drawn with replacement."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from command import arguments, parsed, tells_errors, write_table
from msgspec.structs import replace

from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import At, AtDialogue, AtGoal, AtTurn, answers
from labelgen.feedback.em.method import OTHERS, OtherUsers, learn, learn_pooled
from labelgen.feedback.em.patterns import GOOD
from labelgen.feedback.items import items_of, turn_items
from labelgen.feedback.posterior import Method, waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of
from labelgen.metrics.metric import divide, f1
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions

RESAMPLES = 1000
LEAST = 1e-6
SLICES = {AtTurn: "all turns", AtGoal: "goals", AtDialogue: "dialogues"}
SILENT, ASKED = "turns without signal", "turns that others asked too"
PARTS = ("all turns", SILENT, ASKED, "goals", "dialogues")
COLUMNS = ["of what", "method", "log loss (95%)", "F1 of bad at 1/2 (95%)", "ECE (95%)", "items"]
BINS = 10

Rows = Mapping[tuple[str, str], Array]
"""(slice, method) -> [dialogues, 4 + 3 BINS]: nats, right, given and wanted bad turns; per bin items, good, probability."""


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="default %(default)s")
    parser.add_argument("--dialogues", type=int, default=2000, help="of each log (default %(default)s)")
    given = parsed(parser, argv)
    table = measure(given.seeds, given.dialogues)
    write_table(given.out, table)
    print(json.dumps(table["rows"], indent=1))
    return 0


def measure(seeds: Sequence[int], dialogues: int) -> dict[str, Any]:
    """The table of these logs."""
    logs = [of_log(dialogues, seed) for seed in seeds]
    joined = {key: np.concatenate([log[key] for log in logs]) for key in logs[0]}
    times = resamples(dialogues * len(seeds), RESAMPLES, 0)
    given = f"--seeds {' '.join(map(str, seeds))} --dialogues {dialogues}"
    return {
        "order": 12,
        "title": "Posteriors by the truth of the simulated log",
        "text": (
            "`em` with and without what the whole log tells of a turn: the vote of other users who made the same request and "
            "got the same response, and how sure the assistant was. What is fair by the truth is left out. Goals are those "
            "of the truth. The waterfall says even where nobody spoke."
        ),
        "command": f"python scripts/measure_posteriors.py --out results/posteriors.json {given}",
        "versions": {name: version(name) for name in ("labelgen", "numpy")},
        "data": f"{len(seeds)} simulated logs of {dialogues:,} dialogues each; {RESAMPLES:,} resamples of dialogues.",
        "columns": COLUMNS,
        "rows": [_row(part, method, rows, times) for (part, method), rows in joined.items()],
    }


def of_log(dialogues: int, seed: int) -> Rows:
    """What each method says of one log, held against the truth."""
    log = [replace(d, signals=find_signals(d)) for d in simulate(dialogues, seed, WorldOptions(annotated=0.0))]
    items = [item for d in log for item in items_of(d, d.signals, TRUTH)]
    unanchored = partial(learn, anchored=False)
    alone = unanchored(items)
    methods: dict[str, Method] = {
        "waterfall": waterfall,
        "em": alone,
        "em, the whole log heard": learn_pooled(lambda: iter(items), unanchored)[1],
    }
    pool = OtherUsers(items, alone)
    rows = {(part, name): np.zeros((len(log), 4 + 3 * BINS)) for part in PARTS for name in methods}
    for number, dialogue in enumerate(log):
        parts = dict(_parts(dialogue, pool))
        for name, method in methods.items():
            targets = feedback_targets(dialogue, dialogue.signals, method, TRUTH)
            told = {target.at: posterior_of(target) for target in targets if target.task in VERDICTS}
            for at, good in truth_of(dialogue).items():
                for part in (SLICES[type(at)], *parts.get(at, ())):
                    rows[part, name][number] += _told(told.get(at, 0.5), good)
    return rows


def _parts(dialogue: Dialogue, pool: OtherUsers) -> Iterator[tuple[At, list[str]]]:
    """The slices that a turn is in, besides that of all."""
    for item in turn_items(dialogue, dialogue.signals):
        asked = any(s.kind == OTHERS for s in pool.add_vote(item).signals)
        yield item.at, [SILENT][: not item.signals] + [ASKED][:asked]


def truth_of(dialogue: Dialogue) -> dict[At, bool]:
    """Whether a turn, a goal, the dialogue went well; fair ones are left out."""
    truth = dialogue.annotation(TRUTH)
    assert truth is not None
    labels = [label for task in VERDICTS for own in answers(truth, task).values() for label in own]
    return {label.at: GOOD[label.name] == 1.0 for label in labels if GOOD.get(label.name, 0.5) != 0.5}


def _told(said: float, good: bool) -> Array:
    p = min(max(said, LEAST), 1.0 - LEAST)
    row = np.zeros(4 + 3 * BINS)
    row[:4] = -np.log(p if good else 1.0 - p), p < 0.5 and not good, p < 0.5, not good
    own = min(int(p * BINS), BINS - 1)
    row[4 + own], row[4 + BINS + own], row[4 + 2 * BINS + own] = 1.0, good, p
    return row


def _row(part: str, method: str, rows: Array, times: Array) -> list[Any]:
    found = [_estimate(formula, rows, times) for formula in (log_loss, f1_of_bad, ece)]
    return [part, method, *found, int(rows[:, 4 : 4 + BINS].sum())]


def log_loss(n: Array) -> Array:
    return divide(n[:, 0], n[:, 4 : 4 + BINS].sum(axis=1))


def f1_of_bad(n: Array) -> Array:
    return f1(n[:, 1], n[:, 2], n[:, 3])


def ece(n: Array) -> Array:
    """Expected calibration error over ten bins of equal width. Source: Naeini et al. 2015."""
    items, good, said = np.split(n[:, 4:], 3, axis=1)
    return divide(np.abs(good - said).sum(axis=1), items.sum(axis=1))


def _estimate(formula: Callable[[Array], Array], rows: Array, times: Array) -> dict[str, float | None]:
    return of_statistic(lambda taken: formula(taken @ rows), times).rounded()


if __name__ == "__main__":
    sys.exit(main())
