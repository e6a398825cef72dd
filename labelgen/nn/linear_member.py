"""The linear member of a task about verdicts: a regression on content, averaged with the network, and what the witnesses say.

Members are fitted separately and make different mistakes: the network reads meaning and context, the regression exact words and
categories. Their scores are averaged as log-probabilities (a geometric mean of the distributions); the log-odds of the witnesses of the own
dialogue are added. Source of the average: Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence", section 1
(logarithmic opinion pool)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Answers, At, Label, NoLabel, Unit
from labelgen.features.layout import Layout, Voice
from labelgen.feedback.items import items_at
from labelgen.verdicts.columns import Columns
from labelgen.verdicts.content import LATER, PlaceContent, contents_of
from labelgen.verdicts.witnesses import GOOD, Rates, Statements, all_statements

Scores = Float[Tensor, "rows labels"]
Contents = Callable[
    [Dialogue, Sequence[tuple[int, ...]], Sequence[At], bool, Sequence[Voice | None]], list[PlaceContent]
]
"""What a member reads at places of a dialogue with these goals; true where later words are content; how its turns sound."""
_REASONS, _LEAST_REASON = 4, 0.05
"""Facts of a reason at most, and the least weight of one in nats."""


@dataclass(frozen=True)
class LinearMap:
    """Scores of labels from columns. weight: [columns, labels]. bias: [labels]."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class MemberSettings:
    """What a member knows of one unit besides its weights. columns: of the regression. rates: of the witnesses. factors: of the names in
    their order; the name with the greatest product of factor and probability is the label, so that labels are as frequent as in the
    targets."""

    columns: Columns
    rates: Rates
    factors: tuple[float, ...]


@dataclass(frozen=True)
class HeldOut:
    """Log-probabilities [places, names] of a map at places of the training log that it was not fitted on, what the witnesses of each place say,
    and its user. They are there in training alone."""

    log_p: NDArray[np.float64]
    said: list[Statements]
    users: list[str]


