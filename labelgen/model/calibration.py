"""Calibration of a model folder: calibration.json, which labelgen calibrate and labelgen certify write.

For each task and unit of its fields: the scaling of its probabilities (calibrate), and the threshold below which the model abstains,
with its certificate (certify). digests.json lists the file, so a calibrated model has another digest.

Selective prediction: the model answers or abstains for a whole field, such as the intents or the spans of a turn; the confidence of the field
is its smallest probability. A goal is accepted by itself; where the model abstains from a goal, it also abstains from answers about it. The
code depends on units only and names no task."""

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from labelgen.base.errors import IntegrityError, StorageError, UsageError
from labelgen.base.files import digest_file, read_json, write_text
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
    Threshold,
    Unit,
    divides,
    scope,
)
from labelgen.metrics.results import Evaluation
from labelgen.model.card import MODEL_CARD, model_card
from labelgen.model.folder import (
    DIGESTS,
    SETTINGS,
    label_names,
    read_card,
    read_digests,
    read_saved,
    replace_folder,
    write_json,
)

CALIBRATION = "calibration.json"
_FORM = 2
"""Version of calibration.json; 2 has the bias of names. Only an adapted calibration has form 2, so others can be read by version 0.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCalibration:
    """Calibration of one task.

    unit: of the fields. labels: scaling of the probability of each label; none: of "none here". certificate: None before certify.
    measured: figures for people. sources: source -> weights of names that take the place of those of `labels` there.
    idle: names whose labels the certificate does not count, and so its threshold does not withhold."""

    task: str
    unit: Unit
    labels: Scaling
    none: Scaling
    certificate: Certificate | None = None
    measured: Mapping[str, Any]
    sources: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    idle: tuple[str, ...] = ()

    def scaling(self, source: str | None) -> Scaling:
        """The scaling of labels in the dialogues of a source."""
        weights = self.sources.get(source) if source is not None else None
        return self.labels if weights is None else dataclasses.replace(self.labels, weights=weights)

    @property
    def threshold(self) -> float | None:
        """The probability below which the model abstains; None where it never does."""
        return None if self.certificate is None else self.certificate.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calibration of a model.

    model_digest: of the folder without a calibration. data_digest: of the held-out dialogues with the reference's answers. against: the
    reference. seed: divides the dialogues into parts for scaling and certifying. domains_from: as in calibration; labels of another way
    are refused. max_error, confidence: what each threshold is certified for, by itself; None before certify. precision: of the
    certified labels; thresholds hold for no other. certify_command, certify_data_digest: empty before certify, and in files of version
    0.2, where one command did both. whole: the scaling used all of these dialogues. adapt_command, adapt_data_digest: of the labeled
    dialogues of a new log; empty before adapt. fitted_on: fingerprints, in hex, of dialogues that cannot be certified on: those of a whole
    calibration, and those of adapt."""

    form: int = 1
    version: str
    model_digest: str
    data_digest: str
    against: str
    max_error: float | None = None
    confidence: float | None = None
    command: str
    tasks: tuple[TaskCalibration, ...]
    domains_from: str | None = None
    precision: str = "32"
    seed: int = 0
    certify_command: str = ""
    certify_data_digest: str = ""
    whole: bool = False
    adapt_command: str = ""
    adapt_data_digest: str = ""
    fitted_on: tuple[str, ...] = ()

    def thresholds(self) -> tuple[Threshold, ...]:
        """The certified thresholds."""
        return tuple(
            Threshold(task=one.task, probability=one.threshold, unit=one.unit)
            for one in self.tasks
            if one.threshold is not None
        )


def read_calibration(folder: Path) -> Calibration | None:
    """Content of calibration.json, whose digest load_model checks; None for a model without calibration.

    Raises IntegrityError if the file cannot be read or describes no valid calibration."""
    path = folder / CALIBRATION
    if CALIBRATION not in read_digests(folder):
        return None
    calibration = read_json(path, Calibration, "calibrate again")
    if calibration.form > _FORM:
        raise IntegrityError(
            f"the calibration has form {calibration.form}, this version reads {_FORM} and before",
            str(path),
            "calibrate again",
        )
    saved = read_saved(folder / SETTINGS)
    names = {name: len(task.labels.names) for name, task in saved.tasks.items()}
    fault = next(_faults(calibration, names), None)
    if fault is not None:
        raise IntegrityError(f"{CALIBRATION} describes no valid calibration: {fault}", str(path), "calibrate again")
    return calibration


def _faults(calibration: Calibration, names: Mapping[str, int]) -> Iterator[str]:
    """names: how many labels each task of the model has."""
    for one in calibration.tasks:
        if one.task not in names:
            yield f"the model has no task {one.task!r}"
        for scaling in (one.labels, one.none):
            if any(part and len(part) != names.get(one.task) for part in (scaling.weights, scaling.bias)):
                yield f"{one.task}: not one weight or bias for each name"
        if one.threshold is not None and not 0 <= one.threshold <= 1:
            yield f"{one.task}: a threshold of {one.threshold}"


def refuse_calibrated(folder: Path, force: bool) -> None:
    """Raises UsageError for a folder with certified thresholds, unless `force`."""
    if not force and (known := read_calibration(folder)) is not None and known.thresholds():
        raise UsageError(
            f"{folder} has certified thresholds", str(folder / CALIBRATION), "give --force to replace them"
        )


def write_calibration(
    folder: Path, calibration: Calibration, others: Mapping[str, str | None] = {}, out: Path | None = None
) -> None:
    """Write the calibration of a model folder, replacing the folder as a whole.

    Args:
        others: files that belong to it, by name; None removes a file.
        out: another folder for the calibrated model, in place of `folder`.

    Raises StorageError if it cannot be written."""
    try:
        with replace_folder(out or folder) as part:
            # Hard links: files are never changed in place, so both folders can share the weights.
            shutil.copytree(folder, part, copy_function=os.link, dirs_exist_ok=True)
            digests = read_digests(folder)
            write_json(part / CALIBRATION, calibration, order=None)
            for name, content in others.items():
                (part / name).unlink(missing_ok=True)
                digests.pop(name, None)
                if content is not None:
                    write_text(part / name, content)
            written = (CALIBRATION, *(name for name, content in others.items() if content is not None))
            write_json(part / DIGESTS, {**digests, **{name: digest_file(part / name) for name in written}})
            write_model_card(part)
    except OSError as error:
        raise StorageError(f"cannot write {CALIBRATION}: {error.strerror}", str(folder), "check the folder") from error


def write_model_card(folder: Path, evaluation: Evaluation | None = None, system: str = "model") -> None:
    """Write README.md of a model folder, replacing an older one.

    Args:
        evaluation: of the model as it is in the folder; None if it is not measured.
        system: the model's name in the evaluation.

    Raises StorageError if it cannot be written."""
    labels = label_names(read_saved(folder / SETTINGS))
    write_text(folder / MODEL_CARD, model_card(read_card(folder), labels, read_calibration(folder), evaluation, system))


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
