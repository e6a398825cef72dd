"""Intent detection: multi-label classification of requests, possibly without intent. Labels are scored by their names and descriptions.

Whether a turn asks for anything has a score of its own. A label that was not trained on scores low beside those that were, so by
its own score alone it is hardly ever given; but which of the labels it is, if any, the scores still tell."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.label_sets import LabelSet, domain_of_name
from labelgen.data.labels import Answers, AtTurn, Label, NoLabel, Target, Unit
from labelgen.features.layout import Layout, States, TargetTensors
from labelgen.nn.structure import LabelScorer, Loss, forbid, independent, ranking
from labelgen.tasks import TaskOptions
from labelgen.tasks.task import Task, Widths

_LEAST = 1e-9
"""The least sum of the names' own probabilities that is divided by."""


class IntentsHead(nn.Module):
    """Queries from a turn's state in its dialogue beside its own request. The first score says that any intent holds, the
    others are of the names."""

    def __init__(self, task: "Intents", widths: Widths) -> None:
        super().__init__()
        self.of_source = task.of_source
        self.task_name = task.name
        self.mix = nn.Sequential(nn.Linear(widths.dialogue + widths.encoder, widths.dialogue), nn.GELU())
        self.scorer = LabelScorer(widths.dialogue, widths.encoder, len(task.labels.names), 256)
        self.some = nn.Linear(widths.dialogue, 1)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "N scores"]:
        queries = self.mix(torch.cat([states.turns, states.requests], dim=1))
        scores = self.scorer(queries, states.labels[self.task_name]).float()
        named = forbid(scores, self.of_source(layout)[layout.dialogue_of])
        some = self.some(queries)
        return torch.cat([some.float(), named], dim=1)


