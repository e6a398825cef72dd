"""A model folder, ready to annotate: what it says, joined into annotations that are calibrated and name where they come from.

What in a log a model does not know: values of features that it was not trained on, labels of others that it cannot give.

Neither stops it: a value that was never seen is read as `unseen`, for which the model has a state of its own, and labels of
others are not read at all. But where there is much of either, the log is not of the kind that the model was made for."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from msgspec.structs import replace

from labelgen import __version__
from labelgen.base.errors import IntegrityError, UsageError
from labelgen.base.registry import require
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_sets import Sources
from labelgen.data.labels import Annotation, Answers, AtSpan, Label, NoLabel, Provenance, Threshold, annotation_of
from labelgen.data.stats import audio_summary
from labelgen.features.features import categories_of
from labelgen.kernels.processor import check_device, choose_instruction_set, instruction_set, processor
from labelgen.model.abstain import abstaining, by_field
from labelgen.model.annotate import annotate, one_thread
from labelgen.model.batch_invariance import is_batch_invariant
from labelgen.model.build import with_labels
from labelgen.model.calibration import Calibration, read_calibration
from labelgen.model.folder import load_model, model_digest, read_card, read_trained_on
from labelgen.model.label_model import LabelModel
from labelgen.model.options import PRECISIONS

_DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


class Annotator:
    """A model folder, ready to annotate.

    name: who signs the annotations. labels: label sets that may be decoded, for sources that the model was not trained
    on. precision: of PRECISIONS; it is part of what the labels depend on and stands in their provenance. calibrated:
    scale probabilities and abstain as the folder's calibration says, where it holds one. domains_from: a field of the record
    that names the domains on offer in a dialogue; only their labels are given. online: each turn is labeled
    from itself and what came before; the calibration, which is of labels that know what came after, is then left aside.
    thresholds: task -> probability below which the model abstains, in place of certified thresholds.

    Raises UsageError for a calibration that was made with another `domains_from`, or certifies labels of another precision, and
    for a precision or a device that is not here. int8 is of the text encoder alone, on a CPU. `annotate` raises IntegrityError where
    the model gives no finite probabilities."""

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
    ) -> None:
        if precision not in PRECISIONS:
            known = f"known: {', '.join(PRECISIONS)}"
            raise UsageError(f"{precision!r} is no precision of labels", f"precision={precision}", known)
        choose_instruction_set()
        check_device(device)
        model = load_model(folder)
        calibration = read_calibration(folder) if calibrated and not online else None
        if calibration is not None:
            _check_asked_alike(calibration, domains_from, precision, folder, thresholds)
        for task, probability in thresholds.items():
            require(task, model.tasks, "task")
            if not 0 <= probability <= 1:
                raise UsageError(
                    f"a threshold of {probability} for {task}", "--threshold", "give a probability from 0 to 1"
                )
        chosen = {(task, unit): p for task, p in thresholds.items() for unit in model.tasks[task].units}
        self._calibrated = by_field(calibration, chosen) if calibration is not None or chosen else None
        with one_thread():
            self.model = (with_labels(model, labels) if labels else model).to(device).eval()
            # After the texts of labels were encoded as they are in training.
            self.model.turn_encoder.prepare(_DTYPES[precision])
        self.collator = self.model.collator()
        self.collator.domains_from = domains_from
        self._unfamiliar = Unfamiliar(self.model)
        self.folder = folder
        self.trained_on = read_trained_on(folder)
        self.name = name
        self.device = device
        self.precision = precision
        self.online = online
        self.card = read_card(folder)
        # A card that does not say so may be of a model that did.
        self.learned_from_feedback: bool = self.card.get("learned_from_feedback", True)
        self.provenance = Provenance(
            model_digest=model_digest(folder),
            data_digest=self.card.get("data_digest"),
            version=__version__,
            torch=str(torch.__version__),
            precision=precision,
            threads=1,
            processor=processor(device),
            isa=instruction_set() if torch.device(device).type == "cpu" else None,
            batch_dependent=None if is_batch_invariant(self.model, self._autocast, online) else True,
            online=online or None,
            domains_from=domains_from,
            thresholds=tuple(
                Threshold(task=one.task, probability=one.threshold, unit=one.unit)
                for one in (self._calibrated or {}).values()
                if one.threshold is not None
            ),
        )

    def annotate(
        self, dialogues: Sequence[Dialogue], goals_from: str | None = None, root: Path | None = None
    ) -> list[Annotation]:
        """One annotation for each dialogue, in order. goals_from: an annotator in the dialogues whose goals the tasks
        about goals are asked of, in the place of the model's own. root: the folder that audio paths start from."""
        said = annotate(self.model, dialogues, goals_from, root, self._autocast(), self.collator, self.online)
        joined = [
            annotation_of(
                self.name,
                "model",
                _with_texts(one, dialogue),
                replace(self.provenance, trained_on=self.trained_on.holds(dialogue)),
            )
            for one, dialogue in zip(said, dialogues, strict=True)
        ]
        if not all(map(_is_finite, joined)):
            raise IntegrityError(
                "the model gives probabilities that are no finite numbers", str(self.folder), "train the model again"
            )
        if self._calibrated is None:
            return joined
        return [abstaining(one, self._calibrated, goals_from is not None) for one in joined]

    def refuses(self, source: str | None) -> UsageError | None:
        """Why records of this source cannot be labeled: a task has several label sets, and none is theirs. None where
        they can."""
        for task in self.model.tasks.values():
            try:
                task.labels.of_source(source)
            except UsageError as error:
                return error
        return None

    def unfamiliar(self, dialogues: Iterable[Dialogue]) -> tuple[Counter[str], Counter[str]]:
        """Turns with values that the model was not trained on, by feature, and others' labels that it cannot give, by task."""
        return self._unfamiliar(dialogues)

    @property
    def heard(self) -> int:
        """How often the sound of a turn was read so far."""
        return 0 if self.collator.sound is None else self.collator.sound.heard

    @property
    def unheard(self) -> Mapping[str, int]:
        """How often it could not be read, by reason."""
        return {} if self.collator.sound is None else self.collator.sound.unheard

    @property
    def sound(self) -> str:
        """What became of the turns' sound so far, for people, each reading counted; empty where none was sought."""
        return audio_summary(self.heard, self.unheard)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()


