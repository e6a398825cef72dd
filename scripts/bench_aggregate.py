"""How well waterfall, majority and EM tell good items from bad ones, in worlds of signals whose truth is known.

    python scripts/bench_aggregate.py --out results/aggregate.json

An item is good with probability .75. Six detectors each fire at a set rate and are right with a set accuracy; what they
are is known to no method beforehand, but for one world whose detectors are as the written precisions say. In some worlds
the first detector is copied, some users are annoyed (60% on bad items, 10% on good ones) and their signals come three times
as often, or every second detector only ever says bad. EM sees patterns of signals alone, but where people judged the first 200
items, and learns from the items that it is judged on.

LabelModel is Snorkel's (Ratner et al. 2019, "Training Complex Models with Multi-Task Weak Supervision"), as it is by default: it
takes both classes for equally frequent and silence for nothing. It is measured where `pip install -e .[peers]` put it.

Log loss, ECE, and F1 of bad, twice: where the posterior of good is below 1/2, and below the threshold at which the F1 that a
method's own posteriors lead to expect is greatest (it takes no truth, and is the same rule for all). Of EM also the greatest
error of a vote's log-likelihood ratio, in nats, among the kinds that fired 2,000 times. Means over seeds, with 95%
intervals by Student's t."""

import argparse
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from command import write_table
from msgspec.structs import replace
from numpy.typing import NDArray

from labelgen import __version__
from labelgen.data.dialogue import Dialogue, Signal, Turn
from labelgen.data.labels import AtTurn
from labelgen.feedback.em.estimation import Rates, fit
from labelgen.feedback.em.patterns import Pattern
from labelgen.feedback.items import Item
from labelgen.feedback.posterior import PRIOR_PRECISION, majority, waterfall
from labelgen.metrics.scores import CALIBRATION_BINS

Array = NDArray[Any]

GOOD = 0.75
DIFFERENT = (0.55, 0.65, 0.75, 0.85, 0.9, 0.95)
WRITTEN = ("answer", "rating", "disconnect", "correction", "repetition", "rephrase", "gratitude", "barge_in")
"""Kinds whose precisions are written down; those of the world that is as they say."""
ANNOYED = (0.1, 0.6)
"""The share of annoyed users on good items, and on bad ones."""
METRICS = ("log loss", "F1 of bad", "F1 at own threshold", "ECE")
WORST = "worst ratio, nats"
HAS_PEER = importlib.util.find_spec("snorkel") is not None
FIRED = 2000
"""So often a kind has to fire for its ratios to be judged."""


@dataclass(frozen=True)
class World:
    """accuracy and fires: of each detector. copies: so many copies of the first detector, which say what it says
    in this share of its signals (`copied`); and speak by themselves at a rate `own`, right half of the time. annoyed: some
    users are. one_sided: every second detector is silent where it would say good. judged: so many items were, by people.
    kinds: the detectors' names, where they are known to PRIOR_PRECISION."""

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


ONE_SIDED = World(DIFFERENT, one_sided=True)
WORLDS = {
    **{f"six of accuracy {accuracy}": World((accuracy,) * 6) for accuracy in (0.55, 0.65, 0.75, 0.85, 0.95)},
    **{f"accuracy .55 to .95, firing {fires:.0%}": World(DIFFERENT, fires) for fires in (0.05, 0.2, 0.6)},
    "as the written precisions say": World(tuple(PRIOR_PRECISION[k] for k in WRITTEN), kinds=WRITTEN),
    "accuracy .55 to .95, the worst copied twice": World(DIFFERENT, copies=2),
    "the same, half of its signals and others": World(DIFFERENT, copies=2, copied=0.5, own=0.05),
    "the same, but the best": World(DIFFERENT[::-1], copies=2, copied=0.5, own=0.05),
    "accuracy .55 to .95, annoyed users": World(DIFFERENT, fires=0.15, annoyed=True),
    "the same, the worst copied in half and others": World(
        DIFFERENT, fires=0.15, annoyed=True, copies=2, copied=0.5, own=0.05
    ),
    "accuracy .55 to .95, every second says bad alone": ONE_SIDED,
    "the same, 200 items judged": dataclasses.replace(ONE_SIDED, judged=200),
    "six of accuracy 0.55, 200 items judged": World((0.55,) * 6, judged=200),
    "accuracy .55 to .95, firing 5%, 200 items judged": World(DIFFERENT, 0.05, judged=200),
}


