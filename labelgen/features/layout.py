"""What a batch holds, as tensors, and the legend of their axes.

    B  dialogues of the batch             T  turns of the longest dialogue
    N  real turns, dialogue by dialogue   P  distinct passages, grouped by their exact token length
    L  tokens of a passage                M  tokens of all requests, turn by turn
    G  goals, dialogue by dialogue        K  labels of a task
    d  width of the turn encoder          D  width of the dialogue encoder
    C  categorical features               F  numerical features
    W  words that are read by themselves, turn by turn

Turns are never padded before the turn encoder; only the dialogue encoder sees `[B, T, D]`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Value = TypeVar("Value")


@dataclass(frozen=True)
class Layout:
    """Which turns, tokens and goals a batch is made of. Indices only; the same for every task.

    turns: of each dialogue. sources: of each dialogue, choosing its label sets. domains: of each dialogue, those on offer, whose
    labels alone may be given; None for all. dialogue_of, position: of each real
    turn. goals: of each dialogue, each a tuple of its turns, ascending. token_turn: the real turn of each request token.
    token_start, token_end: `[start, end)` in code points of the request; 0, 0 for special tokens. token_counts: tokens
    of each real turn's request. response_of: of each real turn; equal where two responses are the same text."""

    turns: tuple[int, ...]
    sources: tuple[str | None, ...]
    domains: tuple[tuple[str, ...] | None, ...]
    goals: tuple[tuple[tuple[int, ...], ...], ...]
    dialogue_of: Int[Tensor, " N"]
    position: Int[Tensor, " N"]
    token_turn: Int[Tensor, " M"]
    token_start: Int[Tensor, " M"]
    token_end: Int[Tensor, " M"]
    token_counts: tuple[int, ...]
    response_of: Int[Tensor, " N"]

    @cached_property
    def first_turn(self) -> tuple[int, ...]:
        """Index among the real turns of each dialogue's turn 0."""
        starts, total = [], 0
        for count in self.turns:
            starts.append(total)
            total += count
        return tuple(starts)

    @cached_property
    def first_token(self) -> tuple[int, ...]:
        """Index among the request tokens of each real turn's first token."""
        starts, total = [], 0
        for count in self.token_counts:
            starts.append(total)
            total += count
        return tuple(starts)

    @property
    def longest(self) -> int:
        return max(self.turns, default=0)

    def turn(self, dialogue: int, turn: int) -> int:
        """Index among the real turns."""
        return self.first_turn[dialogue] + turn

    def real(self) -> Bool[Tensor, "B T"] | None:
        """True where a padded grid holds a real turn; None where all dialogues are equally long, so nothing is padded."""
        if len(set(self.turns)) <= 1:
            return None
        grid = torch.zeros(len(self.turns), self.longest, dtype=torch.bool, device=self.position.device)
        grid[self.dialogue_of, self.position] = True
        return grid

    def pad(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "B T D"]:
        """Real turns into the grid; zeros where no turn is."""
        if len(set(self.turns)) == 1:
            return rows.view(len(self.turns), self.longest, rows.shape[-1])
        grid = rows.new_zeros(len(self.turns), self.longest, rows.shape[-1])
        grid[self.dialogue_of, self.position] = rows
        return grid

    def unpad(self, grid: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The grid's real turns; undoes pad."""
        return grid[self.dialogue_of, self.position]

    def with_goals(self, goals: tuple[tuple[tuple[int, ...], ...], ...]) -> "Layout":
        return replace(self, goals=goals)

    @property
    def goal_count(self) -> int:
        return sum(len(goals) for goals in self.goals)

    def goal_members(self) -> tuple[Int[Tensor, " E"], Int[Tensor, " E"], Int[Tensor, " G"]]:
        """Of every membership of a turn in a goal: the goal's index and the real turn's index; then the last real turn
        of each goal."""
        goal_index, turn_index, last = [], [], []
        goal = 0
        for dialogue, goals in enumerate(self.goals):
            for turns in goals:
                rows = [self.turn(dialogue, t) for t in turns]
                goal_index += [goal] * len(rows)
                turn_index += rows
                last.append(rows[-1])
                goal += 1
        device = self.position.device
        return (
            torch.tensor(goal_index, dtype=torch.long, device=device),
            torch.tensor(turn_index, dtype=torch.long, device=device),
            torch.tensor(last, dtype=torch.long, device=device),
        )


@dataclass(frozen=True)
class Passages:
    """Distinct texts of a batch, tokenized, in groups of one exact token length, so nothing is padded or masked.

    groups: ids of each group. request, response: of each real turn, the index of its text among all passages in the
    order of the groups. request_token: index of each request token among all tokens of all groups."""

    groups: tuple[Int[Tensor, "_ _"], ...]
    request: Int[Tensor, " N"]
    response: Int[Tensor, " N"]
    request_token: Int[Tensor, " M"]


@dataclass(frozen=True)
class FeatureTensors:
    """categories: 0 missing, 1 unseen in training, else a value. numbers: standardized, 0 where missing. words: numbers of
    each turn's distinct words. word_counts: how many words each turn has."""

    categories: Int[Tensor, "N C"]
    numbers: Float[Tensor, "N F"]
    present: Float[Tensor, "N F"]
    words: Int[Tensor, " W"]
    word_counts: Int[Tensor, " N"]


@dataclass(frozen=True)
class SoundTensors:
    """Log-mel frames of the turns that have sound, grouped by exact length; turn: the real turn of each, in the order
    of the groups."""

    groups: tuple[Float[Tensor, "_ _ mels"], ...]
    turn: Int[Tensor, " S"]


@dataclass(frozen=True)
class TargetTensors:
    """Targets of one task over a batch; the rows are the task's own units.

    expected: soft truth, over labels on the last axis. weight: of a row, or of each label of a row; 0 where absent.
    complement: names of a row that do not all hold together; complement_weight: 0 where there is no such target.
    likelihood: of the evidence about a row, given each of its names, up to a factor a row, for tasks of which one name
    holds; likelihood_weight: 0 where there is no evidence."""

    expected: Float[Tensor, "rows labels"]
    weight: Float[Tensor, "..."]
    complement: Bool[Tensor, "rows labels"] | None = None
    complement_weight: Float[Tensor, " rows"] | None = None
    likelihood: Float[Tensor, "rows labels"] | None = None
    likelihood_weight: Float[Tensor, " rows"] | None = None

    def total_weight(self) -> Float[Tensor, ""]:
        """What the task's loss is divided by: units that count, each by its weight."""
        weight = self.weight if self.weight.dim() == 1 else self.weight.amax(dim=-1)
        for other in (self.complement_weight, self.likelihood_weight):
            if other is not None:
                weight = torch.maximum(weight, other)
        return weight.sum()


@dataclass(frozen=True)
class Batch:
    """Everything that one step of the model needs."""

    layout: Layout
    passages: Passages
    features: FeatureTensors
    sound: SoundTensors | None
    targets: Mapping[str, TargetTensors]

    @property
    def turns(self) -> int:
        return sum(self.layout.turns)

    @property
    def tokens(self) -> int:
        return sum(group.numel() for group in self.passages.groups)

    @property
    def target_weights(self) -> dict[str, float]:
        """Total weight of each task's targets; known before the forward pass."""
        return {name: float(target.total_weight()) for name, target in self.targets.items()}

    def to(self, device: torch.device | str) -> "Batch":
        return move(self, device)


@dataclass(frozen=True)
class States:
    """What the trunk knows of a batch, and the heads read.

    turns: each turn in its dialogue. alone: each turn as if it were all of its dialogue, in training a drawn share of them
    and the others in their dialogue; the same as turns where the model has no dialogue encoder or no head reads it. requests, responses: the turn's own texts, pooled. tokens: of the requests, None where no head
    reads them.
    labels: for each task whose labels have texts, their pooled vectors. sees: the other turns of its dialogue that a turn
    knows of; a head that looks at other turns' states keeps to it."""

    turns: Float[Tensor, "N D"]
    alone: Float[Tensor, "N D"]
    requests: Float[Tensor, "N d"]
    responses: Float[Tensor, "N d"]
    tokens: Float[Tensor, "M d"] | None
    labels: Mapping[str, Float[Tensor, "_ d"]]
    sees: Literal["all", "earlier", "none"]


def move(value: Value, device: torch.device | str) -> Value:
    """The value with all its tensors on `device`; containers and dataclasses are copied, other values kept."""
    moved: Any = value
    if isinstance(value, Tensor):
        moved = value.to(device)
    elif isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value):
        moved = tuple(move(v, device) for v in value)
    elif isinstance(value, Mapping):
        moved = {key: move(v, device) for key, v in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        moved = replace(value, **{f.name: move(getattr(value, f.name), device) for f in fields(value)})
    return moved  # type: ignore[no-any-return]
