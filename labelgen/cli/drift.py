"""labelgen drift and adapt: compare a log with the dialogues that a model was calibrated on, and adapt the model to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file, write_text
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions, LogOptions, open_log
from labelgen.steps.drift import AdaptOptions, DriftOptions, adapt, find_drift

if TYPE_CHECKING:
    from labelgen.metrics.results import Drift, DriftTest

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class DriftCommand(DriftOptions, LogOptions, ForceOptions):
    against: Annotated[tuple[str, ...], "LOG"] = ()
    """log to compare with in place of the calibration, such as that of last month; the model then needs no calibration, and no certificate is
    judged"""
    out: Annotated[Path | None, "FILE"] = None
    """JSON file for the result, which labelgen label and labelgen report read"""


@dataclass(frozen=True, kw_only=True)
class AdaptCommand(AdaptOptions, LogOptions, ForceOptions):
    out: Annotated[Path, "FOLDER"]
    """new model folder"""


def drift_command(options: DriftCommand) -> None:
    """Compare, print the differences and the void certificates, and write the result."""
    if options.out is not None:
        fresh_file(options.out, options.force)
    log, *others = (open_log(options, paths, options.domains_from) for paths in (options.log, options.against) if paths)
    result = find_drift(log, options, *others)
    for line in drift_lines(result):
        print_lines(line)
    if options.out is not None:
        write_text(options.out, msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n")
        print_lines(f"wrote {options.out}")


def adapt_command(options: AdaptCommand) -> None:
    """Adapt, print what changed, and write the new folder."""
    _check_out(options)
    for one, fit in adapt(open_log(options, options.log, options.domains_from), options, options.out):
        name = f"{one.task} of a {one.unit}"
        if fit is None:
            print_lines(f"{name}: not adapted, no answer is labeled")
            continue
        gain = f"log loss of a left-out dialogue falls by {fit.gain:.3g} (standard error {fit.error:.2g})"
        print_lines(f"{name}: {'adapted to' if fit.adapted else 'kept;'} {fit.dialogues} dialogues, {gain}")
    print_lines(f"wrote {options.out}, without certificates: labelgen certify makes new ones")


def _check_out(options: AdaptCommand) -> None:
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


ADAPT = Command("adapt", AdaptCommand, adapt_command, "labelgen adapt new-logs/ --model model/ --out adapted-model/")
DRIFT = Command("drift", DriftCommand, drift_command, "labelgen drift new-logs/ --model model/ --out drift.json")
