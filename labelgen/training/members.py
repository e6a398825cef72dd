"""Shares of the network and of its linear member in their average, fitted on the validation log."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from labelgen.base.terminal import progress
from labelgen.confidence.scaling import LEAST_EVENTS
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.features.layout import Batch
from labelgen.model.annotate import one_thread
from labelgen.model.label_model import LabelModel
from labelgen.tasks.exclusive import ExclusiveTask
from labelgen.training.corpus import Examples

_BATCH = 16
_SHRINKAGE = 1.0
"""Nats that a share costs for each square of its distance from that of the options."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Log-probabilities of both members [2, rows, labels], and weighted target probabilities [rows, labels]."""

    members: Floats
    expected: Floats


def fit_shares(model: LabelModel, examples: Examples) -> None:
    """Set the shares of each linear member to those with the least log loss on the examples, shrunk towards those of the options. A unit with fewer
    than LEAST_EVENTS targets keeps the latter. The model is in evaluation mode afterwards."""
    by_unit: dict[tuple[str, Unit], list[_Rows]] = {}
    if not model.linear:
        return
    model.eval()
    collator, dialogues = model.collator(), len(examples.corpus)
    with torch.inference_mode(), one_thread():
        starts = range(0, dialogues, _BATCH)
        for start in progress(starts, "shares of linear members", "batches", len(starts)):
            batch = collator([examples.example(0, k) for k in range(start, min(start + _BATCH, dialogues))])
            for key, rows in _rows(model, batch):
                by_unit.setdefault(key, []).append(rows)
    for (name, unit), parts in by_unit.items():
        members = np.concatenate([part.members for part in parts], axis=1)
        expected = np.concatenate([part.expected for part in parts])
        if np.count_nonzero(expected.sum(axis=1)) >= LEAST_EVENTS:
            share = model.tasks[name].options.linear_share
            model.linear_member(name).set_shares(unit, *_shares(members, expected, share))


def _rows(model: LabelModel, batch: Batch) -> Iterator[tuple[tuple[str, Unit], _Rows]]:
    states = model.states(batch, model.encode(batch))
    for name in model.linear:
        task, member, target = model.tasks[name], model.linear_member(name), batch.targets[name]
        assert isinstance(task, ExclusiveTask)
        places = task.places(batch.layout)
        network = model.heads[name](states, batch.layout)
        expected = (target.expected * target.weight[:, None]).double().numpy()
        for unit in member.ngrams:
            chosen = [k for k, (_, at) in enumerate(places) if UNIT_OF[type(at)] == unit and expected[k].any()]
            if chosen:
                linear = member.scores(unit, [places[k] for k in chosen], batch.layout, states.sees)
                both = np.stack([network[chosen].double().numpy(), linear.double().numpy()])
                yield (name, unit), _Rows(log_softmax(both, axis=2), expected[chosen])


def _shares(members: Floats, expected: Floats, share: float) -> tuple[float, float]:
    """Shares of the network and of the linear member; they need not sum to 1, so they also scale the probabilities."""
    start = np.array([1.0 - share, share])

    def nats(shares: Floats) -> float:
        log_p = log_softmax(np.tensordot(shares, members, axes=1), axis=1)
        return float(_SHRINKAGE * ((shares - start) ** 2).sum() - (expected * log_p).sum())

    network, linear = minimize(nats, start, bounds=[(0.0, None)] * 2).x
    return float(network), float(linear)
