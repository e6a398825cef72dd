"""Simulated answers of an LLM: their confusion, their dependence on difficulty, and the form that review import reads."""

import json

import numpy as np
import pytest

from benchmarks.llm import biased, draw, drawn, few_people
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import QUALITY_NAMES, Annotation, AtTurn, Label, answers
from labelgen.data.log import Log, write_log
from labelgen.review.llm import read_llm_answers
from labelgen.review.merge import ReviewAnswer

CONFUSION = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.05, 0.35, 0.6]])
ASSUMED = {"read": 1e-6, "written": 1e-5, "characters": 4, "answer": 10}


def items(count=30_000):
    """Truth, and shares of people who disagree from none to half."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, count)
    away = rng.choice([0.0, 0.2, 0.5], count)
    votes = np.repeat(away[:, None] / 2, 3, axis=1)
    votes[np.arange(count), truth] = 1 - away
    return votes, truth, away


def test_draws_have_the_shares_of_errors_of_the_matrix():
    votes, truth, _ = items()
    given = drawn(votes, truth, CONFUSION, np.random.default_rng(2))
    counts = np.array([[np.mean(given[truth == t] == name) for name in range(3)] for t in range(3)])
    assert np.allclose(counts, CONFUSION, atol=0.02)


def test_errors_concentrate_where_people_disagree():
    votes, truth, away = items()
    wrong = drawn(votes, truth, CONFUSION, np.random.default_rng(2)) != truth
    rates = [wrong[away == share].mean() for share in (0.0, 0.2, 0.5)]
    assert rates[0] < 0.1 < rates[1] < rates[2]


def test_a_name_that_nobody_chose_is_given_less_often():
    votes = np.tile([0.0, 0.6, 0.4], (5000, 1))
    given = drawn(votes, np.ones(5000, dtype=int), CONFUSION, np.random.default_rng(0))
    assert np.mean(given == 2) > 3 * np.mean(given == 0) > 0


def test_a_strict_annotator_gives_lower_names():
    assert np.allclose(biased(CONFUSION, 0.0), CONFUSION)
    means = [biased(CONFUSION, b) @ np.arange(3) for b in (-1.0, 0.0, 1.0)]
    assert np.all(means[0] < means[1])
    assert np.all(means[1] < means[2])
    assert np.allclose(biased(CONFUSION, 1.0).sum(axis=1), 1.0)


def judged(k: int) -> Dialogue:
    people = [
        Annotation(
            f"p{who}",
            "person",
            tuple(Label("quality", AtTurn(t), QUALITY_NAMES[(k + t) % 3 if who else 0]) for t in range(3)),
        )
        for who in range(4)
    ]
    own = tuple(Label("quality", AtTurn(t), QUALITY_NAMES[(k + t) % 3], 0.9) for t in range(3))
    turns = tuple(Turn(request=f"request {k} {t}", response="no") for t in range(3))
    return Dialogue(id=f"d{k:02}", turns=turns, annotations=(*people, Annotation("labelgen", "model", own)))


def names_of(annotation: Annotation):
    return {at: labels[0].name for at, labels in answers(annotation, "quality").items()}


@pytest.fixture
def log(tmp_path):
    write_log(tmp_path / "log.jsonl", [judged(k) for k in range(30)])
    return tmp_path / "log.jsonl"


def test_answers_are_read_back_by_review_import(log, tmp_path):
    """Of a perfect LLM all answers are the consensus; equal seeds draw equal files, others differ."""
    for name, seed, matrix in (
        ("a", "0", np.eye(3)),
        ("b", "0", CONFUSION),
        ("c", "0", CONFUSION),
        ("d", "1", CONFUSION),
    ):
        draw([log], {"x": matrix.tolist()}, "x", 0.0, 1.0, ASSUMED, seed, [tmp_path / name])
    dialogues = {d.id: d for d in Log([log])}
    read = [x for x in read_llm_answers(tmp_path / "a", "LLM", dialogues, {}) if isinstance(x, ReviewAnswer)]
    assert len(read) == 30
    for one in read:
        (person,) = [a for a in dialogues[one.dialogue].annotations if a.annotator == "p1"]
        assert names_of(one.annotation) == names_of(person)
        assert 0 < (one.annotation.price or 0) < 0.01
    texts = [(tmp_path / name).read_text() for name in "bcd"]
    assert texts[0] == texts[1] != texts[2]


def test_some_dialogues_stay_without_an_answer(log, tmp_path):
    draw([log], {"x": CONFUSION.tolist()}, "x", 0.3, 0.5, ASSUMED, "0", [tmp_path / "a"])
    ids = [json.loads(line)["id"] for line in (tmp_path / "a").read_text().splitlines()]
    assert 5 < len(ids) < 25
    assert len(set(ids)) == len(ids)


def test_few_people_keeps_the_llm_and_drops_other_people(log, tmp_path):
    llm = Annotation("LLM", "llm", (Label("quality", AtTurn(0), "bad"),))
    with_llm = [Dialogue(id=d.id, turns=d.turns, annotations=(*d.annotations, llm)) for d in Log([log])]
    write_log(tmp_path / "with.jsonl", with_llm)
    few_people([tmp_path / "with.jsonl"], 0.5, 2, [tmp_path / "few.jsonl"])
    counts = [sum(a.kind == "person" for a in d.annotations) for d in Log([tmp_path / "few.jsonl"])]
    assert set(counts) == {0, 2}
    assert 5 < counts.count(2) < 25
    assert {a.annotator for d in Log([tmp_path / "few.jsonl"]) for a in d.annotations} == {
        "LLM",
        "person 1",
        "person 2",
    }
    assert all(d.annotation("LLM") and not d.annotation("labelgen") for d in Log([tmp_path / "few.jsonl"]))
