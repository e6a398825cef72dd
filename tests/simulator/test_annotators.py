"""The four annotators: good, not perfect, and better together."""

import pytest
from msgspec.structs import replace

from labelgen.data.labels import AtDialogue
from labelgen.simulator.annotators import PEOPLE
from labelgen.simulator.log import TRUTH, simulate
from labelgen.simulator.world import WorldOptions

TASKS = ("goals", "outcome", "quality", "intents", "slots")


def marks(annotation):
    """task -> what the annotation says, as a set; outcomes are asked of the true goals alone."""
    return {
        task: {(x.at, x.name) for x in annotation.labels if x.task == task and x.at != AtDialogue()} for task in TASKS
    }


def f1(truth, given):
    hits, said, meant = (
        sum(len(t & g) for t, g in zip(truth, given, strict=True)),
        sum(map(len, given)),
        sum(map(len, truth)),
    )
    return 2 * hits / (said + meant)


@pytest.fixture(scope="module")
def views():
    """Per dialogue: the truth and the four people's marks."""
    return [[marks(a) for a in d.annotations] for d in simulate(700, 21)]


@pytest.mark.parametrize("task", TASKS)
def test_annotator_alone_is_good_but_imperfect(views, task):
    for k in range(len(PEOPLE)):
        # Given the true goal: an outcome of a goal that the person cut differently is no error of the outcome.
        goals = [{at for at, _ in v[1 + k]["goals"]} for v in views]
        truth = [{m for m in v[0][task] if task != "outcome" or m[0] in g} for v, g in zip(views, goals, strict=True)]
        given = [
            {m for m in v[1 + k][task] if task != "outcome" or m[0] in {at for at, _ in v[0]["goals"]}} for v in views
        ]
        assert 0.82 <= f1(truth, given) <= 0.96, PEOPLE[k].name


def test_annotators_without_carelessness_match_truth():
    for dialogue in simulate(60, 2, WorldOptions(carelessness=0.0)):
        truth = dialogue.annotation(TRUTH)
        for annotation in dialogue.annotations[1:]:
            assert replace(annotation, annotator=TRUTH, kind="truth", price=None) == truth


def test_annotators_do_not_change_dialogues():
    everyone = list(simulate(200, 4))
    some = list(simulate(200, 4, WorldOptions(annotated=0.3)))
    nobody = list(simulate(200, 4, WorldOptions(annotated=0.0)))
    for a, b, c in zip(everyone, some, nobody, strict=True):
        assert a.turns == b.turns == c.turns
        assert b.annotations in (a.annotations, c.annotations)
        assert len(c.annotations) == 1
    share = sum(len(d.annotations) > 1 for d in some) / len(some)
    assert 0.2 < share < 0.4


def ratings(dialogue, annotator):
    annotation = dialogue.annotation(annotator)
    return {label.at: label.value for label in annotation.labels if label.task == "quality"}


def test_strictness_moves_the_ratings_of_people_one_step_and_nothing_else():
    usual, strict, mild = (list(simulate(30, 5, WorldOptions(strictness=s))) for s in (0.0, 1.0, -0.5))
    moved = 0
    for before, after, partly in zip(usual, strict, mild, strict=True):
        assert replace(before, annotations=()) == replace(after, annotations=())
        assert before.annotation(TRUTH) == after.annotation(TRUTH)
        for person in PEOPLE:
            old, new, higher = (ratings(d, person.name) for d in (before, after, partly))
            assert new == {at: max(1.0, value - 1) for at, value in old.items()}
            assert all(higher[at] in (value, min(5.0, value + 1)) for at, value in old.items())
            moved += sum(higher[at] > value for at, value in old.items())
            assert marks(before.annotation(person.name))["intents"] == marks(after.annotation(person.name))["intents"]
    assert moved
