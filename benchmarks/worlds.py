"""Methods in drawn worlds whose truth is known: aggregation of signals, certified thresholds, prediction-powered intervals.

Aggregation. How well waterfall, majority and EM tell good items from bad ones, in worlds of drawn signals with known truth.

An item is good with probability .75. Six detectors fire at a set rate and are right with a set accuracy; no method knows these numbers, except
in the world whose detectors have the written precisions. In some worlds the first detector is copied, some users are annoyed (60% on bad
items, 10% on good ones) and signal three times as often, or every second detector only votes bad. EM sees patterns of signals alone
(in some worlds also 200 labeled items), and learns from the items that it is evaluated on.

LabelModel is Snorkel's (Ratner et al. 2019, "Training Complex Models with Multi-Task Weak Supervision") with its defaults: equal
classes, silence ignored. It is left out if Snorkel is not installed (`pip install -e .[peers]`).

Metrics: log loss, ECE, and F1 of bad at 1/2 and at the threshold with the greatest F1 that a method's own probabilities predict. For EM
also the largest error of a vote's log-likelihood ratio among detectors that fired 2,000 times. Means over seeds with 95% intervals by Student's t.

Guarantees. Whether certified thresholds (Learn-then-Test) and prediction-powered intervals (PPI++) keep their promise in drawn worlds.

Nothing is trained: dialogues have answers with a score and a chance of an error; errors depend on each other within a dialogue. The
true error of a threshold is read off a population of 40,000 dialogues. One part of each world chooses the thresholds, another
certifies them, as `labelgen certify` does.
"""

import importlib
import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from labelgen.confidence.certificate import Scored, Step, certify, plan
from labelgen.confidence.prediction_powered import Sums, people_alone, prediction_powered
from labelgen.confidence.resampling import Array
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import AtTurn
from labelgen.feedback.em.estimation import Rates, fit
from labelgen.feedback.em.patterns import Pattern
from labelgen.feedback.items import FeedbackItem
from labelgen.feedback.posterior import majority, waterfall
from labelgen.feedback.signal import reliability
from labelgen.metrics.scores import CALIBRATION_BINS

from .results import Cell, Result, binomial, student, versions

AnyArray = NDArray[Any]

GOOD = 0.75
DIFFERENT = (0.55, 0.65, 0.75, 0.85, 0.9, 0.95)
WRITTEN = ("answer", "rating", "disconnect", "correction", "repetition", "rephrase", "gratitude", "barge_in")
"""Kinds whose precisions are written down; those of the world that is as they say."""
ANNOYED = (0.1, 0.6)
"""The share of annoyed users on good items, and on bad ones."""
METRICS = ("log_loss", "bad_f1", "best_bad_f1", "ece")
HAS_PEER = importlib.util.find_spec("snorkel") is not None
FIRED = 2000
"""So often a kind has to fire for its ratios to be judged."""


@dataclass(frozen=True)
class SignalWorld:
    """accuracy and fires: of each detector. copies: so many copies of the first detector, which say what it says
    in this share of its signals (`copied`); and speak by themselves at a rate `own`, right half of the time. annoyed: some
    users are. one_sided: every second detector is silent where it would say good. judged: so many items were, by people.
    kinds: names of registered detectors, with what these declare; without, detectors declare nothing."""

    accuracy: tuple[float, ...]
    fires: float = 0.2
    copies: int = 0
    copied: float = 1.0
    own: float = 0.0
    annoyed: bool = False
    one_sided: bool = False
    judged: int = 0
    kinds: tuple[str, ...] = ()

    def names(self) -> list[str]:
        first = list(self.kinds or (f"detector {k}" for k in range(len(self.accuracy))))
        return first + [f"copy {k}" for k in range(self.copies)]


