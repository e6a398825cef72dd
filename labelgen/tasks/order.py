"""Order, for pretraining: does a turn stand where it was said (`kept`), or was it moved?"""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, AtTurn, Target, Unit
from labelgen.features.layout import Layout, States, TargetTensors
from labelgen.nn.losses import Loss, exclusive
from labelgen.tasks.exclusive import exclusive_label, exclusive_rows, softmax_rows
from labelgen.tasks.task import Task, Widths


class OrderHead(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 2)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N 2"]:
        out: Float[Tensor, "N 2"] = self.score(states.turns)
        return out


class Order(Task[Float[Tensor, "N 2"]]):
    name: ClassVar[str] = "order"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    names: ClassVar[tuple[str, ...]] = ("kept", "moved")
    metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "accuracy")

    def head(self, widths: Widths) -> nn.Module:
        return OrderHead(widths.dialogue)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        rows: list[list[Target]] = [[] for _ in range(sum(layout.turns))]
        for b, own in enumerate(targets):
            for target in own:
                if isinstance(target.at, AtTurn):
                    rows[layout.turn(b, target.at.turn)].append(target)
        return exclusive_rows(rows, self.index)

    def loss(self, out: Float[Tensor, "N 2"], target: TargetTensors) -> Loss:
        return exclusive(out, target)

    def decode(self, out: Float[Tensor, "N 2"], layout: Layout) -> tuple[Answers, ...]:
        rows = softmax_rows(out)
        return tuple(
            tuple(exclusive_label(self.name, AtTurn(t), self.names, rows[layout.turn(b, t)]) for t in range(count))
            for b, count in enumerate(layout.turns)
        )