def draw(world: World, items: int, seed: int) -> tuple[Array, Array]:
    """Truth [N], true where good, and what each detector said [N, K]: 1 good, -1 bad, 0 silence."""
    rng = np.random.default_rng(seed)
    good = rng.random(items) < GOOD
    annoyed = rng.random(items) < np.where(good, *ANNOYED)
    rate = np.minimum(world.fires * np.where(annoyed & world.annoyed, 3.0, 1.0), 1.0)
    said = []
    for accuracy in world.accuracy:
        right = rng.random(items) < accuracy
        said.append(np.where(rng.random(items) < rate, np.where(right == good, 1, -1), 0))
    if world.one_sided:
        said[1::2] = [np.minimum(votes, 0) for votes in said[1::2]]
    copies = []
    for _ in range(world.copies):
        own = np.where(rng.random(items) < world.own, rng.choice((-1, 1), items), 0)
        copies.append(np.where((said[0] != 0) & (rng.random(items) < world.copied), said[0], own))
    return good, np.stack(said + copies, axis=1)


def patterns(said: Array, kinds: Sequence[str]) -> tuple[list[Pattern], Array, Array]:
    """The distinct rows as patterns, the one of each item, and how often each occurs."""
    rows, which, counts = np.unique(said, axis=0, return_inverse=True, return_counts=True)
    order = sorted(range(len(kinds)), key=kinds.__getitem__)
    made = [Pattern(None, tuple((kinds[k], "good" if row[k] > 0 else "bad") for k in order if row[k])) for row in rows]
    return made, which.ravel(), counts


def true_ratios(world: World) -> dict[tuple[str, str], float]:
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


def worst_ratio(world: World, rates: Rates, said: Array) -> float:
    """The greatest error among the kinds that fired often enough; nan where none did."""
    errors = [math.nan]
    often = dict(zip(world.names(), (said != 0).sum(axis=0), strict=True))
    for (kind, vote), true in true_ratios(world).items():
        of_class = [rates.of_class(answer) for answer in rates.rates if (kind, vote) in answer[1]]
        if often[kind] >= FIRED and of_class:
            good, bad = np.sum(of_class, axis=0)
            errors.append(abs(math.log(good / bad) - true))
    return float(np.nanmax(errors)) if len(errors) > 1 else math.nan


def label_model(said: Array, rows: Array, seed: int) -> Array:
    """Probability of good of each row [P, K] by LabelModel, learned from all items [N, K]."""
    model = importlib.import_module("snorkel.labeling.model").LabelModel(cardinality=2, verbose=False)
    votes = [np.where(x == 0, -1, (x > 0).astype(int)) for x in (said, rows)]
    model.fit(votes[0], seed=seed, progress_bar=False)
    good: Array = np.clip(model.predict_proba(votes[1])[:, 1], 1e-6, 1.0 - 1e-6)
    return good


def posteriors(made: Sequence[Pattern], rates: Rates) -> dict[str, Array]:
    """By method the probability of good of each pattern; 1/2 where a method has none."""
    dialogue = Dialogue(id="item", turns=(Turn(request="", response=""),))
    found: dict[str, Array] = {}
    for name, method in (("waterfall", waterfall), ("majority", majority)):
        of_items = []
        for pattern in made:
            signals = tuple(Signal(kind=kind, turns=(0,), vote=vote) for kind, vote in pattern.votes)
            told = method(Item(dialogue, AtTurn(0), signals))
            of_items.append(0.5 if told is None else told.good)
        found[name] = np.array(of_items)
    return found | {"em": np.array([rates.posterior(pattern) for pattern in made])}