ONE_SIDED = SignalWorld(DIFFERENT, one_sided=True)
SIGNAL_WORLDS = {
    **{f"six of accuracy {accuracy}": SignalWorld((accuracy,) * 6) for accuracy in (0.55, 0.65, 0.75, 0.85, 0.95)},
    **{f"accuracy .55 to .95, firing {fires:.0%}": SignalWorld(DIFFERENT, fires) for fires in (0.05, 0.2, 0.6)},
    "as the written precisions say": SignalWorld(
        tuple(max(reliability(k).precision.values()) for k in WRITTEN), kinds=WRITTEN
    ),
    "accuracy .55 to .95, the worst copied twice": SignalWorld(DIFFERENT, copies=2),
    "the same, half of its signals and others": SignalWorld(DIFFERENT, copies=2, copied=0.5, own=0.05),
    "the same, but the best": SignalWorld(DIFFERENT[::-1], copies=2, copied=0.5, own=0.05),
    "accuracy .55 to .95, annoyed users": SignalWorld(DIFFERENT, fires=0.15, annoyed=True),
    "the same, the worst copied in half and others": SignalWorld(
        DIFFERENT, fires=0.15, annoyed=True, copies=2, copied=0.5, own=0.05
    ),
    "accuracy .55 to .95, every second says bad alone": ONE_SIDED,
    "the same, 200 items judged": replace(ONE_SIDED, judged=200),
    "six of accuracy 0.55, 200 items judged": SignalWorld((0.55,) * 6, judged=200),
    "accuracy .55 to .95, firing 5%, 200 items judged": SignalWorld(DIFFERENT, 0.05, judged=200),
}


def draw(world: SignalWorld, items: int, seed: int) -> tuple[AnyArray, AnyArray]:
    """Truth [N], true where good, and what each detector said [N, K]: 1 good, -1 bad, 0 silence."""
    rng = np.random.default_rng(seed)
    good = rng.random(items) < GOOD
    annoyed = rng.random(items) < np.where(good, *ANNOYED)
    rate = np.minimum(world.fires * np.where(annoyed & world.annoyed, 3.0, 1.0), 1.0)
    votes_of = []
    for accuracy in world.accuracy:
        right = rng.random(items) < accuracy
        votes_of.append(np.where(rng.random(items) < rate, np.where(right == good, 1, -1), 0))
    for k, kind in enumerate(world.kinds):
        declared = reliability(kind).precision
        votes_of[k] = np.clip(votes_of[k], -1 if "bad" in declared else 0, 1 if "good" in declared else 0)
    if world.one_sided:
        votes_of[1::2] = [np.minimum(votes, 0) for votes in votes_of[1::2]]
    copies = []
    for _ in range(world.copies):
        noise = np.where(rng.random(items) < world.own, rng.choice((-1, 1), items), 0)
        copies.append(np.where((votes_of[0] != 0) & (rng.random(items) < world.copied), votes_of[0], noise))
    return good, np.stack(votes_of + copies, axis=1)


def patterns(votes: AnyArray, kinds: Sequence[str]) -> tuple[list[Pattern], AnyArray, AnyArray]:
    """The distinct rows as patterns, the one of each item, and how often each occurs."""
    rows, which, counts = np.unique(votes, axis=0, return_inverse=True, return_counts=True)
    order = sorted(range(len(kinds)), key=kinds.__getitem__)
    made = [Pattern(None, tuple((kinds[k], "good" if row[k] > 0 else "bad") for k in order if row[k])) for row in rows]
    return made, which.ravel(), counts


def true_ratios(world: SignalWorld) -> dict[tuple[str, str], float]:
    """ln P(vote of a kind | good) - ln P(vote | bad), in nats."""
    # Three times as often for the share of annoyed users, where there are some.
    fires = [
        min(world.fires * 3.0, 1.0) * a + world.fires * (1.0 - a) if world.annoyed else world.fires for a in ANNOYED
    ]
    of_votes: dict[tuple[str, str], list[float]] = {}
    names = world.names()
    for kind, accuracy in zip(names, world.accuracy, strict=False):
        of_votes[kind, "good"] = [fires[0] * accuracy, fires[1] * (1.0 - accuracy)]
        of_votes[kind, "bad"] = [fires[0] * (1.0 - accuracy), fires[1] * accuracy]
    for kind in names[len(world.accuracy) :]:
        for vote in ("good", "bad"):
            copied = [world.copied * p for p in of_votes[names[0], vote]]
            of_votes[kind, vote] = [
                p + (1.0 - world.copied * f) * world.own / 2.0 for p, f in zip(copied, fires, strict=True)
            ]
    return {key: math.log(good / bad) for key, (good, bad) in of_votes.items()}


