"""Tensors of a batch, and the legend of their axes.

    B  dialogues of the batch             T  turns of the longest dialogue
    N  real turns, dialogue by dialogue   P  distinct passages, grouped by their exact token length
    L  tokens of a passage                M  tokens of all requests, turn by turn
    G  goals, dialogue by dialogue        K  labels of a task
    d  width of the turn encoder          D  width of the dialogue encoder
    C  categorical features               F  numerical features
    W  word features, turn by turn

Only the dialogue encoder sees padding, as `[B, T, D]`."""

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from labelgen.data.dialogue import SPEAKER, Dialogue, Turn
from labelgen.kernels.device import to_device

Value = TypeVar("Value")
Sees = Literal["all", "earlier", "none"]
"""Turns of its dialogue that a turn's state depends on, besides itself."""


@dataclass(frozen=True)
class Relations:
    """How the real turns of dialogues of several people relate (features/layout.py).

    Attributes:
        speaker: number of the speaker in its dialogue, from 1; 0 where it is unknown.
        addressed: numbers of other speakers who are named in the request; 0 for none.
        calls: whether the request begins with a name that no speaker so far has.
        previous, following: position of the speaker's nearest other turns; -1, and a number beyond all turns, where there are none.
        time: seconds from the start of the dialogue; NaN where it is unknown."""

    speaker: Int[Tensor, " N"]
    addressed: Int[Tensor, "N names"]
    calls: Bool[Tensor, " N"]
    previous: Int[Tensor, " N"]
    following: Int[Tensor, " N"]
    time: Float[Tensor, " N"]


