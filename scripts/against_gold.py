"""What scripts about one annotator who is right by definition share: each question's metrics, with intervals over dialogues."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.measure import Measured, items_of, measure_all
from labelgen.evaluation.protocol import Protocol
from labelgen.evaluation.tasks import EvaluationTask, evaluation_tasks
from labelgen.metrics.results import Setting

FRAMES = {"frame_accuracy": ("intents", "slots")}
Measure = Callable[[str], dict[str, Measured]]
"""The metrics of an annotator, by name."""


def measured(
    dialogues: Sequence[Dialogue], setting: Setting, metrics: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Measure]]:
    """Each question that `metrics` names, with what measures an annotator in it."""
    questions = [question for question in evaluation_tasks(FRAMES) if question.name in metrics]
    protocol = Protocol(dialogues, questions, setting)
    for question in questions:
        trials = protocol.judgments(question).all

        def of(who: str, question: EvaluationTask = question, trials: Any = trials) -> dict[str, Measured]:
            return measure_all(metrics[question.name], items_of(trials, dialogues, question, who), trials, setting)

        yield question.name, of
