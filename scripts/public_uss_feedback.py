"""USS with one rater as the only feedback: what is learned from, and the figures of `scripts/uss_feedback.sh`.

    python scripts/public_uss_feedback.py one uss/train.jsonl one/train.jsonl
    python scripts/public_uss_feedback.py collect runs/uss-feedback

`one` writes each dialogue with the ratings of its first rater as recorded feedback, each on the turn that it is about, and
without any annotation; dialogues that nobody rated are left out. `collect` writes results/uss_feedback.json."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from collect_results import table_of
from command import tells_errors, write_table
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue, Feedback
from labelgen.data.labels import AtDialogue, AtTurn, answers
from labelgen.data.log import Log, write_log

METRICS = ("accuracy", "macro_f1", "cohen_kappa", "bad_auprc", "bad_f1", "spearman_rho")
RESULTS = Path(__file__).resolve().parent.parent / "results" / "uss_feedback.json"
TEXT = (
    "A model that learned from the ratings of one person a dialogue, as recorded feedback (a three is fair), beside one that learned from all raters' annotations of the same "
    "dialogues; the text encoder frozen, three passes. "
    "Each rater is judged against the majority of the others, the models on the same turns against the same consensus."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("one")
    for name in ("log", "out"):
        one.add_argument(name, type=Path)
    collect = actions.add_parser("collect")
    collect.add_argument("run", type=Path, help="the folder that scripts/uss_feedback.sh wrote")
    collect.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.action == "one":
        log = Log([args.log])
        print(f"{write_log(args.out, by_one_rater(log), log.labels(), force=True):,} dialogues")
    else:
        evaluation = json.loads((args.run / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
        table = table_of(evaluation, 4, "USS: one rater as the only feedback", TEXT, METRICS)
        table["command"] = "bash scripts/uss_feedback.sh DATA"
        write_table(args.out, table)
        print(f"wrote {args.out}")
    return 0


def by_one_rater(log: Log) -> Iterator[Dialogue]:
    """The dialogues that somebody rated, with what the first of their raters said as their only feedback."""
    for dialogue in log:
        if not dialogue.annotations:
            continue
        said = {
            at: Feedback(kind="rating", rating=float(label.value), scale=(1.0, 5.0))
            for at, labels in answers(dialogue.annotations[0], "quality").items()
            for label in labels
            if isinstance(label.value, int | float)
        }
        turns = tuple(
            replace(turn, feedback=(said[AtTurn(t)],)) if AtTurn(t) in said else turn
            for t, turn in enumerate(dialogue.turns)
        )
        whole = (said[AtDialogue()],) if AtDialogue() in said else ()
        yield replace(dialogue, turns=turns, feedback=whole, annotations=())


if __name__ == "__main__":
    sys.exit(main())
