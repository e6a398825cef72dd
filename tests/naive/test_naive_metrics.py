"""Every metric equals a slow reference: a library where one has it, else loops that follow the definition."""

import math
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr
from sklearn import metrics as sk

from labelgen.base.registry import resolve
from labelgen.data.labels import AtDialogue, AtGoal, AtSpan, AtTurn, Label
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, measure

NAMES = ("bad", "failure", "good")
PROBABILITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


def item(requests, reference, predicted):
    return Item(requests, reference, predicted)


def value(name, items):
    return measure(resolve(METRICS, name, "metric"), items)


def same(ours, theirs):
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(ours, theirs, abs_tol=1e-9)


@st.composite
def judged(draw):
    """Dialogues of an exclusive task: per field the true name, the name given or None, a distribution, two ratings."""
    field = st.tuples(
        st.sampled_from(NAMES),
        st.one_of(st.none(), st.sampled_from(NAMES)),
        st.tuples(PROBABILITIES, PROBABILITIES, st.just(0.3)),
        st.integers(1, 5),
        st.integers(1, 5),
    )
    return draw(st.lists(st.lists(field, max_size=6), min_size=1, max_size=5))


def category_items(dialogues):
    items = []
    for fields in dialogues:
        reference, predicted = {}, {}
        for t, (true, said, raw, rating, guess) in enumerate(fields):
            at = AtTurn(t)
            reference[at] = (Label("x", at, true, value=float(rating)),)
            if said is not None:
                shares = tuple(zip(NAMES, (p / sum(raw) for p in raw), strict=True))
                predicted[at] = (Label("x", at, said, dict(shares)[said], float(guess), shares),)
        items.append(item(("",) * len(fields), reference, predicted))
    return items


@given(judged())
def test_metrics_of_categories_equal_scikit_learn(dialogues):
    fields = [field for fields in dialogues for field in fields]
    items = category_items(dialogues)
    true = [field[0] for field in fields]
    said = [field[1] or "" for field in fields]
    if not fields:
        assert math.isnan(value("accuracy", items))
        return
    names = sorted({*true, *said} - {""})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same(value("accuracy", items), sk.accuracy_score(true, said))
        assert same(value("macro_f1", items), sk.f1_score(true, said, labels=names, average="macro"))
        assert same(value("uar", items), sk.recall_score(true, said, labels=sorted(set(true)), average="macro"))
        assert same(value("cohen_kappa", items), sk.cohen_kappa_score(true, said))
    for name in ("bad", "failure"):
        tp = sum(t == s == name for t, s in zip(true, said, strict=True))
        wrong = sum((t == name) != (s == name) for t, s in zip(true, said, strict=True))
        expected = 2 * tp / (2 * tp + wrong) if tp or wrong else math.nan
        assert same(value(f"{name}_f1", items), expected)


@given(judged())
def test_metrics_of_scores_equal_scikit_learn_and_scipy(dialogues):
    fields = [field for fields in dialogues for field in fields]
    items = category_items(dialogues)
    given_fields = [field for field in fields if field[1] is not None]
    for name in ("bad", "failure"):
        true = [field[0] == name for field in fields]
        scores = [field[2][NAMES.index(name)] / sum(field[2]) if field[1] else -1.0 for field in fields]
        expected = sk.average_precision_score(true, scores) if any(true) and given_fields else math.nan
        assert same(value(f"{name}_auprc", items), expected)
    rows = [[p / sum(field[2]) for p in field[2]] for field in given_fields]
    nats = [
        -math.log(max(row[NAMES.index(f[0])], np.finfo(float).eps)) for row, f in zip(rows, given_fields, strict=True)
    ]
    assert same(value("log_loss", items), float(np.mean(nats)) if nats else math.nan)
    events = [(row[NAMES.index(f[1])], f[0] == f[1]) for row, f in zip(rows, given_fields, strict=True)]
    gaps = [
        sum(right - p for p, right in events if b / 15 <= p < (b + 1) / 15 or (b == 14 and p == 1.0)) for b in range(15)
    ]
    assert same(value("ece", items), sum(map(abs, gaps)) / len(events) if events else math.nan)
    ratings = [(field[3], field[4]) for field in given_fields]
    expected = math.nan
    if len({a for a, _ in ratings}) > 1 and len({b for _, b in ratings}) > 1:
        expected = float(spearmanr(*zip(*ratings, strict=True)).statistic)
    assert same(value("spearman_rho", items), expected)


WORDS = "play the Red red lamp play"


@st.composite
def spans(draw):
    """Labels of two turns: (turn, start, end, name), for the reference and the prediction."""
    word = st.sampled_from([(0, 4), (5, 8), (9, 12), (13, 16), (17, 21), (22, 26)])
    one = st.builds(lambda t, w, n: (t, *w, n), st.integers(0, 1), word, st.sampled_from("ab"))
    return draw(
        st.lists(st.tuples(st.sets(one, max_size=4), st.sets(one, max_size=4), st.booleans()), min_size=1, max_size=4)
    )


