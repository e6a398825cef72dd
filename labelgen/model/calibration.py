"""What a model's folder says of how far its labels can be trusted: calibration.json, which labelgen calibrate writes.

For each task and unit of field: how its probabilities are scaled, the threshold below which it abstains, and the
certificate of that. The file is one of those in digests.json, so a calibrated model has a digest of its own."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labelgen.base.errors import IntegrityError, StorageError, UsageError
from labelgen.base.files import digest_file, write_text
from labelgen.confidence.certificate import Certificate
from labelgen.confidence.scaling import Scaling
from labelgen.data.labels import Threshold, Unit

CALIBRATION = "calibration.json"
_FORM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCalibration:
    """unit: of the fields. labels: scales the probability of each label; none: that of "none here". measured: what was
    found beside the certificate, for people."""

    task: str
    unit: Unit
    labels: Scaling
    none: Scaling
    certificate: Certificate
    measured: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """model_digest: of the folder without a calibration. data_digest: of the held-out dialogues with what was right. against: the
    annotator who was right. max_error, confidence: what each threshold is certified for, by itself. domains_from: as the model was
    asked; it is calibrated for no other way. precision: of the labels that were judged; thresholds hold for no other."""

    form: int = _FORM
    version: str
    model_digest: str
    data_digest: str
    against: str
    max_error: float
    confidence: float
    command: str
    tasks: tuple[TaskCalibration, ...]
    domains_from: str | None = None
    precision: str = "32"

    def thresholds(self) -> tuple[Threshold, ...]:
        return tuple(
            Threshold(task=one.task, probability=one.certificate.threshold, unit=one.unit)
            for one in self.tasks
            if one.certificate.threshold is not None
        )


def read_calibration(folder: Path) -> Calibration | None:
    """None for a model that was not calibrated. Raises IntegrityError where the file cannot be read; load_model has found
    it whole."""
    path = folder / CALIBRATION
    if CALIBRATION not in _digests(folder):
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{CALIBRATION} cannot be read: {error}", str(path), "calibrate again") from error
    if found.form != _FORM:
        raise IntegrityError(
            f"the calibration has form {found.form}, this version reads {_FORM}", str(path), "calibrate again"
        )
    return found


def refuse_calibrated(folder: Path, force: bool) -> None:
    """Raises UsageError for a folder that holds a calibration with thresholds, unless `force`."""
    if not force and (known := read_calibration(folder)) is not None and known.thresholds():
        raise UsageError(f"{folder} is calibrated already", str(folder / CALIBRATION), "give --force to replace that")


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Put it into the model's folder, in the place of an older one; the folder is whole before and after. Raises
    StorageError where that cannot be written."""
    part, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    try:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        # Files are written anew and never into, so the weights can be shared by both folders.
        shutil.copytree(folder, part, copy_function=os.link)
        text = msgspec.json.format(msgspec.json.encode(calibration), indent=1).decode() + "\n"
        write_text(part / CALIBRATION, text)
        digests = {**_digests(folder), CALIBRATION: digest_file(part / CALIBRATION)}
        listing = msgspec.json.format(msgspec.json.encode(digests, order="sorted"), indent=1).decode() + "\n"
        write_text(part / "digests.json", listing)
        os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write {CALIBRATION}: {error.strerror}", str(folder), "check the folder") from error


def _digests(folder: Path) -> dict[str, str]:
    return msgspec.json.decode((folder / "digests.json").read_bytes(), type=dict[str, str])