class Intents(Task[Float[Tensor, "N scores"]]):
    name: ClassVar[str] = "intents"
    units: ClassVar[tuple[Unit, ...]] = ("turn",)
    gives_several: ClassVar[bool] = True
    reads_label_texts: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("intent_accuracy", "intent_macro_f1")

    def __init__(self, labels: LabelSet, options: TaskOptions) -> None:
        super().__init__(labels, options)
        self._domains = [domain_of_name(label.name) for label in labels.names]
        self._often = frozenset(labels.often)
        self._together = frozenset(labels.together)

    def head(self, widths: Widths) -> nn.Module:
        return IntentsHead(self, widths)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """A name's probability is the weighted mean over the targets that know of it; where none does, its weight is
        0. A label that the source cannot give is never known. That any holds is known of a target that names all that do, and of
        one that gives some name more probably than not."""
        rows, names = sum(layout.turns), len(self.labels.names)
        # In numpy, where single values are read and written faster than in torch. The first column is whether any name holds.
        mass, weight = np.zeros((rows, 1 + names), np.float32), np.zeros((rows, 1 + names), np.float32)
        complement, complement_weight = np.zeros((rows, 1 + names), np.bool_), np.zeros(rows, np.float32)
        allowed = self.allowed(layout).numpy()
        for b, dialogue in enumerate(targets):
            for target in dialogue:
                if not isinstance(target.at, AtTurn):
                    continue
                row = layout.turn(b, target.at.turn)
                if target.complement is not None:
                    known = [self.index[n] for n in target.complement if n in self.index]
                    known = [k for k in known if allowed[b, k]]
                    complement[row, [1 + k for k in known]] = bool(known)
                    complement_weight[row] = target.weight if known else 0.0
                    continue
                knows = allowed[b].copy() if target.complete else np.zeros(names, np.bool_)
                for name, probability in target.distribution or ():
                    k = self.index.get(name)
                    if k is not None and allowed[b, k]:
                        knows[k] = True
                        mass[row, 1 + k] += target.weight * probability
                weight[row, 1:] += np.float32(target.weight) * knows
                holds = 1.0 - math.prod(1.0 - min(1.0, p) for _, p in target.distribution or ())
                if allowed[b].any() and (target.complete or holds > 0.5):
                    mass[row, 0] += target.weight * holds
                    weight[row, 0] += target.weight
        masses, weights = torch.from_numpy(mass), torch.from_numpy(weight)
        expected = torch.where(weights > 0, masses / weights.clamp(min=1e-9), 0.0).clamp(max=1.0)
        if not complement.any():
            return TargetTensors(expected, weights.clamp(max=1.0))
        excluded = torch.from_numpy(complement), torch.from_numpy(complement_weight)
        return TargetTensors(expected, weights.clamp(max=1.0), *excluded)

    def loss(self, out: Float[Tensor, "N scores"], target: TargetTensors) -> Loss:
        some = independent(out[:, :1], TargetTensors(target.expected[:, :1], target.weight[:, :1]))
        complement = None if target.complement is None else target.complement[:, 1:]
        names = replace(target, expected=target.expected[:, 1:], weight=target.weight[:, 1:], complement=complement)
        each, order = independent(out[:, 1:], names), ranking(out[:, 1:], names)
        return Loss(some.total + each.total + order.total, target.total_weight())

    def decode(self, out: Float[Tensor, "N scores"], layout: Layout) -> tuple[Answers, ...]:
        """Every name that is more probable than not, but of names that training knows and never saw together (`_exclude`) the most
        probable alone. Where no name is, the most probable one if it is more probable than that the turn has no intent.

        A name's probability is that of any intent, times its share of the probability that one of those on offer holds; names
        nearly always exclude each other, so this is the sum of their own: p(some) q / min(1, sum of q)."""
        scores = out.double().sigmoid()
        some, allowed = scores[:, :1], self.allowed(layout)
        named = scores[:, 1:] * allowed[layout.dialogue_of]
        likely = some * named / named.sum(dim=1, keepdim=True).clamp(min=_LEAST, max=1.0)
        no_intent = 1.0 - some
        best = nn.functional.one_hot(torch.cat([no_intent, likely], dim=1).argmax(dim=1), 1 + likely.shape[1]).bool()
        chosen = (likely > 0.5) | best[:, 1:]
        by_row: dict[int, list[tuple[int, float]]] = {}
        for (row, k), p in zip(chosen.nonzero().tolist(), likely[chosen].tolist(), strict=True):
            by_row.setdefault(row, []).append((k, p))
        none: list[float] = no_intent[:, 0].tolist()
        answers: list[Answers] = []
        open_to_answers = allowed.any(dim=1).tolist()
        for b, count in enumerate(layout.turns):
            if not open_to_answers[b]:
                # The source has no such labels, which is not the answer "none".
                answers.append(())
                continue
            answer: list[Label | NoLabel] = []
            for t in range(count):
                row = layout.turn(b, t)
                predicted = self._without_exclusive(by_row.get(row, []))
                answer += [Label(self.name, AtTurn(t), self.labels.names[k].name, p) for k, p in predicted]
                if not predicted:
                    answer.append(NoLabel(self.name, AtTurn(t), none[row]))
            answers.append(tuple(answer))
        return tuple(answers)

    def _without_exclusive(self, candidates: list[tuple[int, float]]) -> list[tuple[int, float]]:
        kept: list[int] = []
        for k, _ in sorted(candidates, key=lambda pair: (-pair[1], pair[0])):
            if not any(self._exclude(k, other) for other in kept):
                kept.append(k)
        return [(k, p) for k, p in candidates if k in kept]

    def _exclude(self, first: int, second: int) -> bool:
        """Whether two names exclude each other: they never occur together in training and both are frequent there, or one is and
        they share a domain. A rare name is scored by its text, which resembles names of its domain; a request may change to a
        new domain."""
        if (min(first, second), max(first, second)) in self._together:
            return False
        known = (first in self._often) + (second in self._often)
        return known == 2 or (known == 1 and self._domains[first] == self._domains[second])