def worst_ratio(world: SignalWorld, rates: Rates, votes: AnyArray) -> float:
    """The greatest error among the kinds that fired often enough; nan where none did."""
    errors = [math.nan]
    often = dict(zip(world.names(), (votes != 0).sum(axis=0), strict=True))
    for (kind, vote), true in true_ratios(world).items():
        of_class = [both for answer, both in rates.rates.items() if (kind, vote) in answer[1]]
        if often[kind] >= FIRED and of_class:
            good, bad = np.sum(of_class, axis=0)
            errors.append(abs(math.log(good / bad) - true))
    return float(np.nanmax(errors)) if len(errors) > 1 else math.nan


def label_model(every_vote: AnyArray, rows: AnyArray, seed: int) -> AnyArray:
    """Probability of good of each row [P, K] by LabelModel, learned from all items [N, K]."""
    model = importlib.import_module("snorkel.labeling.model").LabelModel(cardinality=2, verbose=False)
    votes = [np.where(x == 0, -1, (x > 0).astype(int)) for x in (every_vote, rows)]
    model.fit(votes[0], seed=seed, progress_bar=False)
    good: AnyArray = np.clip(model.predict_proba(votes[1])[:, 1], 1e-6, 1.0 - 1e-6)
    return good


def posteriors(made: Sequence[Pattern], rates: Rates) -> dict[str, AnyArray]:
    """By method the probability of good of each pattern; 1/2 where a method has none."""
    dialogue = Dialogue(id="item", turns=(Turn(request="", response=""),))
    by_method: dict[str, AnyArray] = {}
    for name, method in (("waterfall", waterfall), ("majority", majority)):
        of_items = []
        for pattern in made:
            signals = tuple(Signal(kind=kind, turns=(0,), vote=vote) for kind, vote in pattern.votes)
            posterior = method(FeedbackItem(dialogue, AtTurn(0), signals))
            of_items.append(0.5 if posterior is None else posterior.good)
        by_method[name] = np.array(of_items)
    return by_method | {"em": np.array([rates.posterior(pattern) for pattern in made])}


def judge(p: AnyArray, good: AnyArray) -> tuple[float, float, float, float]:
    """The metrics of posteriors of good [N]."""
    loss = -float(np.log(np.where(good, p, 1.0 - p)).mean())
    bins = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    ece = float(np.abs(np.bincount(bins, good - p)).sum()) / len(p)
    return loss, f1_of_bad(p < 0.5, good), f1_of_bad(p <= own_threshold(p), good), ece


def f1_of_bad(predicted: AnyArray, good: AnyArray) -> float:
    return 2.0 * float((predicted & ~good).sum()) / max(1, int(predicted.sum() + (~good).sum()))


def own_threshold(p: AnyArray) -> float:
    """The greatest posterior of good at which an item is still called bad, by the posteriors [N] themselves."""
    values, times = np.unique(p, return_counts=True)
    bad = (1.0 - values) * times
    expected = 2.0 * np.cumsum(bad) / (np.cumsum(times) + bad.sum())
    return float(values[np.argmax(expected)])


def _measured(world: SignalWorld, items: int, seeds: Sequence[int]) -> tuple[dict[str, AnyArray], AnyArray]:
    """By method the metrics of each seed, [S, 4], and EM's worst ratios, [S]."""
    values: dict[str, list[tuple[float, ...]]] = {}
    worst = []
    for seed in seeds:
        good, votes = draw(world, items, seed)
        made, which, counts = patterns(votes, world.names())
        counted = Counter(dict(zip(made, map(int, counts), strict=True)))
        for pattern, judged in zip(which[: world.judged], good[: world.judged], strict=True):
            counted[made[pattern]] -= 1
            counted[replace(made[pattern], known=float(judged))] += 1
        rates = fit(+counted)
        worst.append(worst_ratio(world, rates, votes))
        by_method = posteriors(made, rates)
        if HAS_PEER:
            by_method["LabelModel"] = label_model(votes, np.unique(votes, axis=0), seed)
        for method, p in by_method.items():
            values.setdefault(method, []).append(judge(p[which], good))
    return {method: np.array(rows) for method, rows in values.items()}, np.array(worst)


def aggregation(items: int, seeds: Sequence[int]) -> list[Result]:
    """The rows of all worlds."""
    rows = []
    for name, world in SIGNAL_WORLDS.items():
        by_method, worst = _measured(world, items, seeds)
        for method, values in by_method.items():
            cells = dict(zip(METRICS, map(student, values.T), strict=True))
            if method == "em" and not np.isnan(worst).any():
                cells["worst_log_ratio_error"] = student(worst)
            rows += [_aggregation_row(name, method, metric, seeds, cell) for metric, cell in cells.items()]
    return rows


