"""The steps of drift and adaptation: compare a log with the dialogues that a model was calibrated on, and adapt the model to it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import digest_bytes, fresh_file
from labelgen.base.options import Probability
from labelgen.base.process import command_line
from labelgen.base.terminal import print_lines, progress
from labelgen.data.log import Log
from labelgen.steps.calibrate import MODEL, ModelReferenceOptions, annotated, check_domains_from, open_with_model
from labelgen.steps.shared import ForceOptions, place_of

if TYPE_CHECKING:
    from labelgen.confidence.scaling import Adaptation
    from labelgen.confidence.two_sample import Sample
    from labelgen.data.dialogue import Dialogue
    from labelgen.metrics.results import Drift, Setting
    from labelgen.model.annotator import Annotator
    from labelgen.model.calibration import ByField, TaskCalibration
    from labelgen.tasks.evaluation import EvaluationTask


@dataclass(frozen=True, kw_only=True)
class DriftOptions(ModelReferenceOptions):
    """Compare a log with the dialogues that a model was calibrated on: what the model reads, what it predicts and, where the log has
    labels, how often it is right. Certificates that do not hold for the log are listed as void."""

    level: Probability = 0.05
    """chance of any false alarm, over all tests"""
    against: Annotated[tuple[str, ...], "LOG"] = ()
    """log to compare with in place of the calibration, such as that of last month; the model then needs no calibration, and no certificate is
    judged"""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions(ModelReferenceOptions, ForceOptions):
    """Adapt a calibrated model to a new log with a few labeled dialogues, such as ten: class weights and temperature of tasks of which one
    name holds, the temperature of others, shrunk to the old ones. A task keeps its calibration unless the log loss of left-out dialogues falls by more than its standard
    error. Writes a new model folder, without certificates."""


@dataclass(frozen=True)
class _NewLog:
    """Dialogues of a new log with the annotations of the model, as it is without calibration, and of the reference. every: of which inputs
    and predictions count; labeled: those that the reference answers, not drawn for difficulty. Both have at most one of a user."""

    annotator: "Annotator"
    setting: "Setting"
    tasks: "list[EvaluationTask]"
    every: "list[Dialogue]"
    labeled: "list[Dialogue]"

    def sample(self, calibrated: "ByField", labeled: "Sequence[Dialogue]") -> "Sample":
        from labelgen.evaluation.calibrate import sample

        model, reference = self.annotator.model, self.setting.reference
        return sample(model, self.every, labeled, self.tasks, MODEL, reference, calibrated)


def _read(log: Log, options: ModelReferenceOptions) -> _NewLog:
    """Read the log, and annotate what counts with the model, whose folder was checked. Raises InputError without dialogues."""
    from labelgen.data.labels import tasks_of
    from labelgen.evaluation.calibrate import Draw
    from labelgen.evaluation.protocol import with_all_named, with_reference
    from labelgen.review.sampling import doubt_strategy

    read, annotator, tasks, setting = open_with_model(log, options)
    every, labeled, trained = Draw(), Draw(), 0
    for dialogue in with_all_named(progress(read, "read", "dialogues"), setting):
        if annotator.trained_on.holds(dialogue):
            trained += 1
            continue
        [judged] = with_reference([dialogue], tasks, setting)
        every.add(judged)
        right = judged.annotation(options.reference)
        if right is not None and tasks_of(right) and doubt_strategy(judged) is None:
            labeled.add(judged)
    if trained:
        print_lines(f"{trained:,} dialogues are left out: the model was trained on them", file=sys.stderr)
    ids = [{d.id for d in drawn.dialogues()} for drawn in (every, labeled)]
    if not ids[0]:
        raise InputError("no dialogue is left to compare", place_of(log), "name a log with new dialogues")
    both = {d.id: d for drawn in (every, labeled) for d in drawn.dialogues()}
    answers = list(annotated([*both.values()], annotator, read))
    chosen = [[d for d in answers if d.id in some] for some in ids]
    return _NewLog(annotator, setting, tasks, *chosen)


def find_drift(log: Log, options: DriftOptions) -> "Drift":
    """Compare a log with the reference sample of the model's calibration, or with another log."""
    from labelgen.confidence.two_sample import compare
    from labelgen.evaluation.calibrate import void_certificates
    from labelgen.metrics.results import Drift
    from labelgen.model.calibration import by_field, read_calibration
    from labelgen.model.folder import check_model, model_digest
    from labelgen.model.reference import read_reference

    check_model(options.model)
    calibration = read_calibration(options.model)
    if calibration is not None:
        check_domains_from(calibration, options)
    calibrated = by_field(calibration)
    if options.against:
        before = _read(Log(options.against, log.format, log.options, None, log.max_bad_rate, log.refuses), options)
        reference = before.sample(calibrated, before.labeled)
    elif (known := read_reference(options.model)) is not None:
        reference = known
    else:
        hint = "run labelgen calibrate with this version, or name a log to compare with by --against"
        raise UsageError(f"{options.model} has no reference sample", str(options.model), hint)
    new = _read(log, options)
    tests = compare(reference, new.sample(calibrated, new.labeled), options.level)
    # A certificate is about the dialogues of the calibration.
    judged = () if options.against or calibration is None else calibration.thresholds()
    return Drift(
        model_digest=model_digest(options.model),
        command=command_line(),
        level=options.level,
        dialogues=len(new.every),
        labeled=len(new.labeled),
        tests=tests,
        void=void_certificates(judged, tests),
    )


