"""What model.json says of a model, read as what anybody may have written: every name, number and index is checked."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelgen.base.errors import MODEL_HINT, IntegrityError
from labelgen.base.files import read_json
from labelgen.data.label_set import LabelSet
from labelgen.features.features import FeatureSet
from labelgen.model.options import ModelOptions
from labelgen.tasks import TASKS
from labelgen.tasks.options import TaskOptions

FORM = 4
"""Before 2 the head of quality was another, before 3 that of intents, before 4 that of selection; labelgen 0.1.0 wrote all."""


@dataclass(frozen=True, slots=True)
class SavedTask:
    options: TaskOptions
    labels: LabelSet


@dataclass(frozen=True, slots=True)
class Saved:
    form: int
    version: str
    options: ModelOptions
    tasks: dict[str, SavedTask]
    features: FeatureSet
    origin: dict[str, Any]


def read_saved(path: Path) -> Saved:
    """model.json. Raises IntegrityError where it cannot be read, is of a later version, or holds what no model can have."""
    head = read_json(path, _Head)
    if head.form > FORM:
        raise IntegrityError(
            f"the model has form {head.form}, this version reads {FORM} and before",
            str(path.parent),
            f"use labelgen {head.version}",
        )
    saved = read_json(path, Saved, "use the version that wrote it, or copy the model again")
    fault = next(_faults(saved), None)
    if fault is not None:
        raise IntegrityError(f"model.json describes no model: {fault}", str(path), MODEL_HINT)
    return saved


@dataclass(frozen=True, slots=True)
class _Head:
    """What every version wrote."""

    form: int
    version: str


def _faults(saved: Saved) -> Iterator[str]:
    options = saved.options
    if saved.form < 1:
        yield f"form {saved.form}"
    least = {
        "max_tokens": 1,
        "dialogue_layers": 0,
        "dialogue_width": 1,
        "dialogue_heads": 1,
        "dialogue_band": 1,
        "words": 0,
        "label_refresh_steps": 1,
    }
    for name, low in least.items():
        if not low <= getattr(options, name) <= _MOST:
            yield f"options.{name} is {getattr(options, name)}"
    if not 0.0 <= options.dropout < 1.0:
        yield f"options.dropout is {options.dropout}"
    if options.dialogue_layers and options.dialogue_heads >= 1 and options.dialogue_width % options.dialogue_heads:
        yield f"{options.dialogue_heads} heads do not divide a width of {options.dialogue_width}"
    if not saved.tasks:
        yield "it has no tasks"
    for name, task in saved.tasks.items():
        if name not in TASKS:
            yield f"this version knows no task {name!r}"
        yield from (f"tasks.{name}: {fault}" for fault in _label_faults(name, task.labels))
        if not (math.isfinite(task.options.weight) and task.options.weight >= 0):
            yield f"tasks.{name}.weight is {task.options.weight}"
        if not 0.0 <= task.options.label_dropout <= 1.0:
            yield f"tasks.{name}.label_dropout is {task.options.label_dropout}"
    yield from _feature_faults(saved.features)


_MOST = 1_000_000
"""More than any size of a model, and few enough to count up to."""


def _label_faults(task: str, labels: LabelSet) -> Iterator[str]:
    names = [label.name for label in labels.names]
    if labels.task != task:
        yield f"its labels are of the task {labels.task!r}"
    if not names:
        yield "it has no labels"
    if len(set(names)) < len(names):
        yield "two labels have one name"
    for indices in (*labels.sources.values(), labels.often):
        if list(indices) != sorted(indices) or any(not 0 <= k < len(names) for k in indices):
            yield f"indices of labels are out of order, or beyond the {len(names)} that there are"
    if any(not 0 <= a < b < len(names) for a, b in labels.together):
        yield f"a pair of labels is not among the {len(names)} that there are"


def _feature_faults(features: FeatureSet) -> Iterator[str]:
    names = [*(one.name for one in features.categories), *(one.name for one in features.numbers)]
    if len(set(names)) < len(names):
        yield "two features have one name"
    for number in features.numbers:
        if not math.isfinite(number.mean) or not 0.0 < number.deviation < math.inf:
            yield f"the feature {number.name!r} has the mean {number.mean} and the deviation {number.deviation}"
    for words in (*(one.values for one in features.categories), features.words.request, features.words.response):
        if len(set(words)) < len(words):
            yield "a feature has one value twice"
