"""What holds for every metric of the registry."""

import math
import random

import numpy as np
import pytest

from labelgen.base.registry import resolve
from labelgen.data.labels import AtDialogue, AtGoal, AtSpan, AtTurn, Label
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, measure

NAMES = ("bad", "failure", "good")
REQUEST = "one two three four"
WORDS = ((0, 3), (4, 7), (8, 13), (14, 18))


def exclusive(rng, at, sure):
    name = rng.choice(NAMES)
    raw = [1.0 if n == name else 0.0 if sure else rng.random() * 0.9 for n in NAMES]
    shares = tuple((n, p / sum(raw)) for n, p in zip(NAMES, raw, strict=True))
    rating = float(NAMES.index(name) + (0 if sure else rng.random()))
    return (Label("x", at, name, dict(shares)[name], rating, shares),)


def several(rng, at, sure):
    return tuple(Label("x", at, n, 1.0 if sure else rng.random()) for n in NAMES if rng.random() < 0.4)


def spans(rng, at, sure):
    chosen = [w for w in WORDS if rng.random() < 0.5]
    return tuple(Label("x", AtSpan(at.turn, *w), rng.choice(NAMES), 1.0 if sure else rng.random()) for w in chosen)


def words(rng, at, sure):
    text = " ".join(rng.choices(REQUEST.split(), k=rng.randint(1, 4)))
    return (Label("x", at, "request", 1.0 if sure else rng.random(), text),)


def goals(rng, turns, sure):
    serves = [rng.choice((None, 0, 1, 2)) for _ in range(turns)]
    found = sorted(tuple(t for t in range(turns) if serves[t] == g) for g in {*serves} - {None})
    return tuple(Label("goals", AtGoal(g), "goal", 1.0 if sure else rng.random()) for g in found)


def answer(rng, module, name, turns, sure):
    if module.endswith("segmentation") or name == "exact_goal_f1":
        return {AtDialogue(): goals(rng, turns, sure)}
    if name.startswith("matched"):
        return {AtGoal((t,)): exclusive(rng, AtGoal((t,)), sure) for t in range(turns)}
    if module.endswith("transcriptions"):
        return {AtTurn(t): words(rng, AtTurn(t), sure) for t in range(turns)}
    draw = exclusive if module.endswith(("categories", "scores")) else spans if "slot" in name else several
    return {AtTurn(t): draw(rng, AtTurn(t), sure) for t in range(turns)}


def items(name, seed, count=6):
    """Dialogues with answers that are often right and sometimes missing."""
    rng = random.Random(seed)
    module = METRICS[name].partition(":")[0]
    out = []
    for _ in range(count):
        turns = rng.randint(0, 6)
        reference = answer(rng, module, name, turns, True)
        other = answer(rng, module, name, turns, False)
        predicted = {at: reference[at] if rng.random() < 0.5 else other[at] for at in reference if rng.random() < 0.9}
        out.append(Item((REQUEST,) * turns, reference, predicted))
    return out


def same(a, b):
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, abs_tol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_is_best(name):
    metric = resolve(METRICS, name, "metric")
    for seed in range(10):
        given = items(name, seed)
        perfect = [Item(i.requests, i.reference, i.reference) for i in given]
        ours, best = measure(metric, given), measure(metric, perfect)
        if math.isnan(ours) or math.isnan(best):
            continue
        assert best == pytest.approx(1.0 if metric.larger_is_better else 0.0)
        assert ours <= best + 1e-9 if metric.larger_is_better else ours >= best - 1e-9


@pytest.mark.parametrize("name", METRICS)
def test_mistakes_are_seen(name):
    metric = resolve(METRICS, name, "metric")
    values = [measure(metric, items(name, seed, 20)) for seed in range(3)]
    best = 1.0 if metric.larger_is_better else 0.0
    assert all(abs(value - best) > 0.01 for value in values)


@pytest.mark.parametrize("name", METRICS)
def test_a_resample_is_the_dialogues_taken_that_often(name):
    metric = resolve(METRICS, name, "metric")
    for seed in range(5):
        given = items(name, seed)
        rng = np.random.default_rng(seed)
        times = rng.multinomial(len(given), [1 / len(given)] * len(given), size=4).astype(float)
        times[0] = 1.0
        values = metric.value([metric.tally(item) for item in given], times)
        assert same(values[0], measure(metric, given))
        for row, value in zip(times, values, strict=True):
            taken = [item for item, count in zip(given, row, strict=True) for _ in range(int(count))]
            assert same(value, measure(metric, taken))


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_judge_is_not_a_number(name):
    metric = resolve(METRICS, name, "metric")
    assert math.isnan(measure(metric, []))
    assert math.isnan(measure(metric, [Item((), {}, {})]))


@pytest.mark.parametrize("name", ["accuracy", "intent_accuracy", "slot_turn_accuracy", "failure_f1", "exact_goal_f1"])
def test_a_field_that_is_lacking_is_a_miss(name):
    metric = resolve(METRICS, name, "metric")
    given = [item for item in items(name, 3, 30) if item.requests]
    perfect = [Item(i.requests, i.reference, i.reference) for i in given]
    silent = [*perfect[:15], *(Item(i.requests, i.reference, {}) for i in perfect[15:])]
    assert measure(metric, silent) < measure(metric, perfect)


def test_fields_that_the_reference_does_not_answer_do_not_count():
    for name in METRICS:
        metric = resolve(METRICS, name, "metric")
        given = [item for item in items(name, 1) if item.requests]
        more = [Item(i.requests, {}, i.predicted) for i in given]
        assert same(measure(metric, given), measure(metric, [*given, *more]))


@pytest.mark.parametrize(("turns", "pk"), [(3, 1.0), (5, 0.5), (7, 1 / 3), (6, 1 / 3)])
def test_half_windows_are_rounded_up(turns, pk):
    """One goal throughout; the prediction parts the first turn from the rest, so of the windows the first alone is wrong. A
    window of half the goal's turns, halves rounded up: of 3, 5 and 7 turns 2, 3 and 4, and so 1, 2 and 3 windows."""
    wanted = (Label("goals", AtGoal(tuple(range(turns))), "goal"),)
    given = (Label("goals", AtGoal((0,)), "goal"), Label("goals", AtGoal(tuple(range(1, turns))), "goal"))
    item = Item((REQUEST,) * turns, {AtDialogue(): wanted}, {AtDialogue(): given})
    for name in ("pk", "window_diff"):
        assert measure(resolve(METRICS, name, "metric"), [item]) == pytest.approx(pk)