def span_items(dialogues):
    items = []
    for wanted, said, all_answered in dialogues:
        sides = []
        for labels, turns in ((wanted, (0, 1)), (said, (0, 1) if all_answered else (0,))):
            sides.append(
                {
                    AtTurn(t): tuple(Label("s", AtSpan(t, a, b), n) for u, a, b, n in sorted(labels) if u == t)
                    for t in turns
                }
            )
        items.append(item((WORDS, WORDS), *sides))
    return items


@given(spans())
def test_metrics_of_spans_equal_set_arithmetic(dialogues):
    items = span_items(dialogues)
    both = wanted_total = said_total = text_both = right = 0
    for wanted, said, all_answered in dialogues:
        said = {x for x in said if all_answered or x[0] == 0}
        both += len(wanted & said)
        wanted_total += len(wanted)
        said_total += len(said)
        for turn in (0, 1):
            left = [(n, WORDS[a:b].lower()) for t, a, b, n in wanted if t == turn]
            for t, a, b, n in said:
                if t == turn and (n, WORDS[a:b].lower()) in left:
                    left.remove((n, WORDS[a:b].lower()))
                    text_both += 1
            here = {x for x in wanted if x[0] == turn} == {x for x in said if x[0] == turn}
            right += here and (all_answered or turn == 0)
    total = wanted_total + said_total
    assert same(value("slot_span_f1", items), 2 * both / total if total else math.nan)
    assert same(value("slot_value_f1", items), 2 * text_both / total if total else math.nan)
    assert same(value("slot_turn_accuracy", items), right / (2 * len(dialogues)))


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abc")), st.one_of(st.none(), st.sets(st.sampled_from("abc")))),
        min_size=1,
        max_size=8,
    )
)
def test_metrics_of_intents_equal_scikit_learn(turns):
    items = []
    for t, (wanted, said) in enumerate(turns):
        reference = {AtTurn(t): tuple(Label("i", AtTurn(t), n) for n in wanted)}
        predicted = {} if said is None else {AtTurn(t): tuple(Label("i", AtTurn(t), n) for n in said)}
        items.append(item(("",) * (t + 1), reference, predicted))
    assert same(value("intent_accuracy", items), sum(w == s for w, s in turns) / len(turns))
    said_sets = [s or set() for _, s in turns]
    names = sorted(set().union(*(w for w, _ in turns), *said_sets))
    if not names:
        assert math.isnan(value("intent_macro_f1", items))
        return
    by_name = [sk.f1_score([n in w for w, _ in turns], [n in s for s in said_sets], zero_division=0) for n in names]
    assert same(value("intent_macro_f1", items), float(np.mean(by_name)))


