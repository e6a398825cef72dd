"""The threshold from which a model is certainly better than one annotator."""

import numpy as np
import pytest

from benchmarks.corpora import outcome_bounds, with_new_services
from benchmarks.headline import lowest_threshold
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtGoal, Label
from labelgen.data.log import Log, write_log


def drawn(right_above, right_below, person=0.8, dialogues=600):
    """Answers of probability .9 and .1, one each of every dialogue, right at these rates, and a person's ten answers."""
    rng = np.random.default_rng(0)
    answers = [
        (d, p, bool(rng.random() < rate))
        for d in range(dialogues)
        for p, rate in ((0.9, right_above), (0.1, right_below))
    ]
    people = np.stack([rng.binomial(10, person, dialogues), np.full(dialogues, 10)], axis=1).astype(float)
    return answers, people


@pytest.mark.parametrize(
    ("above", "below", "expected"), [(0.98, 0.4, 0.9), (0.98, 0.97, 0.1), (0.8, 0.3, None), (0.3, 0.99, None)]
)
def test_threshold_is_the_last_that_is_certainly_better_from_the_strictest_down(above, below, expected):
    for half in (0, 1):
        assert lowest_threshold(drawn(above, below), half) == expected


def test_threshold_without_answers_is_none():
    assert lowest_threshold(([], np.zeros((10, 2))), 0) is None


def labeled(name, outcome, goals, services):
    turns = tuple(Turn(request=f"r{t}", response="") for t in range(4))
    true = (Label("goals", AtGoal((0, 1)), "goal"), Label("outcome", AtGoal((0, 1)), outcome))
    given = tuple(Label("goals", AtGoal(turns), "goal") for turns in goals)
    return Dialogue(
        id=name,
        turns=turns,
        annotations=(Annotation("people", "person", true), Annotation("model", "model", given)),
        extra='{"services": [' + ", ".join(f'"{service}"' for service in services) + "]}",
    )


def test_ceiling_of_outcomes_counts_failures_in_exact_goals(tmp_path):
    """Two of four failures lie in goals that the model divides exactly; the others share the last rank with a success."""
    exact, wrong = [(0, 1)], [(0, 1, 2)]
    outcomes = [("failure", exact), ("failure", exact), ("failure", wrong), ("failure", wrong), ("success", wrong)]
    log = [labeled(f"d{k}", outcome, goals, []) for k, (outcome, goals) in enumerate(outcomes)]
    write_log(tmp_path / "seed-0" / "variant-plain" / "p.jsonl", log)
    rows = outcome_bounds([tmp_path / "seed-0" / "variant-plain" / "p.jsonl"], "people", "C", "s", {"plain": ""})
    assert rows[0].system == "ceiling of plain"
    assert rows[0].n == 5
    assert rows[0].value == pytest.approx(0.5 + 0.5 * 4 / 5)


def test_pieces_of_a_goal_are_judged_by_it_and_missing_goals_rank_last(tmp_path):
    """A failed goal in two pieces, of which one is labeled a failure; a failed goal that nothing stands for; a false alarm where the
    reference has no goal; a piece of a goal without a known outcome."""
    failed, missed, unknown = (0, 1, 2, 3), (4, 5), (6, 7)
    true = [Label("goals", AtGoal(goal), "goal") for goal in (failed, missed, unknown)]
    true += [Label("outcome", AtGoal(goal), "failure") for goal in (failed, missed)]
    scores = {(0, 1): 0.9, (2, 3): 0.2, (6,): 0.8, (8,): 0.5}
    given = [Label("goals", AtGoal(goal), "goal") for goal in scores]
    given += [
        Label("outcome", AtGoal(goal), "failure", p, distribution=(("success", 1 - p), ("failure", p)))
        for goal, p in scores.items()
    ]
    turns = tuple(Turn(request=f"r{t}", response="") for t in range(9))
    people, model = Annotation("people", "person", tuple(true)), Annotation("model", "model", tuple(given))
    path = tmp_path / "seed-0" / "variant-all_three" / "p.jsonl"
    write_log(path, [Dialogue(id="d", turns=turns, annotations=(people, model))])
    (row,) = [r for r in outcome_bounds([path], "people", "C", "s", {"all three": ""}) if "decoded" in r.system]
    assert row.system == "all three by decoded goals"
    # Ranks: failure, false alarm, failure, missing failure; the piece of the unknown goal is not judged.
    assert row.n == 4
    assert row.value == pytest.approx((1 + 2 / 3 + 3 / 4) / 3, abs=1e-4)


def test_new_services_are_those_of_no_training_dialogue(tmp_path):
    logs = {
        "train": [labeled("a", "success", [], ["x", "y"])],
        "test": [labeled("b", "success", [], ["x"]), labeled("c", "success", [], ["y", "z"])],
    }
    for name, dialogues in logs.items():
        write_log(tmp_path / f"{name}.jsonl", dialogues)
    with_new_services([tmp_path / "test.jsonl"], [tmp_path / "train.jsonl"], [tmp_path / "new.jsonl"])
    assert [d.id for d in Log([tmp_path / "new.jsonl"])] == ["c"]
