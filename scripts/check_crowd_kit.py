"""Compares the skills of labelgen consensus with crowd-kit's, in an environment of its own:

    python -m venv runs/crowd-kit && runs/crowd-kit/bin/pip install crowd-kit==1.4.2
    PYTHONPATH=. runs/crowd-kit/bin/python scripts/check_crowd_kit.py

Draws logs of annotators who know the truth at rates of their own and guess else, fits both to them, and prints of each: the largest
difference between two posteriors, the share of items of which both say the same, the share that each gets right, and the seconds
that each takes. Majority: items without a draw alone, as crowd-kit decides draws by chance. Ends with 1 where majority or
Dawid-Skene differ on an item; of MACE see docs/explanation/decisions.md. Takes minutes, nearly all of them in crowd-kit."""

import random
import sys
import time
from collections import Counter

import pandas as pd
from crowdkit.aggregation import MACE, DawidSkene, MajorityVote

from labelgen.agreement.skill import Method, fit

LOGS = ((2, 3, 500), (3, 3, 1000), (3, 5, 500), (4, 12, 500))
"""Names, annotators, items."""

METHODS: tuple[Method, ...] = ("dawid-skene", "mace")


def drawn(
    names: int, annotators: int, items: int, seed: int
) -> tuple[dict[int, list[tuple[str, str]]], dict[int, str]]:
    """item -> (annotator, name), and what is true."""
    rng = random.Random(seed)
    knows = [rng.uniform(0.4, 0.95) for _ in range(annotators)]
    share = [k + 1 for k in range(names)]
    truth = {i: str(rng.choices(range(names), share)[0]) for i in range(items)}
    said: dict[int, list[tuple[str, str]]] = {}
    for item, name in truth.items():
        for k in sorted(rng.sample(range(annotators), min(annotators, 5))):
            said.setdefault(item, []).append((f"a{k}", name if rng.random() < knows[k] else str(rng.randrange(names))))
    return said, truth


def main() -> int:
    differ = 0
    print(
        f"{'names, people, items':<20} {'method':<12} {'apart':>8} {'alike':>7} {'right':>7} {'theirs':>7} {'s':>7} {'theirs':>8}"
    )
    for seed, sizes in enumerate(LOGS):
        said, truth = drawn(*sizes, seed)
        votes = [(item, who, name) for item, of_item in said.items() for who, name in of_item]
        table = pd.DataFrame(votes, columns=["task", "worker", "label"])
        counts = {item: Counter(name for _, name in of_item).most_common(2) for item, of_item in said.items()}
        most = {item: top[0][0] for item, top in counts.items() if len({count for _, count in top}) == len(top)}
        theirs = MajorityVote().fit_predict_proba(table).idxmax(axis=1)
        alike = sum(theirs[item] == name for item, name in most.items())
        differ += len(most) - alike
        print(f"{sizes!s:<20} {'majority':<12} {'':>8} {alike / len(most):>7.4f}")
        for method in METHODS:
            other = (
                DawidSkene(n_iter=500, tol=0)
                if method == "dawid-skene"
                else MACE(method="em", n_iter=100, n_restarts=3)
            )
            started = time.perf_counter()
            skill = fit(Counter(map(tuple, said.values())), method)
            posteriors = pd.DataFrame({item: skill.posterior(tuple(of_item)) for item, of_item in said.items()}).T
            middle = time.perf_counter()
            found = other.fit_predict_proba(table).loc[posteriors.index, posteriors.columns]
            ended = time.perf_counter()
            ours, theirs = posteriors.idxmax(axis=1), found.idxmax(axis=1)
            if method == "dawid-skene":
                differ += int((ours != theirs).sum())
            right = [sum(best[item] == name for item, name in truth.items()) / len(truth) for best in (ours, theirs)]
            print(
                f"{'':<20} {method:<12} {(posteriors - found).abs().max().max():>8.1e} {(ours == theirs).mean():>7.4f} "
                f"{right[0]:>7.4f} {right[1]:>7.4f} {middle - started:>7.3f} {ended - middle:>8.2f}"
            )
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