def _check_asked_alike(
    calibration: Calibration, domains_from: str | None, precision: str, folder: Path, chosen: Mapping[str, float]
) -> None:
    """Thresholds hold for labels that were chosen from as many, and computed alike."""
    certified = [one for one in calibration.thresholds() if one.task not in chosen]
    if certified and calibration.precision != precision:
        raise UsageError(
            f"the thresholds are certified in precision {calibration.precision}, and the model is asked in {precision}",
            str(folder),
            f"label with --precision {calibration.precision}, or run labelgen certify again with --precision {precision}",
        )
    if calibration.domains_from != domains_from:
        made, asked = (
            "without --domains-from" if field is None else f"with --domains-from {field}"
            for field in (calibration.domains_from, domains_from)
        )
        raise UsageError(
            f"the model was calibrated {made}, and is asked {asked}", str(folder), "ask it alike, or calibrate it again"
        )


def _with_texts(answers: Answers, dialogue: Dialogue) -> Iterator[Label | NoLabel]:
    """The answers; the value of a span is the text that it covers."""
    for answer in answers:
        if isinstance(answer, Label) and isinstance(answer.at, AtSpan) and answer.value is None:
            text = dialogue.turns[answer.at.turn].request[answer.at.start : answer.at.end]
            yield replace(answer, value=text)
        else:
            yield answer


def _is_finite(annotation: Annotation) -> bool:
    """Finite weights may still give what is beyond the numbers of their precision."""
    return all(x.probability is None or math.isfinite(x.probability) for x in annotation.answers)


class Unfamiliar:
    """Looks through dialogues for one model."""

    def __init__(self, model: LabelModel) -> None:
        self._values = {c.name: frozenset(c.values) for c in model.features.categories}
        self._names = {name: frozenset(task.index) for name, task in model.tasks.items()}

    def __call__(self, dialogues: Iterable[Dialogue]) -> tuple[Counter[str], Counter[str]]:
        """How many turns have an unseen value, by feature; how many labels have an unknown name, by task. Features and tasks
        that the model does not have are left out."""
        unseen: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for dialogue in dialogues:
            for turn in dialogue.turns:
                for name, value in dict(categories_of(dialogue, turn)).items():
                    if name in self._values and value not in self._values[name]:
                        unseen[name] += 1
            for annotation in dialogue.annotations:
                for label in annotation.labels:
                    if label.task in self._names and label.name not in self._names[label.task]:
                        unknown[label.task] += 1
        return unseen, unknown
