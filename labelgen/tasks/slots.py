"""Slot filling: named spans of a request, as BIO tags of its tokens, from token states and the state of their turn."""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgen.data.labels import Answers, AtSpan, AtTurn, Label, NoLabel, Target, Unit
from labelgen.features.layout import Layout, States, TargetTensors
from labelgen.features.text import tokens_of_span
from labelgen.nn.structure import LabelScorer, Loss, exclusive, forbid, span_probability, tag_rows, tag_sums, viterbi
from labelgen.tasks.task import Task, Widths


class SlotsHead(nn.Module):
    """Scores of O, B of each name, I of each name. The state of the turn tells a token what its dialogue is about.

    What a dialogue says of names that were trained on misleads about new ones. So in training some turns are read by
    themselves, and what is given is the mean of both readings (docs/explanation/decisions.md)."""

    def __init__(self, task: "Slots", widths: Widths) -> None:
        super().__init__()
        self.task_allowed = task.allowed
        self.task_name = task.name
        inner = widths.dialogue
        self.token = nn.Linear(widths.encoder, inner)
        self.turn = nn.Linear(widths.dialogue, inner)
        self.outside = nn.Linear(inner, 1)
        self.begin = LabelScorer(inner, widths.encoder, len(task.labels.names), 192)
        self.inside = LabelScorer(inner, widths.encoder, len(task.labels.names), 192)

    def forward(self, states: States, layout: Layout) -> Float[Tensor, "M tags"]:
        assert states.tokens is not None
        tokens = self.token(states.tokens)
        if self.training or states.alone is states.turns:
            return self._read(states.alone, tokens, states, layout)
        both = [self._read(turns, tokens, states, layout) for turns in (states.turns, states.alone)]
        return (both[0] + both[1]) / 2

    def _read(
        self, turns: Float[Tensor, "N D"], tokens: Float[Tensor, "M D"], states: States, layout: Layout
    ) -> Float[Tensor, "M tags"]:
        fused = nn.functional.gelu(tokens + self.turn(turns)[layout.token_turn])
        labels = states.labels[self.task_name]
        named = torch.cat([self.begin(fused, labels), self.inside(fused, labels)], dim=1).float()
        allowed = self.task_allowed(layout)[layout.dialogue_of[layout.token_turn]]
        # Special tokens are no part of the request; a blank that is a token of its own can only go on with a span.
        begins = allowed & (layout.token_end > layout.token_start)[:, None]
        named = forbid(named, torch.cat([begins, allowed & (layout.token_end > 0)[:, None]], dim=1))
        outside = self.outside(fused)
        return torch.cat([outside.float(), named], dim=1)


