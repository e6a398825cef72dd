"""Dialogues to look at: where the first candidate is most often wrong."""

from collections.abc import Sequence
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.record import to_plain
from labelgen.evaluation.question import Question, answered
from labelgen.evaluation.trials import Setting
from labelgen.metrics.sets import same

MOST = 30


def examples(
    dialogues: Sequence[Dialogue], questions: Sequence[Question], candidates: Sequence[str], setting: Setting
) -> list[dict[str, Any]]:
    """Up to MOST dialogues, most wrong fields first, ties in the order of the log; errors count fields that the
    reference answers and the first candidate gets wrong or leaves."""
    if not candidates:
        return []
    single = [q for q in questions if len(q.tasks) == 1]
    found = []
    for place, dialogue in enumerate(dialogues):
        by_task = {q.name: _errors(dialogue, q, candidates[0], setting.against) for q in single}
        if sum(by_task.values()):
            found.append((-sum(by_task.values()), place, {name: n for name, n in by_task.items() if n}))
    return [
        {
            "errors": -errors,
            "errors_by_task": by_task,
            "candidate": candidates[0],
            "reference": setting.against,
            "record": to_plain(dialogues[place]),
        }
        for errors, place, by_task in sorted(found, key=lambda entry: entry[:2])[:MOST]
    ]


def _errors(dialogue: Dialogue, question: Question, candidate: str, reference: str) -> int:
    given = answered(dialogue.annotation(candidate), question)
    if not given:
        return 0
    wanted = answered(dialogue.annotation(reference), question)
    return sum(at not in given or not same(given[at], labels) for at, labels in wanted.items())
