"""Task success prediction: for each goal `success` or `failure`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, At, AtGoal, Label, Unit
from labelgen.features.layout import Layout, States
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.tasks.task import Widths


class OutcomeHead(nn.Module):
    """Scores from the mean state of a goal's turns and the state of its last turn, which decides most outcomes."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, labels))

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "G 2"]:
        goal, turn, last, count = layout.goal_members()
        total = states.turns.new_zeros(layout.goal_count, states.turns.shape[1]).index_add(0, goal, states.turns[turn])
        out: Tensor = self.score(torch.cat([total / count[:, None], states.turns[last]], dim=1))
        return out


class Outcome(ExclusiveTask):
    name: ClassVar[str] = "outcome"
    units: ClassVar[tuple[Unit, ...]] = ("goal",)
    names: ClassVar[tuple[str, ...]] = ("success", "failure")
    has_witnesses: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "macro_f1",
        "accuracy",
        "failure_auprc",
        "matched_failure_auprc",
        "failure_f1",
        "log_loss",
        "ece",
    )

    def head(self, widths: Widths) -> nn.Module:
        return OutcomeHead(widths.dialogue, len(self.names))

    def inform(self, answers: Sequence[Answers], layout: Layout) -> Layout:
        failures = {
            (b, label.at.turns): dict(label.distribution or ())["failure"]
            for b, of_dialogue in enumerate(answers)
            for label in of_dialogue
            if isinstance(label, Label) and isinstance(label.at, AtGoal)
        }
        return replace(layout, failures=failures)

    def places(self, layout: Layout) -> Sequence[tuple[int, At]]:
        return [(b, AtGoal(turns)) for b, goals in enumerate(layout.goals) for turns in goals]
