"""What scripts/measure_pretraining.py asks of a pretrained model, and of the cosine of request and response."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch

from labelgen.base.registry import resolve
from labelgen.confidence.resampling import Array
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtTurn, Label, Target, answers
from labelgen.data.log import Log
from labelgen.data.split import position
from labelgen.features.text import Tokenizer
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, Metric, divide, of_counts, of_scored
from labelgen.metrics.scores import auroc, probability_of
from labelgen.model.annotator import Annotator
from labelgen.model.batches import Example
from labelgen.nn.turn_encoder import TurnEncoder, pool_texts
from labelgen.pretraining.corruption import (
    NEGATIVES,
    Corruption,
    DialoguePool,
    hidden_answers,
    shuffled_order,
    splice,
    swapped_answers,
)

BATCH_TURNS = 96
Corrupted = tuple[Dialogue, tuple[Target, ...]]
Scored = list[tuple[float, float]]
"""Of one dialogue: (score, 1 if it is so), or (1 if first, one over the rank)."""
Value = Callable[[Sequence[Any], Array], Array]


@dataclass
class Judged:
    """One line of the table: how rows become a value, and each judge's rows, a row a dialogue."""

    what: str
    metric: str
    value: Value
    rows: dict[str, list[Any]] = field(default_factory=dict)


class Cosine:
    """How near a response is to its request, and nothing else."""

    def __init__(self, encoder: TurnEncoder, tokenizer: Tokenizer) -> None:
        self._encoder, self._tokenizer = encoder, tokenizer
        self._known: dict[str, Array] = {}

    def __call__(self, requests: Sequence[str], responses: Sequence[str]) -> Array:
        """[requests, responses]."""
        return np.stack([self._vector(x) for x in requests]) @ np.stack([self._vector(x) for x in responses]).T

    def learn(self, texts: Sequence[str]) -> None:
        new = sorted({text for text in texts if text not in self._known})
        vectors = pool_texts(self._encoder, [t.ids for t in self._tokenizer(new)]).double().numpy()
        self._known.update(zip(new, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))

    def apart(self, dialogue: Dialogue, turn: int) -> float:
        said = dialogue.turns[turn]
        return -float(self([said.request], [said.response])[0, 0])

    def _vector(self, text: str) -> Array:
        return self._known[text]


class Corruptions:
    """What one log is made into."""

    def __init__(self, path: str, count: int, seed: int) -> None:
        whole = list(Log([path]))
        pool = DialoguePool(whole)
        chosen = sorted((d for d in whole if d.turns), key=lambda d: position(seed, f"pretraining {d.id}"))[:count]

        def each(name: str, corrupt: Corruption) -> list[Corrupted]:
            return [corrupt(d, pool, Random(f"{seed}/{name}/{d.id}")) for d in chosen]

        self.swapped = {kind: each(kind, partial(swapped_answers, negatives=(kind,))) for kind in NEGATIVES}
        self.moved = each("order", shuffled_order)
        self.hidden = each("selection", hidden_answers)
        self.spliced = each("splice", splice)
        self.turns = sum(len(d.turns) for d in chosen)
        self.count = len(chosen)

    def seen(self) -> list[Corrupted]:
        """All that a model says its labels of."""
        return [*(x for own in self.swapped.values() for x in own), *self.moved, *self.spliced]


def judge_model(name: str, annotator: Annotator, log: Corruptions, lines: Mapping[str, Judged]) -> None:
    """Add the rows of one model."""
    said = iter(annotator.annotate([d for d, _ in log.seen()]))
    for negative, made in log.swapped.items():
        rows = [scores(next(said), targets, "bad") for _, targets in made]
        lines[f"swapped, {negative}"].rows[name] = rows
    lines["order"].rows[name] = [scores(next(said), targets, "moved") for _, targets in log.moved]
    items = [goal_item(next(said), made) for made in log.spliced]
    for metric in ("exact_goal_f1", "b_cubed_f1"):
        known: Metric = resolve(METRICS, metric, "metric")
        lines[f"splices, {metric}"].rows[name] = [known.tally(item) for item in items]
    ranks = list(model_ranks(annotator, log.hidden))
    lines["selection, top 1"].rows[name] = [(float(sum(r == 1 for r in own)), len(own)) for own in ranks]
    lines["selection, MRR"].rows[name] = [(sum(1 / r for r in own), len(own)) for own in ranks]


