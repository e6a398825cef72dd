"""Feedback on simulated logs, against their ground truth: targets, probabilities of aggregation, and questions to users.

Targets. How often the targets made from feedback are right, on simulated logs.

What the live assistant believed becomes a target if feedback confirms it, or if it is what was believed when a failed request was
repeated (projected). Turns are those that ask for something by the truth; coverage is their share. Precision: for intents, the share of
targets whose intents are all right and complete; for slots, the share of spans right in name, start and end; for a complement, the
share of turns whose intents are not those. Intervals are 95% bootstrap intervals over the dialogues of all seeds.

Probabilities. How good the probabilities of aggregation are on simulated logs, and what the votes of other users add.

Turns, goals of the truth and dialogues that are good or bad by the truth are evaluated (fair ones are left out); of turns also those without
any signal, and those whose request and response at least two other users had. Nothing but signals is learned from. Intervals are 95%
bootstrap intervals over the dialogues of all seeds.

Questions. How many questions to users it takes to learn as much, by the way the questions are chosen, in the simulated world.

In rounds that double the number of questions, turns are chosen by expected gain (`labelgen feedback ask`), at random among the turns that can
be asked about, or nearest to probability 1/2; one question per dialogue. Whether and what a user answers is drawn as in the
simulator; the draw belongs to the turn, so all ways get the same answers.

After each round a logistic regression is trained on signals, confidences, hypotheses and words. Its targets are the answers and, for other
turns, what EM makes of the signals from before anyone was asked, which together weigh SIGNALS_WORTH answers. It is evaluated by the
truth of another log. Means over seeds with 95% intervals by Student's t. SIGNALS_WORTH, features and BELIEF_ITEMS were chosen on seeds 100
and 101, which are not reported.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Literal

import numpy as np
from msgspec import structs
from msgspec.structs import replace
from numpy.typing import NDArray
from rapidfuzz import fuzz
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from labelgen.base.registry import resolve
from labelgen.base.terminal import progress
from labelgen.confidence.resampling import Array, of_statistic, resamples
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Target, answers
from labelgen.feedback.asking import TurnBelief, choose, turn_beliefs
from labelgen.feedback.em.method import EmMethod, Learn, OtherUsers, learn, learn_pooled
from labelgen.feedback.em.patterns import GOOD
from labelgen.feedback.items import FeedbackItem, items_of, turn_items
from labelgen.feedback.phrases import plain
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method, waterfall
from labelgen.feedback.signal import OTHERS, find_signals, with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of
from labelgen.metrics.metric import divide, f1
from labelgen.simulator.log import TRUTH, scene, simulate
from labelgen.simulator.users import user_of
from labelgen.simulator.world import WorldOptions

from .results import Cell, Result, bootstrap, student, versions

RESAMPLES = 1000

TARGET_KINDS: Mapping[str, tuple[str, ...]] = {
    "confirmed": ("confirmed ",),
    "projected from a rephrase": ("projected from the rephrase ",),
    "projected from a correction": ("projected from the correction ",),
    "projected": ("projected ",),
    "confirmed or projected": ("confirmed ", "projected "),
    "complement": ("failed hypothesis",),
}
"""kind -> how the origins of its targets begin."""

JUDGED = [
    (kind, task) for kind in TARGET_KINDS for task in ("intents", "slots") if (kind, task) != ("complement", "slots")
]

Counts = dict[tuple[str, str], Array]


def targets(seeds: Sequence[int], dialogues: int, methods: Sequence[str]) -> list[Result]:
    """The rows of each method of aggregation."""
    options = WorldOptions(annotated=0.0)
    logs = [[replace(d, signals=find_signals(d)) for d in simulate(dialogues, seed, options)] for seed in seeds]
    asking = sum(_asking(d) for log in logs for d in log)
    times = resamples(dialogues * len(seeds), RESAMPLES, 0)
    rows: list[Result] = []
    for method in methods:
        counts = [_of_log(log, method) for log in logs]
        for kind, task in JUDGED:
            for metric, n, cell in _cells(kind, task, counts, asking, times):
                rows.append(Result(task=task, setting=method, system=kind, metric=metric, n=n, **cell))
    return _of_logs(rows, seeds, "numpy")


def _of_logs(rows: Iterable[Result], seeds: Sequence[int], *packages: str) -> list[Result]:
    """Rows with the cells that all measurements on simulated logs share."""
    shared = {"corpus": "simulated", "split": f"{len(seeds)} logs", "seed": " ".join(map(str, seeds))}
    return [structs.replace(row, **shared, versions=versions(*packages)) for row in rows]


def _of_log(log: Sequence[Dialogue], method: str) -> list[Counts]:
    """What a method learns, it learns from the signals of this log."""

    def items() -> Iterator[FeedbackItem]:
        return (item for d in log for item in items_of(d, d.signals))

    if method in FITTED_METHODS:
        learn: Learn = resolve(FITTED_METHODS, method, "method")
        make = learn_pooled(items, learn)[1]
    else:
        make = resolve(METHODS, method, "method")
    return [_target_counts(d, feedback_targets(d, d.signals, make)) for d in log]


def _target_counts(dialogue: Dialogue, targets: Sequence[Target]) -> Counts:
    """(kind, task) -> (turns that ask for something and have such a target; right, predicted and wanted intents or spans), where
    all intents of a turn are one."""
    truth = dialogue.annotation(TRUTH)
    assert truth is not None
    meant = {at: {label.name for label in labels} for at, labels in answers(truth, "intents").items()}
    asking = {at for at, names in meant.items() if names}
    spans = {at: {(label.at, label.name) for label in labels} for at, labels in answers(truth, "slots").items()}
    counts_of: Counts = {}
    for kind, task in JUDGED:
        of_kind = [t for t in targets if t.task == task and t.origin.startswith(TARGET_KINDS[kind])]
        turns = {AtTurn(t.at.turn) for t in of_kind if isinstance(t.at, AtTurn | AtSpan)}
        if task == "intents":
            right = sum(_holds(t, meant.get(t.at, set())) for t in of_kind)
            counts = (len(turns & asking), right, len(of_kind), len(of_kind))
        else:
            predicted = {(t.at, name) for t in of_kind if isinstance(t.at, AtSpan) for name, _ in t.distribution or ()}
            wanted = {span for at in turns for span in spans.get(at, ())}
            counts = (len(turns & asking), len(predicted & wanted), len(predicted), len(wanted))
        counts_of[kind, task] = np.array(counts, dtype=np.float64)
    return counts_of


def _holds(target: Target, meant: set[str]) -> bool:
    if target.complement is not None:
        return not set(target.complement) <= meant
    return {name for name, _ in target.distribution or ()} == meant


def _asking(dialogue: Dialogue) -> int:
    """How many turns ask for something, by the truth."""
    truth = dialogue.annotation(TRUTH)
    return sum(bool(labels) for labels in answers(truth, "intents").values()) if truth is not None else 0


def _cells(
    kind: str, task: str, logs: Sequence[Sequence[Counts]], asking: int, times: Array
) -> Iterator[tuple[str, int, Cell]]:
    """Metric, turns and cell."""
    seeds = [np.sum([counts[kind, task] for counts in log], axis=0) for log in logs]
    rows = np.array([counts[kind, task] for log in logs for counts in log])
    turns = int(rows[:, 0].sum())
    yield "coverage", turns, {"value": round(turns / asking, 4)}
    by_seed = [round(float(summed[1] / summed[2]), 3) for summed in seeds if summed[2]]
    if by_seed:
        yield "precision", turns, {"low": min(by_seed), "high": max(by_seed), "interval": "range"}
    for metric, formula in FORMULAS.items():
        if task == "slots" or metric == "precision":
            yield metric, turns, _estimate(formula, rows, times)


FORMULAS: Mapping[str, Callable[[Array], Array]] = {
    "precision": lambda n: divide(n[:, 1], n[:, 2]),
    "recall": lambda n: divide(n[:, 1], n[:, 3]),
    "f1": lambda n: f1(n[:, 1], n[:, 2], n[:, 3]),
}
"""From summed counts [R, 4] to values [R]."""


def _estimate(formula: Callable[[Array], Array], rows: Array, times: Array) -> Cell:
    return bootstrap(of_statistic(lambda taken: formula(taken @ rows), times).rounded())


LEAST = 1e-6
SLICES = {AtTurn: "all turns", AtGoal: "goals", AtDialogue: "dialogues"}
SILENT, ASKED = "turns without signal", "turns that others asked too"
PARTS = ("all turns", SILENT, ASKED, "goals", "dialogues")
BINS = 10

PosteriorRows = Mapping[tuple[str, str], Array]
"""(slice, method) -> [dialogues, 4 + 3 BINS]: nats, right, predicted and wanted bad turns; per bin items, good, probability."""


def posteriors(seeds: Sequence[int], dialogues: int) -> list[Result]:
    """The rows of these logs."""
    logs = [of_log(dialogues, seed) for seed in seeds]
    joined = {key: np.concatenate([log[key] for log in logs]) for key in logs[0]}
    times = resamples(dialogues * len(seeds), RESAMPLES, 0)
    out = []
    for (part, method), rows in joined.items():
        n = int(rows[:, 4 : 4 + BINS].sum())
        f1_name = "failure_f1" if part == "goals" else "bad_f1"
        for metric, formula in (("log_loss", log_loss), (f1_name, f1_of_bad), ("ece", ece)):
            cell = _estimate(formula, rows, times)
            out.append(Result(setting=part, system=method, metric=metric, n=n, **cell))
    return _of_logs(out, seeds, "numpy")


def of_log(dialogues: int, seed: int) -> PosteriorRows:
    """What each method says of one log, held against the truth."""
    log = [replace(d, signals=find_signals(d)) for d in simulate(dialogues, seed, WorldOptions(annotated=0.0))]
    items = [item for d in log for item in items_of(d, d.signals, TRUTH)]
    unanchored = partial(learn, anchored=False)
    alone = unanchored(items)
    methods: dict[str, Method] = {
        "waterfall": waterfall,
        "em": alone,
        "em with other users' votes": learn_pooled(lambda: iter(items), unanchored)[1],
    }
    pool = OtherUsers(items, alone)
    rows = {(part, name): np.zeros((len(log), 4 + 3 * BINS)) for part in PARTS for name in methods}
    for number, dialogue in enumerate(log):
        parts = dict(_parts(dialogue, pool))
        for name, method in methods.items():
            targets = feedback_targets(dialogue, dialogue.signals, method, TRUTH)
            predicted = {target.at: posterior_of(target) for target in targets if target.task in VERDICTS}
            for at, good in truth_of(dialogue).items():
                for part in (SLICES[type(at)], *parts.get(at, ())):
                    rows[part, name][number] += _posterior_row(predicted.get(at, 0.5), good)
    return rows


def _parts(dialogue: Dialogue, pool: OtherUsers) -> Iterator[tuple[At, list[str]]]:
    """The slices that a turn is in, besides that of all."""
    for item in turn_items(dialogue, dialogue.signals):
        of_others = any(s.kind == OTHERS for s in pool.add_vote(item).signals)
        yield item.at, [SILENT][: not item.signals] + [ASKED][:of_others]


def truth_of(dialogue: Dialogue) -> dict[At, bool]:
    """Whether a turn, a goal, the dialogue went well; fair ones are left out."""
    truth = dialogue.annotation(TRUTH)
    assert truth is not None
    labels = [label for task in VERDICTS for group in answers(truth, task).values() for label in group]
    return {label.at: GOOD[label.name] == 1.0 for label in labels if GOOD.get(label.name, 0.5) != 0.5}


def _posterior_row(predicted: float, good: bool) -> Array:
    p = min(max(predicted, LEAST), 1.0 - LEAST)
    row = np.zeros(4 + 3 * BINS)
    row[:4] = -np.log(p if good else 1.0 - p), p < 0.5 and not good, p < 0.5, not good
    place = min(int(p * BINS), BINS - 1)
    row[4 + place], row[4 + BINS + place], row[4 + 2 * BINS + place] = 1.0, good, p
    return row


def log_loss(n: Array) -> Array:
    return divide(n[:, 0], n[:, 4 : 4 + BINS].sum(axis=1))


def f1_of_bad(n: Array) -> Array:
    return f1(n[:, 1], n[:, 2], n[:, 3])


def ece(n: Array) -> Array:
    """Expected calibration error over ten bins of equal width. Source: Naeini et al. 2015."""
    items, good, predicted = np.split(n[:, 4:], 3, axis=1)
    return divide(np.abs(good - predicted).sum(axis=1), items.sum(axis=1))


AnyArray = NDArray[Any]

SIGNALS_WORTH = 100.0
BUDGETS = (25, 50, 100, 200, 400, 800)
JUDGED_BY = 1000
"""Seed of the log that judges, beyond that of the log asked about."""
STRATEGIES = ("gain", "nearest to even", "random")
# Sound is asked for because a scene tells of the user's annoyance only with a voice; no sound is made.
WORLD = WorldOptions(annotated=0.0, asked=0.0, sound=1.0)


@dataclass(frozen=True)
class RatedTurns:
    """The rated turns of a log. bad [T]: by the truth. replies: what the user would answer if asked, None for nothing."""

    items: list[FeedbackItem]
    bad: AnyArray
    replies: list[Literal["good", "bad"] | None]


def rated_turns(seed: int, dialogues: int) -> RatedTurns:
    """A log without any question, with the signals found in it."""
    items: list[FeedbackItem] = []
    bad: list[bool] = []
    replies: list[Literal["good", "bad"] | None] = []
    for k in progress(range(dialogues), f"log {seed}", "dialogues", dialogues):
        made = scene(seed, k, WORLD)
        assert made.voice is not None
        turns = tuple(replace(turn, audio=None) for turn in made.dialogue.turns)
        dialogue = with_signals(replace(made.dialogue, turns=turns))
        truth = dialogue.annotation(TRUTH)
        assert truth is not None
        quality = {label.at: label.value for label in truth.labels if label.task == "quality"}
        user = user_of(seed, int((dialogue.user or "u0")[1:]))
        for item in turn_items(dialogue, dialogue.signals):
            rating = quality.get(item.at)
            if isinstance(rating, float):
                served = rating >= 3
                # As the world's `please` calms users who were served before they are asked.
                annoyance = made.voice.annoyance[item.turns[0]] * (0.6 if served else 1.0)
                readiness = 0.3 + 0.4 * user.openness + 0.4 * annoyance + (0.0 if served else 0.25)
                rng = Random(f"answer/{dialogue.id}/{item.turns[0]}")
                reply = None if rng.random() >= readiness else served if rng.random() >= 0.04 else not served
                items.append(item)
                bad.append(not served)
                replies.append(None if reply is None else "good" if reply else "bad")
    return RatedTurns(items, np.array(bad), replies)


def turn_features(item: FeedbackItem, good: float) -> dict[str, float]:
    """What the small model reads of a turn; good: EM's posterior."""
    [t] = item.turns
    turns = item.dialogue.turns
    turn, after = turns[t], turns[t + 1] if t + 1 < len(turns) else None
    slots = turn.hypothesis.slots if turn.hypothesis else ()
    response = turn.response.casefold()
    missed = [s.name for s in slots if turn.request[s.start : s.end].casefold() not in response]
    features = {f"signal {s.kind} {s.vote}": 1.0 for s in item.signals}
    features |= {f"intent {intent.name}": 1.0 for intent in (turn.hypothesis.intents if turn.hypothesis else ())}
    features |= {f"status {turn.status}": 1.0, f"domain {turn.domain}": 1.0, f"device {item.dialogue.device}": 1.0}
    features |= {f"slot {s.name} {'not ' if s.name in missed else ''}in response": 1.0 for s in slots}
    features |= {f"request {word}": 0.5 for word in plain(turn.request).split()}
    features |= {f"response {word}": 0.5 for word in plain(turn.response).split()}
    features |= {
        "signals": math.log(good / (1.0 - good)) / 2.0,
        "asr": turn.asr_confidence or 0.0,
        "nlu": turn.nlu_confidence or 0.0,
        "least slot": min((s.confidence or 0.0 for s in slots), default=1.0),
        "a slot is not in the response": float(bool(missed)),
        "request in response": fuzz.token_set_ratio(turn.request, turn.response) / 100.0,
        "last": float(after is None),
    }
    if after is not None:
        features["request again"] = fuzz.token_set_ratio(turn.request, after.request) / 100.0
        features |= {f"next {word}": 1.0 for word in plain(after.request).split()[:2]}
    return features


