"""Reference sample of a model folder: reference.json, with which `labelgen drift` compares a log.

It holds aspects of dialogues that are new to the model, each as a row of numbers (confidence/two_sample.py), written by `labelgen calibrate`
and `labelgen certify`. There are no texts, ids or users in it, and no values of fields that config.json does not list. A text is a random
projection of its vector, averaged over the dialogue. digests.json lists the file."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch

from labelgen import __version__
from labelgen.base.errors import IntegrityError
from labelgen.base.files import read_json
from labelgen.confidence.resampling import Array
from labelgen.confidence.two_sample import Aspect, AspectKind, Row, Sample
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import UNIT_OF, Annotation, Field, Label, Unit, scope
from labelgen.features.features import MISSING, UNSEEN, words_of
from labelgen.kernels.device import one_thread
from labelgen.model.calibration import ByField, abstaining, scaled, score
from labelgen.model.folder import read_digests
from labelgen.model.label_model import LabelModel
from labelgen.nn.turn_encoder import pool_texts

REFERENCE = "reference.json"
_FORM = 1
_PROJECTED = 16
"""Numbers that a text vector is projected to."""
_DIGITS = 4
_AT_ONCE = 1024
"""Texts that are encoded at once; it bounds memory."""
_NONE, _NOT_KNOWN = "(none)", "(not in the training data)"


@dataclass(frozen=True, slots=True)
class _SavedAspect:
    """An aspect in reference.json. rows: one for each dialogue, of as many values as there are columns; None for a dialogue without it."""

    kind: AspectKind
    name: str
    task: str
    unit: Unit | Literal[""]
    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class _Saved:
    """Content of reference.json. version: of labelgen. sources: of the dialogues."""

    form: int
    version: str
    sources: tuple[str, ...]
    aspects: tuple[_SavedAspect, ...]


def encode_reference(sample: Sample) -> str:
    """The content of reference.json."""
    aspects = []
    for aspect, rows in sorted(sample.rows.items()):
        columns = tuple(sorted({column for row in rows if row is not None for column in row}))
        table = tuple(None if row is None else tuple(row.get(c, 0.0) for c in columns) for row in rows)
        aspects.append(_SavedAspect(aspect.kind, aspect.name, aspect.task, aspect.unit, columns, table))
    return msgspec.json.encode(_Saved(_FORM, __version__, sample.sources, tuple(aspects))).decode() + "\n"


def read_reference(folder: Path) -> Sample | None:
    """The sample in reference.json, whose digest check_model checks; None for a model without one.

    Raises IntegrityError if the file cannot be read or describes no sample."""
    if REFERENCE not in read_digests(folder):
        return None
    path = folder / REFERENCE
    saved = read_json(path, _Saved, "calibrate again")
    if saved.form != _FORM:
        what = f"the reference has form {saved.form}, this version reads {_FORM}"
        raise IntegrityError(what, str(path), "calibrate again")
    for one in saved.aspects:
        whole = all(row is None or (len(row) == len(one.columns) and all(map(math.isfinite, row))) for row in one.rows)
        if len(one.rows) != len(saved.sources) or not whole:
            raise IntegrityError(f"{REFERENCE} describes no sample: {one.name}", str(path), "calibrate again")
    return Sample(
        saved.sources,
        {
            Aspect(one.kind, one.name, one.task, one.unit): tuple(
                None if row is None else dict(zip(one.columns, row, strict=True)) for row in one.rows
            )
            for one in saved.aspects
        },
    )


def sample_of(dialogues: Sequence[Dialogue], rows: Iterable[Mapping[Aspect, Row]]) -> Sample:
    """The sample of these dialogues. rows: of each dialogue; values are rounded, as in the file."""
    found = list(rows)
    aspects = {aspect for row in found for aspect in row}
    return Sample(
        tuple(dialogue.source or "" for dialogue in dialogues),
        {aspect: tuple(_rounded(row.get(aspect)) for row in found) for aspect in aspects},
    )


def _rounded(row: Row | None) -> Row | None:
    return None if row is None else {name: float(f"{value:.{_DIGITS}g}") for name, value in row.items()}


def input_rows(model: LabelModel, dialogues: Sequence[Dialogue]) -> list[dict[Aspect, Row]]:
    """What the model reads of each dialogue: length, texts, and each feature over its turns."""
    vectors = _text_vectors(model, dialogues)
    known = frozenset(model.features.words.request), frozenset(model.features.words.response)
    out = []
    for dialogue, vector in zip(dialogues, vectors, strict=True):
        rows: dict[Aspect, Row] = {_input("turns"): {"log": math.log1p(len(dialogue.turns))}}
        out.append(rows)
        if not dialogue.turns:
            continue
        rows[_input("texts")] = {f"{k:02d}": float(x) for k, x in enumerate(vector)}
        if any(known):
            rows[_input("new words")] = {"share": _share_of_new_words(dialogue, known)}
        features = model.features.tensors([dialogue])
        for k, category in enumerate(model.features.categories):
            names = {MISSING: _NONE, UNSEEN: _NOT_KNOWN, **{v + 2: name for v, name in enumerate(category.values)}}
            rows[_input(category.name)] = _shares(names[v] for v in features.categories[:, k].tolist())
        for k, number in enumerate(model.features.numbers):
            present = float(features.present[:, k].sum())
            mean = float(features.numbers[:, k].sum()) / present if present else 0.0
            rows[_input(number.name)] = {"mean": mean, "present": present / len(dialogue.turns)}
    return out


def _input(name: str) -> Aspect:
    return Aspect("inputs", name)


def _share_of_new_words(dialogue: Dialogue, known: tuple[frozenset[str], frozenset[str]]) -> float:
    words = [
        word in vocabulary
        for turn in dialogue.turns
        for text, vocabulary in zip((turn.request, turn.response), known, strict=True)
        for word in set(words_of(text))
    ]
    return 1 - sum(words) / len(words) if words else 0.0


def _shares(names: Iterable[str]) -> Row:
    counts: defaultdict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def _text_vectors(model: LabelModel, dialogues: Sequence[Dialogue]) -> list[Array]:
    """For each dialogue, the mean of its requests' and of its responses' vectors, projected; [2 * _PROJECTED] each."""
    texts = sorted({text for d in dialogues for turn in d.turns for text in (turn.request, turn.response)})
    ids = [tokens.truncated for tokens in model.tokenizer(texts)]
    with one_thread():
        parts = [pool_texts(model.turn_encoder, ids[k : k + _AT_ONCE]) for k in range(0, max(1, len(ids)), _AT_ONCE)]
    pooled = torch.cat(parts)
    # The generator whose numbers numpy never changes.
    projection = np.random.RandomState(0).standard_normal((pooled.shape[1], _PROJECTED)) / math.sqrt(pooled.shape[1])
    projected = pooled.to(device="cpu", dtype=torch.float64).numpy() @ projection
    place = {text: k for k, text in enumerate(texts)}
    return [
        np.concatenate(
            [
                projected[[place[turn.request] for turn in d.turns]].mean(axis=0),
                projected[[place[turn.response] for turn in d.turns]].mean(axis=0),
            ]
        )
        if d.turns
        else np.zeros(2 * _PROJECTED)
        for d in dialogues
    ]


def prediction_rows(
    annotation: Annotation, calibrated: ByField, tasks: Iterable[str], source: str | None = None
) -> dict[Aspect, Row]:
    """What the model answers in a dialogue: for each task and unit its labels, its confidence and, with a threshold, how often it abstains.

    Args:
        annotation: as the model gives it without calibration.
        tasks: those that count.
        source: of the dialogue."""
    wanted = frozenset(tasks)
    answered: defaultdict[tuple[str, Unit], dict[Field, list[Label]]] = defaultdict(dict)
    sure: defaultdict[tuple[str, Unit], list[float]] = defaultdict(list)
    after = scaled(annotation, calibrated, source)
    for label in after.labels:
        field = scope(label)
        answered[field.task, UNIT_OF[type(field.at)]].setdefault(field, []).append(label)
    for none in after.none:
        key = none.task, UNIT_OF[type(none.at)]
        answered[key][none.field] = []
        if none.probability is not None:
            sure[key].append(none.probability)
    withheld = {one.field for one in abstaining(annotation, calibrated, source=source).abstained}
    rows: dict[Aspect, Row] = {}
    for (task, unit), fields in answered.items():
        if task not in wanted:
            continue
        sure[task, unit] += [p for labels in fields.values() if (p := score(tuple(labels))) is not None]
        rows[Aspect("predictions", "labels", task, unit)] = _named(fields)
        if confidence := sure[task, unit]:
            rows[Aspect("predictions", "confidence", task, unit)] = {"mean": sum(confidence) / len(confidence)}
        if (one := calibrated.get((task, unit))) is not None and one.threshold is not None:
            share = sum(field in withheld for field in fields) / len(fields)
            rows[Aspect("predictions", "abstained", task, unit)] = {"share": share}
    return rows


def _named(fields: Mapping[Field, Sequence[Label]]) -> Row:
    """Of each name the expected number for each field: its mean probability where exactly one name holds, else its count."""
    sums: defaultdict[str, float] = defaultdict(float)
    for labels in fields.values():
        for label in labels:
            for name, p in label.distribution or ((label.name, 1.0),):
                sums[name] += p
        if not labels:
            sums[_NONE] += 1
    return {name: value / len(fields) for name, value in sums.items()}


def scored_tasks(model: LabelModel) -> tuple[str, ...]:
    """Tasks of the model that have metrics; the others serve training alone."""
    return tuple(name for name, task in model.tasks.items() if task.metrics)
