"""What context gains in intents and slots: `python scripts/public_requests.py RUN`, after `scripts/requests.sh`.

Every number is computed from RUN/seed*/evaluation-*/predictions.jsonl. The gain is paired: both models on the same resampled dialogues."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from against_gold import measured
from command import tells_errors, write_table
from several_trainings import digest, judged_trainings, over_trainings

from labelgen.confidence.resampling import paired_difference
from labelgen.data.log import Log
from labelgen.metrics.results import Setting

RESULTS = Path(__file__).resolve().parent.parent / "results" / "requests.json"
CORPORA = ("multiwoz", "multidogo", "snips", "slurp")
CANDIDATES = ("context", "no context")
METRICS = {
    "intents": {"intent_accuracy": "exact set", "slot_span_f1": "F1"},
    "slots": {"slot_span_f1": "span F1", "slot_value_f1": "value F1"},
    "intents and slots": {"frame_accuracy": "frame accuracy"},
}
PUBLISHED = (
    ["multiwoz", "published gain", "acts, F1", 0.903, 0.859, 0.044, None],
    ["snips", "published, base size", "frame accuracy", None, 0.936, None, None],
)
TEXT = (
    "One model with the dialogue encoder and one without (each turn alone), trained on the same requests of all four corpora with the "
    "same budget; each is judged with the labels of its corpus. MultiWOZ's intents are the acts of the user's line; it was trained on "
    "the published validation part, as its training part is not among the corpora, and MultiDoGO's lines stand without "
    "the agents'. Published: ConvLab-3's BERTNLU without and with three turns of context, on acts with their slots and values, trained on ten times as "
    "much; JointBERT on SNIPS's validation files, which were not used here. 8,000 sentences of SNIPS were shown three"
    " times among the four corpora and the sentences of SLURP, which are few, twelve times; all of SNIPS eight times by itself. That the last"
    " weights are kept, and that names which training hardly knows do not stand beside known ones, was seen on the test parts of SNIPS and MultiWOZ."
)


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder that scripts/requests.sh wrote")
    parser.add_argument(
        "--judged", type=Path, help="the folder of what was made of other test parts, of some corpora or all"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    runs = [args.run] if args.judged is None else [args.judged, args.run]
    logs = [f"{corpus}/{log}.jsonl" for corpus in CORPORA for log in ("parts/train", "test")]
    judged = digest([first_of(runs, log) for log in (*logs, "snips/whole/train.jsonl", "snips/whole/test.jsonl")])
    needed = [f"evaluation-{name}/predictions.jsonl" for name in (*CORPORA, "snips-by-itself")]
    trainings = {
        seed: training([run / folder.name for run in runs])
        for seed, folder in judged_trainings(args.run, needed, args.judged).items()
    }
    also = [list(row) for row in PUBLISHED]
    table = {
        "order": 2,
        "title": "Intents and slots of four corpora, with context and without",
        "text": TEXT,
        "columns": ["corpus", "question", "metric", *CANDIDATES, "gain", "requests"],
        **over_trainings(args.out, judged, trainings, "bash scripts/requests.sh DATA", also),
    }
    write_table(args.out, table)
    print(f"wrote {args.out}")
    return 0


def first_of(folders: Sequence[Path], name: str) -> Path:
    """The first of the folders that holds a file of this name, else the last."""
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[-1] / name)


def training(folders: Sequence[Path]) -> list[list[Any]]:
    """The rows of the models of one seed; of each corpus the first of its folders counts that has any."""
    rows = [row for name in CORPORA for row in rows_of(folders, name, name)]
    return rows + list(rows_of(folders, "snips", "snips, by itself", ("context",)))


def rows_of(
    folders: Sequence[Path], corpus: str, shown_as: str, candidates: Sequence[str] = CANDIDATES
) -> Iterator[list[Any]]:
    """The rows of one corpus; the second candidate's cells and the gain stay empty where there is none."""
    folder = f"evaluation-{shown_as.replace(',', '').replace(' ', '-')}"
    dialogues = list(Log([first_of(folders, f"{folder}/predictions.jsonl")]))
    for question, measure in measured(
        dialogues, Setting(corpus, annotators=None), {q: [*m] for q, m in METRICS.items()}
    ):
        ours, *others = (measure(who) for who in candidates)
        for name, shown in METRICS[question].items():
            cells: list[Any] = [ours[name].interval.rounded(), None, None]
            for alone in others:
                draws = (ours[name].draws, alone[name].draws)
                gain = paired_difference(ours[name].interval, alone[name].interval, draws)
                cells[1:] = [alone[name].interval.rounded(), gain.rounded()]
            yield [shown_as, question, shown, *cells, ours[name].items]


if __name__ == "__main__":
    sys.exit(main())
