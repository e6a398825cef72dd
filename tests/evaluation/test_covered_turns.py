"""Turns that a division into goals does not cover are context: they change no metric, consensus, agreement or certificate."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from labelgen.agreement.consensus import CONSENSUS, consensus
from labelgen.data.dialogue import Dialogue, Turn
from labelgen.data.labels import Annotation, AtDialogue, AtGoal, Label, NoLabel
from labelgen.evaluation.calibrate import answers_of
from labelgen.evaluation.measure import items_of, measure_all
from labelgen.evaluation.protocol import AnnotatorStatistics, Protocol
from labelgen.metrics.results import HUMAN, Setting
from labelgen.tasks.evaluation import EvaluationTask

METRICS = (
    *("exact_goal_f1", "exact_goal_f1_several", "b_cubed_f1", "boundary_f1", "pk", "window_diff"),
    *("variation_of_information", "one_to_one"),
)
GOALS = EvaluationTask("goals", ("goals",), ("goal",), METRICS)
PEOPLE = ("ana", "bo", "cy")


def divided(name, serves, kind="person", covered=None):
    """The annotation in which turn t serves the goal of that number, None for no goal."""
    numbers = sorted({g for g in serves if g is not None})
    goals = [AtGoal(tuple(t for t, g in enumerate(serves) if g == number)) for number in numbers]
    none = () if goals else (NoLabel("goals", AtDialogue()),)
    return Annotation(name, kind, tuple(Label("goals", at, "goal") for at in goals), none, covered_turns=covered)


def dialogue_of(rows, context=(), seed=0):
    """A dialogue that people and a model divide. context: places before which turns are added that nobody covers; there the model
    says what a draw says, also joining its goals of covered turns."""
    rng = random.Random(seed)
    turns = len(rows["model"])
    places = sorted([(t, 1) for t in range(turns)] + [(min(p, turns), 0) for p in context])
    covered = tuple(k for k, (_, real) in enumerate(places) if real)
    annotations = []
    for name, serves in rows.items():
        beyond = [None, 0, 1, 2, 9] if name == "model" else [None]
        longer = [serves[t] if real else rng.choice(beyond) for t, real in places]
        kind = "model" if name == "model" else "person"
        annotations.append(divided(name, longer, kind, covered if context and name != "model" else None))
    return Dialogue(id="d", turns=(Turn(request="x", response=""),) * len(places), annotations=tuple(annotations))


@st.composite
def divisions(draw):
    turns = draw(st.integers(2, 7))
    side = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=turns, max_size=turns)
    return {name: draw(side) for name in (*PEOPLE, "model")}


def turns(label):
    assert isinstance(label.at, AtGoal)
    return label.at.turns


CONTEXT = st.lists(st.integers(0, 7), min_size=1, max_size=5)


def values(dialogue, reference, annotators):
    setting = Setting(reference=reference, annotators=annotators, resamples=2)
    protocol = Protocol([dialogue], [GOALS], setting)
    rounds = protocol.judgments(GOALS).all
    out = {}
    for system in ("model", *([HUMAN] if rounds and rounds[0].person is not None else [])):
        items = items_of(rounds, [dialogue], GOALS, system)
        out[system] = {
            m: measured.interval.value
            for m, measured in measure_all(METRICS, items, rounds, setting, [dialogue.id]).items()
        }
    return out


@given(divisions(), CONTEXT, st.sampled_from([("ana", None), ("ana", "bo,cy"), (CONSENSUS, "all")]))
def test_uncovered_turns_change_no_metric(rows, context, setting):
    plain, longer = dialogue_of(rows), dialogue_of(rows, context, seed=len(context))
    ours, theirs = values(plain, *setting), values(longer, *setting)
    assert ours.keys() == theirs.keys()
    for system in ours:
        assert theirs[system] == pytest.approx(ours[system], nan_ok=True)


@given(divisions(), CONTEXT)
def test_uncovered_turns_change_no_consensus_and_no_agreement(rows, context):
    decided, agreements = [], []
    for dialogue in (dialogue_of(rows), dialogue_of(rows, context)):
        people = [a for a in dialogue.annotations if a.kind == "person"]
        result = consensus(people, {})
        covered = people[0].covered_turns or range(len(dialogue.turns))
        assert result.annotation.covered_turns == (people[0].covered_turns if not result.ties else None)
        number = {turn: k for k, turn in enumerate(covered)}
        goals = [tuple(number[t] for t in turns(label)) for label in result.annotation.labels]
        decided.append((goals, result.annotation.none, bool(result.ties)))
        statistics = AnnotatorStatistics([GOALS], Setting())
        statistics.add(replace(dialogue, annotations=(*dialogue.annotations, result.annotation)), people, result)
        agreements.append([{**row} for row in statistics.agreement()])
    assert decided[0] == decided[1]
    assert agreements[0] == agreements[1]


@given(divisions(), CONTEXT)
def test_uncovered_turns_change_no_answer_that_is_certified(rows, context):
    rights = []
    for dialogue in (dialogue_of(rows), dialogue_of(rows, context)):
        model, reference = dialogue.annotation("model"), dialogue.annotation("ana")
        covered = set(reference.covered_turns or range(len(dialogue.turns)))
        answers = answers_of(0, model, reference, GOALS)
        # Goals of context turns alone have no answer.
        assert all(covered & set(turns(x)) for answer in answers for x in answer.labels)
        rights.append(
            sorted((len(turns(answer.labels[0])) if answer.labels else 0, answer.right) for answer in answers)
        )
    assert rights[0] == rights[1]


def test_annotators_who_cover_different_turns_are_compared_on_common_ones():
    """Ana covers turns 0 to 2, Bo 1 to 3; on turns 1 and 2 they agree."""
    ana = divided("ana", [0, 0, 1, None], covered=(0, 1, 2))
    bo = divided("bo", [None, 0, 1, 1], covered=(1, 2, 3))
    dialogue = Dialogue(id="d", turns=(Turn(request="x", response=""),) * 4, annotations=(ana, bo))
    rounds = Protocol([dialogue], [GOALS], Setting(reference="ana", annotators=("bo",))).judgments(GOALS).all
    (item,) = items_of(rounds, [dialogue], GOALS, HUMAN)
    assert len(item.requests) == 2
    assert {turns(x) for x in item.reference[AtDialogue()]} == {turns(x) for x in item.predicted[AtDialogue()]}
    decided = consensus([ana, bo], {}).annotation
    assert decided.covered_turns == (1, 2)
    assert [turns(x) for x in decided.labels] == [(1,), (2,)]
