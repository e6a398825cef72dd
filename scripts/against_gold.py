"""What scripts about one annotator who is right by definition share: each question's metrics, with intervals over dialogues."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.evaluation.asked import asked
from labelgen.evaluation.compare import Measured, items_of, measure_all
from labelgen.evaluation.question import Question
from labelgen.evaluation.trials import Protocol, Setting

FRAMES = {"frame_accuracy": ("intents", "slots")}
Measure = Callable[[str], dict[str, Measured]]
"""The metrics of an annotator, by name."""


def measured(
    dialogues: Sequence[Dialogue], setting: Setting, metrics: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Measure]]:
    """Each question that `metrics` names, with what measures an annotator in it."""
    questions = [question for question in asked(FRAMES) if question.name in metrics]
    protocol = Protocol(dialogues, questions, setting)
    for question in questions:
        trials = protocol.trials(question).trials

        def of(who: str, question: Question = question, trials: Any = trials) -> dict[str, Measured]:
            return measure_all(metrics[question.name], items_of(trials, dialogues, question, who), trials, setting)

        yield question.name, of
