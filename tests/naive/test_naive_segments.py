"""Scores of segments equal those of the libraries that the published figures were computed with."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics.segmentation import pk, windowdiff
from sklearn.metrics import f1_score

from benchmarks.corpora import scores, segment_marks, window_of

marks = st.integers(2, 30).flatmap(lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2))


@given(marks)
def test_scores_are_those_of_nltk_and_sklearn(drawn):
    wanted, found = ([*row[:-1], False] for row in drawn)
    size = max(2, round(len(wanted) / (sum(wanted) + 1) / 2))
    assert window_of(wanted) == size
    a, b = ("".join(str(int(mark)) for mark in row) for row in (wanted, found))
    expected = (pk(a, b, k=size), windowdiff(a, b, k=size), f1_score(wanted, found, zero_division=0))
    assert scores(wanted, found) == pytest.approx(expected)


def test_marks_stand_behind_the_last_utterance_of_a_segment():
    assert segment_marks([(0, 1), (2, 3, 4)], 5) == [False, True, False, False, False]
    assert segment_marks([(0, 2), (1,)], 3) == [True, True, False], "returning to a segment is a border too"
    assert segment_marks([(0, 1)], 2) == [False, False]


def test_marks_of_other_dialogues_or_of_one_utterance_are_refused():
    for wanted, found in (([False], [False]), ([True, False], [False])):
        with pytest.raises(ValueError, match="marks"):
            scores(wanted, found)


def test_a_perfect_answer_is_perfect_where_there_are_borders():
    assert scores([False, True, False], [False, True, False]) == (0.0, 0.0, 1.0)
    assert fmean(scores([False] * 4, [False] * 4)) == 0.0, "published so: no border, no F1"
