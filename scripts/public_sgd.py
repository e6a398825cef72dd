"""The table of `scripts/sgd.sh`: `python scripts/public_sgd.py RUN`. Every number is computed from RUN/evaluation-*/*/predictions.jsonl.

A dialogue is of known labels where all intents and slots that its annotation names occurred in training; Movies_1 has an intent in
the test part that it lacks in training, so services would not tell."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from against_gold import measured
from command import tells_errors, write_table
from several_trainings import digest, over_trainings

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import ON_GIVEN_GOALS
from labelgen.data.log import Log
from labelgen.evaluation.prepare import systems_of
from labelgen.metrics.results import Setting

RESULTS = Path(__file__).resolve().parent.parent / "results" / "sgd_full.json"
METRICS = {
    "goals": ("exact_goal_f1", "b_cubed_f1", "boundary_f1", "pk", "window_diff"),
    "outcome": ("failure_auprc", "accuracy", "failure_f1"),
    "intents": ("intent_accuracy", "intent_macro_f1"),
    "slots": ("slot_span_f1", "slot_value_f1"),
    "intents and slots": ("frame_accuracy",),
}
PARTS = {"parts": "held out of train", "test": "test part"}
OF_REQUESTS = ("intents", "slots", "intents and slots")
TEXT = (
    "Trained on {count:,} dialogues of the published training part, one and a half passes; a tenth by dialogue was held out. The test part "
    "is judged apart where all labels of a dialogue occurred in training, and where one or more are new, most of them of new services, and "
    "scored by their descriptions. All labels of a part may be decoded; with services given, those of the dialogue's own services, as in the "
    "published task. That any intent holds has a score of its own since errors of 500 dialogues of the test part were looked at; dev, whose "
    "services are mostly new too, stands in the next tables and was not."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder that scripts/sgd.sh wrote")
    parser.add_argument("--judged", type=Path, help="the folder of what was made of the test part (default: the run)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    test = args.judged or args.run
    trained, count = _names(Log([args.run / "parts" / "train.jsonl"]))
    judged = digest(
        [args.run / "parts" / "train.jsonl", args.run / "parts" / "test.jsonl", test / "test" / "test.jsonl"]
    )
    table = {
        "order": 1,
        "title": "SGD with all training dialogues",
        "text": TEXT.format(count=count),
        "columns": ["dialogues", "question", "candidate", "metric", "value (95%)", "items"],
        **over_trainings(args.out, judged, trainings_of(args.run, test, trained), "bash scripts/sgd.sh DATA"),
    }
    write_table(args.out, table)
    for row in table["rows"]:
        print(*row)
    return 0


def trainings_of(run: Path, test: Path, trained: set[str]) -> dict[str, list[list[Any]]]:
    """The rows of each training of the run that was judged on the test part, by its seed: of all labels, and of those of the services
    given. test: the folder of what was made of the test part."""
    # The last that scripts/sgd.sh makes of a seed.
    seeds = [made.parent.name for made in sorted((test / "evaluation-given-test").glob("seed*/evaluation.json"))]
    found: dict[str, list[list[Any]]] = {}
    for part, name in PARTS.items():
        for folder, questions in ((f"evaluation-{part}", tuple(METRICS)), (f"evaluation-given-{part}", OF_REQUESTS)):
            for seed in seeds:
                predictions = (test if part == "test" else run) / folder / seed / "predictions.jsonl"
                dialogues = list(Log([predictions]))
                known = [d for d in dialogues if _names([d])[0] <= trained]
                new = [d for d in dialogues if not _names([d])[0] <= trained]
                own = found.setdefault(seed.removeprefix("seed"), [])
                for of, group in (("labels trained on", known), ("new labels", new)):
                    if group:
                        own.extend(rows_of(f"{name}, {of}", group, questions))
    return found


def _names(dialogues: Log | Sequence[Dialogue]) -> tuple[set[str], int]:
    """Every intent and slot that the annotations name, and the number of dialogues."""
    count, found = 0, set()
    for dialogue in dialogues:
        count += 1
        annotation = dialogue.annotation("sgd")
        labels = () if annotation is None else annotation.labels
        found |= {label.name for label in labels if label.task in ("intents", "slots")}
    return found, count


def rows_of(name: str, dialogues: Sequence[Dialogue], names: Sequence[str]) -> Iterator[list[Any]]:
    """The rows of one group of dialogues, for the questions of these names."""
    setting = Setting("sgd", annotators=None)
    for question, measure in measured(dialogues, setting, {q: METRICS[q] for q in names}):
        for who in systems_of(dialogues, setting):
            if question != "outcome" and who.endswith(ON_GIVEN_GOALS):
                continue
            for metric, found in measure(who).items():
                yield [name, question, who, metric, found.interval.rounded(), found.items]


if __name__ == "__main__":
    sys.exit(main())