class LinearMember(nn.Module):
    """A linear map for each unit of a task, and its share in the average; where a unit has none, the network answers alone.

    names: of the labels. share: of the map, until a fit sets both. Buffers of each unit: weight and bias of the map, and the shares of the
    network and of the map, by which their log-probabilities are multiplied."""

    def __init__(
        self,
        settings: Mapping[Unit, MemberSettings],
        names: Sequence[str],
        share: float = 0.5,
        read: Contents = lambda dialogue, goals, places, later, voices: contents_of(dialogue, places, later, voices),
    ) -> None:
        super().__init__()
        self.settings = dict(settings)
        self.names = tuple(names)
        self.read = read
        self.has_witnesses = set(names) <= set(GOOD)
        self.towards_good = torch.tensor([GOOD.get(name, 0.5) - 0.5 for name in names])
        self.held_out: dict[Unit, HeldOut] = {}
        for unit, known in self.settings.items():
            self.register_buffer(f"{unit}_weight", torch.zeros(len(known.columns), len(names)))
            self.register_buffer(f"{unit}_bias", torch.zeros(len(names)))
            self.register_buffer(f"{unit}_shares", torch.tensor([1.0 - share, share]))

    def fill(self, unit: Unit, fitted: LinearMap) -> None:
        """Take over a fitted map."""
        self.get_buffer(f"{unit}_weight").copy_(torch.from_numpy(fitted.weight))
        self.get_buffer(f"{unit}_bias").copy_(torch.from_numpy(fitted.bias))

    def set_shares(self, unit: Unit, network: float, linear: float) -> None:
        """Set the shares of the average at one unit."""
        self.get_buffer(f"{unit}_shares").copy_(torch.tensor([network, linear]))

    def shares(self, unit: Unit) -> tuple[float, float]:
        """The shares of the network and of the map at one unit."""
        network, linear = self.get_buffer(f"{unit}_shares").tolist()
        return network, linear

    def set_factors(self, unit: Unit, factors: tuple[float, ...]) -> None:
        """Set the factors of the names at one unit."""
        self.settings[unit] = replace(self.settings[unit], factors=factors)

    def factors(self, places: Sequence[tuple[int, At]]) -> list[tuple[float, ...]]:
        """The factors of the names at each place; () where the most probable name is the label."""
        by_unit = {unit: known.factors for unit, known in self.settings.items()}
        return [by_unit.get(UNIT_OF[type(at)], ()) for _, at in places]

    def forward(self, network: Scores, places: Sequence[tuple[int, At]], layout: Layout, online: bool) -> Scores:
        """The average of the network's scores and those of the maps, and what the witnesses say, one row for each place. online: no later
        turn is seen, so nobody has reacted yet."""
        out = network.float()
        for unit, chosen in self._rows(places).items():
            index = torch.tensor(chosen, device=network.device)
            of_network, of_linear = self.get_buffer(f"{unit}_shares")
            own = [places[row] for row in chosen]
            average = of_network * out[index].log_softmax(dim=-1)
            if of_linear:
                linear = self.scores(unit, own, layout, online).to(network.device)
                average = average + of_linear * linear.log_softmax(dim=-1)
            if not online and self.has_witnesses:
                average = average + self.evidence(unit, own, layout).to(network.device)
            out = out.index_copy(0, index, average)
        return out

    def _rows(self, places: Sequence[tuple[int, At]]) -> dict[Unit, list[int]]:
        rows: dict[Unit, list[int]] = {}
        for row, (_, at) in enumerate(places):
            if UNIT_OF[type(at)] in self.settings:
                rows.setdefault(UNIT_OF[type(at)], []).append(row)
        return rows

    def scores(self, unit: Unit, places: Sequence[tuple[int, At]], layout: Layout, online: bool = False) -> Scores:
        """Scores of the linear map alone, by a sparse product. online: later words are not there yet."""
        matrix = self._matrix(unit, places, layout, online)
        weight, bias = self.get_buffer(f"{unit}_weight"), self.get_buffer(f"{unit}_bias")
        # A copy of the rows that are read costs less than one of the whole weight.
        read = torch.from_numpy(matrix.indices).to(weight.device)
        of_read = type(matrix)((matrix.data, np.arange(len(read)), matrix.indptr), shape=(len(places), len(read)))
        product = of_read @ weight[read].double().cpu().numpy()
        return torch.from_numpy(product + bias.double().cpu().numpy()).float()

    def _matrix(self, unit: Unit, places: Sequence[tuple[int, At]], layout: Layout, online: bool) -> Any:
        """What the map reads at each place, [places, columns], sparse."""
        columns = self.settings[unit].columns
        contents: list[PlaceContent] = []
        for b, ats in _by_dialogue(places):
            later, voices = columns.later and not online, layout.voices_of(b)
            contents += self.read(layout.dialogues[b], layout.goals[b], ats, later, voices)
        if columns.later and online:
            without = tuple("" for _ in LATER)
            contents = [replace(content, texts=(*content.texts, *without), voice=None) for content in contents]
        return columns.matrix(contents)

    def with_reasons(
        self, answers: Sequence[Answers], layout: Layout, idle: Collection[str], online: bool
    ) -> tuple[Answers, ...]:
        """The answers with the facts that spoke most for the name of each label, as its origin; none where the map is left out. idle: names
        that need no reason."""

        def reasoned(label: Label | NoLabel, b: int) -> Label | NoLabel:
            if isinstance(label, NoLabel) or label.name in idle:
                return label
            unit = UNIT_OF[type(label.at)]
            if unit not in self.settings or not self.shares(unit)[1]:
                return label
            return msgspec.structs.replace(label, origin=self._reason(label, b, layout, online))

        return tuple(tuple(reasoned(label, b) for label in of_dialogue) for b, of_dialogue in enumerate(answers))

    def _reason(self, label: Label, dialogue: int, layout: Layout, online: bool) -> str:
        """The facts with the most weight for the name of a label against the mean of all names, in nats."""
        unit = UNIT_OF[type(label.at)]
        row = self._matrix(unit, [(dialogue, label.at)], layout, online)
        of_read = self.get_buffer(f"{unit}_weight")[torch.from_numpy(row.indices).long()].double()
        spoken = (of_read[:, self.names.index(label.name)] - of_read.mean(dim=1)).cpu().numpy() * row.data
        named = self.settings[unit].columns.column_names
        most = sorted(range(len(spoken)), key=lambda k: (-spoken[k], k))[:_REASONS]
        return ", ".join(f"{named[row.indices[k]]} {spoken[k]:+.1f}" for k in most if spoken[k] > _LEAST_REASON)

    def evidence(self, unit: Unit, places: Sequence[tuple[int, At]], layout: Layout) -> Scores:
        """What the witnesses of each place add to the scores."""
        return self.added(unit, statements_at(places, layout))

    def added(self, unit: Unit, said: Sequence[Statements]) -> Scores:
        """What these statements add to the scores: half of their log-odds for good, half against bad."""
        return torch.tensor(list(map(self.settings[unit].rates.total, said)))[:, None] * self.towards_good


def statements_at(places: Sequence[tuple[int, At]], layout: Layout) -> list[Statements]:
    """What the witnesses of each place say."""
    return all_statements(
        item for number, ats in _by_dialogue(places) for item in items_at(layout.dialogues[number], ats)
    )


def _by_dialogue(places: Sequence[tuple[int, At]]) -> list[tuple[int, list[At]]]:
    """Places of one dialogue that stand together."""
    found: list[tuple[int, list[At]]] = []
    for dialogue, at in places:
        if not found or found[-1][0] != dialogue:
            found.append((dialogue, []))
        found[-1][1].append(at)
    return found
