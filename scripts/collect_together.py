"""The table of `scripts/together.sh`: `python scripts/collect_together.py RUN`. Every number comes from RUN/seed*/evaluation-*/evaluation.json,
which `labelgen evaluate` computed from predictions.jsonl."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command import tells_errors, write_table
from several_trainings import digest, judged_trainings, over_trainings

RESULTS = Path(__file__).resolve().parent.parent / "results" / "together.json"
USS = ("uss-MWOZ", "uss-SGD", "uss-ReDial", "uss-CCPE")
CORPORA = ("sgd", "star", "multiwoz", "multidogo", "snips", "slurp", *USS, "dbdc3")
METRICS = {
    "goals": ("exact_goal_f1", "b_cubed_f1"),
    "outcome": ("failure_auprc", "accuracy"),
    "intents": ("intent_accuracy", "slot_span_f1"),
    "slots": ("slot_span_f1",),
    "intents and slots": ("frame_accuracy",),
    "quality, turn": ("macro_f1", "bad_auprc"),
    "quality, dialogue": ("macro_f1", "bad_auprc"),
}
WHO = ("together", "human baseline")
TEXT = (
    "One training for all eight, three short passes; a question is learned from the corpora that answer it, and each corpus is judged with its own "
    "labels. Test parts are those of the tables of each corpus, but for DBDC3 (a fifth by dialogue) and SGD (those of `make public`); of USS all turns are judged, without "
    "weights for its classes. Where several annotated, each is judged against the others, and the model on the same answers against the same. Some texts of USS "
    "stand in SGD and MultiWOZ too, there without ratings. Models of one corpus or four, with more passes over each, stand in the other tables."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder that scripts/together.sh wrote")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    logs = [path for name in ("train", "test") for path in sorted(args.run.glob(f"*/{name}.jsonl"))]
    needed = [f"evaluation-{corpus}/evaluation.json" for corpus in CORPORA]
    trainings = {seed: list(rows_of(folder)) for seed, folder in judged_trainings(args.run, needed).items()}
    table = {
        "order": 3,
        "title": "One model for eight corpora",
        "text": TEXT,
        "columns": ["corpus", "question", "metric", "candidate", "value (95%)", "items"],
        **over_trainings(args.out, digest(logs), trainings, "bash scripts/together.sh DATA"),
    }
    write_table(args.out, table)
    print(f"wrote {args.out}")
    return 0


def rows_of(run: Path) -> Iterator[list[Any]]:
    """Of each corpus what the model is right in, and a single annotator where there are several."""
    for corpus in CORPORA:
        path = run / f"evaluation-{corpus}" / "evaluation.json"
        for question in json.loads(path.read_text(encoding="utf-8"))["tasks"]:
            rows = [row for row in question["rows"] if row["system"] in WHO]
            for metric in METRICS.get(question["name"], ()):
                for row in rows:
                    found = row["metrics"].get(metric)
                    if found is not None and found["value"] is not None:
                        value = {end: found[end] and round(found[end], 4) for end in ("value", "low", "high")}
                        yield [corpus, question["name"], metric, row["system"], value, found["items"]]


if __name__ == "__main__":
    sys.exit(main())
