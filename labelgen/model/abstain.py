"""Selective prediction: calibrated probabilities, and abstention below a threshold.

The model answers or abstains for a whole field, such as the intents or the spans of a turn; the confidence of the field is its
smallest probability. A goal is accepted by itself; where the model abstains from a goal, it also abstains from answers about it.
The code depends on units only and names no task."""

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

WITHHELD = 2.0
"""A threshold that no probability reaches."""

ByField = Mapping[tuple[str, Unit], TaskCalibration]


def by_field(calibration: Calibration | None, chosen: Mapping[tuple[str, Unit], float] = {}) -> ByField:
    """The calibration of each task and unit. chosen: thresholds that replace certified ones, for labels of all names."""
    known = {} if calibration is None else {(one.task, one.unit): one for one in calibration.tasks}
    for (task, unit), threshold in chosen.items():
        before = known.get((task, unit)) or TaskCalibration(
            task=task, unit=unit, labels=Scaling(), none=Scaling(), measured={}
        )
        known[task, unit] = dataclasses.replace(before, certificate=Certificate(threshold=threshold), idle=())
    return known


def scaled(annotation: Annotation, calibrated: ByField, source: str | None = None) -> Annotation:
    """The annotation of a dialogue of this source with calibrated probabilities."""
    labels = tuple(
        label if (one := _of(scope(label), calibrated)) is None else scaled_label(label, one.scaling(source))
        for label in annotation.labels
    )
    none = tuple(
        none
        if none.probability is None or (one := _of(none.field, calibrated)) is None
        else replace(none, probability=one.none.of(none.probability))
        for none in annotation.none
    )
    return replace(annotation, labels=labels, none=none)


def abstaining(
    annotation: Annotation, calibrated: ByField, goals_given: bool = False, source: str | None = None
) -> Annotation:
    """The calibrated annotation, with answers below their threshold or without a probability moved to `abstained`.

    source: of the dialogue. goals_given: the goals are not predicted, so answers about a goal do not depend on its probability."""
    annotation = scaled(annotation, calibrated, source)
    fields: dict[Field, list[Label]] = {}
    for label in annotation.labels:
        fields.setdefault(scope(label), []).append(label)
    withheld_fields: dict[Field, tuple[Label, ...]] = {}
    for field, labels in fields.items():
        if below := _below(field, labels, calibrated):
            withheld_fields[field] = below
    withheld_goals: set[At] = {
        label.at for field, below in withheld_fields.items() if divides(field.task) for label in below
    }
    for field, labels in fields.items():
        if not goals_given and isinstance(field.at, AtGoal) and field.at in withheld_goals:
            withheld_fields[field] = tuple(labels)
    kept = []
    for none in annotation.none:
        if _accepts(_of(none.field, calibrated), none.probability) and (goals_given or none.at not in withheld_goals):
            kept.append(none)
        else:
            withheld_fields[none.field] = ()
    withheld = {id(label) for below in withheld_fields.values() for label in below}
    accepted = tuple(label for label in annotation.labels if id(label) not in withheld)
    divided = any(divides(task) for task in [*(label.task for label in accepted), *(none.task for none in kept)])
    return replace(
        annotation,
        labels=accepted,
        none=tuple(kept),
        abstained=tuple(Abstained(field, best) for field, best in withheld_fields.items()),
        covered_turns=annotation.covered_turns if divided else None,
    )


def score(labels: tuple[Label, ...]) -> float | None:
    """Confidence of an answer: the smallest probability of its labels; None if one has no probability."""
    confidence = [label.probability for label in labels if label.probability is not None]
    return min(confidence) if labels and len(confidence) == len(labels) else None


def _below(field: Field, labels: list[Label], calibrated: ByField) -> tuple[Label, ...]:
    one = _of(field, calibrated)
    if divides(field.task):
        return tuple(label for label in labels if not _accepts(one, label.probability))
    idle = one is not None and all(label.name in one.idle for label in labels)
    return () if idle or _accepts(one, score(tuple(labels))) else tuple(labels)


def _accepts(one: TaskCalibration | None, confidence: float | None) -> bool:
    if one is None or one.threshold is None:
        return True
    return confidence is not None and confidence >= one.threshold


def _of(field: Field, calibrated: ByField) -> TaskCalibration | None:
    return calibrated.get((field.task, UNIT_OF[type(field.at)]))


def scaled_label(label: Label, scaling: Scaling) -> Label:
    """The label with its calibrated probability, and the name that is predicted by the weights of names."""
    if label.probability is None:
        return label
    if label.distribution is None:
        return replace(label, probability=scaling.of(label.probability))
    names = [name for name, _ in label.distribution]
    scaled_row = scaling.of_all([p for _, p in label.distribution])
    distribution = tuple(zip(names, scaled_row, strict=True))
    k = scaling.decide(scaled_row) if scaling.weights or scaling.bias else names.index(label.name)
    return replace(label, name=names[k], distribution=distribution, probability=scaled_row[k])