class Learner:
    """The small model of one log, with another to judge it by."""

    def __init__(self, log: RatedTurns, judge: RatedTurns, em: EmMethod) -> None:
        self.log, self.judge = log, judge
        goods = [[_clipped(em, item) for item in one.items] for one in (log, judge)]
        self.good = np.array(goods[0])
        vectors = DictVectorizer()
        self.x = vectors.fit_transform([turn_features(*pair) for pair in zip(log.items, goods[0], strict=True)])
        self.judged = vectors.transform([turn_features(*pair) for pair in zip(judge.items, goods[1], strict=True)])

    def train(self, questions: Sequence[int]) -> LogisticRegression:
        """From the answers to these questions, and from the signals of all turns without an answer."""
        answered = np.array([k for k in questions if self.log.replies[k] is not None], dtype=int)
        rest = np.setdiff1d(np.arange(len(self.good)), answered)
        weight = np.abs(2.0 * self.good - 1.0)
        weight *= SIGNALS_WORTH / weight.sum()
        replies = np.array([self.log.replies[k] == "bad" for k in answered], dtype=int)
        rows = np.concatenate([answered, rest, rest])
        bad = np.concatenate([replies, np.ones(len(rest)), np.zeros(len(rest))])
        by_bad = np.concatenate([np.ones(len(answered)), 1.0 - self.good[rest], self.good[rest]])
        weights = by_bad * np.concatenate([np.ones(len(answered)), weight[rest], weight[rest]])
        return _fitted(self.x[rows], bad, weights)

    def scores(self, model: LogisticRegression) -> tuple[float, float]:
        """F1 and log loss of bad turns of the log that judges."""
        p, bad = model.predict_proba(self.judged)[:, 1], self.judge.bad
        predicted = p > 0.5
        f1 = divide(np.array(2.0 * (predicted & bad).sum()), np.array(float(predicted.sum() + bad.sum())))
        return float(f1), -float(np.log(np.where(bad, p, 1.0 - p)).mean())


