"""What `hardware.precision: auto` stands for on this machine: bf16 if it is clearly faster than fp32 on the encoder's products."""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from torch.nn import functional as F

from labelgen.base.errors import StorageError
from labelgen.base.files import write_text
from labelgen.features.pretrained import encoder_widths
from labelgen.kernels.processor import has_bf16, instruction_set, processor
from labelgen.model.options import ModelOptions
from labelgen.training.options import HardwareOptions

Precision = Literal["32", "bf16"]

LIGHTNING_PRECISION: Mapping[Precision, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}
"""Lightning's names of the two: weights stay in 32 bits."""

LEAST_SPEEDUP = 1.1
"""bf16 rounds more coarsely, so it has to be at least this many times as fast as fp32."""
_ROWS = 256
_REPETITIONS = 5
_ENOUGH_S = 1.0
"""After this time no further repetition is begun: the measurement shall not be noticed."""


def precision_of(asked: HardwareOptions, model: ModelOptions) -> Precision:
    """The precision that is asked for, or the one that `auto` stands for here."""
    return auto_precision(asked, model) if asked.precision == "auto" else asked.precision


def auto_precision(asked: HardwareOptions, model: ModelOptions) -> Precision:
    """The precision to train the model in on the device that is asked for.

    On a CPU it is measured, unless several launchers would each measure for themselves (several nodes, torchrun, SLURM): then it is
    32. Raises UsageError if the encoder cannot be found."""
    if asked.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16" if has_bf16("cuda") else "32"
    if asked.accelerator not in ("auto", "cpu") or not has_bf16("cpu") or asked.nodes > 1 or _has_other_launchers():
        return "32"
    widths = encoder_widths(model.encoder)
    return faster_precision(cached_speedup(*widths, trained=not model.encoder_frozen))


def faster_precision(speedup: float) -> Precision:
    return "bf16" if speedup >= LEAST_SPEEDUP else "32"


def cached_speedup(width: int, wide: int, trained: bool) -> float:
    """bf16_speedup of this CPU, instruction set, number of threads and torch, measured once and kept in the user's cache folder. A cache
    that cannot be read or written is as good as none."""
    shapes = (width, wide, trained, _ROWS)
    key = [processor(), instruction_set(), torch.get_num_threads(), str(torch.__version__), *shapes]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path: Path | None = None
    with suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        path = _cache_folder() / f"bf16-{name}.json"
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == key and 0.0 < (speedup := float(kept["speedup"])) < math.inf:
            return speedup
    speedup = bf16_speedup(width, wide, trained)
    with suppress(StorageError, OSError):
        if path is not None:
            write_text(path, json.dumps({"key": key, "speedup": round(speedup, 3)}) + "\n")
    return speedup


def bf16_speedup(width: int, wide: int, trained: bool, clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times as fast as in fp32 the products of an encoder's layer are in bf16, as training computes them, casts included.

    Medians of interleaved repetitions, after one of each that does not count. trained: with the backward pass."""
    shapes = ((3 * width, width), (width, width), (wide, width), (width, wide))
    weights = [torch.full(shape, 0.01, requires_grad=trained) for shape in shapes]
    spent: dict[bool, list[float]] = {False: [], True: []}
    for repetition in range(1 + _REPETITIONS):
        if repetition > 1 and sum(map(sum, spent.values())) > _ENOUGH_S:
            break
        for bf16, times in spent.items():
            began = clock()
            _layer(weights, bf16, trained)
            times.append(clock() - began)
    slow, quick = (median(times[1:]) for times in spent.values())
    return slow / max(quick, 1e-9)


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
    """Whether processes of this run are started by torchrun or SLURM. Lightning's own find the first one's choice in the config."""
    counts = (os.environ.get(name, "") for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return any(count.isdecimal() and int(count) > 1 for count in counts)
