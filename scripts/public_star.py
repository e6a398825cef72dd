"""What can be said of STAR's outcomes without a model, as annotations to be judged beside one.

    python scripts/public_star.py star/train.jsonl star/test.jsonl star/test_with_baselines.jsonl

Writes the test log with two more annotators of kind `rule`, at the goals of the annotator `user`:
"the task's own failure rate": the share of failures that the training users reported of the same task (smoothed by one
dialogue at the overall rate); "implicit signals": the waterfall over what behaviour shows, without any answer."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from command import tells_errors

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets

USER = "user"


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    rates, base = failure_rates(Log([args.train]))
    count = write_log(args.out, judged(Log([args.test]), rates, base), force=args.force)
    print(f"{count:,} answered dialogues in {args.out}; {base:.1%} of the training answers say that it failed")
    return 0


def failure_rates(train: Iterable[Dialogue]) -> tuple[dict[str, float], float]:
    """Share of failures of each task, and over all."""
    asked: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for dialogue in train:
        for label in answers_of(dialogue):
            asked[task_of(dialogue)] += 1
            failed[task_of(dialogue)] += label.name == "failure"
    base = failed.total() / asked.total()
    return {task: (failed[task] + base) / (count + 1) for task, count in asked.items()}, base


def judged(test: Iterable[Dialogue], rates: dict[str, float], base: float) -> Iterator[Dialogue]:
    """Answered dialogues with both baselines."""
    for dialogue in test:
        for label in answers_of(dialogue):
            by_task = rates.get(task_of(dialogue), base)
            signals = [s for s in find_signals(dialogue) if not s.explicit]
            found = [t for t in feedback_targets(dialogue, signals, waterfall, USER) if t.at == label.at]
            by_signals = next((dict(t.distribution)["failure"] for t in found if t.distribution), base)
            new = (
                _annotation("the task's own failure rate", label.at, by_task),
                _annotation("implicit signals", label.at, by_signals),
            )
            yield replace(dialogue, annotations=(*dialogue.annotations, *new))


def answers_of(dialogue: Dialogue) -> list[Label]:
    """The user's own word on the outcome."""
    annotation = dialogue.annotation(USER)
    return [x for x in annotation.labels if x.task == "outcome" and isinstance(x.at, AtGoal)] if annotation else []


def task_of(dialogue: Dialogue) -> str:
    """The task of the scenario, which the reader keeps in `extra`."""
    return str(json.loads(dialogue.extra or "{}").get("task", ""))


def _annotation(name: str, at: object, failure: float) -> Annotation:
    assert isinstance(at, AtGoal)
    both = (("success", 1.0 - failure), ("failure", failure))
    best = max(both, key=lambda pair: pair[1])
    goals = Label("goals", at, "goal")
    return Annotation(name, "rule", (goals, Label("outcome", at, best[0], best[1], None, both)))


if __name__ == "__main__":
    sys.exit(main())
