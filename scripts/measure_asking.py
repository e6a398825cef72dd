"""How much fewer questions it takes to ask where the expected gain is greatest, in the simulated world.

    python scripts/measure_asking.py --out results/asking.json

The assistant of the log asked nobody. In rounds, each doubling the number of questions, turns are chosen by a strategy: by
`labelgen feedback ask`'s gain, at random among the turns that can be asked about, or, as a peer, those whose probability is
nearest to even; one question in a dialogue. Whether the user answers, and what, is drawn as in the world (`ask_back` of
labelgen/simulator/conversation.py): the annoyed and the unserved answer more often, and 4% say the contrary. The draw belongs to
the turn, so all strategies get the same answers.

After each round a small model is trained: logistic regression on signals, confidences, what the assistant believed, and
words of request, response and next request. Its targets are the answers, and for all other turns what EM makes of the
signals of the log before anyone was asked, which together weigh as much as SIGNALS_WORTH answers. Its probabilities go into
the next choice. It is judged by the truth of another log of the same world: F1 and log loss of bad turns. Means over seeds
with 95% intervals by Student's t. SIGNALS_WORTH, the features and BELIEF_ITEMS of labelgen/feedback/asking.py were chosen on
the logs of seeds 100 and 101, which are not reported."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from random import Random
from typing import Any, Literal

import numpy as np
import scipy
from command import arguments, parsed, tells_errors, write_table
from msgspec.structs import replace
from numpy.typing import NDArray
from rapidfuzz import fuzz
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from labelgen.base.progress import progress
from labelgen.feedback.asking import TurnBelief, choose, turn_beliefs
from labelgen.feedback.cues import plain
from labelgen.feedback.em.method import EmMethod, learn
from labelgen.feedback.items import Item, turn_items
from labelgen.feedback.signal import with_signals
from labelgen.metrics.metric import divide
from labelgen.simulator.log import TRUTH, scene
from labelgen.simulator.users import user_of
from labelgen.simulator.world import WorldOptions

Array = NDArray[Any]

SIGNALS_WORTH = 100.0
BUDGETS = (25, 50, 100, 200, 400, 800)
JUDGED_BY = 1000
"""Seed of the log that judges, beyond that of the log asked about."""
STRATEGIES = ("gain", "nearest to even", "random")
COLUMNS = (
    *("asked by", "questions", "answers", "bad among asked", "F1 of bad (95%)", "log loss (95%)"),
    *("F1 over random's (95%)", "F1 over random's with twice the questions (95%)"),
)
# Sound is asked for because a scene tells of the user's annoyance only with a voice; no sound is made.
WORLD = WorldOptions(annotated=0.0, asked=0.0, sound=1.0)


@dataclass(frozen=True)
class Heard:
    """The rated turns of a log. bad [T]: by the truth. said: what the user would answer if asked, None for nothing."""

    items: list[Item]
    bad: Array
    said: list[Literal["good", "bad"] | None]


def hear(seed: int, dialogues: int) -> Heard:
    """A log without any question, with the signals found in it."""
    items: list[Item] = []
    bad: list[bool] = []
    said: list[Literal["good", "bad"] | None] = []
    for k in progress(range(dialogues), f"log {seed}", "dialogues", dialogues):
        made = scene(seed, k, WORLD)
        assert made.voice is not None
        turns = tuple(replace(turn, audio=None) for turn in made.dialogue.turns)
        dialogue = with_signals(replace(made.dialogue, turns=turns))
        truth = dialogue.annotation(TRUTH)
        assert truth is not None
        quality = {own.at: own.value for own in truth.labels if own.task == "quality"}
        user = user_of(seed, int((dialogue.user or "u0")[1:]))
        for item in turn_items(dialogue, dialogue.signals):
            rating = quality.get(item.at)
            if isinstance(rating, float):
                served = rating >= 3
                # As the world's `please` calms users who were served before they are asked.
                annoyance = made.voice.annoyance[item.turns[0]] * (0.6 if served else 1.0)
                readiness = 0.3 + 0.4 * user.openness + 0.4 * annoyance + (0.0 if served else 0.25)
                rng = Random(f"answer/{dialogue.id}/{item.turns[0]}")
                told = None if rng.random() >= readiness else served if rng.random() >= 0.04 else not served
                items.append(item)
                bad.append(not served)
                said.append(None if told is None else "good" if told else "bad")
    return Heard(items, np.array(bad), said)


def features(item: Item, good: float) -> dict[str, float]:
    """What the small model reads of a turn; good: EM's posterior."""
    [t] = item.turns
    turns = item.dialogue.turns
    turn, after = turns[t], turns[t + 1] if t + 1 < len(turns) else None
    slots = turn.hypothesis.slots if turn.hypothesis else ()
    response = turn.response.casefold()
    missed = [s.name for s in slots if turn.request[s.start : s.end].casefold() not in response]
    found = {f"signal {s.kind} {s.vote}": 1.0 for s in item.signals}
    found |= {f"intent {own.name}": 1.0 for own in (turn.hypothesis.intents if turn.hypothesis else ())}
    found |= {f"status {turn.status}": 1.0, f"domain {turn.domain}": 1.0, f"device {item.dialogue.device}": 1.0}
    found |= {f"slot {s.name} {'not ' if s.name in missed else ''}in response": 1.0 for s in slots}
    found |= {f"request {word}": 0.5 for word in plain(turn.request).split()}
    found |= {f"response {word}": 0.5 for word in plain(turn.response).split()}
    found |= {
        "signals": math.log(good / (1.0 - good)) / 2.0,
        "asr": turn.asr_confidence or 0.0,
        "nlu": turn.nlu_confidence or 0.0,
        "least slot": min((s.confidence or 0.0 for s in slots), default=1.0),
        "a slot is not in the response": float(bool(missed)),
        "request in response": fuzz.token_set_ratio(turn.request, turn.response) / 100.0,
        "last": float(after is None),
    }
    if after is not None:
        found["request again"] = fuzz.token_set_ratio(turn.request, after.request) / 100.0
        found |= {f"next {word}": 1.0 for word in plain(after.request).split()[:2]}
    return found


