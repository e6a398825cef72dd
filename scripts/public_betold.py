"""BETOLD's late hang-ups: what can be said of them without a model, and the figures of `scripts/betold.sh`.

    python scripts/public_betold.py judge betold/train.jsonl betold/test.jsonl betold/all.jsonl betold/open.jsonl
    python scripts/public_betold.py collect runs/betold

`judge` writes the test calls with the evidence hidden (no recorded feedback; the reader gives no other of the hang-up) and
with three annotators of kind `rule`, each the share of hang-ups among training calls: "base rate" of all, "number of turns" of
those as long, "last response" of those that end with the same act; both smoothed by SMOOTHING calls at the base rate. The
second file holds the calls that do not end with a confirmed date. `collect` writes results/betold.json."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from command import tells_errors, write_table
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import ON_GIVEN_GOALS, Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log
from labelgen.feedback.masking import mask

USER = "user"
SMOOTHING = 5.0
CONFIRMED = ("confirm date scheduled", "confirm change schedule")
METRICS = ("failure_auprc", "failure_f1", "accuracy", "log_loss")
PARTS = {"all": "all", "open": "no confirmed date at the end"}
RIVALS = ("baseline: bag of words", "baseline: constant per source")
RESULTS = Path(__file__).resolve().parent.parent / "results" / "betold.json"

Key = Callable[[Dialogue], Hashable]


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    judge = actions.add_parser("judge")
    for name in ("train", "test", "all", "open"):
        judge.add_argument(name, type=Path)
    collect = actions.add_parser("collect")
    collect.add_argument("run", type=Path, help="the folder that scripts/betold.sh wrote")
    collect.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.action == "collect":
        write_table(args.out, collected(args.run))
        print(f"wrote {args.out}")
    else:
        dialogues = list(judged(Log([args.train]), Log([args.test])))
        write_log(args.all, dialogues, force=True)
        count = write_log(args.open, [d for d in dialogues if last_act(d) not in CONFIRMED], force=True)
        print(f"{len(dialogues):,} calls, {count:,} without a confirmed date at the end")
    return 0


def last_act(dialogue: Dialogue) -> str:
    """The act that the assistant waits after, without its entities."""
    return dialogue.turns[-1].response.split("\n")[-1].partition(":")[0]


RULES: dict[str, Key] = {
    "base rate": lambda _: None,
    "number of turns": lambda dialogue: len(dialogue.turns),
    "last response": last_act,
}


def judged(train: Iterable[Dialogue], test: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """The test calls without the evidence, and with what each rule says."""
    training = [(dialogue, outcome_of(dialogue).name == "failure") for dialogue in train]
    base = fmean(left for _, left in training)
    rates = {name: _rates(training, key, base) for name, key in RULES.items()}
    for dialogue in test:
        at = outcome_of(dialogue).at
        assert isinstance(at, AtGoal)
        rules = tuple(_annotation(name, at, rates[name].get(key(dialogue), base)) for name, key in RULES.items())
        yield replace(mask(dialogue, ()), annotations=(*dialogue.annotations, *rules))


def outcome_of(dialogue: Dialogue) -> Label:
    """How the call ended, by the user who stayed or left."""
    annotation = dialogue.annotation(USER)
    assert annotation is not None
    return next(label for label in annotation.labels if label.task == "outcome")


def _rates(training: Sequence[tuple[Dialogue, bool]], key: Key, base: float) -> dict[Hashable, float]:
    calls = Counter(key(dialogue) for dialogue, _ in training)
    left = Counter(key(dialogue) for dialogue, gone in training if gone)
    return {value: (left[value] + SMOOTHING * base) / (count + SMOOTHING) for value, count in calls.items()}


def _annotation(name: str, at: AtGoal, failure: float) -> Annotation:
    both = (("success", 1.0 - failure), ("failure", failure))
    best = max(both, key=lambda pair: pair[1])
    return Annotation(name, "rule", (Label("goals", at, "goal"), Label("outcome", at, best[0], best[1], None, both)))


def collected(run: Path) -> dict[str, Any]:
    """The table: every rule with its interval; of the model the mean over its seeds, from the least to the greatest, and
    the first seed with its interval."""
    found = {part: json.loads((run / f"evaluation-{part}" / "evaluation.json").read_text("utf-8")) for part in PARTS}
    rows: list[list[Any]] = []
    for part, words in PARTS.items():
        (question,) = found[part]["tasks"]
        by_name = {row["candidate"]: row["metrics"] for row in question["rows"]}
        seeds = sorted(name for name in by_name if name.startswith("seed ") and "goals" not in name)
        for metric in METRICS:
            values = [by_name[name][metric]["value"] for name in seeds]
            several = {"value": fmean(values), "low": min(values), "high": max(values)}
            shown = [(f"model, {len(seeds)} seeds (least to greatest)", several)]
            shown += [(f"model, {seeds[0]}", by_name[seeds[0]][metric])]
            shown += [(name, by_name[name][metric]) for name in RULES]
            shown += [(name, by_name[name + ON_GIVEN_GOALS][metric]) for name in RIVALS]
            items = by_name[seeds[0]][metric]["items"]
            rows += [[words, name, metric, _short(estimate), items] for name, estimate in shown]
    data, setting = found["all"]["data"], found["all"]["setting"]
    return {
        "order": 4,
        "title": "BETOLD: late hang-ups from the dialogue before them",
        "text": (
            "The assistant's calls as acts, cut where the user is waited for, the hang-up hidden (docs/reference/corpora.md). The "
            "rules are shares of hang-ups among the training calls: of all, of those as long, of those that end with the same "
            "act; the baselines learn from them too. Only the published validation part was at hand, divided by a stable hash."
        ),
        "command": "bash scripts/betold.sh DATA",
        "versions": found["all"]["versions"],
        "data": f"{data['dialogues']:,} test calls, {data['turns']:,} turns; bootstrap seed {setting['seed']}, "
        f"{setting['resamples']:,} resamples.",
        "columns": ["calls", "candidate", "metric", "value (95%)", "calls judged"],
        "rows": rows,
    }


def _short(estimate: dict[str, Any]) -> dict[str, Any] | None:
    if estimate["value"] is None:
        return None
    return {k: None if estimate[k] is None else round(estimate[k], 4) for k in ("value", "low", "high")}


if __name__ == "__main__":
    sys.exit(main())
