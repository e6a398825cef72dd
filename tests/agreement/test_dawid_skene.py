"""Dawid-Skene: EM over patterns equals EM over items, and finds unreliable annotators."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgen.agreement.consensus import consensus
from labelgen.agreement.dawid_skene import POOLED, fit, learn, measure
from labelgen.data.labels import Annotation, AtTurn, Label, NoLabel

EXCLUSIVE = {"quality": ("bad", "fair", "good")}
NAMES = EXCLUSIVE["quality"]


def drawn(seed, items, knows, ask=None):
    """(what each annotator says of each item, the truth): annotators know it with these chances and guess else."""
    rng = random.Random(seed)
    truth = [rng.choice(NAMES) for _ in range(items)]
    said = []
    for name in truth:
        asked = rng.sample(range(len(knows)), ask or len(knows))
        said.append(tuple((f"a{k}", name if rng.random() < knows[k] else rng.choice(NAMES)) for k in sorted(asked)))
    return said, truth


def by_item(said, steps):
    """Dawid and Skene 1979 as they write it, item by item."""
    names = sorted({name for votes in said for _, name in votes})
    who = sorted({a for votes in said for a, _ in votes})
    post = [{n: sum(v == n for _, v in votes) / len(votes) for n in names} for votes in said]
    for _ in range(steps):
        share = {n: sum(p[n] for p in post) / len(said) for n in names}
        rate = {}
        for a in who:
            for t in names:
                given_ = [max(1e-10, sum(p[t] for p, v in zip(post, said, strict=True) if (a, c) in v)) for c in names]
                rate.update({(a, t, c): g / sum(given_) for c, g in zip(names, given_, strict=True)})
        post = []
        for votes in said:
            odds = {t: max(share[t], 1e-10) * math.prod(rate[a, t, c] for a, c in votes) for t in names}
            post.append({t: odds[t] / sum(odds.values()) for t in names})
    return post


@settings(max_examples=4)
@given(st.integers(0, 10_000), st.integers(3, 4))
def test_dawid_skene_of_patterns_equals_em_over_items(seed, annotators):
    rng = random.Random(seed)
    said, _ = drawn(seed, 40, [rng.uniform(0.5, 0.9) for _ in range(annotators)])
    skill = fit(Counter(said))
    # Until both have settled: EM may creep, and they stop at different steps.
    for votes, wanted in zip(said, by_item(said, 1000), strict=True):
        ours = skill.posterior(votes)
        assert ours == pytest.approx(wanted, abs=1e-4)


def test_reliable_annotator_outvotes_two_who_guess():
    said, truth = drawn(0, 3000, [0.95, 0.15, 0.15, 0.9])
    skill = fit(Counter(said))
    right = [skill.accuracy(f"a{k}") for k in range(4)]
    assert right == pytest.approx([0.95 + 0.05 / 3, 0.15 + 0.85 / 3, 0.15 + 0.85 / 3, 0.9 + 0.1 / 3], abs=0.04)
    found = [max(odds, key=odds.__getitem__) for odds in map(skill.posterior, said)]
    voted = [Counter(name for _, name in votes).most_common(1)[0][0] for votes in said]
    ours, theirs = (np.mean([a == b for a, b in zip(x, truth, strict=True)]) for x in (found, voted))
    assert ours > theirs + 0.005


def annotations(votes):
    found = []
    for who, name in votes:
        labels = () if name is None else (Label("quality", AtTurn(0), name),)
        found.append(Annotation(who, "person", labels, () if labels else (NoLabel("quality", AtTurn(0)),)))
    return found


def test_annotators_of_one_dialogue_share_a_reliability():
    said, _ = drawn(2, 400, [0.95, 0.3, 0.3])
    # a0 is one and the same person; the others have a name of their own in each dialogue.
    log = [annotations([(who if who == "a0" else f"{k}/{who}", name) for who, name in v]) for k, v in enumerate(said)]
    skills = learn(lambda: log, EXCLUSIVE, "dawid-skene")
    assert skills.known == {"a0"}
    assert set(skills.of["quality", AtTurn].rows) == {"a0", POOLED}
    two_against = next(k for k, v in enumerate(said) if v[0][1] != v[1][1] == v[2][1])
    pattern = skills.pattern([("1/a1", "good"), ("1/a2", "bad"), ("a0", "bad"), ("1/a3", None)])
    assert pattern == ((POOLED, None), (POOLED, "bad"), (POOLED, "good"), ("a0", "bad"))
    assert skills.pattern([("1/a2", "bad"), ("1/a3", None), ("a0", "bad"), ("1/a1", "good")]) == pattern
    [label] = consensus(log[two_against], EXCLUSIVE, reliabilities=skills).annotation.labels
    assert label.name == said[two_against][0][1]
    assert label.distribution is not None
    assert label.probability == pytest.approx(dict(label.distribution)[label.name])
    assert consensus(log[two_against], EXCLUSIVE).annotation.labels[0].name == said[two_against][1][1]


def test_learn_without_common_items_leaves_the_vote():
    log = [annotations([("a", "bad")]), annotations([("a", "good")])]
    skills = learn(lambda: log, EXCLUSIVE, "dawid-skene")
    assert not skills.of
    assert skills.posterior("quality", AtTurn(0), [("a", "bad")]) is None
    both = annotations([("a", "bad"), ("b", "bad")])
    assert consensus(both, EXCLUSIVE, reliabilities=skills) == consensus(both, EXCLUSIVE)


@pytest.mark.parametrize("alone", [("c", "bad"), ("a", "good")])
def test_unknown_annotator_or_name_is_decided_by_vote(alone):
    """With one annotator enough, such a field has a consensus too."""
    log = [annotations([("a", "bad"), ("b", "fair")]), annotations([alone]), annotations([("c", "fair")])]
    skills = learn(lambda: log, EXCLUSIVE, "dawid-skene")
    assert skills.of
    found = consensus(log[1], EXCLUSIVE, least=1, reliabilities=skills)
    assert found == consensus(log[1], EXCLUSIVE, least=1)
    assert [label.name for label in found.annotation.labels] == [alone[1]]


def counted(said, people):
    """What a person says where an annotator says a name: each other person's answer counts by its share, one more for each pair of names."""
    who = sorted({a for votes in said for a, _ in votes})
    rate = {(a, t, c): 1.0 for a in who for t in NAMES for c in NAMES}
    for votes in said:
        for a, c in votes:
            others = [n for b, n in votes if b != a and b in people]
            for n in others:
                rate[a, n, c] += 1 / len(others)
    total = {(a, t): sum(rate[a, t, c] for c in NAMES) for a in who for t in NAMES}
    return {(a, t, c): rate[a, t, c] / total[a, t] for a, t, c in rate}


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 2))
def test_measured_rates_equal_counts_over_items(seed, people):
    said, _ = drawn(seed, 200, [0.8, 0.6, 0.4])
    trusted = {f"a{k}" for k in range(people)}
    found, wanted = measure(Counter(said), trusted), counted(said, trusted)
    for (who, true, given_), rate in wanted.items():
        names = found.names
        assert found.rates[found.rows[who], names.index(true), names.index(given_)] == pytest.approx(rate)
    for row, votes in ((k, said[k]) for k in range(5)):
        odds = {t: found.share[found.names.index(t)] * math.prod(wanted[a, t, c] for a, c in votes) for t in NAMES}
        assert found.posterior(votes) == pytest.approx({t: o / sum(odds.values()) for t, o in odds.items()}), row


