"""Automatic precision: `hardware.precision: auto` means bf16 if it is clearly faster than fp32 for the encoder's matrix products."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

from labelgen.base.errors import StorageError
from labelgen.base.files import write_text
from labelgen.features.pretrained import encoder_widths
from labelgen.kernels.precision import TrainingPrecision
from labelgen.kernels.processor import has_bf16, instruction_set, processor
from labelgen.model.options import ModelOptions
from labelgen.training.options import HardwareOptions

MIN_SPEEDUP = 1.1
"""Minimum speedup over fp32 that makes up for the lower precision of bf16."""
_ROWS = 256
_REPETITIONS = 5
_BUDGET_S = 1.0
"""Time after which no further repetition starts, so that users do not notice the measurement."""


def precision_of(hardware: HardwareOptions, model: ModelOptions) -> TrainingPrecision:
    """The precision of the options, with `auto` resolved for this machine."""
    return auto_precision(hardware, model) if hardware.precision == "auto" else hardware.precision


def auto_precision(hardware: HardwareOptions, model: ModelOptions) -> TrainingPrecision:
    """Precision of `auto` on the device of the options.

    A CPU is measured, except if several launchers would each measure (several nodes, torchrun, SLURM): then it is
    32. Raises UsageError if the encoder does not exist."""
    if uses_cuda(hardware):
        return "bf16" if has_bf16("cuda") else "32"
    if (
        hardware.accelerator not in ("auto", "cpu")
        or not has_bf16("cpu")
        or hardware.nodes > 1
        or _has_other_launchers()
    ):
        return "32"
    widths = encoder_widths(model.encoder)
    return faster_precision(cached_speedup(*widths, trained=not model.encoder_frozen))


def uses_cuda(hardware: HardwareOptions) -> bool:
    """Whether the options mean GPUs of NVIDIA."""
    return hardware.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def faster_precision(speedup: float) -> TrainingPrecision:
    return "bf16" if speedup >= MIN_SPEEDUP else "32"


def cached_speedup(width: int, wide: int, trained: bool) -> float:
    """bf16_speedup of this CPU, instruction set, number of threads and torch version, cached in the user's cache folder. A cache
    that cannot be read or written is ignored."""
    shapes = (width, wide, trained, _ROWS)
    key = [processor(), instruction_set(), torch.get_num_threads(), str(torch.__version__), *shapes]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path: Path | None = None
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        path = _cache_folder() / f"bf16-{name}.json"
        cached = json.loads(path.read_text(encoding="utf-8"))
        if cached["key"] == key and 0.0 < (speedup := float(cached["speedup"])) < math.inf:
            return speedup
    speedup = bf16_speedup(width, wide, trained)
    with suppress(StorageError, OSError):
        if path is not None:
            write_text(path, json.dumps({"key": key, "speedup": round(speedup, 3)}) + "\n")
    return speedup


def bf16_speedup(width: int, wide: int, trained: bool, clock: Callable[[], float] = time.perf_counter) -> float:
    """Speedup of bf16 over fp32 for the matrix products of one encoder layer, including casts.

    Ratio of medians of interleaved repetitions, after one warm-up of each. trained: includes the backward pass."""
    shapes = ((3 * width, width), (width, width), (wide, width), (width, wide))
    weights = [torch.full(shape, 0.01, requires_grad=trained) for shape in shapes]
    times: dict[bool, list[float]] = {False: [], True: []}
    for repetition in range(1 + _REPETITIONS):
        if repetition > 1 and sum(map(sum, times.values())) > _BUDGET_S:
            break
        for bf16, row in times.items():
            start = clock()
            _layer(weights, bf16, trained)
            row.append(clock() - start)
    fp32_s, bf16_s = (median(row[1:]) for row in times.values())
    return fp32_s / max(bf16_s, 1e-9)


def _layer(weights: list[torch.Tensor], bf16: bool, trained: bool) -> None:
    mix, out, grow, shrink = weights
    rows = torch.full((_ROWS, out.shape[0]), 0.01, requires_grad=trained)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.set_grad_enabled(trained):
        mixed = F.linear(rows, mix)[:, : out.shape[0]]
        states = F.linear(F.linear(F.linear(mixed, out), grow), shrink)
    if trained:
        torch.autograd.backward(states.float().sum())


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "labelgen"


def _has_other_launchers() -> bool:
    """Whether torchrun or SLURM starts the processes of this run. Processes that Lightning starts read the first one's choice from the config."""
    counts = (os.environ.get(name, "") for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return any(count.isdecimal() and int(count) > 1 for count in counts)
