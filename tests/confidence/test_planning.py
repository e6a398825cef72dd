# mypy: disable-error-code="operator,arg-type"
"""What a plan promises is what drawn annotations give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgen.cli.main import main
from labelgen.confidence.certificate import dialogues_needed
from labelgen.confidence.planning import Plan, certifiable, consensus_error, promise, wilson


@pytest.mark.parametrize("votes", [1, 2, 3, 4, 5])
def test_the_consensus_errs_as_often_as_promised(votes: int):
    rng = np.random.default_rng(0)
    wrong_votes = rng.binomial(votes, 0.2, 200_000)
    wrong, ties = consensus_error(votes, 0.2)
    tied = 2 * wrong_votes == votes
    assert ties == pytest.approx(tied.mean(), abs=0.005)
    assert wrong == pytest.approx((2 * wrong_votes[~tied] > votes).mean(), abs=0.005)


def test_the_scores_are_those_of_the_evaluation_of_a_perfect_model_and_a_person():
    """docs/explanation/evaluation.md: r = 3e²(1-e) + e³; a perfect model reaches 1-r and a person (1-e)(1-r) + er."""
    e = 0.1
    r = 3 * e**2 * (1 - e) + e**3
    found = promise(Plan(items=100, votes=3, annotator_error=e))
    assert found.wrong == pytest.approx(r)
    assert found.perfect == pytest.approx(1 - r)
    assert found.single == pytest.approx((1 - e) * (1 - r) + e * r)


def test_the_rate_is_measured_through_the_errors_of_who_labels():
    """Of 80% that hold, one who errs on a tenth finds 0.8 * 0.9 + 0.2 * 0.1; three who vote err less."""
    found = promise(Plan(items=100, votes=3, rate=0.8, annotator_error=0.1))
    assert found.alone.value == pytest.approx(0.74)
    assert found.measured.value == pytest.approx(0.8 * (1 - 0.028) + 0.2 * 0.028)
    assert (found.alone.low, found.alone.high) == pytest.approx((0.6464, 0.8160), abs=1e-3)


def test_more_dialogues_and_answers_that_depend_less_tell_more():
    widths = []
    for items, within in ((100, 1.0), (100, 0.2), (400, 0.2), (400, 0.0)):
        found = promise(Plan(items=items, votes=3, answers=5, within=within)).measured
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert promise(Plan(items=100, votes=3, answers=5, within=1.0)).independent == pytest.approx(100)


def test_wilson_known_case_equals_reference():
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion": 81 of 263."""
    found = wilson(81 / 263, 263, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("dialogues", "errors"), [(98, None), (99, 0), (156, 0), (157, 1), (257, 3)])
def test_errors_that_may_be_made(dialogues: int, errors: int | None):
    assert certifiable(dialogues, 0.03, 0.95)[1] == errors


def test_the_command_says_it_and_refuses_what_cannot_be_planned(capsys):
    assert main(["plan", "--dialogues", "514", "--votes", "4", "--answers", "3"]) == 0
    said = capsys.readouterr().out
    assert "2,056 annotations" in said
    assert "257 of them: 3.0% at 95%, 3 may be wrong" in said
    assert "4.9% open" in said
    capsys.readouterr()
    # Two who differ decide nothing: of 100 dialogues that would be judged, 82 are.
    assert main(["plan", "--dialogues", "200", "--votes", "2"]) == 0
    assert "uses 82 of them: 3.0% at 95%, none of them may be wrong" in capsys.readouterr().out
    assert main(["plan", "--dialogues", "50", "--votes", "3"]) == 0
    assert "that is not enough" in capsys.readouterr().out
    for words in (["--dialogues", "1", "--votes", "3"], ["--dialogues", "9", "--votes", "0"]):
        assert main(["plan", *words]) == 2
    assert main(["plan", "--dialogues", "9", "--votes", "3", "--annotator-error", "0.5"]) == 2


@given(st.integers(1, 3000), st.sampled_from([0.01, 0.03, 0.2]), st.sampled_from([0.9, 0.95]))
def test_as_many_may_be_wrong_as_counting_up_finds(dialogues: int, max_error: float, confidence: float):
    allowed = None
    while dialogues_needed(0 if allowed is None else allowed + 1, max_error, confidence) <= dialogues:
        allowed = 0 if allowed is None else allowed + 1
    assert certifiable(dialogues, max_error, confidence)[1] == allowed
