"""Where a goal broke: for each failed goal the turn and the stage of the assistant that failed first and was not recovered from.

A label at a turn names the stage. `none`: the failure of its goal does not begin there. `recovered`: something went wrong and a later
turn of the goal repaired it. `out_of_scope`: the goal fails since it asks for what the assistant cannot do, which is no stage's failure.

A failed goal begins to fail at one turn, so its turns are decided together: the odds of a beginning against none at a turn, by the
scores of that turn, are normalized over all pairs of turn and stage of the goal. Their sum is the odds that the goal failed at all; with the
task outcome the log-odds are the mean of both, so that either may be unsure. A stage is named where a failure is more probable than not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from msgspec.structs import replace
from torch import Tensor, nn

from labelgen.data.dialogue import TOOL, Dialogue, Turn, words_of_step
from labelgen.data.labels import Answers, At, AtTurn, Label, Unit
from labelgen.features.layout import Layout, States, Voice
from labelgen.feedback.items import goals_of
from labelgen.tasks.exclusive import ExclusiveTask, exclusive_label, softmax_rows
from labelgen.tasks.quality import around
from labelgen.tasks.task import Widths
from labelgen.verdicts.content import PlaceContent
from labelgen.verdicts.evidence import CALLS, evidence_of, faulty_calls

STEP_OF: Mapping[str, str] = {"entity": "resolution"}
"""The kind of step in which a stage of a voice assistant is logged, where it has another name."""
BEGINNINGS = ("wake", "recognition", "understanding", "entity", "result", *CALLS, "out_of_scope")
_TINY = 1e-9


class CauseHead(nn.Module):
    """Scores of each turn from its state, those of its neighbors and the mean of the dialogue."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, labels))

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N labels"]:
        out: Tensor = self.score(torch.cat([states.turns, *around(states, layout)], dim=1))
        return out.float()


class Cause(ExclusiveTask):
    name: ClassVar[str] = "cause"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    names: ClassVar[tuple[str, ...]] = (*BEGINNINGS, "recovered", "none")
    has_member: ClassVar[bool] = True
    idle: ClassVar[tuple[str, ...]] = ("none",)
    metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "accuracy", "cohen_kappa", "log_loss", "ece")

    def head(self, widths: Widths) -> nn.Module:
        return CauseHead(widths.dialogue, len(self.names))

    def places(self, layout: Layout) -> Sequence[tuple[int, At]]:
        return [(b, AtTurn(t)) for b, count in enumerate(layout.turns) for t in range(count)]

    def contents(
        self,
        dialogue: Dialogue,
        goals: Sequence[tuple[int, ...]],
        places: Sequence[At],
        later: bool,
        voices: Sequence[Voice | None] = (),
    ) -> list[PlaceContent]:
        turns = [at for at in places if isinstance(at, AtTurn)]
        return evidence_of(dialogue, goals or goals_of(dialogue, None)[0], turns, later)

    def decode(
        self, out: Float[Tensor, "N labels"], layout: Layout, factors: Sequence[Sequence[float]] = ()
    ) -> tuple[Answers, ...]:
        """factors are not used: the goal decides, not the share of names."""
        rows = softmax_rows(out)
        answers = []
        for b, dialogue in enumerate(layout.dialogues):
            own = rows[layout.first_turn[b] : layout.first_turn[b] + layout.turns[b]]
            labels: dict[int, Label] = {}
            for goal in layout.goals[b]:
                failed = layout.failures.get((b, goal))
                labels.update(self._of_goal(goal, [own[t] for t in goal], failed, dialogue.turns))
            for t, row in enumerate(own):
                if t not in labels:
                    labels[t] = self._label(t, [0.0] * len(BEGINNINGS), row, None)
            answers.append(tuple(labels[t] for t in range(len(own))))
        return tuple(answers)

    def _of_goal(
        self,
        goal: Sequence[int],
        rows: Sequence[Sequence[float]],
        failed: float | None,
        turns: Sequence[Turn],
    ) -> Iterator[tuple[int, Label]]:
        """failed: probability of a failure by the outcome; None without one."""
        first = len(BEGINNINGS)
        odds = [[p / max(sum(row[first:]), _TINY) for p in row[:first]] for row in rows]
        total = sum(map(sum, odds))
        joined = total if failed is None else math.sqrt(total * failed / max(1.0 - failed, _TINY))
        probability = joined / (1.0 + joined)
        fails = probability > 0.5
        share = probability / max(total, _TINY)
        best = max(range(len(goal)), key=lambda k: (max(odds[k]), -k)) if fails else None
        for k, t in enumerate(goal):
            label = self._label(t, [share * x for x in odds[k]], rows[k], turns[t] if k == best else None)
            yield t, label

    def _label(self, t: int, beginnings: Sequence[float], row: Sequence[float], begins: Turn | None) -> Label:
        """beginnings: probability of each. row: scores of the turn, which share the rest. begins: the turn, if the failure begins there."""
        first = len(BEGINNINGS)
        rest = row[first:]
        left = max(0.0, 1.0 - sum(beginnings)) / max(sum(rest), _TINY)
        row = [*beginnings, *(left * p for p in rest)]
        among = [1.0] * first + [0.0] * len(rest) if begins is not None else [0.0] * first + [1.0] * len(rest)
        label = exclusive_label(self.name, AtTurn(t), self.names, row, None, among)
        return label if begins is None else replace(label, value=step_words(begins, label.name))


def step_words(turn: Turn, cause: str) -> str | None:
    """The first wrong step of a turn in words, such as `step 2 search`: the first that looks wrong, else the first of its kind; None where the
    log has none."""
    kind = TOOL if cause in CALLS else STEP_OF.get(cause, cause)
    of_kind = [k for k, step in enumerate(turn.steps) if step.kind == kind]
    if not of_kind:
        return None
    wrong = faulty_calls(turn)[cause] if cause in CALLS else next((k for k in of_kind if turn.steps[k].error), None)
    index = of_kind[0] if wrong is None else wrong
    return words_of_step(index, turn.steps[index])
