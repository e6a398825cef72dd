"""The table of `scripts/star.sh`: `python scripts/collect_star.py RUN PUBLIC`. Every number comes from RUN/evaluation-*/evaluation.json,
which `labelgen evaluate` computed from predictions.jsonl."""

import argparse
import sys
from pathlib import Path

from collect_results import read, rows_of
from command import tells_errors, write_table
from several_trainings import digest, over_trainings

RESULTS = Path(__file__).resolve().parent.parent / "results" / "star.json"
METRICS = ("failure_auprc", "accuracy", "macro_f1", "log_loss", "ece")
TEXT = (
    "Users are on one side only. `model` does not read the wizard's action labels, `model with actions` does. The two rules "
    "are the share of failures of the same task among the training users' answers, and the waterfall over implicit signals "
    "alone. The published layout asks only in completed single-task dialogues."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder where scripts/star.sh wrote its evaluations")
    parser.add_argument("public", type=Path, help="the folder that make public wrote")
    parser.add_argument("--judged", type=Path, help="the log that was judged (default: that of make public)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    found = {folder.name.removeprefix("evaluation-seed"): read(folder) for folder in args.run.glob("evaluation-seed*")}
    # What stands last in a row tells of a person who judges too; here nobody does.
    trainings = {seed: [row[:-1] for row in rows_of(one, METRICS)] for seed, one in found.items()}
    log = args.judged or args.public / "star-judged" / "star.jsonl"
    judged = digest([args.public / "star-parts" / "train.jsonl", log])
    table = {
        "order": 3,
        "title": "STAR: outcomes against users' own answers",
        "text": TEXT,
        "columns": ["question", "candidate", "metric", "value (95%)", "items"],
        **over_trainings(args.out, judged, trainings, "bash scripts/star.sh"),
    }
    write_table(args.out, table)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
