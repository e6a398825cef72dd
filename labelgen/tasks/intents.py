"""Intents: what a request asks for; several may hold, or none. Labels are scored by their names and descriptions."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from labelgen.data.evidence import Target
from labelgen.data.label_set import LabelSet
from labelgen.data.labels import AtTurn, Field, Label, Unit
from labelgen.nn.label_scorer import LabelScorer
from labelgen.nn.losses import Loss, forbid, independent, ranking
from labelgen.tasks.options import TaskOptions
from labelgen.tasks.task import Answers, Task, Widths
from labelgen.tensors.layout import Layout, States, TargetTensors

_LEAST = 0.01
"""What is less probable does not change what is said of another name."""


class IntentsHead(nn.Module):
    """Queries from a turn's state in its dialogue beside its own request."""

    def __init__(self, task: "Intents", widths: Widths) -> None:
        super().__init__()
        self.of_source = task.of_source
        self.task_name = task.name
        self.mix = nn.Sequential(nn.Linear(widths.dialogue + widths.encoder, widths.dialogue), nn.GELU())
        self.scorer = LabelScorer(
            widths.dialogue, widths.encoder, len(task.labels.names), 256, task.options.label_dropout
        )

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N K"]:
        queries = self.mix(torch.cat([states.turns, states.requests], dim=1))
        scores = self.scorer(queries, states.labels[self.task_name]).float()
        return forbid(scores, self.of_source(layout)[layout.dialogue_of])


class Intents(Task[Float[Tensor, "N K"]]):
    name: ClassVar[str] = "intents"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    gives_several: ClassVar[bool] = True
    reads_label_texts: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("intent_accuracy", "intent_macro_f1")

    def __init__(self, labels: LabelSet, options: TaskOptions) -> None:
        super().__init__(labels, options)
        self._often = frozenset(labels.often)
        self._together = frozenset(labels.together)

    def head(self, widths: Widths) -> nn.Module:
        return IntentsHead(self, widths)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """A name's probability is the weighted mean over the targets that know of it; where none does, its weight is
        0. A label that the source cannot give is never known."""
        rows, names = sum(layout.turns), len(self.labels.names)
        mass = torch.zeros(rows, names)
        weight = torch.zeros(rows, names)
        complement = torch.zeros(rows, names, dtype=torch.bool)
        complement_weight = torch.zeros(rows)
        allowed = self.allowed(layout)
        for b, own in enumerate(targets):
            for target in own:
                if not isinstance(target.at, AtTurn):
                    continue
                row = layout.turn(b, target.at.turn)
                if target.complement is not None:
                    known = [self.index[n] for n in target.complement if n in self.index]
                    known = [k for k in known if allowed[b, k]]
                    complement[row, known] = bool(known)
                    complement_weight[row] = target.weight if known else 0.0
                    continue
                knows: Bool[Tensor, " K"] = (
                    allowed[b].clone() if target.complete else torch.zeros(names, dtype=torch.bool)
                )
                for name, probability in target.distribution or ():
                    k = self.index.get(name)
                    if k is not None and allowed[b, k]:
                        knows[k] = True
                        mass[row, k] += target.weight * probability
                weight[row] += target.weight * knows
        expected = torch.where(weight > 0, mass / weight.clamp(min=1e-9), 0.0).clamp(max=1.0)
        if not bool(complement.any()):
            return TargetTensors(expected, weight.clamp(max=1.0))
        return TargetTensors(expected, weight.clamp(max=1.0), complement, complement_weight)

    def loss(self, out: Float[Tensor, "N K"], target: TargetTensors) -> Loss:
        each, order = independent(out, target), ranking(out, target)
        return Loss(each.total + order.total, each.weight)

    def decode(self, out: Float[Tensor, "N K"], layout: Layout) -> tuple[Answers, ...]:
        """Every name that is more probable than not, but of names that training knows well and never saw together the most
        probable alone; none of them: the turn has no intent, as probable as that all names fail. Where domains are on offer, a
        name is as probable as it is given that no name of another domain which it excludes is right."""
        # The sigmoid, written so that a row's place in the batch cannot change its last bits (nn/rows.py).
        likely = nn.functional.logsigmoid(out.double()).exp()
        allowed = self.allowed(layout)
        likely = self._on_offer(likely, allowed, layout)
        silent: list[float] = (1.0 - likely).prod(dim=1).tolist()
        chosen: list[tuple[int, int]] = [(int(r), int(k)) for r, k in (likely > 0.5).nonzero().tolist()]
        by_row: dict[int, list[tuple[int, float]]] = {}
        for row, k in chosen:
            by_row.setdefault(row, []).append((k, float(likely[row, k])))
        answers = []
        open_to_answers = allowed.any(dim=1).tolist()
        for b, count in enumerate(layout.turns):
            if not open_to_answers[b]:
                # The source has no such labels, which is not the answer "none".
                answers.append(Answers())
                continue
            labels: list[Label] = []
            none: list[Field] = []
            sure: list[float] = []
            for t in range(count):
                row = layout.turn(b, t)
                found = self._of_one_turn(by_row.get(row, []))
                labels += [Label(self.name, AtTurn(t), self.labels.names[k].name, p) for k, p in found]
                if not found:
                    none.append(Field(self.name, AtTurn(t)))
                    sure.append(silent[row])
            answers.append(Answers(tuple(labels), tuple(none), tuple(sure)))
        return tuple(answers)

    def _on_offer(
        self, likely: Float[Tensor, "N K"], allowed: Bool[Tensor, "B K"], layout: Layout
    ) -> Float[Tensor, "N K"]:
        """Probabilities given that names of other domains are wrong: p(a | not b) = p(a) / (1 - p(b)) where a excludes b."""
        if all(domains is None for domains in layout.domains):
            return likely
        offered = allowed[layout.dialogue_of]
        given = likely * offered
        for row in ((likely > _LEAST) & ~offered).any(dim=1).nonzero()[:, 0].tolist():
            told = [(k, float(likely[row, k])) for k in (likely[row] > _LEAST).nonzero()[:, 0].tolist()]
            for a, p in told:
                wrong = math.fsum(q for b, q in told if not offered[row, b] and self._apart(a, b))
                if offered[row, a] and wrong:
                    # Probabilities that were learnt one by one may add up to more than one.
                    given[row, a] = p / (p + max(1.0 - wrong - p, _LEAST))
        return given

    def _of_one_turn(self, found: list[tuple[int, float]]) -> list[tuple[int, float]]:
        kept: list[int] = []
        for k, _ in sorted(found, key=lambda pair: (-pair[1], pair[0])):
            if not any(self._apart(k, other) for other in kept):
                kept.append(k)
        return [(k, p) for k, p in found if k in kept]

    def _apart(self, first: int, second: int) -> bool:
        known = first in self._often and second in self._often
        return known and (min(first, second), max(first, second)) not in self._together
