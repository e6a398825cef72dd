"""The steps of calibration: calibrated probabilities of a model, and thresholds with a risk guarantee, kept in its folder."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import structs

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import digest_bytes
from labelgen.base.options import Probability, WholeNumber
from labelgen.base.process import command_line
from labelgen.base.terminal import print_lines, progress
from labelgen.steps.shared import AudioFolders, ConsensusOptions, ForceOptions, ModelRunOptions, RunOptions, place_of

if TYPE_CHECKING:
    from labelgen.data.dialogue import Dialogue
    from labelgen.data.log import Log
    from labelgen.metrics.results import Setting
    from labelgen.model.annotator import Annotator
    from labelgen.model.calibration import Calibration
    from labelgen.tasks.evaluation import EvaluationTask
    from labelgen.training.wandb_run import WandbRun

MODEL = "model"
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class ModelReferenceOptions(ModelRunOptions, ConsensusOptions):
    """A model, and a log with a reference."""

    model: Annotated[Path, "FOLDER"]
    """model folder"""
    reference: Annotated[str, "NAME"] = "consensus"
    """reference that answers are compared with: consensus, or an annotator"""


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(ModelReferenceOptions, RunOptions, ForceOptions):
    """Calibrate a model, in its folder: scale the probabilities of its labels (temperature or isotonic scaling) to how often they are right.
    The dialogues must be new to the model. Half of them are used, unless --whole is given; the other half stays unseen for labelgen certify."""

    decide: Literal["most_probable", "macro_f1"] = "most_probable"
    """predicted quality or outcome: the most probable name, or that of weights which maximize macro F1, which favors rare names"""
    whole: bool = False
    """use of all dialogues; labelgen certify then needs others"""
    predictions: Annotated[str | None, "NAME"] = None
    """annotator in the log whose labels take the place of the model's: out-of-fold predictions of models that were trained in the same way, so
    that the model itself can learn from all dialogues"""
    seed: WholeNumber = 0
    """seed of the division of the dialogues"""


@dataclass(frozen=True, kw_only=True)
class CertifyOptions(ModelReferenceOptions, RunOptions, ForceOptions):
    """Certify thresholds, in the model's folder: find for each task the lowest threshold above which at most a given share of the model's
    labels is wrong (Learn-then-Test). labelgen label then abstains below it. The dialogues must be new to the model; they may be those of labelgen
    calibrate, of which other parts are used. Probabilities are not scaled again."""

    max_error: Annotated[Probability, "SHARE"] = 0.03
    """share of wrong labels among those above the threshold"""
    confidence: Probability = 0.95
    """confidence level of the guarantee, for each task by itself"""


@dataclass(frozen=True)
class _HeldOut:
    """Dialogues that are new to the model, with its annotations and the reference; what is asked; and a digest of the dialogues."""

    annotator: "Annotator"
    dialogues: "list[Dialogue]"
    tasks: "list[EvaluationTask]"
    setting: "Setting"
    digest: str


def write_scaling(log: "Log", options: CalibrateOptions) -> "Calibration":
    """Scale the probabilities of the model in its folder."""
    from labelgen import __version__
    from labelgen.data.split import fingerprint_text
    from labelgen.evaluation.calibrate import scale_tasks
    from labelgen.model.calibration import Calibration, read_calibration, refuse_calibrated
    from labelgen.model.folder import check_model, model_digest
    from labelgen.training.wandb_run import run_of_model

    check_model(options.model)
    refuse_calibrated(options.model, options.force)
    run = run_of_model(options.model, options.wandb)
    held = _held_out(log, options, options.seed, options.predictions)
    before = read_calibration(options.model)
    calibration = Calibration(
        version=__version__,
        model_digest=model_digest(options.model) if before is None else before.model_digest,
        data_digest=held.digest,
        against=options.reference,
        command=command_line(),
        domains_from=options.domains_from,
        seed=options.seed,
        tasks=tuple(scale_tasks(held.dialogues, held.tasks, MODEL, held.setting, options.decide, options.whole)),
        whole=options.whole,
        fitted_on=tuple(sorted(map(fingerprint_text, held.dialogues))) if options.whole else (),
    )
    _keep(options, calibration, held, run)
    return calibration


def write_thresholds(log: "Log", options: CertifyOptions) -> "Calibration":
    """Certify thresholds of the model in its folder."""
    from labelgen import __version__
    from labelgen.evaluation.calibrate import certify_tasks
    from labelgen.model.calibration import Calibration, read_calibration, refuse_calibrated
    from labelgen.model.folder import check_model, model_digest
    from labelgen.training.wandb_run import run_of_model

    check_model(options.model)
    refuse_calibrated(options.model, options.force)
    run = run_of_model(options.model, options.wandb)
    before = read_calibration(options.model)
    if before is not None:
        check_domains_from(before, options)
    seed, fitted_on = (0, frozenset[str]()) if before is None else (before.seed, frozenset(before.fitted_on))
    held = _held_out(log, options, seed, fitted_on=fitted_on)
    scaled = () if before is None else before.tasks
    error, confidence = options.max_error, options.confidence
    tasks = certify_tasks(held.dialogues, held.tasks, MODEL, held.setting, scaled, error, confidence)
    certified = {(one.task, one.unit) for one in tasks}
    # What is certified replaces what was; a scaling without an answer in this log stays.
    others = [replace(one, certificate=None) for one in scaled if (one.task, one.unit) not in certified]
    start = before or Calibration(
        version=__version__,
        model_digest=model_digest(options.model),
        data_digest="",
        against=options.reference,
        command="",
        tasks=(),
        domains_from=options.domains_from,
    )
    calibration = replace(
        start,
        version=__version__,
        max_error=options.max_error,
        confidence=options.confidence,
        precision=options.precision,
        certify_command=command_line(),
        certify_data_digest=held.digest,
        tasks=(*tasks, *others),
    )
    _keep(options, calibration, held, run)
    return calibration


def open_with_model(
    log: "Log", options: ModelReferenceOptions, seed: int = 0
) -> "tuple[AudioFolders, Annotator, list[EvaluationTask], Setting]":
    """The log; the model as it is without calibration; the tasks that it labels; and the setting."""
    from labelgen.metrics.results import Setting
    from labelgen.model.annotator import Annotator
    from labelgen.tasks.evaluation import evaluation_tasks

    setting = Setting(options.reference, options.annotators, seed=seed, ratings=options.ratings)
    annotator = Annotator(
        options.model,
        log.labels(),
        MODEL,
        options.precision,
        options.device,
        calibrated=False,
        domains_from=options.domains_from,
        keep_weak=True,
    )
    tasks = [task for task in evaluation_tasks() if task.tasks[0] in annotator.model.tasks]
    return AudioFolders(log), annotator, tasks, setting


def _held_out(
    log: "Log",
    options: ModelReferenceOptions,
    seed: int,
    predictions: str | None = None,
    fitted_on: frozenset[str] = frozenset(),
) -> _HeldOut:
    """The dialogues that are new to the model. predictions: annotator whose labels take the place of the model's; the dialogues are then new to that one. fitted_on:
    fingerprints of more dialogues to leave out, as the calibration was fitted on them."""
    from labelgen.data.label_sets import refuse_without_domains
    from labelgen.data.labels import tasks_of
    from labelgen.data.record import encode
    from labelgen.data.split import fingerprint_text
    from labelgen.evaluation.evaluate import held_out, trained_on
    from labelgen.evaluation.protocol import with_all_named, with_reference
    from labelgen.tasks.evaluation import answered

    read, annotator, tasks, setting = open_with_model(log, options, seed)
    known = annotator.trained_on.holds if predictions is None else lambda d: trained_on(d.annotation(predictions))
    new, left_out = held_out(with_all_named(read, setting), known)
    others = [dialogue for dialogue in new if fingerprint_text(dialogue) not in fitted_on]
    left_out += Counter({"the calibration was fitted on them": len(new) - len(others)})
    known_all = predictions is not None or annotator.trained_on.complete
    _report_left_out(left_out, bool(others), known_all, log, options.model)
    dialogues = with_reference(others, tasks, setting)
    refuse_without_domains(dialogues, options.domains_from)
    if not any(tasks_of(answer) for d in dialogues if (answer := d.annotation(options.reference)) is not None):
        raise InputError(
            f"nothing in the log is answered by {options.reference}",
            place_of(log),
            "two people or more make a consensus; --reference NAME takes one annotator's word",
        )
    tasks = [task for task in tasks if any(answered(d.annotation(options.reference), task) for d in dialogues)]
    digest = digest_bytes(b"".join(encode(d) + b"\n" for d in dialogues))
    judged = (
        annotated(dialogues, annotator, read, options.reference)
        if predictions is None
        else _predicted(dialogues, predictions)
    )
    return _HeldOut(annotator, list(judged), tasks, setting, digest)


def _predicted(dialogues: "Sequence[Dialogue]", name: str) -> "Iterator[Dialogue]":
    """The dialogues with the labels of an annotator as those of the model."""
    from labelgen.labeling.shard import without_annotator

    for dialogue in dialogues:
        annotation = dialogue.annotation(name)
        if annotation is None:
            raise InputError(
                f"a dialogue has no labels of {name}", dialogue.id, "label the whole log by models of the other folds"
            )
        bare = without_annotator(dialogue, MODEL)
        yield structs.replace(bare, annotations=(*bare.annotations, structs.replace(annotation, annotator=MODEL)))


def _keep(
    options: CalibrateOptions | CertifyOptions, found: "Calibration", held: _HeldOut, run: "WandbRun | None"
) -> None:
    """Write the calibration, and the reference sample that labelgen drift compares with; add the model to the run of its training."""
    from labelgen.evaluation.calibrate import reference_sample
    from labelgen.model.calibration import by_field, write_calibration
    from labelgen.model.reference import REFERENCE, encode_reference
    from labelgen.training.wandb_run import calibration_summary, data_artifact, model_artifact

    # A certificate is never made on the dialogues that scaled a whole calibration.
    labels, dialogues = not found.whole or bool(found.certify_data_digest), held.dialogues
    model = held.annotator.model
    sample = reference_sample(model, dialogues, held.tasks, MODEL, held.setting, by_field(found), labels)
    write_calibration(options.model, found, {REFERENCE: encode_reference(sample)})
    if run is not None:
        counts = {"dialogues": len(dialogues), "turns": sum(len(dialogue.turns) for dialogue in dialogues)}
        made = model_artifact(options.model, run.address, options.wandb_files)
        run.record([data_artifact("calibration", held.digest, counts)], [made], calibration_summary(found))


def check_domains_from(calibration: "Calibration", options: ModelRunOptions) -> None:
    """Raises UsageError unless labels are restricted to domains as for the calibration."""
    if (before := calibration.domains_from) != options.domains_from:
        made = "without --domains-from" if before is None else f"with --domains-from {before}"
        raise UsageError(f"the model was calibrated {made}", "--domains-from", "ask it alike, or calibrate it again")


def _report_left_out(left_out: Mapping[str, int], any_left: bool, known: bool, log: "Log", model: Path) -> None:
    """Print which dialogues are left out, and why. Raises UsageError where no other dialogue is left."""
    for reason, count in left_out.items():
        print_lines(f"{count:,} dialogues are left out: {reason}", file=sys.stderr)
    if left_out and not any_left:
        raise UsageError(
            f"nothing can be certified on this log: {'; '.join(left_out)}",
            place_of(log),
            "take dialogues that are new to the model and were not chosen, such as those of `labelgen data split`",
        )
    if not known:
        print_lines(
            f"{model} does not know all dialogues that it was trained on; a certificate holds only for dialogues that are new to it",
            file=sys.stderr,
        )


def annotated(
    dialogues: "Sequence[Dialogue]", annotator: "Annotator", read: AudioFolders, reference: str | None = None
) -> "Iterator[Dialogue]":
    """The dialogues with the model's annotations. Where the user is the reference, the user's answers are hidden from it."""
    from labelgen.feedback.signal import USER, hide_answers
    from labelgen.labeling.shard import without_annotator

    bare = [without_annotator(dialogue, MODEL) for dialogue in dialogues]
    for start in progress(range(0, len(bare), _AT_ONCE), "annotate", f"times {_AT_ONCE} dialogues"):
        group = bare[start : start + _AT_ONCE]
        shown = list(map(hide_answers, group)) if reference == USER else group
        for dialogue, annotation in zip(group, read.annotate(annotator, shown), strict=True):
            yield structs.replace(dialogue, annotations=(*dialogue.annotations, annotation))
