"""The table of `scripts/star.sh`: `python scripts/collect_star.py RUN TRAIN JUDGED`, the last two logs. Every number is computed from
RUN/evaluation-*/predictions.jsonl."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from against_gold import measured
from command import tells_errors, write_table
from public_star import USER
from several_trainings import digest, over_trainings

from labelgen.base.errors import InputError
from labelgen.confidence.resampling import paired_difference
from labelgen.data.log import Log
from labelgen.evaluation.trials import Setting

RESULTS = Path(__file__).resolve().parent.parent / "results" / "star.json"
METRICS = ("failure_auprc", "accuracy", "macro_f1", "log_loss", "ece")
BESIDE = {"model": "the task's own failure rate", "model with actions": "the last action's failure rate"}
"""model -> the rule that knows of a dialogue what it knows beside the words."""
TEXT = (
    "Users are on one side only. `model` does not read the wizard's action labels, `model with actions` does. The rules are the share "
    "of failures among the training users' answers, of the same task, or of the same last action of the wizard but for words of "
    "parting; and the waterfall over implicit signals alone. The published layout asks only in completed single-task dialogues. "
    "Differences are paired: on the same resampled dialogues."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder where scripts/star.sh wrote its evaluations")
    parser.add_argument("train", type=Path, help="the log that was trained on")
    parser.add_argument("judged", type=Path, help="the log that is judged")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    folders = [made.parent for made in sorted(args.run.glob("evaluation-seed*/evaluation.json"))]
    trainings = {folder.name.removeprefix("evaluation-seed"): list(rows_of(folder)) for folder in folders}
    table = {
        "order": 3,
        "title": "STAR: outcomes against users' own answers",
        "text": TEXT,
        "columns": ["candidate", "metric", "value (95%)", "answers"],
        **over_trainings(args.out, digest([args.train, args.judged]), trainings, "bash scripts/star.sh"),
    }
    write_table(args.out, table)
    print(f"wrote {args.out}")
    return 0


def rows_of(evaluation: Path) -> Iterator[list[Any]]:
    """The rows of one training of each model, then how far each is above its rule."""
    dialogues = list(Log([evaluation / "predictions.jsonl"]))
    for _, measure in measured(dialogues, Setting(USER, None, everyone=False), {"outcome": METRICS}):
        needed = (*BESIDE, *BESIDE.values(), "implicit signals")
        for who in needed:
            if not any(d.annotation(who) for d in dialogues):
                raise InputError(
                    f"nobody is called {who!r}", str(evaluation), "remove the folder and run scripts/star.sh again"
                )
        found = {who: measure(who) for who in needed}
        for metric in METRICS:
            for who, values in found.items():
                yield [who, metric, values[metric].interval.rounded(), values[metric].items]
        for model, rule in BESIDE.items():
            ours, rules = found[model]["failure_auprc"], found[rule]["failure_auprc"]
            gain = paired_difference(ours.interval, rules.interval, (ours.draws, rules.draws))
            yield [f"{model} minus {rule}", "failure_auprc", gain.rounded(), ours.items]


if __name__ == "__main__":
    sys.exit(main())