def _clipped(em: EmMethod, item: FeedbackItem) -> float:
    posterior = em(item)
    return 0.5 if posterior is None else min(max(posterior.good, 0.01), 0.99)


def _fitted(x: Any, y: AnyArray, weights: AnyArray) -> LogisticRegression:
    # The solver reads 32-bit indices only, and the vectorizer gives longer ones.
    x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)
    return LogisticRegression(solver="liblinear", max_iter=200, random_state=0).fit(x, y, sample_weight=weights)


def curve(
    strategy: str, learner: Learner, of: Sequence[TurnBelief], seed: int, budgets: Sequence[int]
) -> list[list[float]]:
    """Of each budget: answers, share of bad turns asked about, F1, log loss; the first row is that of no question."""
    questions: list[int] = []
    model = learner.train(questions)
    rows = [[0.0, math.nan, *learner.scores(model)]]
    where = {(place.dialogue, place.turn): k for k, place in enumerate(of)}
    believed = list(of)
    for budget in budgets:
        good = 1.0 - model.predict_proba(learner.x)[:, 1]
        believed = [dataclasses.replace(place, model=float(p)) for place, p in zip(believed, good, strict=True)]
        more = _next(strategy, believed, budget - len(questions), seed)
        for k in (where[place.dialogue, place.turn] for place in more):
            questions.append(k)
            believed[k] = dataclasses.replace(believed[k], asked=True, answer=learner.log.replies[k])
        model = learner.train(questions)
        answers = sum(learner.log.replies[k] is not None for k in questions)
        rows.append([answers, float(learner.log.bad[questions].mean()), *learner.scores(model)])
    return rows


