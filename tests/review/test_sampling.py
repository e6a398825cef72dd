"""Sampling of dialogues for review."""

import math
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from strategies import dialogues

from labelgen.data.dialogue import extra
from labelgen.data.labels import Abstained, Annotation, AtTurn, Field, Label, NoLabel
from labelgen.review.sampling import (
    SAMPLE,
    Candidate,
    draw,
    mark_sample,
    model_annotation,
    to_candidate,
    uncertainties,
)

KINDS = st.tuples(st.sampled_from(["intents", "slots"]), st.sampled_from([("a",), ("b",), ()]))

pools = st.lists(
    st.tuples(st.integers(1, 5), st.dictionaries(KINDS, st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1)), max_size=8
).map(lambda rows: [Candidate(f"d{k}", *row) for k, row in enumerate(rows)])


def told(chosen: list[Candidate]) -> float:
    """What a set of dialogues tells, straight from its definition."""
    by_kind: dict[object, float] = {}
    for one in chosen:
        for kind, doubt in one.doubt.items():
            by_kind[kind] = by_kind.get(kind, 0.0) + doubt
    return sum(math.sqrt(doubt) for doubt in by_kind.values())


@given(pools, st.integers(1, 6), st.integers(0, 3))
def test_draw_by_doubt_is_greedy(pool, count, seed):
    of = {one.dialogue: one for one in pool}
    chosen: list[Candidate] = []
    drawn = draw(pool, "informative", count, seed)
    assert len(drawn) == min(count, len(pool))
    for rank, one in enumerate(drawn):
        left = [other for other in pool if other not in chosen]
        best = max((told([*chosen, other]) - told(chosen)) / other.turns for other in left)
        assert one.rank == rank
        assert one.gain is not None
        assert math.isclose(one.gain, best, abs_tol=1e-9)
        chosen.append(of[one.dialogue])
    assert len({one.dialogue for one in drawn}) == len(drawn)


@given(pools, st.sampled_from(["abstained", "informative", "audit"]), st.integers(1, 6), st.randoms())
def test_draw_does_not_depend_on_the_order_of_the_log(pool, how, count, random):
    mixed = list(pool)
    random.shuffle(mixed)
    assert draw(mixed, how, count, 1) == draw(pool, how, count, 1)


def test_audit_draws_each_dialogue_with_its_probability():
    pool = [Candidate(f"d{k}", 1 + k, {}) for k in range(20)]
    seeds = 400
    drawn = [one for seed in range(seeds) for one in draw(pool, "audit", 5, seed)]
    assert {one.probability for one in drawn} == {0.25}
    times = Counter(one.dialogue for one in drawn)
    # Four standard deviations of a binomial count on either side.
    spread = 4 * math.sqrt(seeds * 0.25 * 0.75)
    assert all(abs(times[one.dialogue] - seeds * 0.25) < spread for one in pool)


def test_audit_weighted_sums_estimate_the_log():
    truth = {f"d{k}": Random(k).random() for k in range(30)}
    pool = [Candidate(name, 1, {}) for name in truth]
    estimates = [
        sum(truth[one.dialogue] / (one.probability or 0.0) for one in draw(pool, "audit", 10, seed))
        for seed in range(300)
    ]
    assert abs(sum(estimates) / 300 - sum(truth.values())) < 0.4


@given(dialogues(), st.sampled_from(["abstained", "informative", "audit"]))
def test_to_candidate_requires_doubt_and_no_person(dialogue, how):
    found = to_candidate(dialogue, how, None)
    annotation = model_annotation(dialogue, None)
    if not dialogue.turns:
        assert found is None
    elif how == "audit":
        assert found is not None
    elif annotation is None or any(a.kind == "person" for a in dialogue.annotations):
        assert found is None
    else:
        said = [d for d in uncertainties(annotation) if d.withheld or how == "informative"]
        assert (found is None) == (not said)
        assert found is None or math.isclose(sum(found.doubt.values()), sum(d.doubt for d in said))


@given(dialogues(), st.integers(1, 9))
def test_mark_sample_changes_only_the_sample_field(dialogue, count):
    [drawn] = draw([Candidate(dialogue.id, 1, {})], "audit", count)
    after = mark_sample(dialogue, drawn, "audit", 0)
    assert extra(after)[SAMPLE]["probability"] == 1.0
    assert mark_sample(after, drawn, "audit", 0) == after


def test_uncertainty_of_an_answer_covers_all_its_labels():
    at = AtTurn(0)
    labels = (Label("intents", at, "a", 0.5), Label("intents", at, "b", 0.5))
    annotation = Annotation("m", "model", labels, (NoLabel("slots", at, 0.9),), (Abstained(Field("quality", at)),))
    found = {d.field.task: (d.names, round(d.doubt, 6), d.withheld) for d in uncertainties(annotation)}
    assert found == {"intents": (("a", "b"), 0.75, False), "slots": ((), 0.1, False), "quality": ((), 1.0, True)}
