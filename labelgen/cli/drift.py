"""labelgen drift and adapt: compare a log with the dialogues that a model was calibrated on, and adapt the model to it."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import Probability
from labelgen.base.process import command_line
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.calibrate import MODEL, ModelReferenceOptions, annotated, check_domains_from, open_with_model
from labelgen.cli.command import Command

if TYPE_CHECKING:
    from labelgen.confidence.two_sample import Sample
    from labelgen.data.dialogue import Dialogue
    from labelgen.metrics.results import Drift, DriftTest, Setting
    from labelgen.model.abstain import ByField
    from labelgen.model.annotator import Annotator
    from labelgen.tasks.evaluation import EvaluationTask

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class DriftOptions(ModelReferenceOptions):
    """Compare a log with the dialogues that a model was calibrated on: what the model reads, what it predicts and, where the log has
    labels, how often it is right. Certificates that do not hold for the log are listed as void."""

    against: Annotated[tuple[str, ...], "LOG"] = ()
    """log to compare with in place of the calibration, such as that of last month; the model then needs no calibration, and no certificate is
    judged"""
    out: Annotated[Path | None, "FILE"] = None
    """JSON file for the result, which labelgen label and labelgen report read"""
    level: Probability = 0.05
    """chance of any false alarm, over all tests"""


@dataclass(frozen=True, kw_only=True)
class AdaptOptions(ModelReferenceOptions):
    """Adapt a calibrated model to a new log with a few labeled dialogues, such as ten: class weights and temperature of tasks of which one
    name holds, the temperature of others, shrunk to the old ones. A task keeps its calibration unless the log loss of left-out dialogues falls by more than its standard
    error. Writes a new model folder, without certificates."""

    out: Annotated[Path, "FOLDER"]
    """new model folder"""


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
        from labelgen.evaluation.drift_samples import sample

        model, reference = self.annotator.model, self.setting.reference
        return sample(model, self.every, labeled, self.tasks, MODEL, reference, calibrated)


def _read(options: DriftOptions | AdaptOptions) -> _NewLog:
    """Read the log, and annotate what counts with the model, whose folder was checked. Raises InputError without dialogues."""
    from labelgen.data.labels import tasks_of
    from labelgen.evaluation.drift_samples import Draw
    from labelgen.evaluation.protocol import with_all_named, with_reference
    from labelgen.review.sampling import doubt_strategy

    read, annotator, tasks, setting = open_with_model(options)
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
        raise InputError("no dialogue is left to compare", ", ".join(options.log), "name a log with new dialogues")
    both = {d.id: d for drawn in (every, labeled) for d in drawn.dialogues()}
    answers = list(annotated([*both.values()], annotator, read))
    chosen = [[d for d in answers if d.id in some] for some in ids]
    return _NewLog(annotator, setting, tasks, *chosen)


def drift_command(options: DriftOptions) -> None:
    """Compare, print the differences and the void certificates, and write the result."""
    from labelgen.confidence.two_sample import compare
    from labelgen.evaluation.drift_samples import void_certificates
    from labelgen.metrics.results import Drift
    from labelgen.model.abstain import by_field
    from labelgen.model.calibration import read_calibration
    from labelgen.model.folder import check_model, model_digest
    from labelgen.model.reference import read_reference

    if options.out is not None:
        fresh_file(options.out, options.force)
    check_model(options.model)
    calibration = read_calibration(options.model)
    if calibration is not None:
        check_domains_from(calibration, options)
    calibrated = by_field(calibration)
    if options.against:
        before = _read(replace(options, log=options.against))
        reference = before.sample(calibrated, before.labeled)
    elif (known := read_reference(options.model)) is not None:
        reference = known
    else:
        hint = "run labelgen calibrate with this version, or name a log to compare with by --against"
        raise UsageError(f"{options.model} has no reference sample", str(options.model), hint)
    log = _read(options)
    tests = compare(reference, log.sample(calibrated, log.labeled), options.level)
    # A certificate is about the dialogues of the calibration.
    judged = () if options.against or calibration is None else calibration.thresholds()
    result = Drift(
        model_digest=model_digest(options.model),
        command=command_line(),
        level=options.level,
        dialogues=len(log.every),
        labeled=len(log.labeled),
        tests=tests,
        void=void_certificates(judged, tests),
    )
    for line in drift_lines(result):
        print_lines(line)
    if options.out is not None:
        write_text(options.out, msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n")
        print_lines(f"wrote {options.out}")


def adapt_command(options: AdaptOptions) -> None:
    """Adapt, print what changed, and write the new folder."""
    from labelgen import __version__
    from labelgen.base.files import digest_bytes
    from labelgen.confidence.adaptation import LEAST
    from labelgen.data.record import encode
    from labelgen.data.split import fingerprint_text
    from labelgen.evaluation.calibrate import adapt_tasks
    from labelgen.model.abstain import by_field
    from labelgen.model.calibration import read_calibration, write_calibration
    from labelgen.model.reference import REFERENCE, encode_reference

    _check_out(options)
    before = read_calibration(options.model)
    if before is None:
        raise UsageError(f"{options.model} is not calibrated", str(options.model), "run labelgen calibrate first")
    check_domains_from(before, options)
    log = _read(options)
    if len(log.labeled) < LEAST:
        raise InputError(
            f"{len(log.labeled):,} dialogues of different users are labeled by {options.reference}, and {LEAST} are needed",
            ", ".join(options.log),
            "let people label ten dialogues (labelgen review sample --strategy audit)",
        )
    labeled = {dialogue.id for dialogue in log.labeled}
    unlabeled = [dialogue for dialogue in log.every if dialogue.id not in labeled]
    adapted = adapt_tasks(log.labeled, log.tasks, MODEL, log.setting, before.tasks, unlabeled)
    calibration = replace(
        before,
        form=2,
        version=__version__,
        max_error=None,
        confidence=None,
        certify_command="",
        certify_data_digest="",
        adapt_command=command_line(),
        adapt_data_digest=digest_bytes(b"".join(encode(d) + b"\n" for d in log.labeled)),
        tasks=tuple(one for one, _ in adapted),
        fitted_on=tuple(sorted({*before.fitted_on, *map(fingerprint_text, log.labeled)})),
    )
    # Labels of these dialogues are no reference: the calibration was fitted on them.
    sample = log.sample(by_field(calibration), ())
    write_calibration(options.model, calibration, {REFERENCE: encode_reference(sample)}, options.out)
    for one, fit in adapted:
        name = f"{one.task} of a {one.unit}"
        if fit is None:
            print_lines(f"{name}: not adapted, no answer is labeled")
            continue
        gain = f"log loss of a left-out dialogue falls by {fit.gain:.3g} (standard error {fit.error:.2g})"
        print_lines(f"{name}: {'adapted to' if fit.adapted else 'kept;'} {fit.dialogues} dialogues, {gain}")
    print_lines(f"wrote {options.out}, without certificates: labelgen certify makes new ones")


def _check_out(options: AdaptOptions) -> None:
    """Raises UsageError for an output that exists, unless --force; also then for the model itself, and for a folder of other things."""
    from labelgen.model.folder import DIGESTS, check_model

    check_model(options.model)
    out = options.out
    if out.exists():
        fresh_file(out, options.force)
        if out.samefile(options.model) or not (out / DIGESTS).is_file():
            what = "is the model to adapt" if out.samefile(options.model) else "is not a model folder"
            raise UsageError(f"{out} {what}, and would be replaced", "--out", "name another output")


def drift_lines(drift: "Drift") -> Iterator[str]:
    """The differences as a table, and the void certificates."""
    drifted = [test for test in drift.tests if test.drifted]
    yield (
        f"{drift.dialogues:,} dialogues compared, {drift.labeled:,} of them with labels: {len(drifted):,} of {len(drift.tests):,} tests "
        f"differ (Holm, {drift.level:.0%} chance of any false alarm)"
    )
    if drifted:
        rows = [("source", "aspect", "reference", "log", "p adjusted"), *map(_row, drifted[:_SHOWN])]
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        for row in rows:
            yield "  " + "  ".join(
                text.ljust(w) if k < 2 else text.rjust(w) for k, (text, w) in enumerate(zip(row, widths, strict=True))
            )
    if len(drifted) > _SHOWN:
        yield f"  and {len(drifted) - _SHOWN:,} more; --out FILE has all"
    for void in drift.void:
        yield f"void: the certificate of {void.task} ({void.unit}): {void.reason}"


def _row(test: "DriftTest") -> tuple[str, str, str, str, str]:
    from labelgen.evaluation.drift_samples import described

    aspect = described(test) + (f", {test.column}" if test.column else "")
    return test.source, aspect, f"{test.reference:.3g}", f"{test.log:.3g}", f"{test.p_adjusted:.2g}"


ADAPT = Command("adapt", AdaptOptions, adapt_command, "labelgen adapt new-logs/ --model model/ --out adapted-model/")
DRIFT = Command("drift", DriftOptions, drift_command, "labelgen drift new-logs/ --model model/ --out drift.json")