class Learner:
    """The small model of one log, with another to judge it by."""

    def __init__(self, log: Heard, judge: Heard, em: EmMethod) -> None:
        self.log, self.judge = log, judge
        goods = [[_good(em, item) for item in heard.items] for heard in (log, judge)]
        self.good = np.array(goods[0])
        vectors = DictVectorizer()
        self.x = vectors.fit_transform([features(*pair) for pair in zip(log.items, goods[0], strict=True)])
        self.judged = vectors.transform([features(*pair) for pair in zip(judge.items, goods[1], strict=True)])

    def train(self, asked: Sequence[int]) -> LogisticRegression:
        """From the answers to these questions, and from the signals of all turns without an answer."""
        answered = np.array([k for k in asked if self.log.said[k] is not None], dtype=int)
        rest = np.setdiff1d(np.arange(len(self.good)), answered)
        weight = np.abs(2.0 * self.good - 1.0)
        weight *= SIGNALS_WORTH / weight.sum()
        said = np.array([self.log.said[k] == "bad" for k in answered], dtype=int)
        rows = np.concatenate([answered, rest, rest])
        bad = np.concatenate([said, np.ones(len(rest)), np.zeros(len(rest))])
        by_bad = np.concatenate([np.ones(len(answered)), 1.0 - self.good[rest], self.good[rest]])
        weights = by_bad * np.concatenate([np.ones(len(answered)), weight[rest], weight[rest]])
        return _fitted(self.x[rows], bad, weights)

    def scores(self, model: LogisticRegression) -> tuple[float, float]:
        """F1 and log loss of bad turns of the log that judges."""
        p, bad = model.predict_proba(self.judged)[:, 1], self.judge.bad
        found = p > 0.5
        f1 = divide(np.array(2.0 * (found & bad).sum()), np.array(float(found.sum() + bad.sum())))
        return float(f1), -float(np.log(np.where(bad, p, 1.0 - p)).mean())


def _good(em: EmMethod, item: Item) -> float:
    told = em(item)
    return 0.5 if told is None else min(max(told.good, 0.01), 0.99)


def _fitted(x: Any, y: Array, weights: Array) -> LogisticRegression:
    # The solver reads 32-bit indices only, and the vectorizer gives longer ones.
    x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)
    return LogisticRegression(solver="liblinear", max_iter=200, random_state=0).fit(x, y, sample_weight=weights)


def curve(
    strategy: str, learner: Learner, of: Sequence[TurnBelief], seed: int, budgets: Sequence[int]
) -> list[list[float]]:
    """Of each budget: answers, share of bad turns asked about, F1, log loss; the first row is that of no question."""
    asked: list[int] = []
    model = learner.train(asked)
    rows = [[0.0, math.nan, *learner.scores(model)]]
    where = {(place.dialogue, place.turn): k for k, place in enumerate(of)}
    believed = list(of)
    for budget in budgets:
        good = 1.0 - model.predict_proba(learner.x)[:, 1]
        believed = [dataclasses.replace(place, model=float(p)) for place, p in zip(believed, good, strict=True)]
        more = _next(strategy, believed, budget - len(asked), seed)
        for k in (where[place.dialogue, place.turn] for place in more):
            asked.append(k)
            believed[k] = dataclasses.replace(believed[k], asked=True, answer=learner.log.said[k])
        model = learner.train(asked)
        answers = sum(learner.log.said[k] is not None for k in asked)
        rows.append([answers, float(learner.log.bad[asked].mean()), *learner.scores(model)])
    return rows


