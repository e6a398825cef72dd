"""Scaled probabilities, and what lies below its threshold left out: the one place where a model abstains.

An answer is given or withheld as a whole: a turn's intents, or its spans, with the least sure of them; a goal by itself,
and with it what is said of the goal. Only units count here, no task is known by name."""

import dataclasses
from collections.abc import Mapping

from msgspec.structs import replace

from labelgen.confidence.certificate import Certificate
from labelgen.confidence.scaling import Scaling
from labelgen.data.labels import (
    UNIT_OF,
    Abstained,
    Annotation,
    At,
    AtGoal,
    Field,
    Label,
    Unit,
    divides,
    scope,
)
from labelgen.model.calibration import Calibration, TaskCalibration

ByField = Mapping[tuple[str, Unit], TaskCalibration]


def by_field(calibration: Calibration | None, chosen: Mapping[tuple[str, Unit], float] = {}) -> ByField:
    """The calibration of each task and unit. chosen: thresholds that take the place of certified ones."""
    known = {} if calibration is None else {(one.task, one.unit): one for one in calibration.tasks}
    for (task, unit), threshold in chosen.items():
        before = known.get((task, unit)) or TaskCalibration(
            task=task, unit=unit, labels=Scaling(), none=Scaling(), measured={}
        )
        known[task, unit] = dataclasses.replace(before, certificate=Certificate(threshold=threshold))
    return known


def scaled(annotation: Annotation, calibrated: ByField) -> Annotation:
    """The annotation with every probability as it was found to hold."""
    labels = tuple(
        label if (one := _of(scope(label), calibrated)) is None else scaled_label(label, one.labels)
        for label in annotation.labels
    )
    none = tuple(
        none
        if none.probability is None or (one := _of(none.field, calibrated)) is None
        else replace(none, probability=one.none.of(none.probability))
        for none in annotation.none
    )
    return replace(annotation, labels=labels, none=none)


def abstaining(annotation: Annotation, calibrated: ByField, goals_given: bool = False) -> Annotation:
    """The scaled annotation without what lies below its threshold, or has no probability; that goes to `abstained`.

    goals_given: what is said of goals is of others than the model's own, so none of it goes with those."""
    annotation = scaled(annotation, calibrated)
    fields: dict[Field, list[Label]] = {}
    for label in annotation.labels:
        fields.setdefault(scope(label), []).append(label)
    held: dict[Field, tuple[Label, ...]] = {}
    for field, labels in fields.items():
        if below := _below(field, labels, calibrated):
            held[field] = below
    gone: set[At] = {label.at for field, below in held.items() if divides(field.task) for label in below}
    for field, labels in fields.items():
        if not goals_given and isinstance(field.at, AtGoal) and field.at in gone:
            held[field] = tuple(labels)
    left = []
    for none in annotation.none:
        if _accepts(_of(none.field, calibrated), none.probability) and (goals_given or none.at not in gone):
            left.append(none)
        else:
            held[none.field] = ()
    withheld = {id(label) for below in held.values() for label in below}
    return replace(
        annotation,
        labels=tuple(label for label in annotation.labels if id(label) not in withheld),
        none=tuple(left),
        abstained=tuple(Abstained(field, best) for field, best in held.items()),
    )


def score(labels: tuple[Label, ...]) -> float | None:
    """By what an answer is accepted: its least sure label; None where one has no probability."""
    sure = [label.probability for label in labels if label.probability is not None]
    return min(sure) if labels and len(sure) == len(labels) else None


def _below(field: Field, labels: list[Label], calibrated: ByField) -> tuple[Label, ...]:
    one = _of(field, calibrated)
    if divides(field.task):
        return tuple(label for label in labels if not _accepts(one, label.probability))
    return () if _accepts(one, score(tuple(labels))) else tuple(labels)


def _accepts(one: TaskCalibration | None, sure: float | None) -> bool:
    if one is None or one.threshold is None:
        return True
    return sure is not None and sure >= one.threshold


def _of(field: Field, calibrated: ByField) -> TaskCalibration | None:
    return calibrated.get((field.task, UNIT_OF[type(field.at)]))


def scaled_label(label: Label, scaling: Scaling) -> Label:
    """The label with its probability as it was found to hold, and the name that is then said."""
    if label.probability is None:
        return label
    if label.distribution is None:
        return replace(label, probability=scaling.of(label.probability))
    names = [name for name, _ in label.distribution]
    said = scaling.of_all([p for _, p in label.distribution])
    distribution = tuple(zip(names, said, strict=True))
    k = scaling.decide(said) if scaling.weights else names.index(label.name)
    return replace(label, name=names[k], distribution=distribution, probability=said[k])