@st.composite
def divisions(draw):
    """Dialogues as a pair of lists: which goal each turn serves, None for none."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        turns = draw(st.integers(1, 7))
        side = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=turns, max_size=turns)
        out.append((draw(side), draw(side)))
    return out


def goals_of(serves):
    return sorted(tuple(t for t, g in enumerate(serves) if g == goal) for goal in {*serves} - {None})


def goal_items(dialogues):
    return [
        item(
            ("",) * len(wanted),
            *({AtDialogue(): tuple(Label("goals", AtGoal(g), "goal") for g in goals_of(s))} for s in (wanted, said)),
        )
        for wanted, said in dialogues
    ]


def f1(right, said, wanted):
    return 2 * right / (said + wanted) if said + wanted else math.nan


@given(divisions())
def test_metrics_of_goals_equal_their_definitions(dialogues):
    items = goal_items(dialogues)
    exact, borders = [0, 0, 0], [0, 0, 0]
    precisions, recalls, pk, wd = [], [], [], []
    for wanted, said in dialogues:
        for sums, of in (
            (exact, lambda serves: set(goals_of(serves))),
            (borders, lambda serves: {t for t in range(1, len(serves)) if serves[t] != serves[t - 1]}),
        ):
            ours, theirs = of(said), of(wanted)
            sums[0] += len(ours & theirs)
            sums[1] += len(ours)
            sums[2] += len(theirs)
        turns = range(len(wanted))
        for t in turns:
            together = [u for u in turns if said[u] == said[t] and wanted[u] == wanted[t]]
            if said[t] is not None:
                precisions.append(len(together) / said.count(said[t]) if wanted[t] is not None else 0.0)
            if wanted[t] is not None:
                recalls.append(len(together) / wanted.count(wanted[t]) if said[t] is not None else 0.0)
        segments = 1 + sum(wanted[t] != wanted[t - 1] for t in turns[1:])
        k = max(1, int(len(wanted) / segments / 2 + 0.5))
        for t in range(len(wanted) - k):
            a = sum(wanted[u] != wanted[u + 1] for u in range(t, t + k))
            b = sum(said[u] != said[u + 1] for u in range(t, t + k))
            pk.append((a == 0) != (b == 0))
            wd.append(a != b)
    assert same(value("exact_goal_f1", items), f1(*exact))
    assert same(value("boundary_f1", items), f1(*borders))
    p, r = (sum(x) / len(x) if x else 0.0 for x in (precisions, recalls))
    expected = math.nan if not precisions and not recalls else 2 * p * r / (p + r) if p + r else 0.0
    assert same(value("b_cubed_f1", items), expected)
    assert same(value("pk", items), sum(pk) / len(pk) if pk else math.nan)
    assert same(value("window_diff", items), sum(wd) / len(wd) if wd else math.nan)


def as_parts(serves):
    """The goals of a dialogue as sets of turns; a turn without goal is one of its own."""
    return [*map(set, goals_of(serves)), *({t} for t, goal in enumerate(serves) if goal is None)]


@given(divisions())
def test_partition_metrics_equal_the_evaluation_of_the_irc_corpus(dialogues):
    """As `conversation-eval.py` of the corpus computes them, over all files at once: one contingency table, the best
    pairing of whole conversations, and conversations of several messages that are exactly equal."""
    items = goal_items(dialogues)
    ours = [(d, part) for d, (_, given) in enumerate(dialogues) for part in as_parts(given)]
    theirs = [(d, part) for d, (wanted, _) in enumerate(dialogues) for part in as_parts(wanted)]
    table = [[len(a & b) if d == e else 0 for e, b in theirs] for d, a in ours]
    total = sum(map(sum, table))
    joint = information = 0.0
    for (_, a), row in zip(ours, table, strict=True):
        for (_, b), count in zip(theirs, row, strict=True):
            if count:
                joint -= count / total * math.log2(count / total)
                information += count / total * math.log2(count * total / (len(a) * len(b)))
    expected = 1 - (joint - information) / math.log2(total) if total > 1 else math.nan
    assert same(value("variation_of_information", items), expected)
    assert same(value("one_to_one", items), best_pairing(table) / total if total else math.nan)
    several = [{(d, *sorted(part)) for d, part in parts if len(part) > 1} for parts in (ours, theirs)]
    assert same(value("exact_goal_f1_several", items), f1(len(several[0] & several[1]), *map(len, several)))


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_one_to_one_of_a_long_dialogue_equals_the_best_pairing_of_the_whole_table(share):
    """Long dialogues are divided into parts that share no turn: with few errors many, with many errors large ones."""
    rng = np.random.default_rng(int(100 * share))
    wanted = np.arange(1500) // 4
    said = np.where(rng.random(1500) < share, wanted + rng.integers(0, 4, 1500), wanted)
    table = np.zeros((wanted.max() + 1, said.max() + 1))
    np.add.at(table, (wanted, said), 1)
    best = table[linear_sum_assignment(table, maximize=True)].sum() / 1500
    assert same(value("one_to_one", goal_items([(wanted.tolist(), said.tolist())])), best)
    assert 0.5 < best < 1


def best_pairing(table):
    """The largest sum of counts, at most one in a row and in a column, by trying every choice row by row."""

    @cache
    def best(row, taken):
        if row == len(table):
            return 0
        options = [c for c, count in enumerate(table[row]) if count and not taken >> c & 1]
        return max([best(row + 1, taken), *(table[row][c] + best(row + 1, taken | 1 << c) for c in options)])

    return best(0, 0)


def test_frames_are_right_where_all_tasks_are():
    at = AtTurn(0)
    intent, slot = Label("i", at, "play"), Label("s", AtSpan(0, 0, 4), "verb")
    right = item(("play",), {at: (intent, slot)}, {at: (slot, intent)})
    half = item(("play",), {at: (intent, slot)}, {at: (intent,)})
    assert value("frame_accuracy", [right, half]) == pytest.approx(0.5)


def test_probability_without_a_distribution_is_of_the_name_that_was_given():
    """The rest is left to the names that were not given; an answer without a probability is not counted."""
    at = AtTurn(0)
    for said, p, nats in (("good", 0.7, -math.log(0.7)), ("bad", 0.7, -math.log(0.3)), ("good", None, math.nan)):
        one = item(("",), {at: (Label("x", at, "good"),)}, {at: (Label("x", at, said, p),)})
        assert same(value("log_loss", [one]), nats)
        assert same(value("ece", [one]), math.nan if p is None else abs((said == "good") - p))


def test_rank_correlation_leaves_out_answers_that_only_one_side_rates():
    rated: list[Item] = []
    other = [(1.0, 2.0), (2.0, 4.0), (4.0, 3.0)]
    for true, said in [*other, (None, 5.0), (5.0, None), (None, None)]:
        at = AtTurn(len(rated))
        rated.append(item(("",), *({at: (Label("x", at, "good", value=v),)} for v in (true, said))))
    expected = spearmanr(*zip(*other, strict=True)).statistic
    assert same(value("spearman_rho", rated), float(expected))
