"""Which scale probabilities get: fitted on some answers, and taken only if it is better on others."""

import pytest

from labelgen.confidence.scaling import Scaling
from labelgen.data.labels import AtGoal, Label
from labelgen.evaluation.calibrate import Answer, _scalings


def answer(k: int, right: bool, p: float = 0.7) -> Answer:
    said = (("success", p), ("failure", 1 - p))
    at = AtGoal((k,))
    label = Label("outcome", at, "success", p, None, said)
    wanted = ("success",) if right else ("failure",)
    return Answer(place=k, at=at, labels=(label,), wanted=wanted, right=right, holds=(right,), none=None)


def test_few_answers_that_are_all_right_make_nothing_certain():
    fitted, judged = [answer(k, True) for k in range(60)], [answer(k, k % 10 < 7) for k in range(60)]
    assert _scalings(fitted, judged)[0] == Scaling()


def test_a_temperature_is_taken_where_it_is_better_on_other_answers():
    sure = [answer(k, k % 2 == 0, 0.95) for k in range(60)]
    labels, _ = _scalings(sure, sure)
    assert labels.kind == "temperature"
    assert labels.of_all([0.95, 0.05])[0] == pytest.approx(0.5, abs=0.05)
