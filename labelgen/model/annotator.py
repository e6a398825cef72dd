"""The annotator: a model folder that labels dialogues, with calibrated probabilities, abstention and provenance."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from msgspec.structs import replace

from labelgen import __version__
from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.registry import require
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.labels import (
    TEXT,
    Annotation,
    Answers,
    AtSpan,
    Label,
    NoLabel,
    Normalizer,
    Provenance,
    Threshold,
    Unit,
    annotation_of,
)
from labelgen.data.labels import normalizer as find_normalizer
from labelgen.data.stats import audio_summary
from labelgen.features.features import categories_of
from labelgen.kernels.device import check_device, one_thread, processor
from labelgen.model.annotate import annotate
from labelgen.model.build import with_labels
from labelgen.model.calibration import WITHHELD, Calibration, abstaining, by_field, read_calibration
from labelgen.model.card import WEAK
from labelgen.model.folder import load_model, model_digest, read_card, read_trained_on
from labelgen.model.options import PRECISIONS, Precision


class Annotator:
    """A model folder that labels dialogues.

    Args:
        name: annotator name in the output.
        labels: allowed labels of sources that the model was not trained on.
        precision: arithmetic, see model/options.py. It changes labels, so the provenance has it.
        calibrated: use the folder's calibration, if any: scale probabilities and abstain below thresholds.
        domains_from: record field with the domains on offer in a dialogue; only labels of these domains are predicted.
        online: each turn is labeled from itself and earlier turns. The calibration applies to labels that use later turns
            too, so it is not used.
        thresholds: task -> probability below which the model abstains, instead of certified thresholds.
        void: (task, unit) -> why the certificate of that threshold does not hold for the log; the provenance says so.
        keep_weak: label also tasks of which the model learned nothing, as its card says; else their answers are withheld.
        normalizer: name of the function that normalizes values of slots (data/labels.py); None for the words of the spans.

    Raises UsageError if the calibration was made with another `domains_from` or certifies another precision, and if the
    precision or the device is not available."""

    def __init__(
        self,
        folder: Path,
        labels: Sources | None = None,
        name: str = "model",
        precision: str = "32",
        device: str = "cpu",
        calibrated: bool = True,
        online: bool = False,
        domains_from: str | None = None,
        thresholds: Mapping[str, float] = MappingProxyType({}),
        void: Mapping[tuple[str, str], str] = MappingProxyType({}),
        normalizer: str | None = None,
        keep_weak: bool = False,
    ) -> None:
        require(precision, PRECISIONS, "precision")
        self._normalizer = None if normalizer is None else find_normalizer(normalizer)
        self._arithmetic = PRECISIONS[cast(Precision, precision)]
        check_device(device)
        model = load_model(folder)
        calibration = read_calibration(folder) if calibrated and not online else None
        if calibration is not None:
            _check_same_options(calibration, domains_from, precision, folder, thresholds)
        for task, probability in thresholds.items():
            require(task, model.tasks, "task")
            if not 0 <= probability <= 1:
                raise UsageError(
                    f"a threshold of {probability} for {task}", "--threshold", "give a probability from 0 to 1"
                )
        replaced = {(task, unit): p for task, p in thresholds.items() for unit in model.tasks[task].units}
        self.card = read_card(folder)
        weak: Mapping[str, Mapping[Unit, str]] = {} if keep_weak else self.card.get(WEAK) or {}
        replaced |= {(task, unit): WITHHELD for task, by_unit in weak.items() for unit in by_unit}
        self._calibrated = by_field(calibration, replaced) if calibration is not None or replaced else None
        with one_thread():
            self.model = (with_labels(model, labels) if labels else model).to(device).eval()
            if self._arithmetic.onnx:
                # After the texts of labels were encoded as they are in training.
                self.model.turn_encoder.use_onnx(precision == "int8")
        self.collator = self.model.collator()
        self.collator.domains_from = domains_from
        self.folder = folder
        self.trained_on = read_trained_on(folder)
        self.name = name
        self.device = device
        self.precision = precision
        self.online = online
        # Without an entry in the card the model may have learned from feedback.
        self.learned_from_feedback: bool = self.card.get("learned_from_feedback", True)
        self.provenance = Provenance(
            model_digest=model_digest(folder),
            data_digest=self.card.get("data_digest"),
            version=__version__,
            torch=str(torch.__version__),
            onnxruntime=version("onnxruntime") if self._arithmetic.onnx else None,
            precision=precision,
            threads=1,
            processor=processor(device),
            online=online or None,
            domains_from=domains_from,
            thresholds=tuple(
                Threshold(
                    task=one.task,
                    probability=one.threshold,
                    unit=one.unit,
                    # Chosen thresholds have no certificate.
                    void=None if one.task in thresholds else void.get((one.task, one.unit)),
                )
                for one in (self._calibrated or {}).values()
                if one.threshold is not None and one.threshold != WITHHELD
            ),
            values=normalizer,
        )

    def annotate(
        self, dialogues: Sequence[Dialogue], goals_from: str | None = None, root: Path | None = None
    ) -> list[Annotation]:
        """Label dialogues: one annotation for each, in order.

        Args:
            goals_from: annotator in the dialogues whose goals replace the predicted ones.
            root: the folder that audio paths are relative to.

        Raises IntegrityError if the model gives probabilities that are not finite."""
        predictions = annotate(self.model, dialogues, goals_from, root, self._autocast(), self.collator, self.online)
        annotations = [
            annotation_of(
                self.name,
                "model",
                with_values(one, dialogue, self._normalizer, self.provenance.values),
                replace(self.provenance, trained_on=self.trained_on.holds(dialogue)),
            )
            for one, dialogue in zip(predictions, dialogues, strict=True)
        ]
        if not all(map(_is_finite, annotations)):
            raise IntegrityError(
                "the model gives probabilities that are not finite", str(self.folder), "train the model again"
            )
        if self._calibrated is None:
            return annotations
        return [
            abstaining(one, self._calibrated, goals_from is not None, dialogue.source)
            for one, dialogue in zip(annotations, dialogues, strict=True)
        ]

    def refuses(self, source: str | None) -> UsageError | None:
        """The error if records of this source cannot be labeled, because a task has several label sets and none for the
        source; else None."""
        for task in self.model.tasks.values():
            try:
                task.labels.of_source(source)
            except UsageError as error:
                return error
        return None

    def out_of_vocabulary(self, dialogues: Iterable[Dialogue]) -> tuple[Counter[str], Counter[str]]:
        """Count turns with feature values outside the training data, by feature, and labels outside the label set, by task.

        Neither is an error: such values are encoded as `unseen`, and labels of other annotators are not read. Many of them
        show a distribution shift."""
        values = {c.name: frozenset(c.values) for c in self.model.features.categories}
        unseen: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for dialogue in dialogues:
            for turn in dialogue.turns:
                for name, value in dict(categories_of(dialogue, turn)).items():
                    unseen[name] += name in values and value not in values[name]
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    task = self.model.tasks.get(label.task)
                    unknown[label.task] += task is not None and label.name not in task.index
        return +unseen, +unknown

    @property
    def audio_turns(self) -> int:
        """Number of turns so far whose audio was read."""
        return 0 if self.collator.sound is None else self.collator.sound.audio_turns

    @property
    def audio_errors(self) -> Mapping[str, int]:
        """Number of turns so far whose audio could not be read, by reason."""
        return {} if self.collator.sound is None else self.collator.sound.audio_errors

    @property
    def sound(self) -> str:
        """Summary of the audio that was read so far, as text; empty without audio."""
        return audio_summary(self.audio_turns, self.audio_errors)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = self._arithmetic.autocast
        return nullcontext() if dtype is None else torch.autocast(torch.device(self.device).type, dtype=dtype)


def _check_same_options(
    calibration: Calibration, domains_from: str | None, precision: str, folder: Path, chosen: Mapping[str, float]
) -> None:
    """Raises UsageError unless labels are computed as for the calibration, which is valid for no others. chosen: tasks with
    other thresholds."""
    certified = [one for one in calibration.thresholds() if one.task not in chosen]
    if certified and _bits(calibration.precision) != _bits(precision):
        raise UsageError(
            f"the thresholds are certified for precision {calibration.precision}, not for {precision}",
            str(folder),
            f"label with --precision {calibration.precision}, or run labelgen certify again with --precision {precision}",
        )
    if calibration.domains_from != domains_from:
        before, now = (
            "without --domains-from" if field is None else f"with --domains-from {field}"
            for field in (calibration.domains_from, domains_from)
        )
        raise UsageError(
            f"the model was calibrated {before}, and is now used {now}",
            str(folder),
            f"run it {before}, or run labelgen calibrate again",
        )


def _bits(precision: str) -> str:
    return PRECISIONS[cast(Precision, precision)].bits


def with_values(
    answers: Answers, dialogue: Dialogue, normalizer: Normalizer | None, origin: str | None
) -> Iterator[Label | NoLabel]:
    """The answers, with a value for each span: its words, or what the normalizer makes of them. origin: of the values that it knows."""
    for answer in answers:
        if not isinstance(answer, Label) or not isinstance(answer.at, AtSpan) or answer.value is not None:
            yield answer
            continue
        text = dialogue.turns[answer.at.turn].request[answer.at.start : answer.at.end]
        value = None if normalizer is None else normalizer(text, dialogue.locale)
        known = origin if value is not None else TEXT if normalizer is not None else None
        yield replace(answer, value=text if value is None else value, origin=known)


def _is_finite(annotation: Annotation) -> bool:
    """Whether all probabilities are finite; finite weights may still overflow their precision."""
    return all(x.probability is None or math.isfinite(x.probability) for x in annotation.answers)
