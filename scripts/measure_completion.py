"""Whether a task was completed, on AB-ReDial, beside single raters: `python scripts/measure_completion.py EVALUATION --out FILE`, after
`scripts/quality_folds.sh abredial`. Every number comes from EVALUATION/evaluation.json."""

import argparse
import json
import sys
from pathlib import Path

from collect_results import table_of
from command import tells_errors, write_table

from labelgen.data.labels import ON_GIVEN_GOALS

METRICS = ("accuracy", "macro_f1", "failure_f1", "failure_auprc", "cohen_kappa")
WHO = ("model" + ON_GIVEN_GOALS, "human baseline")
TEXT = (
    "What raters said of each text: completed, or not; what was completed in part is neither. A text is one goal, which the model is given. Few texts failed, so the "
    "intervals are wide: the figures are reported, and nothing is claimed."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    evaluation = json.loads((args.evaluation / "evaluation.json").read_text(encoding="utf-8"))
    evaluation["tasks"] = [question for question in evaluation["tasks"] if question["name"] == "outcome"]
    for question in evaluation["tasks"]:
        question["rows"] = [row for row in question["rows"] if row["system"] in WHO]
    table = table_of(evaluation, 5, "AB-ReDial: completed tasks beside single raters", TEXT, METRICS)
    table["command"] = "bash scripts/quality_folds.sh abredial DATA"
    write_table(args.out, table)
    for row in table["rows"]:
        print(*row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
