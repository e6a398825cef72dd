"""Shares of the network and of its linear member in their average, fitted on the validation log, and what each adds to the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from labelgen.base.terminal import progress
from labelgen.confidence.resampling import resamples
from labelgen.confidence.scaling import LEAST_EVENTS
from labelgen.confidence.weakness import weakness
from labelgen.data.labels import UNIT_OF, Unit
from labelgen.data.split import user_key
from labelgen.features.layout import Batch, Layout
from labelgen.kernels.device import one_thread
from labelgen.model.label_model import LabelModel
from labelgen.model.linear import balancing
from labelgen.nn.linear_member import statements_at
from labelgen.training.corpus import Examples
from labelgen.verdicts.witnesses import Statements

_BATCH, _SHRINKAGE = 16, 1.0
"""Dialogues at once; nats that a share costs for each square of its distance from that of the options."""
_PARTS, _RESAMPLES = 5, 1000
_NETWORK, _LINEAR, _BOTH = (True, False), (False, True), (True, True)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShareFit:
    """What a fit of shares found. weak: why labels of which units should be withheld. added: a line for each unit with both members, what
    each adds to the other."""

    weak: dict[str, dict[Unit, str]] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Log-probabilities of both members [2, rows, labels], weighted target probabilities [rows, labels], what the witnesses of each row
    say, and its user."""

    members: Floats
    expected: Floats
    said: list[Statements]
    users: list[str]


def fit_shares(model: LabelModel, examples: Examples, device: str = "cpu") -> ShareFit:
    """Set the shares of each linear member to those with the least log loss on the examples, shrunk towards those of the options, and the
    factors of its names to those by which labels are as frequent as in the targets. A unit with fewer than LEAST_EVENTS targets keeps what
    it has. The model reads the examples on the device, and is on the CPU in evaluation mode afterwards.

    A member is left out unless the middle 80% of what it adds to the other, on users whose targets fitted no share, lies above 0. A
    network that all linear members of its task leave out leaves the model."""
    found = ShareFit()
    if not model.linear:
        return found
    model.to(device).eval()
    by_unit: dict[tuple[str, Unit], list[_Rows]] = {}
    collator, dialogues = model.collator(), len(examples.corpus)
    with torch.inference_mode(), one_thread():
        starts = range(0, dialogues, _BATCH)
        for start in progress(starts, "shares of linear members", "batches", len(starts)):
            numbers = range(start, min(start + _BATCH, dialogues))
            masked = [examples.example(0, k) for k in numbers]
            batch = collator(masked).to(device)
            # As labeling reads them: nothing is masked.
            read = [(d, one.root) for k, one in zip(numbers, masked, strict=True) if (d := examples.corpus[k]).turns]
            whole, roots = zip(*read, strict=True)
            layout = replace(batch.layout, dialogues=whole, voices=collator.voices(whole, roots))
            for key, rows in _rows(model, batch, layout):
                by_unit.setdefault(key, []).append(rows)
    model.cpu()
    for (name, unit), parts in by_unit.items():
        members = np.concatenate([part.members for part in parts], axis=1)
        expected = np.concatenate([part.expected for part in parts])
        said = [statements for part in parts for statements in part.said]
        if np.count_nonzero(expected.sum(axis=1)) < LEAST_EVENTS:
            continue
        member = model.linear_member(name)
        users = [user for part in parts for user in part.users]
        share, of = model.tasks[name].options.linear_share, _LINEAR if name not in model.heads else _BOTH
        if of == _BOTH:
            of, line = worthy_members(members, expected, users, share)
            found.added.append(f"{name} of a {unit}: {line}")
        shares = _shares(members, expected, share, of)
        member.set_shares(unit, *shares)
        average = np.tensordot(shares, members, axes=1)
        if not member.has_witnesses:
            continue
        scores = average + member.added(unit, said).double().numpy()
        member.set_factors(unit, balancing(softmax(scores, axis=1), expected.sum(axis=0) / expected.sum()))
        towards_good = member.towards_good.double().numpy() + 0.5
        people = expected @ towards_good / expected.sum(axis=1) if member.settings[unit].columns.later else None
        if model.tasks[name].by_member_alone and people is None:
            # Places of the training log that the map had not seen are as good a proof.
            seen = member.held_out[unit]
            average, said, users = (
                np.concatenate([average, shares[1] * seen.log_p]),
                [*said, *seen.said],
                [*users, *seen.users],
            )
        implicit = member.added(unit, [tuple(s for s in one if not s.explicit) for one in said]).double().numpy()
        good = softmax(average + implicit, axis=1) @ towards_good
        if reason := weakness(good, _answers(said, people), users):
            found.weak.setdefault(name, {})[unit] = reason
    for name in [name for name in model.linear if name in model.heads]:
        member = model.linear_member(name)
        if not any(member.shares(unit)[0] for unit in member.settings):
            model.leave_out_network(name)
    return found