def _next(strategy: str, believed: Sequence[TurnBelief], count: int, seed: int) -> list[TurnBelief]:
    if strategy != "nearest to even":
        return [question.turn for question in choose(believed, count, strategy, seed=seed)]
    taken = {place.dialogue for place in believed if place.asked}
    found: list[TurnBelief] = []
    for place in sorted(believed, key=lambda p: (abs((p.model or 0.0) - 0.5), p.dialogue, p.turn)):
        if len(found) < count and place.askable and place.dialogue not in taken:
            taken.add(place.dialogue)
            found.append(place)
    return found


def measure(seeds: Sequence[int], dialogues: int, judging: int, budgets: Sequence[int]) -> dict[str, Any]:
    """The table."""
    curves: dict[str, list[list[list[float]]]] = {strategy: [] for strategy in STRATEGIES}
    ceiling = []
    asked_about = 0
    for seed in seeds:
        log, judge = hear(seed, dialogues), hear(seed + JUDGED_BY, judging)
        em = learn(log.items, anchored=False)
        learner = Learner(log, judge, em)
        by_turn = {
            (d.id, p.turn): p
            for d in {i.dialogue.id: i.dialogue for i in log.items}.values()
            for p in turn_beliefs(d, em)
        }
        of = [by_turn[item.dialogue.id, item.turns[0]] for item in log.items]
        asked_about += sum(place.askable for place in of)
        ceiling.append(learner.scores(_fitted(learner.x, log.bad, np.ones(len(log.bad)))))
        for strategy in STRATEGIES:
            curves[strategy].append(curve(strategy, learner, of, seed, budgets))
            print(seed, strategy, *(f"{row[2]:.3f}" for row in curves[strategy][-1]), file=sys.stderr, flush=True)
    values = {strategy: np.array(own) for strategy, own in curves.items()}
    given = f"--seeds {' '.join(map(str, seeds))} --dialogues {dialogues} --judging {judging}"
    return _table(values, np.array(ceiling), budgets) | {
        "command": f"python scripts/measure_asking.py --out results/asking.json {given}",
        "data": (
            f"{len(seeds)} simulated logs of {dialogues:,} dialogues, {asked_about // len(seeds):,} turns of each can be asked "
            f"about, judged on {judging:,} other dialogues each; means over the logs, 95% intervals by Student's t."
        ),
    }


def _table(values: dict[str, Array], ceiling: Array, budgets: Sequence[int]) -> dict[str, Any]:
    """values: [S, 1 + B, 4] of each strategy; ceiling [S, 2]. Without `command` and `data`."""
    random = values["random"]
    rows: list[list[Any]] = [["nobody", 0, 0, None, interval(random[:, 0, 2]), interval(random[:, 0, 3]), None, None]]
    for strategy, own in values.items():
        for b, budget in enumerate(budgets, 1):
            same = twice = None
            if strategy != "random":
                same = interval(own[:, b, 2] - random[:, b, 2])
                if budget * 2 in budgets:
                    twice = interval(own[:, b, 2] - random[:, 1 + budgets.index(2 * budget), 2])
            told = [round(float(own[:, b, k].mean()), digits) for k, digits in ((0, 1), (1, 4))]
            rows.append([strategy, budget, *told, interval(own[:, b, 2]), interval(own[:, b, 3]), same, twice])
    rows.append(["truth of all turns", None, None, None, interval(ceiling[:, 0]), interval(ceiling[:, 1]), None, None])
    return {
        "order": 11,
        "title": "Asking where it tells most",
        "text": (
            'F1 of bad turns of a small model, by how many turns of a simulated log were asked about ("did I answer your '
            'question?"); the script says how. Beside each F1 its difference from that of random asking with the same number '
            "of questions, and with twice as many: where the last is not below 0, half of the questions were enough."
        ),
        "versions": {name: version(name) for name in ("labelgen", "numpy", "scikit-learn", "scipy")},
        "columns": COLUMNS,
        "rows": rows,
    }


def interval(values: Array) -> dict[str, float]:
    """The mean over seeds [S], by Student's t; of one seed without bounds."""
    mean = values.mean()
    if len(values) < 2:
        return {"value": round(float(mean), 4)}
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return {name: round(float(x), 4) for name, x in (("value", mean), ("low", mean - half), ("high", mean + half))}


@tells_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(__doc__)
    args.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of the logs (default %(default)s)")
    args.add_argument(
        "--dialogues", type=int, default=1500, help="of each log that is asked about (default %(default)s)"
    )
    args.add_argument("--judging", type=int, default=800, help="of each log that judges (default %(default)s)")
    given = parsed(args, argv)
    table = measure(given.seeds, given.dialogues, given.judging, [b for b in BUDGETS if b < given.dialogues])
    write_table(given.out, table)
    for row in table["rows"]:
        print(*(cell["value"] if isinstance(cell, dict) else cell for cell in row), sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())
