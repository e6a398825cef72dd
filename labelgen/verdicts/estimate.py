"""The method `em`: one posterior of each item from its content and its witnesses, learned from a log without labels.

    log-odds(good) = content + sum over witnesses of what they say

EM in steps: beginning with the declared precisions, the posteriors of all items teach a regression on content, and its predictions,
always from folds over users without the item, teach the rates of the witnesses (witnesses.py). People's labels of an item replace
its posterior. Where users answered often enough, the weight of answered items beside the others is chosen by the log loss of held-out
answers, each judged without itself.

Source: Raykar et al. 2010, "Learning from crowds"; Dawid and Skene 1979 is the case without content."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labelgen.data.labels import UNIT_OF, Unit, answers
from labelgen.data.split import FOLDS, fold_of, position
from labelgen.feedback.items import FeedbackItem, Posterior, from_log_odds, log_odds
from labelgen.verdicts.columns import Columns, fit_regression
from labelgen.verdicts.content import PlaceContent, contents_of
from labelgen.verdicts.witnesses import GOOD, Rates, Statements, all_statements, fit_rates, statements_of, witness_words

Floats = NDArray[np.float64]

GOOD_SHARE = 0.75
"""Share of good items from which EM begins."""

STEPS = 2
"""Steps of EM. More let what content and witnesses share run away from quality."""

C = 0.1
"""Inverse strength of regularization of the regression on content."""

ANSWER_WEIGHTS = (1.0, 3.0, 10.0, 30.0)
"""Weights of an answered item that are tried."""

LEAST_ANSWERS, GAIN = 30, 0.5
"""Fewer answers choose no weight; a gain that is smaller, in standard errors, changes none."""

MOST_ITEMS = 100_000
"""Items that EM reads, of all units; of a larger log dialogues are drawn by a hash of their ids."""

NGRAMS = 20_000
"""N-grams of a text field that the regression reads."""

_CLIP = 6.0
"""Log-odds of content at most, in nats."""


@dataclass(frozen=True)
class ContentMap:
    """A regression on content. weight: [columns]. bias: log-odds."""

    columns: Columns
    weight: Floats
    bias: float

    def nats(self, contents: Sequence[PlaceContent]) -> Floats:
        """Log-odds of good of each place."""
        result: Floats = np.clip(self.columns.matrix(contents) @ self.weight + self.bias, -_CLIP, _CLIP)
        return result


@dataclass(frozen=True)
class UnitEstimate:
    """What the log teaches about one unit. maps: of each fold, learned without it. items, good: number of items, and their mean
    posterior. answered: items about which users said something explicit. answer_weight: see ANSWER_WEIGHTS."""

    maps: tuple[ContentMap, ...]
    rates: Rates
    items: int
    good: float
    answered: int
    answer_weight: float


@dataclass(frozen=True)
class LogEstimate:
    """A Method: the posteriors of items; those of one dialogue stand together. units: what was learned of each unit that has items with signals."""

    units: Mapping[Unit, UnitEstimate]

    def __call__(self, items: Sequence[FeedbackItem]) -> list[Posterior | None]:
        found: list[Posterior | None] = [None] * len(items)
        for unit, estimate in self.units.items():
            chosen = [k for k, item in enumerate(items) if UNIT_OF[type(item.at)] == unit]
            contents = dict(zip(chosen, _contents([items[k] for k in chosen]), strict=True))
            by_fold: dict[int, list[int]] = {}
            for k in chosen:
                by_fold.setdefault(fold_of(items[k].dialogue), []).append(k)
            for fold, rows in by_fold.items():
                nats = estimate.maps[fold].nats([contents[k] for k in rows]).tolist()
                said = all_statements(items[k] for k in rows)
                for k, of_content, statements in zip(rows, nats, said, strict=True):
                    found[k] = _posterior(of_content, statements, estimate.rates)
        return found


def _posterior(content: float, statements: Statements, rates: Rates) -> Posterior:
    total = content + rates.total(statements)
    said = witness_words(rates, statements)
    origin = f"em: content {content:+.2f}{', ' if said else ''}{said}"
    return Posterior(from_log_odds(total), 1.0, origin)


def learn(items: Iterable[FeedbackItem]) -> LogEstimate:
    """Learn from all items of a log, or from MOST_ITEMS of a larger one. A unit without any statement but silence gets no posteriors."""
    sample = _Sample()
    for item in items:
        sample.add(item)
    return LogEstimate(
        {
            unit: LogFit(of_unit).run(sample.counts[unit])
            for unit, of_unit in sorted(sample.by_unit().items())
            if any(item.signals and any(s.vote for s in statements_of(item)) for item in of_unit)
        }
    )


class _Sample:
    """The items of whole dialogues that lie first by a hash, at most MOST_ITEMS of them. counts: of all items."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[float, list[FeedbackItem]]] = {}
        self.counts: Counter[Unit] = Counter()
        self.size = 0
        self.bound = 1.0

    def add(self, item: FeedbackItem) -> None:
        """Keep the item if its dialogue lies first."""
        self.counts[UNIT_OF[type(item.at)]] += 1
        place = position(0, f"em {item.dialogue.id}")
        if place < self.bound:
            self.kept.setdefault(item.dialogue.id, (place, []))[1].append(item)
            self.size += 1
        if self.size > 1.25 * MOST_ITEMS:
            self._draw()

    def _draw(self) -> None:
        first = sorted(self.kept.items(), key=lambda entry: entry[1][0])
        while self.size > MOST_ITEMS and len(first) > 1:
            _, (self.bound, items) = first.pop()
            self.size -= len(items)
        self.kept = dict(first)

    def by_unit(self) -> dict[Unit, list[FeedbackItem]]:
        """The kept items, in an order that does not depend on that of the log."""
        self._draw()
        found: dict[Unit, list[FeedbackItem]] = {}
        for _, (_, items) in sorted(self.kept.items()):
            for item in sorted(items, key=lambda item: str(item.at)):
                found.setdefault(UNIT_OF[type(item.at)], []).append(item)
        return found


