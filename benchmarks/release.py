# mypy: disable-error-code="operator,arg-type,misc"
"""Release comparison: coverage, width and sign of differences on DBDC3, and power and false alarms in simulated worlds.

DBDC3: four bots as four versions, 100 dialogues each; the rate is the share of turns that 30 annotators call a breakdown by vote. The model is
a bag of words that never saw the dialogue (five folds). Each draw labels 25 dialogues a side by that vote. Draws are of the bot's dialogues
themselves (truth: their rate), or of as many with replacement, as from a population with that rate.

Worlds: users with rates of their own and many dialogues; the model has a given correlation with the truth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from labelgen.confidence import prediction_powered as ppi
from labelgen.confidence.two_sample import evidence_of_change
from labelgen.data.log import Log
from labelgen.data.split import FOLDS, fold_of
from labelgen.evaluation.baselines import fit_baselines
from labelgen.evaluation.classifiers import BagOfWords
from labelgen.evaluation.estimate import CountedDialogue, count_dialogue, sums_of
from labelgen.evaluation.protocol import with_reference
from labelgen.metrics.results import Interval, Setting
from labelgen.tasks.evaluation import about, evaluation_tasks

from .results import Result, binomial, versions

LABELED, OF_BOT, LARGE = 25, 100, 0.1
"""LARGE: a true difference whose sign must be right."""
DIALOGUES, USERS, RATE, FALL = 9_000, 3_000, 0.3, 0.87
"""Of a simulated side: dialogues, users who come to both sides, the rate before the release, and what is left of it after."""
SAVING = 0.6
WEEKS, A_WEEK, BASE = 12, 40, 500
"""Of an alarm: weeks, dialogues labeled in each, and before the release, of 400 users who come back."""


def dbdc3(log: Sequence[Path], draws: int) -> list[Result]:
    """Coverage, mean width and sign over draws and pairs of bots."""
    task = about(evaluation_tasks(), ["quality"])[0]
    setting = Setting()
    read = with_reference(Log(list(log)), [task], setting)
    bots: dict[str, list[CountedDialogue]] = {}
    for fold in range(FOLDS):
        held = [d for d in read if fold_of(d) == fold]
        training = [structs.replace(d, annotations=d.annotations[-1:]) for d in read if fold_of(d) != fold]
        fitted = fit_baselines(training, [task], setting, [BagOfWords()])
        for dialogue in fitted.annotate(held, setting.reference):
            counted = count_dialogue(dialogue, task, "bad", BagOfWords.name, setting.reference)
            if counted is not None and len(bots.setdefault(dialogue.source or "", [])) < OF_BOT:
                bots[dialogue.source or ""].append(counted)
    rows = []
    for replaced in (False, True):
        pairs = [[bots[bot] for bot in pair] for pair in combinations(sorted(bots), 2)]
        found = [x for pair in pairs for x in _draws(pair, draws, replaced)]
        cells = {"corpus": "DBDC3", "setting": "with replacement" if replaced else "of the bots' own dialogues"}
        for k, system in enumerate(("people alone", "people and model")):
            inside = sum(x[k].low <= true <= x[k].high for true, x in found)
            signs = [bool(np.sign(x[k].value) == np.sign(true)) for true, x in found if abs(true) >= LARGE]
            width = round(sum(x[k].high - x[k].low for _, x in found) / len(found), 4)
            rows.append(_share("interval_coverage", system, inside, len(found), cells))
            rows.append(_share("right_sign", system, sum(signs), len(signs), cells))
            rows.append(Result(metric="mean_width", system=system, value=width, n=len(found), **cells))
    return rows


def _draws(
    sides: Sequence[Sequence[CountedDialogue]], draws: int, replaced: bool
) -> Iterator[tuple[float, tuple[Interval, Interval]]]:
    """The true difference, and what people alone and both find in each draw."""
    truth = [np.array([row.people or (0.0, 0.0) for row in side]).sum(axis=0) for side in sides]
    true = float(truth[1][0] / truth[1][1] - truth[0][0] / truth[0][1])
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        both = []
        for which, side in enumerate(sides):
            order = rng.choice(len(side), len(side), replace=replaced).tolist()
            rows = [replace(side[k], user=2 * j + which) if replaced else side[k] for j, k in enumerate(order)]
            both.append(sums_of(rows[:LABELED] + [replace(row, people=None) for row in rows[LABELED:]]))
        yield true, (_found(both, False), _found(both, True))


def _found(both: Sequence[ppi.Sums], model: bool) -> Interval:
    rates = [ppi.rate_of(side, ppi.weight_of(side) if model else 0.0, ppi.IMAGINED_AT_ONE_SIDE) for side in both]
    return ppi.interval_of(ppi.difference(*rates), 0.95, -1.0)


def worlds(count: int, labels: Sequence[int], correlations: Sequence[float]) -> list[Result]:
    """Power of a release with fewer defects, and differences found where nothing changed: by people alone, and by SAVING of their labels."""
    rows = []
    for n, correlation, after in product(labels, (0.0, *correlations), (RATE * FALL, RATE)):
        hits, taken = 0, round(n * SAVING) if correlation else n
        for seed in range(count):
            rng = np.random.default_rng((n, seed))
            found = _found([_side(rng, rate, taken, correlation) for rate in (RATE, after)], correlation > 0)
            hits += found.low > 0 or found.high < 0
        system = f"model of correlation {correlation:g}" if correlation else "people alone"
        cells = {"setting": f"{n} labels a side by people alone, {round(n * SAVING)} with a model"}
        rows.append(_share("power" if after < RATE else "false_alarms", system, hits, count, cells))
    return rows


def _side(rng: np.random.Generator, rate: float, labels: int, correlation: float) -> ppi.Sums:
    """How often users come is skewed, and each has a rate of his own."""
    often = np.random.default_rng(0).lognormal(0, 1, USERS)
    users = rng.choice(USERS, DIALOGUES, p=often / often.sum())
    own = np.random.default_rng(1).beta(3, 7, USERS) / 0.3 * rate
    truth = (rng.random(DIALOGUES) < np.minimum(own[users], 1.0)).astype(float)
    noise = np.sqrt(rate * (1 - rate) * (1 - correlation**2))
    said = correlation**2 * truth + correlation * rng.normal(0, noise, DIALOGUES)
    pairs = [np.stack([x, np.ones(DIALOGUES)], axis=1) for x in (truth, said)]
    return ppi.Sums(pairs[0][:labels], pairs[1][:labels], pairs[1][labels:], users)


def alarms(count: int) -> list[Result]:
    """How often the alarm is raised within WEEKS weeks, by the change of the rate."""
    rows = []
    for skill in (False, True):
        for rise in (1.0, 1.5, 2.0):
            hits = sum(_raised(np.random.default_rng((seed, skill)), rise, skill) for seed in range(count))
            who = "frequent users fail less" if skill else "all users alike"
            rows.append(_share("alarms", "labels of users", hits, count, {"setting": f"rate times {rise:g}, {who}"}))
    return rows


def _raised(rng: np.random.Generator, rise: float, skill: bool) -> bool:
    often = rng.lognormal(0, 1, 400)
    own = rng.beta(3, 7, 400) / (0.5 + 0.5 * often**0.5 if skill else 1.0)

    def seen(dialogues: int, more: float) -> dict[int, float]:
        users = rng.choice(400, dialogues, p=often / often.sum())
        counted = np.bincount(users, rng.random(dialogues) < np.minimum(own[users] * more, 1.0), 400)
        return {int(k): float(counted[k] / (users == k).sum()) for k in np.unique(users)}

    weeks = [seen(A_WEEK, rise) for _ in range(WEEKS)]
    return evidence_of_change(seen(BASE, 1.0), weeks)[-1].p_value <= 0.05


def _share(metric: str, system: str, hits: int, total: int, cells: Mapping[str, str]) -> Result:
    fields: dict[str, Any] = {"corpus": "simulated", **cells, **binomial(hits, total)}
    return Result(metric=metric, system=system, n=total, versions=versions("numpy"), **fields)
