"""Baselines that divide a dialogue into goals by rules, for `labelgen evaluate --baseline`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import AtGoal, Label
from labelgen.evaluation.baselines import Location, Prediction, TrainingAnswer, goal_name, of_labels
from labelgen.feedback.cues import is_closing, only_takes_leave, takes_leave
from labelgen.feedback.links import topic_shifts
from labelgen.metrics.results import BASELINE
from labelgen.tasks.evaluation import EvaluationTask


class Division(ABC):
    """A rule that divides a dialogue into goals; not defined for other tasks."""

    name: str

    def __init__(self, seed: int = 0) -> None:
        self._goals: dict[str, str] = {}

    def learn(self, task: EvaluationTask, examples: Sequence[TrainingAnswer]) -> Mapping[str, Any]:
        if task.divides:
            self._goals[task.name] = goal_name(examples)
        return {}

    def answer(self, task: EvaluationTask, places: Sequence[Location]) -> list[Prediction | None]:
        name = self._goals.get(task.name)
        if not name:
            return [None] * len(places)
        return [
            of_labels([Label(task.tasks[0], AtGoal(goal), name) for goal in runs(self.cuts(place.dialogue))])
            if place.dialogue.turns
            else of_labels([])
            for place in places
        ]

    @abstractmethod
    def cuts(self, dialogue: Dialogue) -> list[bool]:
        """For each turn but the first, whether a goal begins there. dialogue: at least one turn."""


def runs(cuts: Sequence[bool]) -> list[tuple[int, ...]]:
    """Goals of consecutive turns. cuts: for each turn but the first, whether a goal begins there."""
    goals = [[0]]
    for turn, cut in enumerate(cuts, 1):
        if cut:
            goals.append([])
        goals[-1].append(turn)
    return [tuple(goal) for goal in goals]


class CutAtThanks(Division):
    """A goal begins at a request after thanks, a farewell or an offer of more help."""

    name = BASELINE + "cut at thanks"

    def cuts(self, dialogue: Dialogue) -> list[bool]:
        locale = dialogue.locale
        return [
            (takes_leave(before.request, locale) or is_closing(before.response, locale))
            and not only_takes_leave(turn.request, locale)
            for before, turn in pairwise(dialogue.turns)
        ]


class TextTiling(Division):
    """A goal begins where the words of both sides differ more than on average in the dialogue (Hearst 1997)."""

    name = BASELINE + "TextTiling"

    def cuts(self, dialogue: Dialogue) -> list[bool]:
        return topic_shifts(dialogue)
