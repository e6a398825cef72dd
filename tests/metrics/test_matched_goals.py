"""Goals that are judged by the predicted goal that overlaps most."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from labelgen.base.registry import resolve
from labelgen.data.labels import At, AtGoal, Label
from labelgen.metrics import METRICS
from labelgen.metrics.metric import Item, measure
from labelgen.metrics.scores import match_goals


def divided(serves: list[int | None]) -> list[AtGoal]:
    return [AtGoal(tuple(t for t, own in enumerate(serves) if own == g)) for g in sorted({*serves} - {None}, key=str)]


def jaccard(a: AtGoal, b: AtGoal) -> float:
    return len({*a.turns} & {*b.turns}) / len({*a.turns} | {*b.turns})


serving = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=5, max_size=5)


@given(a=serving, b=serving)
def test_match_equals_best_of_all_assignments(a: list[int | None], b: list[int | None]):
    wanted, found = divided(a), divided(b)
    matched = match_goals(wanted, found)
    assert len(set(matched.values())) == len(matched)
    assert all(jaccard(x, y) > 0 for x, y in matched.items())
    padded = [*found, *[None] * len(wanted)]
    best = max(
        sum(jaccard(x, y) for x, y in zip(wanted, order, strict=False) if y is not None)
        for order in permutations(padded, len(wanted))
    )
    assert abs(sum(jaccard(x, y) for x, y in matched.items()) - best) < 1e-9


def outcome(at: AtGoal, failure: float) -> tuple[Label, ...]:
    name = "failure" if failure > 0.5 else "success"
    return (
        Label("outcome", at, name, max(failure, 1 - failure), None, (("success", 1 - failure), ("failure", failure))),
    )


def test_failure_of_a_goal_with_a_wrong_border_counts_when_matched():
    failed, fine = AtGoal((0, 1, 2)), AtGoal((3, 4))
    reference: dict[At, tuple[Label, ...]] = {
        failed: (Label("outcome", failed, "failure"),),
        fine: (Label("outcome", fine, "success"),),
    }
    longer = AtGoal((0, 1, 2, 3))
    predicted: dict[At, tuple[Label, ...]] = {longer: outcome(longer, 0.9), AtGoal((4,)): outcome(AtGoal((4,)), 0.1)}
    item = Item(("",) * 5, reference, predicted)
    values = {
        name: measure(resolve(METRICS, name, "metric"), [item]) for name in ("failure_auprc", "matched_failure_auprc")
    }
    # Exactly, both goals are missing and share the last rank.
    assert values["matched_failure_auprc"] == 1.0
    assert not values["failure_auprc"] > 0.5