def adapt(log: Log, options: AdaptOptions, folder: Path) -> "list[tuple[TaskCalibration, Adaptation | None]]":
    """Write the adapted model to a folder. Returns the calibration of each task with how it was adapted, None without a labeled answer.

    Raises UsageError for a folder that exists, unless `force`; also then for the model itself, and for a folder of other things."""
    from labelgen import __version__
    from labelgen.confidence.scaling import LEAST
    from labelgen.data.record import encode
    from labelgen.data.split import fingerprint_text
    from labelgen.evaluation.calibrate import adapt_tasks
    from labelgen.model.calibration import by_field, read_calibration, write_calibration
    from labelgen.model.folder import DIGESTS, check_model
    from labelgen.model.reference import REFERENCE, encode_reference

    check_model(options.model)
    same = fresh_file(folder, options.force).exists() and folder.samefile(options.model)
    if same or (folder.exists() and not (folder / DIGESTS).is_file()):
        what = "is the model to adapt" if same else "is not a model folder"
        raise UsageError(f"{folder} {what}, and would be replaced", "--out", "name another output")
    before = read_calibration(options.model)
    if before is None:
        raise UsageError(f"{options.model} is not calibrated", str(options.model), "run labelgen calibrate first")
    check_domains_from(before, options)
    new = _read(log, options)
    if len(new.labeled) < LEAST:
        raise InputError(
            f"{len(new.labeled):,} dialogues of different users are labeled by {options.reference}, and {LEAST} are needed",
            place_of(log),
            "let people label ten dialogues (labelgen review sample --strategy audit)",
        )
    labeled = {dialogue.id for dialogue in new.labeled}
    unlabeled = [dialogue for dialogue in new.every if dialogue.id not in labeled]
    adapted = adapt_tasks(new.labeled, new.tasks, MODEL, new.setting, before.tasks, unlabeled)
    calibration = replace(
        before,
        form=2,
        version=__version__,
        max_error=None,
        confidence=None,
        certify_command="",
        certify_data_digest="",
        adapt_command=command_line(),
        adapt_data_digest=digest_bytes(b"".join(encode(d) + b"\n" for d in new.labeled)),
        tasks=tuple(one for one, _ in adapted),
        fitted_on=tuple(sorted({*before.fitted_on, *map(fingerprint_text, new.labeled)})),
    )
    # Labels of these dialogues are no reference: the calibration was fitted on them.
    sample = new.sample(by_field(calibration), ())
    write_calibration(options.model, calibration, {REFERENCE: encode_reference(sample)}, folder)
    return adapted