def _answers(said: Sequence[Statements], people: Floats | None) -> Floats:
    """1 for good, 0 for bad, NaN where nobody answered. people: the share of good by targets from people, else what users said counts."""
    if people is not None:
        return np.where(people == 0.5, np.nan, (people > 0.5).astype(np.float64))
    votes = (next((s.vote for s in one if s.explicit and s.vote), None) for one in said)
    return np.array([np.nan if vote is None else float(vote == "good") for vote in votes])


def _rows(model: LabelModel, batch: Batch, layout: Layout) -> Iterator[tuple[tuple[str, Unit], _Rows]]:
    """layout: of the dialogues that the linear members read."""
    states = model.states(batch, model.encode(batch))
    for name in model.linear:
        task, member, target = model.tasks[name], model.linear_member(name), batch.targets[name]
        places = task.places(batch.layout)  # type: ignore[attr-defined]
        network = model.network_scores(name, states, batch.layout)
        expected = (target.expected * target.weight[:, None]).double().cpu().numpy()
        for unit in member.settings:
            chosen = [k for k, (_, at) in enumerate(places) if UNIT_OF[type(at)] == unit and expected[k].any()]
            if chosen:
                linear = member.scores(unit, [places[k] for k in chosen], layout)
                both = np.stack([network[chosen].double().cpu().numpy(), linear.double().cpu().numpy()])
                users = [user_key(layout.dialogues[places[k][0]]) for k in chosen]
                said = statements_at([places[k] for k in chosen], layout)
                yield (name, unit), _Rows(log_softmax(both, axis=2), expected[chosen], said, users)


def _shares(members: Floats, expected: Floats, share: float, of: tuple[bool, bool]) -> tuple[float, float]:
    """Shares of the network and of the linear member; they need not sum to 1, so they also scale the probabilities. of: which of them may
    have any; one alone is shrunk towards 1."""
    start = np.array([1.0 - share, share]) if of == _BOTH else np.array(of, dtype=np.float64)

    def nats(shares: Floats) -> float:
        return float(_SHRINKAGE * ((shares - start) ** 2).sum() + _losses(members, expected, shares).sum())

    network, linear = minimize(nats, start, bounds=[(0.0, None if one else 0.0) for one in of]).x
    return float(network), float(linear)


def _losses(members: Floats, expected: Floats, shares: Sequence[float] | Floats) -> Floats:
    """Log loss of each row times its weight, in nats."""
    losses: Floats = -(expected * log_softmax(np.tensordot(shares, members, axes=1), axis=1)).sum(axis=1)
    return losses


def worthy_members(
    members: Floats, expected: Floats, users: Sequence[str], share: float
) -> tuple[tuple[bool, bool], str]:
    """Which members add to the other, with what they add in words: by shares that were fitted on other users."""
    names, user = np.unique(np.array(users), return_inverse=True)
    losses = {of: np.zeros(len(users)) for of in (_BOTH, _LINEAR, _NETWORK)}
    for part in range(_PARTS):
        out = user % _PARTS == part
        for of, lost in losses.items():
            shares = _shares(members[:, ~out], expected[~out], share, of)
            lost[out] = _losses(members[:, out], expected[out], shares)
    weight = np.bincount(user, expected.sum(axis=1))
    times = resamples(len(names), _RESAMPLES, 0)
    worth, words = [], []
    for name, without in (("the network", _LINEAR), ("the linear member", _NETWORK)):
        gain = np.bincount(user, losses[without] - losses[_BOTH])
        value = gain.sum() / weight.sum()
        low, high = np.quantile(times @ gain / np.maximum(times @ weight, 1e-9), [0.1, 0.9])
        worth.append(bool(low > 0.0))
        left_out = "" if low > 0.0 else " and is left out"
        words.append(f"{name} adds {value:.4f} nats ({low:.4f} to {high:.4f}){left_out}")
    # Of two members that say the same, the simpler stays.
    return (worth[0], worth[1] or not worth[0]), f"{', '.join(words)}; {len(names):,} users"
