"""labelgen calibrate and certify: calibrated probabilities of a model, and thresholds with a risk guarantee, kept in its folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log
from labelgen.steps.calibrate import CalibrateOptions, CertifyOptions, write_scaling, write_thresholds

if TYPE_CHECKING:
    from labelgen.model.calibration import Calibration, TaskCalibration


@dataclass(frozen=True, kw_only=True)
class CalibrateCommand(CalibrateOptions, LogOptions, ForceOptions):
    pass


@dataclass(frozen=True, kw_only=True)
class CertifyCommand(CertifyOptions, LogOptions, ForceOptions):
    pass


def calibrate(options: CalibrateCommand) -> None:
    """Scale the probabilities, and print how."""
    log = open_log(options, options.log, options.domains_from)
    calibration = write_scaling(log, options, options.force)
    print_lines(f"probabilities scaled, against {calibration.against}; labelgen certify finds thresholds:")
    for one in calibration.tasks:
        for line in _scaling_lines(one):
            print_lines(line)


def certify(options: CertifyCommand) -> None:
    """Certify thresholds, and print them."""
    log = open_log(options, options.log, options.domains_from)
    for line in certified_lines(write_thresholds(log, options, options.force), options.reference):
        print_lines(line)


def _scaling_lines(one: "TaskCalibration") -> Iterator[str]:
    scalings = {"labels": one.labels, "none here": one.none}
    shown = ", ".join(
        f"{name} {scaling.kind}{f' {scaling.temperature:.3g}' if scaling.kind == 'temperature' else ''}"
        for name, scaling in scalings.items()
        if scaling.kind != "none"
    )
    yield f"  {one.task} of a {one.unit}: {shown or 'not scaled'}"
    if one.labels.weights:
        yield f"    names are weighted {_weights_text(one.labels.weights)}"
    for source, weights in one.sources.items():
        yield f"    in {source} {_weights_text(weights)}"


def _weights_text(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:.2f}" for weight in weights)


def certified_lines(calibration: "Calibration", reference: str) -> Iterator[str]:
    """The certified thresholds, a line or two for each task."""
    yield f"at most {calibration.max_error:.1%} wrong with {calibration.confidence:.0%} confidence, against {reference}:"
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
        if certificate.threshold is None:
            yield f"{name}: no threshold, labels are given whatever their probability; {certificate.reason}"
            continue
        yield (
            f"{name}: from {certificate.threshold:.3f}, coverage {_shown(measured['coverage'])}, "
            f"precision {_shown(measured['precision'])}; {certificate.errors:,} errors of {certificate.items:,} in "
            f"{certificate.units:,} users, p = {certificate.p_value:.3f}"
        )
        compared = measured.get("comparison")
        if compared:
            yield (
                f"    on these fields, against the others: model {_shown(compared['model'])}, human baseline (one annotator) "
                f"{_shown(compared['single_annotator'])}, difference {_shown(compared['difference'])}"
            )


def _shown(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not defined"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


CALIBRATE = Command("calibrate", CalibrateCommand, calibrate, "labelgen calibrate valid.jsonl --model model/")
CERTIFY = Command(
    "certify",
    CertifyCommand,
    certify,
    "labelgen certify valid.jsonl --model model/ --max-error 0.03 --confidence 0.95",
)