class Slots(Task[Float[Tensor, "M tags"]]):
    name: ClassVar[str] = "slots"
    units: ClassVar[tuple[Unit, ...]] = ("span",)
    reads_tokens: ClassVar[bool] = True
    reads_alone: ClassVar[bool] = True
    reads_label_texts: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "slot_span_f1",
        "slot_value_f1",
        "slot_normalized_f1",
        "slot_turn_accuracy",
    )

    def head(self, widths: Widths) -> nn.Module:
        return SlotsHead(self, widths)

    def encode(self, targets: Sequence[Sequence[Target]], layout: Layout) -> TargetTensors:
        """Spans of several annotators become the share of them that gives a token its tag. Outside of spans a token is
        O where the turn's slots are complete, else unknown. A span that was cut off with the text's end is left out;
        the tokens of one whose name the source cannot give are absent, not O."""
        names = len(self.labels.names)
        mass_of = np.zeros((len(layout.token_turn), 1 + 2 * names), np.float32)
        closed, covered = np.zeros(len(layout.token_turn), np.float32), np.zeros(len(layout.token_turn), np.float32)
        unknown = np.zeros(len(layout.token_turn), np.bool_)
        allowed = self.allowed(layout).numpy()
        spans = list(zip(layout.token_start.tolist(), layout.token_end.tolist(), strict=True))
        for b, dialogue in enumerate(targets):
            for target in dialogue:
                if not isinstance(target.at, (AtSpan, AtTurn)) or target.distribution is None:
                    continue
                row = layout.turn(b, target.at.turn)
                first = layout.first_token[row]
                last = first + layout.token_counts[row]
                if isinstance(target.at, AtTurn):
                    closed[first:last] += target.weight if target.complete else 0.0
                    continue
                touched = tokens_of_span(spans[first:last], target.at.start, target.at.end)
                if touched is None:
                    continue
                begin, end = first + touched[0], first + touched[1]
                for name, probability in target.distribution:
                    k = self.index.get(name)
                    if k is None or not allowed[b, k]:
                        unknown[begin:end] = True
                        continue
                    mass = target.weight * probability
                    mass_of[begin, 1 + k] += mass
                    mass_of[begin + 1 : end, 1 + names + k] += mass
                    covered[begin:end] += mass
        mass_of[:, 0] = np.maximum(closed - covered, 0.0)
        expected = torch.from_numpy(mass_of)
        mass_of_row = expected.sum(dim=1, keepdim=True)
        expected = torch.where(mass_of_row > 0, expected / mass_of_row.clamp(min=1e-9), 0.0)
        weight = np.where(unknown, np.float32(0.0), np.minimum(np.maximum(closed, covered), np.float32(1.0)))
        return TargetTensors(expected, torch.from_numpy(weight))

    def loss(self, out: Float[Tensor, "M tags"], target: TargetTensors) -> Loss:
        return exclusive(out, target)

    def decode(self, out: Float[Tensor, "M tags"], layout: Layout) -> tuple[Answers, ...]:
        """Best tags by Viterbi. A span's probability: of name, start and end, over all well-formed tags of the request;
        that of an empty turn: every token is O."""
        requests = _read(out.double(), layout, len(self.labels.names))
        starts, ends = layout.token_start.tolist(), layout.token_end.tolist()
        answers: list[Answers] = []
        for b, gives_slots in enumerate(self.allowed(layout).any(dim=1).tolist()):
            answer: list[Label | NoLabel] = []
            # A source without such labels has no answer, which is not the answer "none".
            for turn in range(layout.turns[b] if gives_slots else 0):
                row = layout.turn(b, turn)
                first = layout.first_token[row]
                spans, empty = requests[row]
                for (begin, end, k), probability in spans:
                    last = max(t for t in range(begin, end) if ends[first + t] > starts[first + t])
                    at = AtSpan(turn, starts[first + begin], ends[first + last])
                    answer.append(Label(self.name, at, self.labels.names[k].name, probability))
                if not spans:
                    answer.append(NoLabel(self.name, AtTurn(turn), empty))
            answers.append(tuple(answer))
        return tuple(answers)


_Span = tuple[int, int, int]
"""First token, one past the last, and name."""


def _read(
    scores: Float[Tensor, "M tags"], layout: Layout, names: int
) -> dict[int, tuple[list[tuple[_Span, float]], float]]:
    """For each real turn its best spans with their probabilities, and the probability that it has none."""
    rows = tag_rows(scores, layout.token_counts)
    sums = tag_sums(rows, names)
    whole = sums.after[:, 0].tolist() if rows.requests else []
    spans_of: dict[int, tuple[list[tuple[_Span, float]], float]] = {}
    for k, (row, path) in enumerate(zip(rows.requests, viterbi(rows, names), strict=True)):
        first = layout.first_token[row]
        request = scores[first : first + layout.token_counts[row]]
        spans = [(span, span_probability(request, sums, k, span)) for span in _spans(path, names)]
        empty = 0.0 if spans else min(1.0, math.exp(float(request[:, 0].sum()) - whole[k]))
        spans_of[row] = (spans, empty)
    return spans_of


def _spans(tags: Sequence[int], names: int) -> list[_Span]:
    """The spans of well-formed tags."""
    spans: list[_Span] = []
    for token, tag in enumerate(tags):
        if 1 <= tag <= names:
            spans.append((token, token + 1, tag - 1))
        elif tag > names:
            begin, _, k = spans.pop()
            spans.append((begin, token + 1, k))
    return spans
