"""Response selection, for pretraining: which of the batch's responses belongs to a turn?

The response of the turn is masked and later turns are not visible, because the next turn would reveal it. Source: InfoNCE, van den
Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"; equal responses are never negatives."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, AtTurn, Label, Target, Unit
from labelgen.features.layout import Layout, States, TargetTensors
from labelgen.nn.structure import Loss, exclusive, forbid
from labelgen.tasks.exclusive import softmax_rows
from labelgen.tasks.task import Task, Widths


class SelectionHead(nn.Module):
    """scores[n, m]: of the response of turn m for turn n.

    It begins as the cosine of request and response by the encoder, which finds more than a random projection does after
    hundreds of steps (docs/explanation/decisions.md), and learns what the dialogue adds."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.request = nn.Linear(widths.encoder, widths.encoder, bias=False)
        self.response = nn.Linear(widths.encoder, widths.encoder, bias=False)
        self.query = nn.Linear(widths.dialogue, widths.encoder)
        self.scale = nn.Parameter(torch.tensor([2.5]))
        for kept in (self.request, self.response):
            nn.init.eye_(kept.weight)
        for added in (self.query.weight, self.query.bias):
            nn.init.zeros_(added)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N N"]:
        request = nn.functional.normalize(self.request(states.requests).float(), dim=1)
        query = nn.functional.normalize(request + self.query(states.turns).float(), dim=1)
        response = nn.functional.normalize(self.response(states.responses).float(), dim=1)
        same = layout.response_of[:, None] == layout.response_of[None, :]
        correct = torch.eye(len(query), dtype=torch.bool, device=query.device)
        return forbid(query @ response.T * self.scale.exp(), ~same | correct)


class Selection(Task[Float[Tensor, "N N"]]):
    name: ClassVar[str] = "selection"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    names: ClassVar[tuple[str, ...]] = ("own",)
    hides_response: ClassVar[bool] = True

    def head(self, widths: Widths) -> nn.Module:
        return SelectionHead(widths)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        weight = torch.zeros(sum(layout.turns))
        for b, dialogue in enumerate(targets):
            for target in dialogue:
                if isinstance(target.at, AtTurn):
                    weight[layout.turn(b, target.at.turn)] = target.weight
        return TargetTensors(torch.eye(sum(layout.turns)), weight)

    def loss(self, out: Float[Tensor, "N N"], target: TargetTensors) -> Loss:
        return exclusive(out, target)

    def decode(self, out: Float[Tensor, "N N"], layout: Layout) -> tuple[Answers, ...]:
        rows = softmax_rows(out)
        return tuple(
            tuple(
                Label(self.name, AtTurn(t), self.names[0], rows[layout.turn(b, t)][layout.turn(b, t)])
                for t in range(count)
            )
            for b, count in enumerate(layout.turns)
        )