def _next(strategy: str, believed: Sequence[TurnBelief], count: int, seed: int) -> list[TurnBelief]:
    if strategy != "nearest to even":
        return [question.turn for question in choose(believed, count, strategy, seed=seed)]
    taken = {place.dialogue for place in believed if place.asked}
    chosen: list[TurnBelief] = []
    for place in sorted(believed, key=lambda p: (abs((p.model or 0.0) - 0.5), p.dialogue, p.turn)):
        if len(chosen) < count and place.askable and place.dialogue not in taken:
            taken.add(place.dialogue)
            chosen.append(place)
    return chosen


def asking(seeds: Sequence[int], dialogues: int, judging: int) -> list[Result]:
    """The rows of all ways to choose questions."""
    budgets = [budget for budget in BUDGETS if budget < dialogues]
    curves: dict[str, list[list[list[float]]]] = {strategy: [] for strategy in STRATEGIES}
    ceiling = []
    for seed in seeds:
        log, judge = rated_turns(seed, dialogues), rated_turns(seed + JUDGED_BY, judging)
        em = learn(log.items, anchored=False)
        learner = Learner(log, judge, em)
        by_turn = {
            (d.id, p.turn): p
            for d in {i.dialogue.id: i.dialogue for i in log.items}.values()
            for p in turn_beliefs(d, em)
        }
        of = [by_turn[item.dialogue.id, item.turns[0]] for item in log.items]
        ceiling.append(learner.scores(_fitted(learner.x, log.bad, np.ones(len(log.bad)))))
        for strategy in STRATEGIES:
            curves[strategy].append(curve(strategy, learner, of, seed, budgets))
    values = {strategy: np.array(points) for strategy, points in curves.items()}
    rows = _asking_rows(values, np.array(ceiling), budgets)
    return _of_logs(rows, seeds, "numpy", "scikit-learn", "scipy")