def judge(p: Array, good: Array) -> tuple[float, float, float, float]:
    """The metrics of posteriors of good [N]."""
    loss = -float(np.log(np.where(good, p, 1.0 - p)).mean())
    bins = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    ece = float(np.abs(np.bincount(bins, good - p)).sum()) / len(p)
    return loss, f1_of_bad(p < 0.5, good), f1_of_bad(p <= own_threshold(p), good), ece


def f1_of_bad(found: Array, good: Array) -> float:
    return 2.0 * float((found & ~good).sum()) / max(1, int(found.sum() + (~good).sum()))


def own_threshold(p: Array) -> float:
    """The greatest posterior of good at which an item is still called bad, by the posteriors [N] themselves."""
    values, times = np.unique(p, return_counts=True)
    bad = (1.0 - values) * times
    expected = 2.0 * np.cumsum(bad) / (np.cumsum(times) + bad.sum())
    return float(values[np.argmax(expected)])


def interval(values: Array) -> dict[str, float]:
    """The mean over seeds [S], by Student's t."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    mean = values.mean()
    return {name: round(float(x), 4) for name, x in (("value", mean), ("low", mean - half), ("high", mean + half))}


def measure(world: World, items: int, seeds: int) -> tuple[dict[str, Array], Array]:
    """By method the metrics of each seed, [S, 4], and EM's worst ratios, [S]."""
    found: dict[str, list[tuple[float, ...]]] = {}
    worst = []
    for seed in range(seeds):
        good, said = draw(world, items, seed)
        made, which, counts = patterns(said, world.names())
        counted = Counter(dict(zip(made, map(int, counts), strict=True)))
        for pattern, judged in zip(which[: world.judged], good[: world.judged], strict=True):
            counted[made[pattern]] -= 1
            counted[replace(made[pattern], known=float(judged))] += 1
        rates = fit(+counted)
        worst.append(worst_ratio(world, rates, said))
        by_method = posteriors(made, rates)
        if HAS_PEER:
            by_method["LabelModel"] = label_model(said, np.unique(said, axis=0), seed)
        for method, p in by_method.items():
            found.setdefault(method, []).append(judge(p[which], good))
    return {method: np.array(rows) for method, rows in found.items()}, np.array(worst)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the table here, as scripts/render_results.py reads it")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    if not HAS_PEER:
        print("LabelModel is left out: snorkel is not installed (pip install -e .[peers] -c constraints.txt)")
    rows: list[list[Any]] = []
    for name, world in WORLDS.items():
        by_method, worst = measure(world, args.items, args.seeds)
        for method, values in by_method.items():
            ratio = interval(worst) if method == "em" and not np.isnan(worst).any() else None
            rows.append([name, method, *(interval(values[:, k]) for k in range(len(METRICS))), ratio])
            print(f"{name:<48} {method:<10}", *(f"{c['value']:.3f}" for c in rows[-1][2:] if c), flush=True)
    write_table(args.out, _table(rows, args.items, args.seeds))


def _table(rows: list[list[Any]], items: int, seeds: int) -> dict[str, Any]:
    text = (
        "Items whose truth is known, and signals drawn straight from it (the script says how). Nothing is known of the "
        "detectors beforehand, but where it says so. A method without a posterior is taken to say one half. The own threshold "
        "is where F1 of bad is greatest by a method's own posteriors. The worst ratio is the greatest error of a "
        "log-likelihood ratio of EM among kinds that fired 2,000 times; no kind did where there is none. LabelModel is Snorkel's, "
        "as it is by default."
    )
    return {
        "order": 10,
        "title": "Aggregation in known worlds",
        "text": text,
        "command": f"python scripts/bench_aggregate.py --items {items} --seeds {seeds} --out results/aggregate.json",
        "versions": {
            "labelgen": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "scipy": scipy.__version__,
            **({"snorkel": importlib.metadata.version("snorkel")} if HAS_PEER else {}),
        },
        "data": f"{items:,} items a world; means of {seeds} seeds, 95% intervals over them by Student's t.",
        "columns": ["world", "method", *METRICS, WORST],
        "rows": rows,
    }


if __name__ == "__main__":
    main()