def judge_cosine(name: str, cosine: Cosine, log: Corruptions, lines: Mapping[str, Judged]) -> None:
    """Add the rows of a cosine; it says nothing of order and splices."""
    made = [*(x for own in log.swapped.values() for x in own), *log.hidden]
    cosine.learn([text for d, _ in made for turn in d.turns for text in (turn.request, turn.response)])
    for negative, own in log.swapped.items():
        lines[f"swapped, {negative}"].rows[name] = [
            [(cosine.apart(d, turn_of(target)), truth(target, "bad")) for target in targets] for d, targets in own
        ]
    ranks = []
    for group in groups(log.hidden):
        turns = [turn for d, _ in group for turn in d.turns]
        found = cosine([turn.request for turn in turns], [turn.response for turn in turns])
        responses = [turn.response for turn in turns]
        first = 0
        for d, targets in group:
            places = [first + turn_of(target) for target in targets]
            ranks.append([rank(found[place], responses, place) for place in places])
            first += len(d.turns)
    lines["selection, top 1"].rows[name] = [(float(sum(r == 1 for r in own)), len(own)) for own in ranks]
    lines["selection, MRR"].rows[name] = [(sum(1 / r for r in own), len(own)) for own in ranks]


def scores(said: Annotation, targets: Sequence[Target], name: str) -> Scored:
    by_place = {(label.task, label.at): label for label in said.labels}
    found = []
    for target in targets:
        probability = probability_of(name, (by_place[target.task, target.at],))
        assert probability is not None
        found.append((probability, truth(target, name)))
    return found


def turn_of(target: Target) -> int:
    assert isinstance(target.at, AtTurn)
    return target.at.turn


def truth(target: Target, name: str) -> float:
    return dict(target.distribution or ()).get(name, 0.0)


def goal_item(said: Annotation, made: Corrupted) -> Item:
    dialogue, targets = made
    goals = tuple(Label(GOALS, t.at, GOALS[:-1]) for t in targets if not isinstance(t.at, AtDialogue))
    return Item(tuple(turn.request for turn in dialogue.turns), {AtDialogue(): goals}, answers(said, GOALS))


def groups(made: Sequence[Corrupted]) -> Iterator[list[Corrupted]]:
    """Batches of at least BATCH_TURNS turns, but for the last."""
    held: list[Corrupted] = []
    for one in made:
        held.append(one)
        if sum(len(d.turns) for d, _ in held) >= BATCH_TURNS:
            yield held
            held = []
    if held:
        yield held


def model_ranks(annotator: Annotator, made: Sequence[Corrupted]) -> Iterator[list[int]]:
    """Of each dialogue, the rank of every hidden response among those of its batch."""
    model, collator = annotator.model, annotator.collator
    for group in groups(made):
        with torch.inference_mode():
            batch = collator([Example(d, targets) for d, targets in group])
            hidden = batch.targets["selection"].weight > 0
            states = model.states(batch, model.encode(batch), hidden=hidden, causal=True)
            found = model.heads["selection"](states, batch.layout).numpy()
        responses = [turn.response for d, _ in group for turn in d.turns]
        for b, (_, targets) in enumerate(group):
            places = [batch.layout.turn(b, turn_of(target)) for target in targets]
            yield [rank(found[place], responses, place) for place in places]


def rank(row: Array, responses: Sequence[str], own: int) -> int:
    """1 for the first. Equal texts are one response."""
    best: dict[str, float] = {}
    for score, text in zip(row.tolist(), responses, strict=True):
        best[text] = max(score, best.get(text, float("-inf")))
    true = float(row[own])
    return 1 + sum(score > true for text, score in best.items() if text and text != responses[own])


def lines_of() -> dict[str, Judged]:
    made = [Judged(f"swapped, {negative}", "AUROC", of_scored(auroc, 2)) for negative in NEGATIVES]
    made += [Judged("order", "AUROC", of_scored(auroc, 2))]
    made += [
        Judged(f"selection, {name}", name, of_counts(lambda n: divide(n[:, 0], n[:, 1]))) for name in ("top 1", "MRR")
    ]
    for name in ("exact_goal_f1", "b_cubed_f1"):
        known: Metric = resolve(METRICS, name, "metric")
        made.append(Judged(f"splices, {name}", name, known.value))
    return {line.what: line for line in made}