class LogFit:
    """EM over the items of one unit: arrays over items."""

    def __init__(self, items: Sequence[FeedbackItem]) -> None:
        self.said = all_statements(items)
        asked = [k for k, item in enumerate(items) if any(signal.explicit for signal in item.signals)]
        others = dict(zip(asked, all_statements(_unasked(items[k]) for k in asked), strict=True))
        self.unasked = [others.get(k, said) for k, said in enumerate(self.said)]
        self.known = np.array([share_of_people(item) for item in items])
        self.answered = np.array([any(s.explicit for s in said) for said in self.said])
        fold = np.array([fold_of(item.dialogue) for item in items])
        self.contents = _contents(items)
        self.rules = np.array([content.rules for content in self.contents])
        self.folds = [fold == k for k in range(FOLDS)]
        # Vocabularies see no answer, so one for all folds leaks nothing.
        self.columns = Columns.learn(self.contents, NGRAMS)
        self.matrix = self.columns.matrix(self.contents)

    def ranked(self, kept: NDArray[np.bool_]) -> Floats:
        """Log-odds of good of each item by content and implicit witnesses, where EM sees the answers about some items alone."""
        said, answered = self.said, self.answered
        self.said = [own if keep else unasked for own, unasked, keep in zip(said, self.unasked, kept, strict=True)]
        self.answered = answered & kept
        content, rates, _ = self.learn()
        self.said, self.answered = said, answered
        nats: Floats = content + np.array([rates.total(unasked) for unasked in self.unasked])
        return nats

    def run(self, count: int) -> UnitEstimate:
        content, rates, (maps, weight) = self.learn()
        good = self.posterior(content, rates)
        return UnitEstimate(maps, rates, count, float(good.mean()), int(self.answered.sum()), weight)

    def learn(self) -> tuple[Floats, Rates, tuple[tuple[ContentMap, ...], float]]:
        """Log-odds by content, the rates, the map of each fold and the weight of answers."""
        rates = Rates()
        maps: tuple[ContentMap, ...] = ()
        content = log_odds(GOOD_SHARE) + self.rules
        weight = 1.0
        for step in range(STEPS):
            good = self.posterior(content, rates)
            if step == STEPS - 1:
                weight = self.answer_weight(good, rates)
            maps, content = self.predict(good, weight)
            rates = fit_rates(self.said, content, self.known, rates)
        return content, rates, (maps, weight)

    def posterior(self, content: Floats, rates: Rates) -> Floats:
        """The share of good of each item."""
        totals = np.array([rates.total(said) for said in self.said])
        good = 1.0 / (1.0 + np.exp(-(content + totals)))
        result: Floats = np.where(np.isnan(self.known), good, self.known)
        return result

    def predict(self, good: Floats, weight: float) -> tuple[tuple[ContentMap, ...], Floats]:
        """The map of each fold, and the log-odds of each item by the map without it."""
        maps, content = [], np.zeros(len(good))
        for fold in self.folds:
            fitted = self.fit(~fold, good, weight)
            maps.append(fitted)
            content[fold] = np.clip(self.matrix[fold] @ fitted.weight + fitted.bias, -_CLIP, _CLIP)
        return tuple(maps), content

    def fit(self, rows: NDArray[np.bool_], good: Floats, weight: float) -> ContentMap:
        """The regression on some rows, each as two weighted ones."""
        from scipy import sparse

        chosen = np.flatnonzero(rows)
        if len(chosen) == 0:
            return ContentMap(self.columns, np.zeros(len(self.columns)), log_odds(GOOD_SHARE))
        matrix, share = self.matrix[chosen], good[chosen]
        certain = self.answered[chosen] | ~np.isnan(self.known[chosen])
        of_item = np.where(certain, weight, 1.0)
        answers = np.repeat([1, 0], len(chosen))
        weights = np.concatenate([share * of_item, (1.0 - share) * of_item])
        model = fit_regression(sparse.vstack([matrix, matrix]), answers, np.maximum(weights, 1e-9), C)
        return ContentMap(self.columns, model.coef_[0].astype(np.float64), float(model.intercept_[0]))

    def answer_weight(self, good: Floats, rates: Rates) -> float:
        """The weight whose predictions rank best what users of other folds answered, each answer judged without itself; the first
        unless another gains more than GAIN standard errors over folds. Users who answer are not representative, so ranks decide and not
        how often they are content."""
        from scipy.stats import rankdata

        answers = [next((s for s in said if s.explicit and s.vote), None) for said in self.said]
        judged = np.array([s is not None for s in answers])
        truth = np.array([s is not None and s.vote == "good" for s in answers])
        folds = [fold & judged for fold in self.folds if 0 < truth[fold & judged].sum() < (fold & judged).sum()]
        if judged.sum() < LEAST_ANSWERS or len(folds) < 2:
            return 1.0
        implicit = np.array([rates.total(tuple(s for s in said if not s.explicit)) for said in self.said])

        def areas(weight: float) -> Floats:
            nats = self.predict(good, weight)[1] + implicit
            found = []
            for fold in folds:
                yes = truth[fold]
                ranks = rankdata(nats[fold])[yes]
                found.append((ranks.mean() - (yes.sum() + 1) / 2) / (~yes).sum())
            return np.array(found)

        first, *others = ANSWER_WEIGHTS
        gains = [areas(weight) for weight in ANSWER_WEIGHTS]
        best, weight = 0.0, first
        for other, area in zip(others, gains[1:], strict=True):
            gain = area - gains[0]
            if gain.mean() > max(best, GAIN * gain.std(ddof=1) / math.sqrt(len(gain))):
                best, weight = float(gain.mean()), other
        return weight


def _unasked(item: FeedbackItem) -> FeedbackItem:
    """The item without what its user said explicitly."""
    return replace(item, signals=tuple(signal for signal in item.signals if not signal.explicit))


def _contents(items: Sequence[FeedbackItem]) -> list[PlaceContent]:
    """The content of each item; items of one dialogue stand together."""
    found: list[PlaceContent] = []
    start = 0
    for end in range(1, len(items) + 1):
        if end == len(items) or items[end].dialogue is not items[start].dialogue:
            found += contents_of(items[start].dialogue, [item.at for item in items[start:end]])
            start = end
    return found


def share_of_people(item: FeedbackItem) -> float:
    """The share of the people who judged exactly this item that call it good; NaN where nobody did."""
    shares = [
        GOOD[label.name]
        for annotation in item.dialogue.annotations
        if annotation.kind == "person"
        for task in ("outcome", "quality")
        for label in answers(annotation, task).get(item.at, ())
        if label.name in GOOD
    ]
    return sum(shares) / len(shares) if shares else math.nan
