"""Thresholds that are proven against one annotator, and three annotators for all others."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks import three
from benchmarks.thesis import Trial, proven, rows
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtTurn, Label
from labelgen.data.log import write_log

NAMES = ("bad", "fair", "good")
SETTINGS = {"x": {"task": "quality", "reference": "consensus", "ratings": "vote"}}


def quality(annotator: str, kind: str, names: list[str], sure: float | None = None) -> Annotation:
    odds = {} if sure is None else {n: tuple((m, sure if m == n else (1 - sure) / 2) for m in NAMES) for n in NAMES}
    labels = (Label("quality", AtTurn(t), n, sure, None, odds.get(n)) for t, n in enumerate(names))
    return Annotation(annotator, kind, tuple(labels))


def dialogue(k: int, right: float) -> Dialogue:
    """Five people of whom each errs in one turn of three; a model that is right as often as given, and a rule that always says fair."""
    rng = Random(k)
    truth = [rng.choice(NAMES) for _ in range(6)]

    def said(share: float) -> list[str]:
        return [name if rng.random() < share else rng.choice(NAMES) for name in truth]

    people = [quality(f"p{j}", "person", said(0.6)) for j in range(5)]
    systems = [
        quality("model 0", "model", said(right), 0.8),
        quality("baseline: words and actions", "rule", ["fair"] * 6, 0.5),
    ]
    turns = tuple(Turn(request=f"request {k} {t}", response="") for t in range(6))
    return Dialogue(id=f"d{k}", turns=turns, source="x", annotations=(*people, *systems))


@pytest.mark.parametrize(("right", "share"), [(1.0, 1.0), (0.2, 0.0)])
def test_coverage_is_proven_for_a_model_better_than_a_person_alone(tmp_path: Path, right: float, share: float):
    write_log(tmp_path / "judged.jsonl", [dialogue(k, right) for k in range(120)])
    made = rows([tmp_path / "judged.jsonl"], {"x": "X"}, SETTINGS, {})
    found = {(r.system, r.metric, r.setting): r for r in made if not r.baseline}
    assert found["model", "proven_coverage", "each corpus by itself"].value == share
    assert found["model", "bad_proven", "each corpus by itself"].value == share
    assert found["words and actions", "proven_coverage", "each corpus by itself"].value == 0.0
    assert found["words and actions", "balanced_accuracy", "about 100% accepted"].value == pytest.approx(
        1 / 3, abs=1e-4
    )
    assert {r.reference for r in made} == {"3 other annotators"}


def trial(threshold: float, *gains: float) -> Trial:
    """gains: over the person, each with a standard deviation of 1."""
    noise = np.random.default_rng(0).normal(size=500)
    return Trial(threshold, tuple(np.concatenate([[gain], gain + noise]) for gain in gains))


def test_tests_stop_at_the_first_failure_in_the_order_of_the_finding_part():
    found = [trial(0.9, 5.0), trial(0.5, 4.0), trial(0.1, 3.0)]
    assert [t.threshold for t in proven([trial(0.9, 4.0), trial(0.5, 0.0), trial(0.1, 4.0)], found, 0.025)] == [0.9]
    assert proven([trial(0.9, 0.0), trial(0.5, 4.0), trial(0.1, 4.0)], found, 0.025) == []


def test_every_requirement_has_to_be_certain():
    assert proven([trial(0.9, 5.0, 0.5)], [trial(0.9, 5.0, 5.0)], 0.025) == []
    assert len(proven([trial(0.9, 5.0, 5.0)], [trial(0.9, 5.0, 5.0)], 0.025)) == 1


def test_three_people_who_agree_with_all_others_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The fourth name that nobody else gives is an error of the one who is alone."""

    def judged(k: int) -> Dialogue:
        people = []
        for j in range(19):
            name = NAMES[(k + (j == k % 19)) % 3]
            people.append(Annotation(f"a{j:02}", "person", (Label("quality", AtDialogue(), name),)))
        return Dialogue(id=f"d{k}", turns=(Turn(request="a", response="b"),), annotations=tuple(people))

    monkeypatch.setattr(three, "Log", lambda paths, form: [judged(k) for k in range(95)])
    monkeypatch.setattr(three, "TASKS", three.TASKS[:1])
    found = {(r.system, r.baseline, r.metric): r for r in three.rows([tmp_path], draws=2)}
    assert found["three, majority", "", "accuracy"].value == 1.0
    assert found["three, majority", "", "macro_f1"].value == 1.0
    alone = found["one annotator", "", "accuracy"].value
    assert alone is not None
    assert 0.8 < alone < 1.0
    assert found["three, majority", "one annotator", "accuracy"].value == pytest.approx(1.0 - alone, abs=1e-4)
