"""Logs for scripts/measure_feedback_training.py: what is learned from, and what is judged.

    python scripts/feedback_arms.py learn targets.jsonl FOLDER
    python scripts/feedback_arms.py judge test.jsonl judged.jsonl

`learn` writes one log an arm, FOLDER/ARM/train.jsonl, with the same dialogues and signals: `gold` has the truth and no
targets; `feedback` has the targets and no truth; `mixed` has the targets, and in 5% of the dialogues, which a stable hash of
their ids draws, the truth beside them, which counts wherever both speak. `judge` adds to the truth what the live assistant
believed, the hypotheses of all turns, as an annotation of kind `rule`. Both replace what stands at the output."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from command import tells_errors
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, AtTurn, Label, NoLabel
from labelgen.data.log import Log, write_log
from labelgen.data.split import position
from labelgen.simulator.log import TRUTH

ARMS = ("gold", "feedback", "mixed")
SHARE = 0.05
"""Of the dialogues, whose truth is added to feedback."""
BELIEF = "the live assistant"


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("action", choices=["learn", "judge"])
    args.add_argument("log", type=Path)
    args.add_argument("out", type=Path)
    given = args.parse_args(argv)
    log = Log([given.log])
    if given.action == "judge":
        write_log(given.out, map(with_belief, log), log.labels(), force=True)
        return 0
    for arm in ARMS:
        write_log(given.out / arm / "train.jsonl", learned_from(log, arm), log.labels(), force=True)
    return 0


def learned_from(log: Iterable[Dialogue], arm: str) -> Iterator[Dialogue]:
    """The dialogues with what an arm may learn from."""
    for dialogue in log:
        told = arm == "gold" or (arm == "mixed" and position(0, f"gold {dialogue.id}") < SHARE)
        truth = tuple(a for a in dialogue.annotations if told and a.annotator == TRUTH)
        yield replace(dialogue, annotations=truth, targets=() if arm == "gold" else dialogue.targets)


def with_belief(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the hypotheses of its turns as an annotation; a turn that has none is said to mean nothing."""
    labels: list[Label] = []
    none: list[NoLabel] = []
    for t, turn in enumerate(dialogue.turns):
        intents = turn.hypothesis.intents if turn.hypothesis else ()
        slots = turn.hypothesis.slots if turn.hypothesis else ()
        labels += [Label("intents", AtTurn(t), intent.name) for intent in intents]
        labels += [Label("slots", AtSpan(t, slot.start, slot.end), slot.name) for slot in slots]
        none += [NoLabel(task, AtTurn(t)) for task, said in (("intents", intents), ("slots", slots)) if not said]
    believed = Annotation(BELIEF, "rule", tuple(labels), tuple(none))
    return replace(dialogue, annotations=(*dialogue.annotations, believed))


if __name__ == "__main__":
    sys.exit(main())
