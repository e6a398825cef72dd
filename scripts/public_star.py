"""What can be said of STAR's outcomes without a model, as annotations to be judged beside one.

    python scripts/public_star.py star/train.jsonl star/test.jsonl star/test_with_baselines.jsonl

Writes the test log with three more annotators of kind `rule`, at the goals of the annotator `user`:
"the task's own failure rate": the share of failures that the training users reported of the same task (smoothed by one
dialogue at the overall rate); "the last action's failure rate": the same by the wizard's last action but for words of parting, as
their tools labeled it; "implicit signals": the waterfall over what behavior shows, without any answer."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from command import tells_errors
from msgspec.structs import replace

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log
from labelgen.feedback.posterior import waterfall
from labelgen.feedback.signal import find_signals
from labelgen.feedback.targets import feedback_targets

USER = "user"
_PARTING = ("goodbye", "anything_else")


@tells_errors
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    train = list(Log([args.train]))
    base, rates = failure_rates(train)
    count = write_log(args.out, judged(Log([args.test]), rates, base), force=args.force)
    print(f"{count:,} answered dialogues in {args.out}; {base:.1%} of the training answers say that it failed")
    return 0


def failure_rates(train: Sequence[Dialogue]) -> tuple[float, dict[str, dict[str, float]]]:
    """Share of failures over all, and by each of RATES: rule -> what it goes by -> share."""
    outcomes = [(dialogue, label.name == "failure") for dialogue in train for label in answers_of(dialogue)]
    base = sum(failed for _, failed in outcomes) / len(outcomes)
    rates = {}
    for rule, by in RATES.items():
        asked = Counter(by(dialogue) for dialogue, _ in outcomes)
        failures = Counter(by(dialogue) for dialogue, failed in outcomes if failed)
        rates[rule] = {key: (failures[key] + base) / (count + 1) for key, count in asked.items()}
    return base, rates


def judged(test: Iterable[Dialogue], rates: dict[str, dict[str, float]], base: float) -> Iterator[Dialogue]:
    """Answered dialogues with what each rule says."""
    for dialogue in test:
        for label in answers_of(dialogue):
            signals = [s for s in find_signals(dialogue) if not s.explicit]
            found = [t for t in feedback_targets(dialogue, signals, waterfall, USER) if t.at == label.at]
            by_signals = next((dict(t.distribution)["failure"] for t in found if t.distribution), base)
            by_rate = {rule: rates[rule].get(by(dialogue), base) for rule, by in RATES.items()}
            new = (
                *(_annotation(rule, label.at, rate) for rule, rate in by_rate.items()),
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


def last_action_of(dialogue: Dialogue) -> str:
    """The label of the wizard's last action that is more than a word of parting; empty where there is none."""
    actions = [c.value for turn in dialogue.turns for c in turn.categories if c.name == "wizard_action"]
    return next((action for action in reversed(actions) if not action.startswith(_PARTING)), "")


RATES = {"the task's own failure rate": task_of, "the last action's failure rate": last_action_of}
"""rule -> what of a dialogue its rate goes by."""


def _annotation(name: str, at: object, failure: float) -> Annotation:
    assert isinstance(at, AtGoal)
    both = (("success", 1.0 - failure), ("failure", failure))
    best = max(both, key=lambda pair: pair[1])
    goals = Label("goals", at, "goal")
    return Annotation(name, "rule", (goals, Label("outcome", at, best[0], best[1], None, both)))


if __name__ == "__main__":
    sys.exit(main())
