"""labelgen drift: compare a log with the dialogues that a model was calibrated on."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.options import ARGUMENT, Probability
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.calibrate import MODEL, annotated, check_domains_from
from labelgen.cli.command import (
    AudioFolders,
    Command,
    ConsensusOptions,
    ForceOptions,
    ModelRunOptions,
    ReadOptions,
    joined_names,
    open_log,
)

if TYPE_CHECKING:
    from labelgen.metrics.results import Drift, DriftTest

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class DriftOptions(ReadOptions, ModelRunOptions, ConsensusOptions, ForceOptions):
    """Compare a log with the dialogues that a model was calibrated on: what the model reads, what it predicts and, where the log has
    labels, how often it is right. Certificates that do not hold for the log are listed as void."""

    model: Annotated[Path, ARGUMENT]
    """model folder, calibrated"""
    log: Annotated[tuple[str, ...], ARGUMENT]
    """files or folders of records; - reads standard input, in labelgen's record form"""
    out: Annotated[Path | None, "FILE"] = None
    """JSON file for the result, which labelgen label and labelgen report read"""
    reference: Annotated[str, "NAME"] = "consensus"
    """annotator whose labels in the log are right: consensus, or a name"""
    level: Probability = 0.05
    """chance of any false alarm, over all tests"""


def drift_command(options: DriftOptions) -> None:
    """Compare, print the differences and the void certificates, and write the result."""
    from labelgen.confidence.drift import compare
    from labelgen.evaluation.drift import Draw, sample, void_certificates
    from labelgen.evaluation.protocol import people_of, with_all_named, with_reference
    from labelgen.evaluation.tasks import evaluation_tasks
    from labelgen.metrics.results import Drift, Setting
    from labelgen.model.abstain import by_field
    from labelgen.model.annotator import Annotator
    from labelgen.model.calibration import read_calibration
    from labelgen.model.folder import check_model, model_digest
    from labelgen.model.reference import read_reference
    from labelgen.review.sampling import doubt_strategy

    if options.out is not None:
        fresh_file(options.out, options.force)
    check_model(options.model)
    known = read_reference(options.model)
    calibration = read_calibration(options.model)
    if known is None or calibration is None:
        raise UsageError(
            f"{options.model} has no reference sample", str(options.model), "run labelgen calibrate with this version"
        )
    check_domains_from(calibration, options)
    setting = Setting(options.reference, joined_names(options.annotators), ratings=options.ratings)
    log = open_log(options, options.log, options.domains_from)
    annotator = Annotator(
        options.model,
        log.labels(),
        MODEL,
        options.precision,
        options.device,
        calibrated=False,
        domains_from=options.domains_from,
    )
    read = AudioFolders(log)
    every, labeled, seen = Draw(), Draw(), 0
    for dialogue in with_all_named(progress(read, "read", "dialogues"), setting):
        if annotator.trained_on.holds(dialogue):
            seen += 1
            continue
        every.add(dialogue)
        answered = people_of(dialogue, setting) or dialogue.annotation(options.reference)
        if answered and doubt_strategy(dialogue) is None:
            labeled.add(dialogue)
    if seen:
        print_lines(f"{seen:,} dialogues are left out: the model was trained on them", file=sys.stderr)
    drawn = every.dialogues()
    if not drawn:
        raise InputError("no dialogue is left to compare", ", ".join(options.log), "name a log with dialogues")
    tasks = [task for task in evaluation_tasks() if task.tasks[0] in annotator.model.tasks]
    both = list({d.id: d for d in (*drawn, *labeled.dialogues())}.values())
    answers = list(annotated(with_reference(both, tasks, setting), annotator, read))
    compared, by_labels = (
        [d for d in answers if d.id in {x.id for x in chosen}] for chosen in (drawn, labeled.dialogues())
    )
    calibrated = by_field(calibration)
    ours = sample(annotator.model, compared, by_labels, tasks, MODEL, options.reference, calibrated)
    tests = compare(known, ours, options.level)
    found = Drift(
        model_digest=model_digest(options.model),
        command=DRIFT.line(options),
        level=options.level,
        dialogues=len(compared),
        labeled=len(by_labels),
        tests=tests,
        void=void_certificates(calibration.thresholds(), tests),
    )
    for line in drift_lines(found):
        print_lines(line)
    if options.out is not None:
        write_text(options.out, msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n")
        print_lines(f"wrote {options.out}")


def drift_lines(found: "Drift") -> Iterator[str]:
    """The differences as a table, and the void certificates."""
    drifted = [test for test in found.tests if test.drifted]
    yield (
        f"{found.dialogues:,} dialogues compared, {found.labeled:,} of them with labels: {len(drifted):,} of {len(found.tests):,} tests "
        f"differ (Holm, {found.level:.0%} chance of any false alarm)"
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
    for void in found.void:
        yield f"void: the certificate of {void.task} ({void.unit}): {void.reason}"


def _row(test: "DriftTest") -> tuple[str, str, str, str, str]:
    from labelgen.evaluation.drift import described

    aspect = described(test) + (f", {test.column}" if test.column else "")
    return test.source, aspect, f"{test.reference:.3g}", f"{test.log:.3g}", f"{test.p_adjusted:.2g}"


DRIFT = Command("drift", DriftOptions, drift_command, "labelgen drift model/ new-logs/ --out drift.json")