def _aggregation_row(world: str, method: str, metric: str, seeds: Sequence[int], cell: Cell) -> Result:
    used = versions("numpy", "scipy", *(["snorkel"] if HAS_PEER else []))
    seed = " ".join(map(str, seeds))
    return Result(corpus="drawn signals", split=world, system=method, metric=metric, seed=seed, versions=used, **cell)


MAX_ERROR, CONFIDENCE = 0.03, 0.95
POPULATION = 40_000
Draw = Callable[[np.random.Generator, int], Array]


@dataclass(frozen=True, slots=True)
class World:
    """answers: how many each dialogue has. together: spread of what the answers of a dialogue share, in log-odds. seen: spread
    of what scores know. base: log-odds of an error. by_length: log-odds that each answer more of a dialogue adds. flat: every
    answer is wrong with this chance, a whole dialogue at a time, whatever its score."""

    name: str
    answers: Draw
    together: float = 0.0
    seen: float = 1.5
    base: float = -3.5
    by_length: float = 0.0
    flat: float | None = None


def _ones(rng: np.random.Generator, count: int) -> Array:
    return np.ones(count)


def _turns(rng: np.random.Generator, count: int) -> Array:
    return rng.integers(4, 13, count).astype(np.float64)


def _long_tail(rng: np.random.Generator, count: int) -> Array:
    return np.minimum(rng.geometric(0.2, count), 40).astype(np.float64)


WORLDS = (
    World("one answer a dialogue", _ones),
    World("4 to 12 answers, dependent", _turns, together=1.5, base=-4.0),
    World("4 to 12 answers, wrong all at once", _turns, flat=MAX_ERROR * 1.01),
    World("1 to 40 answers, dependent", _long_tail, together=1.5, base=-4.0),
    World("1 to 40 answers, long dialogues worse", _long_tail, together=1.0, base=-4.5, by_length=0.1),
)


def drawn(world: World, rng: np.random.Generator, dialogues: int) -> tuple[Scored, Array]:
    """Answers, and the chance that each is wrong."""
    answers = world.answers(rng, dialogues).astype(np.int64)
    dialogue_of = np.repeat(np.arange(dialogues), answers)
    if world.flat is not None:
        score: Array = rng.random(len(dialogue_of))
        chance: Array = np.full(len(dialogue_of), world.flat)
        wrong = (rng.random(dialogues) < world.flat)[dialogue_of].astype(np.float64)
    else:
        known = world.base + world.seen * rng.normal(size=len(dialogue_of)) + world.by_length * answers[dialogue_of]
        odds = known + world.together * rng.normal(size=dialogues)[dialogue_of]
        score = 1 / (1 + np.exp(known))
        chance = 1 / (1 + np.exp(-odds))
        wrong = (rng.random(len(dialogue_of)) < chance).astype(np.float64)
    return Scored(dialogue_of, score, wrong, tuple(map(str, range(dialogues)))), chance


def shares(population: Scored, chance: Array, threshold: float, most: int) -> tuple[float, float, float]:
    """Of what is accepted: the true share of errors where a dialogue counts for at most `most` answers, the true share of all,
    and the coverage."""
    taken = population.score >= threshold
    items = np.bincount(population.dialogue[taken], minlength=population.dialogues)
    errors = np.bincount(population.dialogue[taken], weights=chance[taken], minlength=population.dialogues)
    some = items > 0
    counted = np.minimum(items, most)[some]
    capped = float((counted * errors[some] / items[some]).sum() / counted.sum())
    return capped, float(errors.sum() / items.sum()), float(taken.mean())


def independent_step(held_out: Scored, steps: Sequence[Step]) -> Step | None:
    """What is found where answers are taken for independent, as they are not."""
    last = None
    for step in steps:
        items, errors = held_out.accepted(step.threshold)
        if binom.cdf(errors.sum(), items.sum(), MAX_ERROR) > 1 - CONFIDENCE:
            break
        last = step
    return last


def certified_step(held_out: Scored, steps: Sequence[Step], draw: str) -> Step | None:
    threshold = certify(held_out, steps, MAX_ERROR, CONFIDENCE, draw).threshold
    return next((step for step in steps if step.threshold == threshold), None)


