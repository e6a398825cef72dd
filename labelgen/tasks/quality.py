"""User satisfaction estimation: quality of each response and of the whole dialogue.

The labels are bad (rating below 3), fair (3) and good (above 3). The next request tells most about a response, and the whole
dialogue tells how its raters judge. So the head reads a turn, its neighbors and the mean of the dialogue."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgen.data.labels import QUALITY_NAMES, At, AtDialogue, AtTurn, Unit, to_scale
from labelgen.features.layout import Layout, States
from labelgen.kernels.device import to_device
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.tasks.task import Widths


class QualityHead(nn.Module):
    """Rows: all real turns, then all dialogues: from the mean of their turns' states."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.turn = nn.Sequential(nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, 3))
        self.dialogue = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "rows 3"]:
        turns = torch.cat([states.turns, *around(states, layout)], dim=1)
        of_turns: Tensor = self.turn(turns)
        of_dialogues = self.dialogue(_means(states, layout))
        return torch.cat([of_turns, of_dialogues.to(of_turns.dtype)], dim=0).float()


def _means(states: States, layout: Layout) -> Float[Tensor, "B D"]:
    """The mean state of each dialogue's turns."""
    total = states.turns.new_zeros(len(layout.turns), states.turns.shape[1])
    total = total.index_add(0, layout.dialogue_of, states.turns)
    count = to_device(torch.tensor(layout.turns).clamp(min=1), total.device)
    return total / count[:, None]


def around(states: States, layout: Layout) -> tuple[Float[Tensor, "N D"], ...]:
    """For each turn: the turn before, the turn after, and the mean of the dialogue. Zeros where no such turn is visible; the mean
    of the turns so far where later turns are not visible."""
    nothing = torch.zeros_like(states.turns)
    if states.sees == "none":
        return nothing, nothing, nothing
    grid = layout.pad(states.turns)
    before = layout.unpad(F.pad(grid, (0, 0, 1, 0))[:, :-1])
    if states.sees == "earlier":
        so_far = grid.cumsum(dim=1) / torch.arange(1, layout.longest + 1, device=grid.device)[:, None]
        return before, nothing, layout.unpad(so_far)
    return before, layout.unpad(F.pad(grid, (0, 0, 0, 1))[:, 1:]), _means(states, layout)[layout.dialogue_of]


class Quality(ExclusiveTask):
    name: ClassVar[str] = "quality"
    units: ClassVar[tuple[Unit, ...]] = ("turn", "dialogue")
    names: ClassVar[tuple[str, ...]] = QUALITY_NAMES
    has_witnesses: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "macro_f1",
        "accuracy",
        "uar",
        "cohen_kappa",
        "bad_auprc",
        "bad_f1",
        "spearman_rho",
        "ece",
    )

    def head(self, widths: Widths) -> nn.Module:
        return QualityHead(widths.dialogue)

    def places(self, layout: Layout) -> Sequence[tuple[int, At]]:
        turns = [(b, AtTurn(t)) for b, count in enumerate(layout.turns) for t in range(count)]
        return [*turns, *((b, AtDialogue()) for b in range(len(layout.turns)))]

    def value(self, probabilities: Sequence[float]) -> float:
        """Expected rating on 1..5."""
        return sum(p * to_scale(name) for p, name in zip(probabilities, QUALITY_NAMES, strict=True))
