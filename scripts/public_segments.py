"""Boundaries of segments: what is judged by `scripts/public_segments.sh`, and its table.

    python scripts/public_segments.py write runs/goals/several/test.jsonl segments/test.jsonl --annotator wizard
    python scripts/public_segments.py line runs/goals/whole/test.jsonl segments/test.jsonl --seed 0
    python scripts/public_segments.py collect runs/segments --name star --title "Segments: STAR"

`write` turns a log in which an annotator gives the goals into records of `{"utterances": [...], "segments": [...]}`: a border
stands wherever the next turn serves another goal. `line` lays each dialogue of a log one after another with one or two
others. Both are ways to try the script; published corpora are in that form, or in SuperDialseg's, already (reader
`segments`). `collect` writes segments_NAME.json: Pk, WindowDiff and boundary F1 as the published figures have them
(scripts/segment_scores.py), with rules beside the model and published figures as rows, each on test data of its own."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from command import tells_errors, write_table
from goal_rows import Judged, judged_of, versions
from segment_scores import Marks, marks_of, scores

from labelgen.base.files import write_text
from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, answers
from labelgen.data.log import Log
from labelgen.pretraining.corruption import DialoguePool, in_line

REFERENCE = "segments"
COMMAND = "bash scripts/public_segments.sh TRAIN TEST"
SCORES = ("Pk", "WindowDiff", "boundary F1")
TEXT = (
    "An utterance a turn; a boundary stands between two utterances or not. Each figure is the mean over dialogues, with windows "
    "of half the mean length of the dialogue's own segments, at least 2, as SuperDialseg's evaluation computes them; Pk and "
    "WindowDiff are errors. `even` and `random` know how many boundaries there are. The published figures are on test "
    "data of their own, which is not here: they say what to judge the same script by where that data is at hand."
)
PUBLISHED: tuple[tuple[str, float, float, float], ...] = (
    ("published: RoBERTa-base on SuperDialseg, on its own test data", 0.185, 0.192, 0.784),
    ("published: GPT-4o on TIAGE, on its own test data", 0.232, 0.256, 0.699),
)


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("write", "line"):
        action = actions.add_parser(name)
        action.add_argument("log", type=Path)
        action.add_argument("out", type=Path)
        if name == "write":
            action.add_argument("--annotator", required=True, help="who gives the goals")
        else:
            action.add_argument("--seed", type=int, default=0)
            action.add_argument("--most", type=int, help="dialogues that are written (default: all)")
    collect = actions.add_parser("collect")
    collect.add_argument("run", type=Path, help="the folder that scripts/public_segments.sh wrote")
    collect.add_argument("--name", required=True, help="of the table's file")
    collect.add_argument("--title", required=True, help="of the table")
    collect.add_argument("--note", default="", help="what else a reader must know of the data, said below the table")
    collect.add_argument(
        "--command", default=COMMAND, help="what made it, as the table is to say (default %(default)s)"
    )
    collect.add_argument("--out", type=Path, required=True, help="the folder of the table")
    args = parser.parse_args(argv)
    if args.action == "collect":
        path = args.out / f"segments_{args.name}.json"
        write_table(path, {**table(args.run, args.title, args.note), "command": args.command})
        print(f"wrote {path}")
    else:
        log = Log([args.log])
        made = divided(log, args.annotator) if args.action == "write" else laid(list(log), args.seed)
        records = [record(d, goals) for d, goals in made][: getattr(args, "most", None)]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
        print(f"{len(records):,} records in {args.out}")
    return 0


Divided = tuple[Dialogue, Sequence[tuple[int, ...]]]


def divided(log: Iterable[Dialogue], annotator: str) -> Iterator[Divided]:
    """The dialogues that the annotator divides into goals."""
    for dialogue in log:
        found = dialogue.annotation(annotator)
        if found is not None and AtDialogue() in answers(found, GOALS):
            yield dialogue, goals_of(found)


def laid(log: Sequence[Dialogue], seed: int) -> Iterator[Divided]:
    """Each dialogue in line with one or two others of the log, as pretraining lays them."""
    pool = DialoguePool(log)
    for dialogue in log:
        made, targets = in_line(dialogue, pool, Random(f"{seed}/{dialogue.id}"))
        yield made, [target.at.turns for target in targets if isinstance(target.at, AtGoal)]


def goals_of(annotation: Annotation) -> list[tuple[int, ...]]:
    return [label.at.turns for label in answers(annotation, GOALS)[AtDialogue()] if isinstance(label.at, AtGoal)]


def record(dialogue: Dialogue, goals: Sequence[tuple[int, ...]]) -> dict[str, object]:
    """A dialogue as utterances, and how many of them each segment has."""
    serves = {turn: k for k, goal in enumerate(goals) for turn in goal}
    said: list[dict[str, str]] = []
    goal_of: list[int | None] = []
    for t, turn in enumerate(dialogue.turns):
        for speaker, text in (("user", turn.request), ("assistant", turn.response)):
            if text:
                said.append({"speaker": speaker, "text": text})
                goal_of.append(serves.get(t))
    lengths = [len(list(run)) for _, run in groupby(goal_of)]
    return {"dial_id": dialogue.id, "utterances": said, "segments": lengths}


def table(run: Path, title: str, note: str = "") -> dict[str, Any]:
    """The table of a run: the models, then rules, then what was published."""
    judged = [x for x in judged_of(run / "evaluation" / "predictions.jsonl", REFERENCE) if len(x.dialogue.turns) >= 2]
    times = resamples(len(judged), 1000, 0)
    models = [a.annotator for a in judged[0].dialogue.annotations if a.kind == "model"] if judged else []
    rows: list[list[object]] = []
    for name in (*models, *RULES):
        found = np.array([scores(wanted(x), given(name, x)) for x in judged])
        rows.append([name, len(judged), *(of_statistic(_mean(found[:, k]), times).rounded() for k in range(3))])
    rows += [[name, None, *values] for name, *values in PUBLISHED]
    turns = sum(len(x.dialogue.turns) for x in judged)
    borders = sum(sum(wanted(x)) for x in judged)
    data = f"{len(judged):,} dialogues, {turns:,} utterances, {borders:,} boundaries."
    return {
        "order": 3,
        "title": title,
        "text": TEXT,
        "command": COMMAND,
        "versions": versions(),
        "data": " ".join(part for part in (data, note) if part),
        "columns": ["candidate", "dialogues", *(f"{score} (95%)" for score in SCORES)],
        "rows": rows,
    }


RULES = ("no boundary", "even", "random")


def wanted(judged: Judged) -> Marks:
    return marks_of(goals_of(judged.reference), len(judged.dialogue.turns))


def given(name: str, judged: Judged) -> Marks:
    """Marks of a model, or of a rule."""
    turns = len(judged.dialogue.turns)
    if name not in RULES:
        said = judged.dialogue.annotation(name)
        assert said is not None
        return marks_of(goals_of(said) if AtDialogue() in answers(said, GOALS) else [], turns)
    count = sum(wanted(judged))
    ends: set[int] = set()
    if name == "even":
        ends = {round((k + 1) * turns / (count + 1)) - 1 for k in range(count)}
    elif name == "random":
        ends = set(Random(judged.dialogue.id).sample(range(turns - 1), count))
    return [t in ends and t < turns - 1 for t in range(turns)]


def _mean(values: Array) -> Callable[[Array], Array]:
    """The mean as a statistic of how often each dialogue is taken."""
    return lambda taken: taken @ values / taken.sum(axis=1)


if __name__ == "__main__":
    sys.exit(main())
