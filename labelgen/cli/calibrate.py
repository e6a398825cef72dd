"""labelgen calibrate, certify, drift and adapt: calibrated probabilities of a model, thresholds with a risk guarantee, and other logs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from labelgen.base.terminal import aligned, interval_text, print_lines
from labelgen.cli.command import Command, LogOptions, ResultOptions, open_log, reporting
from labelgen.metrics.results import Drift, DriftTest
from labelgen.steps.calibrate import CalibrateOptions, CertifyOptions, write_scaling, write_thresholds
from labelgen.steps.drift import AdaptOptions, DriftOptions, adapt, find_drift

if TYPE_CHECKING:
    from labelgen.model.calibration import Calibration

_SHOWN = 20


def scaling_lines(calibration: "Calibration", options: CalibrateOptions) -> Iterator[str]:
    """How the probabilities of each task were scaled."""
    yield f"probabilities scaled, against {options.reference}; labelgen certify finds thresholds:"
    for one in calibration.tasks:
        shown = ", ".join(
            f"{name} {scaling.kind}{f' {scaling.temperature:.3g}' if scaling.kind == 'temperature' else ''}"
            for name, scaling in (("labels", one.labels), ("none here", one.none))
            if scaling.kind != "none"
        )
        yield f"  {one.task} of a {one.unit}: {shown or 'not scaled'}"
        weights = {"    names are weighted": one.labels.weights}
        weights |= {f"    in {source}": own for source, own in one.sources.items()}
        yield from (f"{head} {', '.join(f'{weight:.2f}' for weight in own)}" for head, own in weights.items() if own)


def certified_lines(calibration: "Calibration", options: CertifyOptions) -> Iterator[str]:
    """The certified thresholds, a line or two for each task."""
    confidence = f"{calibration.confidence:.0%} confidence"
    yield f"at most {calibration.max_error:.1%} wrong with {confidence}, against {options.reference}:"
    if not calibration.thresholds():
        yield (
            "  nothing was certified: no field is withheld. With more dialogues give this command again, or "
            "choose thresholds with labelgen label --threshold TASK=P"
        )
    for one in calibration.tasks:
        certificate, measured = one.certificate, one.measured
        if certificate is None:
            continue
        name = f"  {one.task} of a {one.unit}"
        if one.idle:
            name += f", labels other than {', '.join(one.idle)}"
        if certificate.threshold is None:
            yield f"{name}: no threshold, labels are given whatever their probability; {certificate.reason}"
            continue
        coverage, precision = (
            interval_text(**measured[key], missing="not defined") for key in ("coverage", "precision")
        )
        yield (
            f"{name}: from {certificate.threshold:.3f}, coverage {coverage}, precision {precision}; {certificate.errors:,} errors of "
            f"{certificate.items:,} in {certificate.units:,} users, p = {certificate.p_value:.3f}"
        )


@dataclass(frozen=True, kw_only=True)
class AdaptCommand(AdaptOptions, LogOptions):
    out: Annotated[Path, "FOLDER"]
    """new model folder"""


def adapt_command(options: AdaptCommand) -> None:
    """Adapt, print what changed, and write the new folder."""
    for one, fit in adapt(open_log(options), options, options.out):
        name = f"{one.task} of a {one.unit}"
        if fit is None:
            print_lines(f"{name}: not adapted, no answer is labeled")
            continue
        gain = f"log loss of a left-out dialogue falls by {fit.gain:.3g} (standard error {fit.error:.2g})"
        print_lines(f"{name}: {'adapted to' if fit.adapted else 'kept;'} {fit.dialogues} dialogues, {gain}")
    print_lines(f"wrote {options.out}, without certificates: labelgen certify makes new ones")


def drift_lines(drift: Drift, _: Any) -> Iterator[str]:
    """The differences as a table, and the void certificates."""
    drifted = [test for test in drift.tests if test.drifted]
    yield (
        f"{drift.dialogues:,} dialogues compared, {drift.labeled:,} of them with labels: {len(drifted):,} of {len(drift.tests):,} tests "
        f"differ (Holm, {drift.level:.0%} chance of any false alarm)"
    )
    if drifted:
        head = ("source", "aspect", "reference", "log", "p adjusted")
        yield from (f"  {line}" for line in aligned([head, *map(_row, drifted[:_SHOWN])], 2))
    if len(drifted) > _SHOWN:
        yield f"  and {len(drifted) - _SHOWN:,} more; --out FILE has all"
    yield from (f"void: the certificate of {one.task} ({one.unit}): {one.reason}" for one in drift.void)


def _row(test: DriftTest) -> tuple[str, str, str, str, str]:
    from labelgen.evaluation.calibrate import described

    aspect = described(test) + (f", {test.column}" if test.column else "")
    return test.source, aspect, f"{test.reference:.3g}", f"{test.log:.3g}", f"{test.p_adjusted:.2g}"


CALIBRATE = reporting(write_scaling, scaling_lines, "calib.jsonl --model model/", CalibrateOptions, LogOptions)
CERTIFY = reporting(
    write_thresholds,
    certified_lines,
    "calib.jsonl --model model/ --max-error 0.03 --confidence 0.95",
    CertifyOptions,
    LogOptions,
)
DRIFT = reporting(find_drift, drift_lines, "new-logs/ --model model/ --out drift.json", DriftOptions, ResultOptions)
ADAPT = Command(AdaptCommand, adapt_command, "new-logs/ --model model/ --out adapted-model/")