METHODS: Mapping[str, Callable[[Scored, Sequence[Step], str], Step | None]] = {
    "labelgen": certified_step,
    "one answer per dialogue": lambda held_out, steps, draw: certified_step(
        held_out, [replace(s, most=1) for s in steps], draw
    ),
    "answers as independent": lambda held_out, steps, _: independent_step(held_out, steps),
}


def certificates(worlds: int, dialogues: int) -> list[Result]:
    """Rows of certified thresholds."""
    rows: list[Result] = []
    for n, world in enumerate(WORLDS):
        population, chance = drawn(world, np.random.default_rng([n, 1]), POPULATION)
        outcomes: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METHODS}
        for k in range(worlds):
            rng = np.random.default_rng([n, 2, k])
            chosen, held_out = drawn(world, rng, dialogues // 2)[0], drawn(world, rng, dialogues)[0]
            steps = plan(chosen, dialogues, MAX_ERROR, CONFIDENCE)
            for name, method in METHODS.items():
                step = method(held_out, steps, str(k))
                outcomes[name].append(
                    (0.0, 0.0, 0.0) if step is None else shares(population, chance, step.threshold, step.most)
                )
        for name, made in outcomes.items():
            table = np.array(made)
            for metric, cell in (
                ("certified_share", {"value": round(float((table[:, 2] > 0).mean()), 4)}),
                ("violation_rate", binomial(int((table[:, 0] > MAX_ERROR).sum()), worlds)),
                ("violation_rate_per_answer", {"value": round(float((table[:, 1] > MAX_ERROR).mean()), 4)}),
                ("coverage", {"value": round(float(table[:, 2].mean()), 4)}),
            ):
                rows.append(_row("drawn answers", name, metric, worlds, cell, split=world.name))
    return rows


def _row(corpus: str, system: str, metric: str, worlds: int, cell: Cell, **fields: Any) -> Result:
    used = versions("numpy", "scipy")
    return Result(corpus=corpus, system=system, metric=metric, n=worlds, versions=used, **cell, **fields)


MODELS: Mapping[str, float] = {"useless": 0.0, "fair": 0.6, "good": 0.85, "very good": 0.95}
"""How often a model says what happened, where it does not guess."""

GOALS_SUCCEED = 0.75


def intervals(worlds: int, people: int, dialogues: int) -> list[Result]:
    """Rows of prediction-powered intervals."""
    rows: list[Result] = []
    for n, (name, knows) in enumerate(MODELS.items()):
        covered, width, weights = np.zeros(2), np.zeros(2), []
        for k in range(worlds):
            sums = _log(np.random.default_rng([n, 4, k]), knows, people, dialogues)
            powered = prediction_powered(sums)
            for m, interval in enumerate((people_alone(sums), powered.interval)):
                assert interval.low is not None
                assert interval.high is not None
                covered[m] += interval.low <= GOALS_SUCCEED <= interval.high
                width[m] += (interval.high - interval.low) / worlds
            weights.append(powered.weight)
        for m, system in enumerate(("people alone", "people and model")):
            rows.append(
                _row("drawn logs", system, "interval_coverage", worlds, binomial(int(covered[m]), worlds), setting=name)
            )
            rows.append(
                _row("drawn logs", system, "interval_width", worlds, {"value": round(float(width[m]), 4)}, setting=name)
            )
        weight = {"value": round(float(np.mean(weights)), 4)}
        rows.append(_row("drawn logs", "people and model", "model_weight", worlds, weight, setting=name))
    return rows


def _log(rng: np.random.Generator, knows: float, people: int, dialogues: int) -> Sums:
    goals = rng.integers(1, 6, dialogues)
    lucky = rng.beta(6 * GOALS_SUCCEED, 6 * (1 - GOALS_SUCCEED), dialogues)
    reached = rng.binomial(goals, lucky)
    known_good = rng.binomial(reached, knows)
    known_bad = rng.binomial(goals - reached, knows)
    guessed = rng.binomial(goals - known_good - known_bad, 0.9)
    more = rng.binomial(1, 0.1, dialogues)
    truth = np.stack([reached, goals], axis=1).astype(np.float64)
    predicted = np.stack([known_good + guessed + more, goals + more], axis=1).astype(np.float64)
    return Sums(truth[:people], predicted[:people], predicted[people:])
