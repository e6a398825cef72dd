"""How well waterfall, majority and EM tell good items from bad ones, in worlds of signals whose truth is known.

    python scripts/bench_aggregate.py --out results/aggregate.json

An item is good with probability .75. Six detectors each fire at a set rate and are right with a set accuracy; what they
are is known to no method beforehand, but for one world whose detectors are as the written precisions say. In some worlds
the worst detector is copied, or some users are annoyed (60% on bad items, 10% on good ones) and their signals come three times
as often. EM sees patterns of signals alone, and learns from the items that it is judged on. Log loss, F1 of bad
(posterior of good below 1/2) and ECE; means over seeds, with 95% intervals by Student's t."""

import argparse
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from labelgen import __version__
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import AtTurn
from labelgen.feedback.em import fit
from labelgen.feedback.items import Item
from labelgen.feedback.patterns import Pattern
from labelgen.feedback.posterior import PRIOR_PRECISION, majority, waterfall
from labelgen.metrics.scores import CALIBRATION_BINS

Array = NDArray[Any]

GOOD = 0.75
DIFFERENT = (0.55, 0.65, 0.75, 0.85, 0.9, 0.95)
WRITTEN = ("answer", "rating", "disconnect", "correction", "repetition", "rephrase", "gratitude", "barge_in")
"""Kinds whose precisions are written down; those of the world that is as they say."""
METRICS = ("log loss", "F1 of bad", "ECE")


@dataclass(frozen=True)
class World:
    """accuracy and fires: of each detector. copies: so many copies of the first detector, which say what it says
    in this share of its signals (`copied`); and speak by themselves at a rate `own`, right half of the time. annoyed: some users are. kinds: the detectors' names, where they are known to PRIOR_PRECISION."""

    accuracy: tuple[float, ...]
    fires: float = 0.2
    copies: int = 0
    copied: float = 1.0
    own: float = 0.0
    annoyed: bool = False
    kinds: tuple[str, ...] = ()

    def names(self) -> list[str]:
        first = list(self.kinds or (f"detector {k}" for k in range(len(self.accuracy))))
        return first + [f"copy {k}" for k in range(self.copies)]


WORLDS = {
    **{f"six of accuracy {accuracy}": World((accuracy,) * 6) for accuracy in (0.55, 0.65, 0.75, 0.85, 0.95)},
    **{f"accuracy .55 to .95, firing {fires:.0%}": World(DIFFERENT, fires) for fires in (0.05, 0.2, 0.6)},
    "as the written precisions say": World(tuple(PRIOR_PRECISION[k] for k in WRITTEN), kinds=WRITTEN),
    "accuracy .55 to .95, the worst copied twice": World(DIFFERENT, copies=2),
    "the same, half of its signals": World(DIFFERENT, copies=2, copied=0.5),
    "the same, half of its signals and others": World(DIFFERENT, copies=2, copied=0.5, own=0.05),
    "accuracy .55 to .95, annoyed users": World(DIFFERENT, fires=0.15, annoyed=True),
}


def draw(world: World, items: int, seed: int) -> tuple[Array, Array]:
    """Truth [N], true where good, and what each detector said [N, K]: 1 good, -1 bad, 0 silence."""
    rng = np.random.default_rng(seed)
    good = rng.random(items) < GOOD
    annoyed = rng.random(items) < np.where(good, 0.1, 0.6)
    rate = np.minimum(world.fires * np.where(annoyed & world.annoyed, 3.0, 1.0), 1.0)
    said = []
    for accuracy in world.accuracy:
        right = rng.random(items) < accuracy
        said.append(np.where(rng.random(items) < rate, np.where(right == good, 1, -1), 0))
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


def posteriors(made: Sequence[Pattern], counts: Array) -> dict[str, Array]:
    """By method the probability of good of each pattern; 1/2 where a method has none."""
    rates = fit(dict(zip(made, map(int, counts), strict=True)))
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


def judge(p: Array, good: Array) -> tuple[float, float, float]:
    """The metrics of posteriors of good [N]."""
    loss = -float(np.log(np.where(good, p, 1.0 - p)).mean())
    found = p < 0.5
    f1 = 2.0 * float((found & ~good).sum()) / max(1, int(found.sum() + (~good).sum()))
    bins = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return loss, f1, float(np.abs(np.bincount(bins, good - p)).sum()) / len(p)


def interval(values: Array) -> dict[str, float]:
    """The mean over seeds [S], by Student's t."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    mean = values.mean()
    return {name: round(float(x), 4) for name, x in (("value", mean), ("low", mean - half), ("high", mean + half))}


def measure(world: World, items: int, seeds: int) -> dict[str, Array]:
    """By method the metrics of each seed, [S, 3]."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(seeds):
        good, said = draw(world, items, seed)
        made, which, counts = patterns(said, world.names())
        for method, p in posteriors(made, counts).items():
            found.setdefault(method, []).append(judge(p[which], good))
    return {method: np.array(rows) for method, rows in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the table here, as scripts/render_results.py reads it")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    rows: list[list[Any]] = []
    for name, world in WORLDS.items():
        for method, values in measure(world, args.items, args.seeds).items():
            rows.append([name, method, *(interval(values[:, k]) for k in range(len(METRICS)))])
            print(f"{name:<46} {method:<10}", *(f"{cell['value']:.3f}" for cell in rows[-1][2:]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(_table(rows, args.items, args.seeds), indent=1) + "\n", encoding="utf-8")


def _table(rows: list[list[Any]], items: int, seeds: int) -> dict[str, Any]:
    text = (
        "Items whose truth is known, and signals drawn straight from it (the script says how). Nothing is known of the "
        "detectors beforehand, but where it says so. A method without a posterior is taken to say one half."
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
        },
        "data": f"{items:,} items a world; means of {seeds} seeds, 95% intervals over them by Student's t.",
        "columns": ["world", "method", *METRICS],
        "rows": rows,
    }


if __name__ == "__main__":
    main()
