"""Laws of abstention: every answer is given or withheld as a whole, and nothing is lost."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import dialogues

from labelgen.confidence.certificate import Certificate
from labelgen.confidence.scaling import Scaling
from labelgen.confidence.two_sample import Aspect
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Annotation,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    NoLabel,
    Unit,
    answers,
    divides,
    scope,
    targets_of,
)
from labelgen.data.record import decode, encode
from labelgen.labeling.manifest import tally
from labelgen.model.calibration import Calibration, TaskCalibration, abstaining, by_field, scaled
from labelgen.model.reference import prediction_rows

FIELDS: tuple[tuple[str, Unit], ...] = (
    ("goals", "dialogue"),
    ("outcome", "goal"),
    ("quality", "turn"),
    ("quality", "dialogue"),
    ("intents", "turn"),
    ("slots", "turn"),
)


def calibration(threshold: float | None, scaling: Scaling | None = None) -> Calibration:
    scaling = scaling or Scaling()
    tasks = [
        TaskCalibration(
            task=task,
            unit=unit,
            labels=scaling,
            none=scaling,
            certificate=Certificate(threshold=threshold),
            measured={},
        )
        for task, unit in FIELDS
    ]
    return Calibration(
        version="0",
        model_digest="m",
        data_digest="d",
        against="consensus",
        max_error=0.03,
        confidence=0.95,
        command="",
        tasks=tuple(tasks),
    )


annotated = (
    dialogues()
    .filter(lambda d: bool(d.annotations))
    .flatmap(lambda d: st.tuples(st.just(d), st.sampled_from([replace(a, abstained=()) for a in d.annotations])))
)
thresholds = st.sampled_from([0.0, 0.3, 0.7, 1.0])


@given(annotated)
def test_abstaining_without_threshold_and_scaling_changes_nothing(pair: tuple[Dialogue, Annotation]):
    _, annotation = pair
    assert abstaining(annotation, by_field(calibration(None))) == annotation


@given(annotated, thresholds)
def test_abstaining_any_threshold_keeps_or_withholds_every_answer(pair: tuple[Dialogue, Annotation], threshold: float):
    _, annotation = pair
    said = abstaining(annotation, by_field(calibration(threshold)))
    withheld = [label for one in said.abstained for label in one.best]
    assert Counter(map(repr, (*said.labels, *withheld))) == Counter(map(repr, annotation.labels))
    fields = Counter({x.field for x in annotation.none} | {scope(x) for x in annotation.labels})
    left = {x.field for x in said.none} | {scope(x) for x in said.labels}
    assert left | {one.field for one in said.abstained} == set(fields)
    assert all(divides(f.task) for f in left & {one.field for one in said.abstained})


@given(annotated, thresholds)
def test_abstaining_answer_below_the_threshold_is_withheld(pair: tuple[Dialogue, Annotation], threshold: float):
    _, annotation = pair
    said = abstaining(annotation, by_field(calibration(threshold)))
    known = {task for task, _ in FIELDS}
    sure = [x.probability for x in said.labels if x.task in known]
    sure += [x.probability for x in said.none if x.task in known]
    assert all(p is not None and p >= threshold for p in sure)


@given(annotated, thresholds)
def test_abstaining_annotation_round_trips_through_records(pair: tuple[Dialogue, Annotation], threshold: float):
    dialogue, annotation = pair
    said = replace(abstaining(annotation, by_field(calibration(threshold))), annotator="m", kind="model")
    record = encode(replace(dialogue, annotations=(said,)))
    read = decode(record, "f")
    assert isinstance(read, Dialogue)
    assert encode(read) == record
    sums, before = tally([(dialogue, said)], ()), tally([(dialogue, annotation)], ())
    own = {(x.task, x.unit): x.labeled + x.abstained for x in sums.tasks}
    assert own == {(x.task, x.unit): x.labeled + x.abstained for x in before.tasks}


def _label(task: str, at: AtTurn | AtSpan | AtGoal | AtDialogue, p: float, name: str = "x") -> Label:
    return Label(task, at, name, p)


def test_abstaining_one_uncertain_label_withholds_its_field_or_its_goal():
    sure, unsure = _label("slots", AtSpan(0, 0, 1), 0.9), _label("slots", AtSpan(0, 2, 3), 0.4)
    first, second = _label("goals", AtGoal((0,)), 0.9, "goal"), _label("goals", AtGoal((1, 2)), 0.4, "goal")
    outcome = replace(_label("outcome", AtGoal((1, 2)), 0.9, "success"))
    annotation = Annotation("m", "model", (first, second, outcome, sure, unsure))
    said = abstaining(annotation, by_field(calibration(0.5)))
    assert said.labels == (first,)
    assert {one.field: one.best for one in said.abstained} == {
        Field("slots", AtTurn(0)): (sure, unsure),
        Field("goals", AtDialogue()): (second,),
        Field("outcome", AtGoal((1, 2))): (outcome,),
    }
    assert answers(said, "goals") == {AtDialogue(): (first,)}
    # That turns 1 and 2 serve no goal is nothing that was said, so nobody learns it.
    assert [t.at for t in targets_of(said)] == [AtGoal((0,))]
    assert AtDialogue() in [t.at for t in targets_of(annotation)]


def test_scaled_labels_and_none_use_separate_scalings():
    """Log-odds of labels are doubled, those of "none here" halved; what has no probability, or no calibration, stays."""
    labels = (_label("intents", AtTurn(0), 0.8), Label("intents", AtTurn(1), "x"), _label("order", AtTurn(0), 0.8))
    none = NoLabel("intents", AtTurn(2), 0.8)
    annotation = Annotation("m", "model", labels, (none,))
    both = calibration(None, Scaling("temperature", 0.5))
    tasks = [dataclasses.replace(one, none=Scaling("temperature", 2.0)) for one in both.tasks]
    said = scaled(annotation, by_field(dataclasses.replace(both, tasks=tuple(tasks))))
    assert [x.probability for x in said.labels] == [pytest.approx(16 / 17), None, 0.8]
    assert [x.field for x in said.none] == [none.field]
    assert [x.probability for x in said.none] == [pytest.approx(2 / 3)]


def test_scaled_distribution_sums_to_one():
    distribution = (("bad", 0.2), ("fair", 0.3), ("good", 0.5))
    label = Label("quality", AtTurn(0), "good", 0.5, 4.0, distribution)
    [said] = scaled(Annotation("m", "model", (label,)), by_field(calibration(None, Scaling("temperature", 0.5)))).labels
    assert said.distribution is not None
    assert abs(sum(p for _, p in said.distribution) - 1) < 1e-9
    assert said.probability == dict(said.distribution)["good"] > 0.5


def test_prediction_rows_abstain_by_the_weights_of_the_source():
    label = Label("quality", AtTurn(0), "good", 0.8, None, (("bad", 0.2), ("good", 0.8)))
    annotation = Annotation("m", "model", (label,))
    fields = {
        field: dataclasses.replace(one, sources={"strict": (1e6, 1.0)})
        for field, one in by_field(calibration(0.5)).items()
    }
    shares = []
    for source in (None, "strict"):
        withheld = abstaining(annotation, fields, source=source).abstained
        row = prediction_rows(annotation, fields, ["quality"], source)[
            Aspect("predictions", "abstained", "quality", "turn")
        ]
        assert row == {"share": len(withheld)}
        shares.append(row["share"])
    assert shares == [0, 1]