@dataclass(frozen=True, slots=True)
class Voice:
    """How a request sounds, less the mean and divided by the deviation over turns of the same speaker; 0 where unknown or where these turns
    do not differ; then for each figure of prosody 1 where it is known, else 0 (features/voice.py).

    whole: over the speaker's turns of the dialogue [width]. so_far: over those up to this one [width]."""

    whole: NDArray[np.float32]
    so_far: NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Turns, tokens and goals of a batch: indices only, the same for every task.

    Attributes:
        turns: number of turns of each dialogue.
        sources: source of each dialogue, which selects its label sets.
        domains: available domains of each dialogue, which restrict its allowed labels; None for all.
        goals: goals of each dialogue, each a tuple of its turns, ascending.
        dialogue_of, position: dialogue of each real turn, and its number there.
        token_turn: the real turn of each request token.
        token_start, token_end: `[start, end)` in code points of the request; 0, 0 for special tokens.
        token_counts: number of tokens of each real turn's request.
        response_of: text of each real turn's response, as a number; equal texts have one number.
        relations: of the real turns; None if no head reads them.
        dialogues: as they came, for heads with a linear member.
        voices: how each real turn sounds (features/voice.py); () where no sound is read.
        failures: of a dialogue and goal, the probability that it failed; empty before it is labeled."""

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
    relations: Relations | None = None
    dialogues: tuple[Dialogue, ...] = ()
    voices: tuple[Voice | None, ...] = ()
    failures: Mapping[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    @cached_property
    def first_turn(self) -> tuple[int, ...]:
        """Index of each dialogue's first turn among the real turns."""
        return _starts(self.turns)

    @cached_property
    def first_token(self) -> tuple[int, ...]:
        """Index of each real turn's first token among the request tokens."""
        return _starts(self.token_counts)

    @property
    def longest(self) -> int:
        """Number of turns of the longest dialogue."""
        return max(self.turns, default=0)

    def turn(self, dialogue: int, turn: int) -> int:
        """Index of a dialogue's turn among the real turns."""
        return self.first_turn[dialogue] + turn

    def voices_of(self, dialogue: int) -> tuple[Voice | None, ...]:
        """How the turns of a dialogue sound; () where no sound is read."""
        return self.voices[self.first_turn[dialogue] :][: self.turns[dialogue]]

    def real(self) -> Bool[Tensor, "B T"] | None:
        """Attention mask of the padded grid: true for real turns. None if nothing is padded."""
        if len(set(self.turns)) <= 1:
            return None
        grid = torch.arange(self.longest) < torch.tensor(self.turns)[:, None]
        return to_device(grid, self.position.device)

    def pad(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "B T D"]:
        """The real turns as a grid, padded with zeros."""
        if len(set(self.turns)) == 1:
            return rows.view(len(self.turns), self.longest, rows.shape[-1])
        grid = rows.new_zeros(len(self.turns), self.longest, rows.shape[-1])
        grid[self.dialogue_of, self.position] = rows
        return grid

    def unpad(self, grid: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The real turns of a grid; the inverse of `pad`."""
        return grid[self.dialogue_of, self.position]

    def with_goals(self, goals: tuple[tuple[tuple[int, ...], ...], ...]) -> "Layout":
        return replace(self, goals=goals)

    @property
    def goal_count(self) -> int:
        return sum(len(goals) for goals in self.goals)

    def goal_members(self) -> tuple[Int[Tensor, " E"], Int[Tensor, " E"], Int[Tensor, " G"], Int[Tensor, " G"]]:
        """Goal and real turn of every membership of a turn in a goal; last real turn and number of turns of each goal."""
        goals = [
            [self.turn(dialogue, t) for t in turns] for dialogue, goals in enumerate(self.goals) for turns in goals
        ]
        indices = (
            [goal for goal, rows in enumerate(goals) for _ in rows],
            [row for rows in goals for row in rows],
            [rows[-1] for rows in goals],
            [len(rows) for rows in goals],
        )
        goal, turn, last, count = (to_device(torch.tensor(x, dtype=torch.long), self.position.device) for x in indices)
        return goal, turn, last, count


def _starts(counts: Sequence[int]) -> tuple[int, ...]:
    return tuple(accumulate(counts, initial=0))[:-1]


@dataclass(frozen=True)
class Passages:
    """Distinct tokenized texts of a batch in groups of one exact token length, so nothing is padded or masked.

    Attributes:
        ids: token ids of all groups, one after another.
        shapes: number of passages and token length of each group.
        long_texts: the passages of each text that is read in several windows.
        request, response: index of each real turn's text among all passages, in the order of the groups; after them follow
            the long texts.
        request_token: index of each request token among all tokens of all groups."""

    ids: Int[Tensor, " tokens"]
    shapes: tuple[tuple[int, int], ...]
    request: Int[Tensor, " N"]
    response: Int[Tensor, " N"]
    request_token: Int[Tensor, " M"]
    long_texts: tuple[Int[Tensor, " _"], ...] = ()

    @cached_property
    def groups(self) -> tuple[Int[Tensor, "_ _"], ...]:
        """Token ids of each group."""
        parts = torch.split_with_sizes(self.ids, [count * length for count, length in self.shapes])
        return tuple(x.view(shape) for x, shape in zip(parts, self.shapes, strict=True))


@dataclass(frozen=True)
class FeatureTensors:
    """Features of all real turns.

    Attributes:
        categories: 0 missing, 1 not in the training log, else a value.
        numbers: standardized; 0 where missing.
        present: 1 where a number is there, else 0.
        words: numbers of each turn's distinct words.
        word_counts: number of words of each turn."""

    categories: Int[Tensor, "N C"]
    numbers: Float[Tensor, "N F"]
    present: Float[Tensor, "N F"]
    words: Int[Tensor, " W"]
    word_counts: Int[Tensor, " N"]


@dataclass(frozen=True)
class SoundTensors:
    """How turns sound, relative to their speaker's turns: all of the dialogue, and those up to them. turn: real turn of each row."""

    whole: Float[Tensor, "S width"]
    so_far: Float[Tensor, "S width"]
    turn: Int[Tensor, " S"]


@dataclass(frozen=True)
class PairTargets:
    """Soft targets of whether two rows belong together.

    Attributes:
        windows: rows of each window of the batch, in order; a shorter window repeats its last row.
        pairs: the window of a pair, and the places of its rows there, ascending.
        expected: target probability that the rows belong together.
        weight: of a pair."""

    windows: Int[Tensor, "windows length"]
    pairs: Int[Tensor, "pairs 3"]
    expected: Float[Tensor, " pairs"]
    weight: Float[Tensor, " pairs"]


@dataclass(frozen=True)
class TargetTensors:
    """Soft targets of one task over a batch; the rows are the task's own units.

    Attributes:
        expected: target probabilities of the labels.
        weight: of a row, or of each label of a row; 0 where there is no target.
        complement: labels of a row that do not all hold together (a complementary label).
        complement_weight: weight of that; 0 where there is none.
        likelihood: likelihood of the evidence given each label, up to a factor for each row; for mutually exclusive labels.
        likelihood_weight: weight of that; 0 where there is no evidence.
        pairs: targets of pairs of rows; None where there are none."""

    expected: Float[Tensor, "rows labels"]
    weight: Float[Tensor, "..."]
    complement: Bool[Tensor, "rows labels"] | None = None
    complement_weight: Float[Tensor, " rows"] | None = None
    likelihood: Float[Tensor, "rows labels"] | None = None
    likelihood_weight: Float[Tensor, " rows"] | None = None
    pairs: PairTargets | None = None

    def total_weight(self) -> Float[Tensor, ""]:
        """Sum of the weights of rows and pairs, by which the task's loss is divided."""
        weight = self.weight if self.weight.dim() == 1 else self.weight.amax(dim=-1)
        for other in (self.complement_weight, self.likelihood_weight):
            if other is not None:
                weight = torch.maximum(weight, other)
        return weight.sum() if self.pairs is None else weight.sum() + self.pairs.weight.sum()


@dataclass(frozen=True)
class Batch:
    """Input of one step of the model.

    target_weights: total weight of each task's targets, as numbers of the host: known before the forward pass, and read without
    waiting for the device."""

    layout: Layout
    passages: Passages
    features: FeatureTensors
    sound: SoundTensors | None
    targets: Mapping[str, TargetTensors]
    target_weights: Mapping[str, float]

    @property
    def turns(self) -> int:
        return sum(self.layout.turns)

    @property
    def tokens(self) -> int:
        return self.passages.ids.numel()

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device, copied without waiting for the device."""
        return _mapped(self, lambda tensor: to_device(tensor, device))

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory; torch's data loader calls this."""
        return _mapped(self, lambda tensor: tensor.pin_memory())


@dataclass(frozen=True)
class States:
    """Output of the trunk, which the task heads read.

    Attributes:
        turns: state of each turn in its dialogue.
        alone: state of each turn without its dialogue; in training, for a random share of the turns, and the state in the
            dialogue for the others. Same as `turns` without a dialogue encoder, or if no head reads it.
        requests, responses: pooled vectors of the turn's texts.
        tokens: token states of the requests; None if no head reads them.
        labels: pooled label texts of each task that has them.
        online: nobody has reacted yet, as in causal states.
        sees: the turns of its dialogue that a turn's state depends on; heads that read other turns respect it."""

    turns: Float[Tensor, "N D"]
    alone: Float[Tensor, "N D"]
    requests: Float[Tensor, "N d"]
    responses: Float[Tensor, "N d"]
    tokens: Float[Tensor, "M d"] | None
    labels: Mapping[str, Float[Tensor, "_ d"]]
    sees: Sees
    online: bool = False


def _mapped(value: Value, function: Callable[[Tensor], Tensor]) -> Value:
    """The value with the function's results for all its tensors; containers and dataclasses are copied, other values stay."""
    mapped: Any = value
    if isinstance(value, Tensor):
        mapped = function(value)
    elif isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value):
        mapped = tuple(_mapped(v, function) for v in value)
    elif isinstance(value, Mapping):
        mapped = {key: _mapped(v, function) for key, v in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        mapped = replace(value, **{f.name: _mapped(getattr(value, f.name), function) for f in fields(value)})
    return mapped  # type: ignore[no-any-return]


MOST_NAMES = 3
"""Speakers that a turn is taken to address at most, the first ones of its request."""
NEVER = 1 << 30
"""Position of a turn that there is not."""
_LEAST_NAME = 3
"""Characters of a name that is looked for in texts; shorter ones are often words."""
_CALL = re.compile(r"\S{2,}[:,] ")


def relations_of(dialogues: Sequence[Dialogue]) -> Relations:
    """Relations of all turns of the dialogues, in order."""
    rows = [row for dialogue in dialogues for row in _rows(dialogue.turns)]
    return Relations(
        speaker=torch.tensor([row[0] for row in rows], dtype=torch.long),
        addressed=torch.tensor([row[1] for row in rows], dtype=torch.long).view(len(rows), MOST_NAMES),
        calls=torch.tensor([row[2] for row in rows], dtype=torch.bool),
        previous=torch.tensor([row[3] for row in rows], dtype=torch.long),
        following=torch.tensor([row[4] for row in rows], dtype=torch.long),
        time=torch.tensor([row[5] for row in rows], dtype=torch.float32),
    )


_Row = tuple[int, list[int], bool, int, int, float]
"""Values of a turn in the order of Relations."""


def _rows(turns: Sequence[Turn]) -> list[_Row]:
    number: dict[str, int] = {}
    last: dict[int, int] = {}
    known: dict[str, int] = {}
    rows: list[_Row] = []
    for t, turn in enumerate(turns):
        name = next((c.value for c in turn.categories if c.name == SPEAKER), "").casefold()
        speaker = number.setdefault(name, len(number) + 1) if name else 0
        for word in (name, name.strip(string.punctuation)):
            if len(word) >= _LEAST_NAME:
                known.setdefault(word, speaker)
        named = [n for n in dict.fromkeys(_named(turn.request, known)) if n != speaker][:MOST_NAMES] if speaker else []
        calls = bool(speaker) and not named and _CALL.match(turn.request) is not None
        previous = last.get(speaker, -1) if speaker else -1
        if previous >= 0:
            rows[previous] = (*rows[previous][:4], t, rows[previous][5])
        if speaker:
            last[speaker] = t
        time = float("nan") if turn.time_s is None else turn.time_s
        rows.append((speaker, named + [0] * (MOST_NAMES - len(named)), calls, previous, NEVER, time))
    return rows


def _named(text: str, known: dict[str, int]) -> Iterable[int]:
    """Numbers of the speakers whose names are words of the text, with or without the punctuation around them."""
    for word in text.casefold().split():
        for form in (word, word.rstrip(":,"), word.rstrip(string.punctuation), word.strip(string.punctuation)):
            if form in known:
                yield known[form]
                break
