"""Conversations that interleave, judged by pairs of annotators, with simple rivals.

Two annotators of a hundred messages hardly ever divide them alike, so a consensus of those who are not left out seldom exists. Instead each
annotator is the reference in turn, and the others and every system are judged against it on the same messages; values are means over
references. Intervals are over files and, of several trainings, over trainings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from labelgen.confidence.resampling import Array, interval, over_trainings, resampled, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtDialogue, AtGoal, Label, both_cover, division
from labelgen.data.log import Log, write_log
from labelgen.features.layout import relations_of
from labelgen.metrics.metric import Item, Metric, metric
from labelgen.nn.structure import pair_features, single_features
from labelgen.tasks.evaluation import on_covered_turns

from .results import Result, bootstrap, slug
from .rows import PERSON, seed_of

PUBLISHED = "published"
PUBLISHED_WORDS = "published annotation"
_MODEL = "model"
RIVALS = ("previous message", "same speaker or addressed", "logistic regression")
_REACH = 100
_LEAST_GOALS = 20
"""Accepted goals below which a threshold is not judged: a few that are all right have no spread."""
_GRID = tuple(k / 20 for k in range(20))


def write_part(log: Sequence[Path], out: Sequence[Path], several: bool) -> None:
    """The files with three annotators or more, or those with fewer."""
    write_log(out[0], [d for d in Log(list(log)) if (len(_people(d)) >= 3) == several], force=True)


def write_fold(log: Sequence[Path], out: Sequence[Path], fold: int, folds: int, test: bool) -> None:
    """The test part of a fold, every `folds`-th dialogue in the order of their ids, or all other dialogues."""
    dialogues = sorted(Log(list(log)), key=lambda d: d.id)
    write_log(out[0], [d for k, d in enumerate(dialogues) if (k % int(folds) == int(fold)) == test], force=True)


def write_rivals(train: Sequence[Path], test: Sequence[Path], out: Sequence[Path], seed: int = 0) -> None:
    """The test log with what each of RIVALS says; logistic regression learns from the annotator `published` of the training log."""
    regression = _fit(list(Log(list(train))), seed)
    write_log(out[0], [_with_rivals(d, regression) for d in Log(list(test))], force=True)


def _with_rivals(dialogue: Dialogue, regression: "_Regression") -> Dialogue:
    count = len(dialogue.turns)
    by = relations_of([dialogue])
    latest: dict[int, int] = {}
    rule: list[int] = []
    for turn, (speaker, named) in enumerate(zip(by.speaker.tolist(), by.addressed.tolist(), strict=True)):
        answered = [latest[name] for name in named if name and name in latest]
        rule.append(max(answered, default=latest.get(speaker, turn)) if speaker else turn)
        latest[speaker] = turn
    links = (tuple(max(0, turn - 1) for turn in range(count)), tuple(rule), regression.links(dialogue))
    own = tuple(_annotation(name, of) for name, of in zip(RIVALS, links, strict=True))
    return replace(dialogue, annotations=(*dialogue.annotations, *own))


def _annotation(name: str, links: Sequence[int]) -> Annotation:
    """Goals from one link of each turn, to itself where it opens a goal."""
    goals: list[list[int]] = []
    goal_of: list[int] = []
    for turn, earlier in enumerate(links):
        goal_of.append(len(goals) if earlier == turn else goal_of[earlier])
        if earlier == turn:
            goals.append([])
        goals[goal_of[turn]].append(turn)
    return Annotation(name, "rule", tuple(Label(GOALS, AtGoal(tuple(goal)), "goal") for goal in goals))


class _Regression(nn.Module):
    """Conditional logistic regression: each turn chooses one of the turns before it, or opens a goal."""

    def __init__(self, pair: int, single: int) -> None:
        super().__init__()
        self.pair = nn.Linear(pair, 1, bias=False)
        self.single = nn.Linear(single, 1)

    def forward(self, pairs: Tensor, singles: Tensor, exists: Tensor) -> Tensor:
        links = self.pair(pairs)[..., 0].masked_fill(~exists, -1e4)
        return torch.cat([links, self.single(singles)], dim=1).log_softmax(1)

    def links(self, dialogue: Dialogue) -> tuple[int, ...]:
        with torch.inference_mode():
            best = self(*_features(dialogue, range(len(dialogue.turns)))).argmax(1).tolist()
        return tuple(turn if k == _REACH else turn - 1 - k for turn, k in enumerate(best))


def _features(dialogue: Dialogue, turns: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    by, positions = relations_of([dialogue]), torch.arange(len(dialogue.turns))
    rows = torch.tensor(turns, dtype=torch.long)
    exists = torch.arange(_REACH) < rows[:, None]
    return pair_features(positions, by, rows, _REACH), single_features(positions, by)[rows], exists


def _fit(dialogues: Sequence[Dialogue], seed: int, epochs: int = 12, rate: float = 3e-3) -> _Regression:
    """Maximum likelihood of all earlier turns of a turn's goal, with weight decay."""
    parts = []
    for dialogue in dialogues:
        annotation = dialogue.annotation(PUBLISHED)
        assert annotation is not None
        covered = annotation.covered_turns or tuple(range(len(dialogue.turns)))
        right = torch.zeros(len(covered), _REACH + 1, dtype=torch.bool)
        row = {turn: k for k, turn in enumerate(covered)}
        for goal in _goals(annotation):
            for k, turn in enumerate(goal):
                right[row[turn], [turn - t - 1 for t in goal[:k] if turn - t <= _REACH] or [_REACH]] = True
        parts.append((*_features(dialogue, covered), right))
    pairs, singles, exists, right = (torch.cat(of) for of in zip(*parts, strict=True))
    torch.manual_seed(seed)
    model = _Regression(pairs.shape[-1], singles.shape[-1])
    steps = epochs * -(-len(pairs) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(pairs)), 64):
            log_p = model(pairs[rows], singles[rows], exists[rows])
            loss = -log_p.masked_fill(~right[rows], -torch.inf).logsumexp(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def _goals(annotation: Annotation) -> list[tuple[int, ...]]:
    return [label.at.turns for label in division(annotation) or () if isinstance(label.at, AtGoal)]


def _people(dialogue: Dialogue) -> list[Annotation]:
    """Those who annotated beside others."""
    return [a for a in dialogue.annotations if a.kind == "person" and a.annotator != PUBLISHED]


@dataclass(frozen=True, slots=True)
class _Judged:
    """items: for each round (a reference and who is judged against it) one item for each file."""

    items: tuple[tuple[Item, ...], ...]


def rows(
    rivals: Sequence[Path], labeled: Sequence[Path], metrics: Sequence[str], corpus: str, split: str
) -> list[Result]:
    """The model, one annotator and RIVALS against each annotator in turn, and all but the annotator against the published annotation.

    Args:
        rivals: logs with the annotators and RIVALS.
        labeled: logs that the model labeled; a folder `seed-N` in their paths names the training."""
    dialogues = sorted(Log(list(rivals)), key=lambda d: d.id)
    names = sorted({a.annotator for d in dialogues for a in _people(d)})
    by_seed = _by(seed_of, labeled)
    trainings = {_MODEL: [_labels(of, dialogues) for of in by_seed.values()]}
    trainings |= {name: [[_own(d, name) for d in dialogues]] for name in RIVALS}
    out: list[Result] = []
    for reference, references in (("another annotator", names), (PUBLISHED_WORDS, [PUBLISHED])):
        systems = {
            name: [_Judged(tuple(_items(dialogues, r, of) for r in references)) for of in each]
            for name, each in trainings.items()
        }
        made: list[Result] = []
        if len(references) > 1:
            pairs = [(r, [_own(d, other) for d in dialogues]) for r, other in permutations(references, 2)]
            systems[PERSON] = [_Judged(tuple(_items(dialogues, r, of) for r, of in pairs))]
            made += _selective(systems[_MODEL], systems[PERSON], len(dialogues))
        made += _rows(systems, metrics, len(dialogues), _MODEL)
        cells = {"corpus": corpus, "split": split, "task": GOALS, "reference": reference, "n": _turns(dialogues)}
        out += [replace(row, **cells, seed=" ".join(by_seed) if row.system == _MODEL else "") for row in made]
    return out


def ablation(
    rivals: Sequence[Path],
    labeled: Sequence[Path],
    ablated: Sequence[Path],
    variants: Sequence[str],
    metrics: Sequence[str],
    corpus: str,
    split: str,
) -> list[Result]:
    """The model and its variants against each annotator in turn; a folder `variant-NAME` in the paths of `ablated` names the variant."""
    dialogues = sorted(Log(list(rivals)), key=lambda d: d.id)
    references = sorted({a.annotator for d in dialogues for a in _people(d)})
    logs = {_MODEL: list(labeled)} | {
        name: [p for p in ablated if f"/variant-{slug(name)}/" in str(p)] for name in variants
    }
    by_seed = {name: _by(seed_of, paths) for name, paths in logs.items()}
    systems = {
        name: [
            _Judged(tuple(_items(dialogues, r, made) for r in references))
            for made in (_labels(of, dialogues) for of in seeds.values())
        ]
        for name, seeds in by_seed.items()
    }
    cells = {"corpus": corpus, "split": split, "task": GOALS, "reference": "another annotator", "n": _turns(dialogues)}
    return [
        replace(row, **cells, seed=" ".join(by_seed[row.system]))
        for row in _rows(systems, metrics, len(dialogues), _MODEL)
    ]


def _by(named: Callable[[Path], str], paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Paths by what their folder names."""
    out: dict[str, list[Path]] = {}
    for path in paths:
        out.setdefault(named(path), []).append(path)
    return out


def _labels(paths: Sequence[Path], dialogues: Sequence[Dialogue]) -> list[Annotation]:
    by_id = {d.id: next(a for a in d.annotations if a.kind == "model") for d in Log(list(paths))}
    return [by_id[d.id] for d in dialogues]


def _own(dialogue: Dialogue, name: str) -> Annotation:
    annotation = dialogue.annotation(name)
    assert annotation is not None, f"{dialogue.id} has no annotator {name}"
    return annotation


def _turns(dialogues: Sequence[Dialogue]) -> int:
    return sum(len(_own(d, PUBLISHED).covered_turns or d.turns) for d in dialogues)


def _items(dialogues: Sequence[Dialogue], reference: str, judged: Sequence[Annotation]) -> tuple[Item, ...]:
    at = AtDialogue()
    out = []
    for dialogue, theirs in zip(dialogues, judged, strict=True):
        right = _own(dialogue, reference)
        item = Item(tuple(t.request for t in dialogue.turns), {at: division(right) or ()}, {at: division(theirs) or ()})
        out.append(on_covered_turns(item, both_cover(right.covered_turns, theirs.covered_turns)))
    return tuple(out)


def _rows(systems: Mapping[str, Sequence[_Judged]], metrics: Sequence[str], files: int, model: str) -> Iterator[Result]:
    times = resamples(files, 2000, 0)
    for name in metrics:
        known = metric(name)
        drawn: dict[str, tuple[float, Array]] = {}
        for system, trainings in systems.items():
            values, draws = [], []
            for training in trainings:
                tallies = [[known.tally(item) for item in of] for of in training.items]
                statistic = partial(_mean_of_rounds, known, tallies)
                values.append(float(statistic(np.ones((1, files)))[0]))
                draws.append(resampled(statistic, times))
            drawn[system] = over_trainings(values, draws, 0)
        for system, (value, of) in drawn.items():
            yield Result(metric=name, system=system, **bootstrap(interval(value, of).rounded()))
            for other in systems:
                if model == system and other != system:
                    theirs = drawn[other]
                    between = interval(value - theirs[0], of - theirs[1]).rounded()
                    yield Result(metric=name, system=system, baseline=other, **bootstrap(between))


def _mean_of_rounds(known: Metric, tallies: Sequence[Sequence[object]], times: Array) -> Array:
    mean: Array = np.mean([known.value(of, times) for of in tallies], axis=0)
    return mean


def _selective(model: Sequence[_Judged], person: Sequence[_Judged], files: int) -> Iterator[Result]:
    """The lowest threshold from which on the exact goals of the model are certainly more precise than the person's, in goals of several
    turns; a threshold counts where the 95% interval, corrected for the number of thresholds, is above 0 there and at every higher one that accepts
    _LEAST_GOALS in each training."""
    times = resamples(files, 2000, 0)
    whole = np.ones((1, files))
    theirs = _precision(person[0], 0.0)
    found: tuple[float, Array, Array, float] | None = None
    for threshold in reversed(_GRID):
        values, draws, kept = [], [], []
        for training in model:
            own = _precision(training, threshold)
            if own[:, 1].sum() < _LEAST_GOALS * len(training.items):
                break
            values.append(_ratio(own, whole)[0])
            draws.append(_ratio(own, times))
            kept.append(own[:, 1].sum() / own[:, 2].sum())
        if len(values) < len(model):
            continue
        value, drawn = over_trainings(values, draws, 0)
        difference = interval(value - _ratio(theirs, whole)[0], drawn - _ratio(theirs, times), 1 - 0.05 / len(_GRID))
        if difference.low is None or difference.low <= 0:
            break
        found = threshold, np.array([value]), drawn, float(np.mean(kept))
    precision = _ratio(theirs, whole)[0], _ratio(theirs, times)
    setting = "goals of several turns"
    yield Result(metric="precision", system=PERSON, setting=setting, **bootstrap(interval(*precision).rounded()))
    all_goals = over_trainings(
        [_ratio(_precision(t, 0.0), whole)[0] for t in model], [_ratio(_precision(t, 0.0), times) for t in model], 0
    )
    yield Result(metric="precision", system=_MODEL, setting=setting, **bootstrap(interval(*all_goals).rounded()))
    accepted = f"{setting}, from the threshold that is certainly better"
    coverage = 0.0 if found is None else found[3]
    yield Result(metric="coverage", system=_MODEL, setting=accepted, value=round(coverage, 4))
    if found is not None:
        yield Result(metric="goal_threshold", system=_MODEL, setting=accepted, value=found[0])
        made = interval(float(found[1][0]), found[2]).rounded()
        yield Result(metric="precision", system=_MODEL, setting=accepted, **bootstrap(made))


def _precision(system: _Judged, threshold: float) -> Array:
    """[files, 3]: exact goals among the accepted, accepted goals, all goals; of several turns, summed over references."""
    out = np.zeros((len(system.items[0]), 3))
    for of in system.items:
        for file, item in enumerate(of):
            for at, wanted in item.reference.items():
                right = {label.at for label in wanted}
                for label in item.predicted[at]:
                    if isinstance(label.at, AtGoal) and len(label.at.turns) > 1:
                        taken = label.probability is None or label.probability >= threshold
                        out[file] += (taken and label.at in right, taken, 1.0)
    return out


def _ratio(counts: Array, times: Array) -> Array:
    above, below = times @ counts[:, 0], times @ counts[:, 1]
    return np.where(below > 0, above / np.maximum(below, 1.0), np.nan)


def published(corpus: str) -> list[Result]:
    """Figures of Kummerfeld et al. 2019, table 4: on the test part, after training on all 153 train files."""
    return [
        Result(corpus=corpus, split="test part", task=GOALS, system=f"published: {system}", metric=name, value=value)
        for system, values in _PUBLISHED_FIGURES.items()
        for name, value in zip(("variation_of_information", "one_to_one", "exact_goal_f1_several"), values, strict=True)
    ]


_PUBLISHED_FIGURES = {
    "previous message": (0.661, 0.276, 0.0),
    "linear": (0.889, 0.695, 0.218),
    "feedforward": (0.913, 0.756, 0.362),
}