def _asking_rows(values: dict[str, AnyArray], ceiling: AnyArray, budgets: Sequence[int]) -> Iterator[Result]:
    """values: [S, 1 + B, 4] of each strategy; ceiling [S, 2]."""

    def row(system: str, setting: str, metric: str, cell: Cell, baseline: str = "") -> Result:
        return Result(system=system, setting=setting, metric=metric, baseline=baseline, **cell)

    random = values["random"]
    for column, metric in ((2, "bad_f1"), (3, "log_loss")):
        yield row("no questions", "0 questions", metric, student(random[:, 0, column]))
        yield row("true labels of all turns", "", metric, student(ceiling[:, column - 2]))
    for strategy, curve in values.items():
        name = {"gain": "expected gain"}.get(strategy, strategy)
        for b, budget in enumerate(budgets, 1):
            setting = f"{budget} questions"
            yield row(name, setting, "answers", {"value": round(float(curve[:, b, 0].mean()), 1)})
            yield row(name, setting, "bad_share_of_answers", {"value": round(float(curve[:, b, 1].mean()), 4)})
            yield row(name, setting, "bad_f1", student(curve[:, b, 2]))
            yield row(name, setting, "log_loss", student(curve[:, b, 3]))
            if strategy != "random":
                yield row(name, setting, "bad_f1", student(curve[:, b, 2] - random[:, b, 2]), "random")
                if budget * 2 in budgets:
                    twice = random[:, 1 + budgets.index(2 * budget), 2]
                    yield row(name, setting, "bad_f1", student(curve[:, b, 2] - twice), "random, twice the questions")
