"""Whether options can be carried out, asked once, before anything is read or written. Imports no torch.

What only the logs, the encoder or the machine can tell is asked where these are known."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from labelgen.base.errors import UsageError
from labelgen.pretraining.corruption import TEACHES, check_mixture
from labelgen.training.options import PretrainOptions, TrainingOptions


@dataclass(frozen=True, slots=True)
class Range:
    """From least to most, both within it unless they are said to be out."""

    least: float
    most: float = math.inf
    least_out: bool = False
    most_out: bool = False

    def holds(self, value: float) -> bool:
        """False for what is no number, and for infinity."""
        above = value > self.least if self.least_out else value >= self.least
        below = value < self.most if self.most_out else value <= self.most
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if math.isinf(self.most):
            return f"a number above {self.least:g}" if self.least_out else f"a number of {self.least:g} or more"
        low, high = ("above " * self.least_out, "below " * self.most_out)
        return f"a number from {low}{self.least:g} to {high}{self.most:g}"


_COUNT = Range(1)
_ANY_COUNT = Range(0)
_SHARE = Range(0, 1)

RANGES: Mapping[str, Range] = {
    "seed": Range(0, 2**63 - 1),
    "pool": _COUNT,
    "mixture.*": Range(0),
    "data.mix": Range(0),
    "data.max_bad_rate": _SHARE,
    "data.workers": _ANY_COUNT,
    "tasks.*.weight": Range(0, least_out=True),
    "tasks.*.label_dropout": _SHARE,
    # Its first and last token are not the text's.
    "model.max_tokens": Range(3),
    "model.dialogue_layers": _ANY_COUNT,
    "model.dialogue_width": _COUNT,
    "model.dialogue_heads": _COUNT,
    "model.dialogue_band": _COUNT,
    "model.dropout": Range(0, 1, most_out=True),
    "model.words": _ANY_COUNT,
    "model.label_refresh_steps": _COUNT,
    "batch.turns": _COUNT,
    "batch.words": _COUNT,
    "batch.encoder_tokens": _COUNT,
    "batch.accumulate": _COUNT,
    "batch.online_share": _SHARE,
    "targets.evidence_hidden": _SHARE,
    "optimizer.learning_rate": Range(0),
    "optimizer.encoder_learning_rate": Range(0),
    "optimizer.weight_decay": Range(0),
    "optimizer.warmup": _SHARE,
    "optimizer.clip": Range(0),
    "length.max_epochs": _COUNT,
    "length.max_steps": _COUNT,
    "length.max_minutes": Range(0),
    "length.patience": _COUNT,
    "hardware.devices": _COUNT,
    "hardware.nodes": _COUNT,
    "hardware.threads": _COUNT,
    "tracking.log_every": _COUNT,
    "tracking.checkpoint_every": _COUNT,
}
"""What each number may be; `*` stands for a name. An option that is not given (null) has no range."""


def check_options(options: TrainingOptions) -> None:
    """Raises UsageError for the first option that cannot be carried out, with what it may be."""
    for key, pattern, value, hint in _leaves(options, type(options)):
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise _wrong(key, value, f"one of {', '.join(get_args(hint))}")
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and pattern in RANGES and not RANGES[pattern].holds(number):
                raise _wrong(key, number, str(RANGES[pattern]))
    _check_together(options)
    if isinstance(options, PretrainOptions):
        _check_pretraining(options)


def _wrong(key: str, value: object, may: str) -> UsageError:
    return UsageError(f"{key} is {value}, which cannot be", key, f"give {may}")


def _leaves(value: Any, hint: Any, key: str = "", pattern: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Every option: its key, the same with `*` for names that the user chooses, its value and its type."""
    dot = "." if key else ""
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        for item in fields(hint):
            name = f"{dot}{item.name}"
            yield from _leaves(getattr(value, item.name), hints[item.name], key + name, pattern + name)
    elif get_origin(hint) is Mapping:
        for name, held in value.items():
            yield from _leaves(held, get_args(hint)[1], f"{key}.{name}", f"{pattern}.*")
    else:
        yield key, pattern, value, hint


def _check_together(options: TrainingOptions) -> None:
    model, data = options.model, options.data
    if model.dialogue_layers and model.dialogue_width % model.dialogue_heads:
        raise UsageError(
            f"{model.dialogue_heads} heads do not divide a width of {model.dialogue_width}",
            "model.dialogue_heads",
            "give a number that divides model.dialogue_width, or another width",
        )
    if not data.train:
        raise UsageError("there is no log to train on", "data.train", "name files or folders of records")
    if data.mix and (len(data.mix) != len(data.train) or sum(data.mix) == 0):
        raise UsageError(
            f"{len(data.mix)} shares for {len(data.train)} training logs",
            "data.mix",
            "give one share for each log, some of them above 0",
        )

    if options.length.patience is not None and not data.valid:
        raise UsageError(
            "without a validation log there is no loss to be patient with",
            "length.patience",
            "give data.valid, or leave length.patience out",
        )


def _check_pretraining(options: PretrainOptions) -> None:
    check_mixture(options.mixture)
    for task in options.tasks:
        if any(share > 0 and TEACHES[name] == task for name, share in options.mixture.items()):
            continue
        by = " or ".join(name for name, taught in TEACHES.items() if taught == task)
        raise UsageError(
            f"no corruption of the mixture teaches {task!r}",
            f"tasks.{task}",
            f"give {by} a share in `mixture`, or leave the task out"
            if by
            else f"leave it for finetune; --config pretrain names what unlabeled dialogues teach: "
            f"{', '.join(dict.fromkeys(TEACHES.values()))}",
        )
