"""Turn order prediction, for pretraining: is a turn at its original position (`kept`), or was it `moved`?"""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import At, AtTurn, Unit
from labelgen.features.layout import Layout, States
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.tasks.task import Widths


class OrderHead(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 2)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N 2"]:
        out: Float[Tensor, "N 2"] = self.score(states.turns)
        return out


class Order(ExclusiveTask):
    name: ClassVar[str] = "order"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    names: ClassVar[tuple[str, ...]] = ("kept", "moved")
    metrics: ClassVar[tuple[str, ...]] = ("macro_f1", "accuracy")

    def head(self, widths: Widths) -> nn.Module:
        return OrderHead(widths.dialogue)

    def places(self, layout: Layout) -> Sequence[tuple[int, At]]:
        return [(b, AtTurn(t)) for b, count in enumerate(layout.turns) for t in range(count)]
