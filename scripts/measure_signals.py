"""How well implicit signals alone tell what users answered when they were asked.

Takes a log in which some dialogues hold an explicit answer or rating of the whole dialogue. The implicit signals of
these are found anew, aggregated without the explicit ones, and held against what the user said:

    python scripts/measure_signals.py star/train.jsonl --json results/signals_star.json

Per kind: in how many answered dialogues it speaks, its precision (share of these in which the user's word agrees with
its vote) and recall (share of all dialogues with that word in which it speaks). Per method: AUPRC of failure with a
bootstrap interval over dialogues, and accuracy where the implicit evidence leans to one side."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from labelgen.base.errors import LabelgenError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.registry import resolve
from labelgen.data.dialogue import Dialogue
from labelgen.data.evidence import Signal
from labelgen.data.labels import AtDialogue
from labelgen.data.log import Log
from labelgen.feedback.items import Item, items_of
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method, waterfall
from labelgen.feedback.signal import concerns_dialogue, find_signals
from labelgen.feedback.targets import feedback_targets

RESAMPLES = 1000

Array = np.ndarray[Any, np.dtype[Any]]


def main(argv: Sequence[str] | None = None) -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("log", nargs="+", help="files or folders of records")
    args.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    args.add_argument("--seed", type=int, default=0, help="of the bootstrap (default %(default)s)")
    args.add_argument("--force", action="store_true", help="replace what stands at OUT")
    given = args.parse_args(argv)
    try:
        if given.json:
            fresh_file(given.json, given.force)
        figures = measure(Log(given.log), given.seed)
        figures["command"] = f"python scripts/measure_signals.py {' '.join(given.log)} --seed {given.seed}"
        if given.json:
            write_text(given.json, json.dumps(figures, indent=1) + "\n")
    except LabelgenError as error:
        print(f"measure_signals: {error}", file=sys.stderr)
        return error.exit_code
    _show(figures)
    return 0


def measure(log: Log, seed: int) -> dict[str, Any]:
    """The figures of one log; a dialogue is answered where explicit evidence on the whole of it leans to one side."""
    failed: list[bool] = []
    spoken: list[set[tuple[str, str]]] = []
    methods: dict[str, Method] = {name: resolve(METHODS, name, "method") for name in METHODS}
    for name in FITTED_METHODS:
        methods[name] = resolve(FITTED_METHODS, name, "method")(
            item for dialogue in log for item in items_of(dialogue, _implicit(find_signals(dialogue)))
        )
    scores: dict[str, list[float]] = {name: [] for name in methods}
    for dialogue in log:
        signals = find_signals(dialogue)
        told = tuple(s for s in signals if s.explicit and concerns_dialogue(s, dialogue))
        said = waterfall(Item(dialogue, AtDialogue(), told))
        if said is None or said.good == 0.5:
            continue
        implicit = _implicit(signals)
        failed.append(said.good < 0.5)
        spoken.append({(s.kind, s.vote) for s in implicit})
        for name, method in methods.items():
            scores[name].append(_failure(dialogue, implicit, method))
    truth = np.array(failed)
    return {
        "dialogues": log.kept,
        "answered": len(failed),
        "failures": int(truth.sum()),
        "kinds": [_kind(kind, vote, spoken, truth) for kind, vote in sorted(set().union(*spoken))],
        "methods": {name: _method(np.array(own), truth, seed) for name, own in scores.items()},
    }


def _implicit(signals: Sequence[Signal]) -> list[Signal]:
    return [s for s in signals if not s.explicit]


def _failure(dialogue: Dialogue, signals: Sequence[Signal], method: Method) -> float:
    """Mean probability of failure over the dialogue's goals; 1/2 where no implicit signal leans to one side."""
    targets = feedback_targets(dialogue, signals, method)
    of_goals = [dict(t.distribution or ())["failure"] for t in targets if t.task == "outcome"]
    return float(np.mean(of_goals)) if of_goals else 0.5


def _kind(kind: str, vote: str, spoken: Sequence[set[tuple[str, str]]], truth: Array) -> dict[str, Any]:
    fires = np.array([(kind, vote) in own for own in spoken])
    meant = truth if vote == "bad" else ~truth
    right = int((fires & meant).sum())
    return {
        "kind": kind,
        "vote": vote,
        "fires": int(fires.sum()),
        "precision": right / int(fires.sum()),
        "base": float(meant.mean()),
        "recall": right / max(1, int(meant.sum())),
    }


def _method(score: Array, truth: Array, seed: int) -> dict[str, Any]:
    leans = score != 0.5
    return {
        "failure_auprc": _auprc(truth, score),
        "failure_auprc_95": _interval(_auprc, truth, score, seed),
        "base": float(truth.mean()) if len(truth) else None,
        "leaning": int(leans.sum()),
        "accuracy_where_leaning": float(((score > 0.5) == truth)[leans].mean()) if leans.any() else None,
        "failure_precision": _share(truth[score > 0.5]),
        "failure_recall": _share((score > 0.5)[truth]),
    }


def _auprc(truth: Array, score: Array) -> float | None:
    return float(average_precision_score(truth, score)) if truth.any() else None


def _share(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def _interval(
    value: Callable[[Array, Array], float | None], truth: Array, score: Array, seed: int
) -> list[float] | None:
    """Percentile bootstrap over dialogues; resamples without a failure are left out."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES if len(truth) else 0))
    values = [v for v in (value(truth[rows], score[rows]) for rows in drawn) if v is not None]
    return [float(q) for q in np.percentile(values, [2.5, 97.5])] if values else None


def _show(figures: Mapping[str, Any]) -> None:
    print(f"{figures['answered']:,} of {figures['dialogues']:,} dialogues answered, {figures['failures']:,} failures")
    print(f"{'kind':<12} {'vote':<5} {'fires':>6} {'precision':>9} {'base':>6} {'recall':>7}")
    for row in figures["kinds"]:
        print(
            f"{row['kind']:<12} {row['vote']:<5} {row['fires']:>6} {row['precision']:>9.3f} {row['base']:>6.3f} {row['recall']:>7.3f}"
        )
    for name, row in figures["methods"].items():
        if row["failure_auprc"] is not None and row["failure_auprc_95"]:
            low, high = row["failure_auprc_95"]
            print(
                f"{name}: AUPRC of failure {row['failure_auprc']:.3f} [{low:.3f}, {high:.3f}], base {row['base']:.3f}"
            )


if __name__ == "__main__":
    sys.exit(main())
