"""Comparison of two runs that ought to be equal: options, data, code, versions, losses and weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labelgen.base.errors import UsageError, integrity_errors
from labelgen.model.folder import WEIGHTS, check_model, read_card
from labelgen.training.run import CONFIG, METRICS, MODEL
from labelgen.training.tracking import read_metrics

_TIMED = ("elapsed_s", "turns_per_s", "tokens_per_s", "peak_memory_gib")
_FREE = ("out", "tracking", "data.cache", "hardware.threads")
"""Options that say where and how a run is recorded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two runs. what: config, data, code, versions, losses or weights. where: key, step or parameter."""

    what: str
    where: str
    first: Any
    second: Any

    def line(self) -> str:
        return f"{self.what}: {self.where}: {self.first} and {self.second}"


def compare_runs(first: Path, second: Path) -> list[Difference]:
    """All differences of two finished runs in their folders, the causes before the effects.

    Raises UsageError for a folder without a finished run, IntegrityError for a damaged one."""
    for folder in (first, second):
        if not (folder / MODEL).is_dir():
            raise UsageError(f"{folder} has no finished run", str(folder), "name the --out of a finished training")
        check_model(folder / MODEL)
    one, other = read_card(first / MODEL), read_card(second / MODEL)
    differences = [*_of_tables("config", _config(first), _config(second))]
    for what, key in (("data", "data_digest"), ("code", "code_digest")):
        differences += _of_tables(what, {key: one.get(key)}, {key: other.get(key)})
    differences += _of_tables("versions", _versions(one), _versions(other))
    rows = [[_without_times(row) for row in read_metrics(folder / METRICS)] for folder in (first, second)]
    if len(rows[0]) != len(rows[1]):
        differences.append(Difference("losses", "number of rows", len(rows[0]), len(rows[1])))
    for row, same in zip(*rows, strict=False):
        differences += _of_tables("losses", row, same, f"step {row.get('step')}, ")
    return [*differences, *_of_weights(first / MODEL / WEIGHTS, second / MODEL / WEIGHTS)]


def _versions(card: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**card.get("versions", {}), "isa": card.get("isa")}


def _config(folder: Path) -> Mapping[str, Any]:
    with integrity_errors(f"{CONFIG} of the run cannot be read", folder / CONFIG):
        options = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    return {key: value for key, value in _leaves(options) if not key.startswith(_FREE)}


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _without_times(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in row.items() if key not in _TIMED}


def _of_tables(what: str, one: Mapping[str, Any], other: Mapping[str, Any], place: str = "") -> Iterator[Difference]:
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield Difference(what, f"{place}{key}", one.get(key), other.get(key))


def _of_weights(first: Path, second: Path) -> Iterator[Difference]:
    """Weights with other shapes, and the largest difference of each of the others that is not equal to the bit."""
    import torch
    from safetensors.torch import load_file

    one, other = load_file(first), load_file(second)
    for name in sorted({*one, *other}):
        shapes = [tuple(weights[name].shape) if name in weights else None for weights in (one, other)]
        if shapes[0] != shapes[1]:
            yield Difference("weights", f"{name}, shape", *shapes)
        elif not torch.equal(one[name], other[name]):
            most = float((one[name].double() - other[name].double()).abs().max())
            yield Difference("weights", f"{name}, largest difference", 0.0, most)