def test_measured_rates_turn_a_biased_machine_around():
    """A machine that says fair for good in nearly all of many items is corrected by a few items of people."""
    people = [Annotation(f"p{k}", "person", tuple(quality(t, NAMES[t % 3]) for t in range(60))) for k in (1, 2)]
    machine = Annotation("gpt", "llm", tuple(quality(t, ("bad", "fair", "fair")[t % 3]) for t in range(60)))
    wrong = Annotation("gpt", "llm", tuple(quality(t, "bad" if t % 6 else "fair") for t in range(60)))
    log = [[*people, machine], *([wrong] for _ in range(20))]
    reliabilities = learn(lambda: log, EXCLUSIVE, "measured")
    alone = reliabilities.posterior("quality", AtTurn(0), [("gpt", "fair")]) or {}
    assert alone["good"] == pytest.approx(alone["fair"], abs=0.03)
    assert alone["bad"] < 0.06


def test_measured_rates_need_people_beside_others():
    machines = [Annotation(name, "llm", (quality(0, "bad"),)) for name in ("gpt", "net")]
    alone = Annotation("ann", "person", (quality(0, "bad"),))

    def passes():
        yield from ([alone], machines, machines)

    with pytest.raises(ValueError, match="of a person and of somebody else"):
        learn(passes, EXCLUSIVE, "measured")


def quality(turn, name):
    return Label("quality", AtTurn(turn), name)
