"""Dialogues to annotations: what a model says of them, each label with its probability.

What it says of a dialogue depends on the model and the dialogue alone, to the last bit: encoder batches hold one exact
token length, dialogue batches one exact number of turns (a long dialogue is a batch of its own, read in windows), nothing
is padded, no product has fewer rows than the libraries need to round alike, and one thread computes (with two, the share
of each decides how sums are rounded). Several processes use several cores."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from labelgen import __version__
from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.label_set import Sources
from labelgen.data.labels import Annotation, AtGoal, AtSpan, Label, Provenance
from labelgen.data.sound import told
from labelgen.feedback.goals import goals_of
from labelgen.model.abstain import abstaining, by_field
from labelgen.model.build import with_labels
from labelgen.model.calibration import Calibration, read_calibration
from labelgen.model.collate import Collator, Goals
from labelgen.model.folder import load_model, model_digest, read_card
from labelgen.model.label_model import LabelModel
from labelgen.model.reading import WINDOW, Read, read
from labelgen.model.unfamiliar import Unfamiliar
from labelgen.nn.rows import LEAST_ROWS
from labelgen.tasks.task import Answers, Task
from labelgen.tensors.layout import Layout
from labelgen.tensors.processor import processor

_AHEAD = 2 * WINDOW
"""Turns whose texts are encoded at once, about; of no influence on what is said."""


class Annotator:
    """A model folder, ready to annotate.

    name: who signs the annotations. labels: label sets that may be decoded, for sources that the model was not trained
    on. precision: `32` or `bf16`; it is part of what the labels depend on and stands in their provenance. calibrated:
    scale probabilities and abstain as the folder's calibration says, where it holds one. domains_from: a field of the record
    that names the domains on offer in a dialogue; only their labels are given. online: each turn is labelled
    from itself and what came before; the calibration, which is of labels that know what came after, is then left aside.

    Raises UsageError for a calibration that was made with another `domains_from`."""

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
    ) -> None:
        model = load_model(folder)
        calibration = read_calibration(folder) if calibrated and not online else None
        if calibration is not None:
            _check_asked_alike(calibration, domains_from, folder)
        self._calibrated = None if calibration is None else by_field(calibration)
        with _one_thread():
            self.model = (with_labels(model, labels) if labels else model).to(device).eval()
            # After the texts of labels were encoded as they are in training.
            self.model.turn_encoder.prepare(torch.bfloat16 if precision == "bf16" else torch.float32)
        self.collator = self.model.collator()
        self.collator.domains_from = domains_from
        self._unfamiliar = Unfamiliar(self.model)
        self.name = name
        self.device = device
        self.precision = precision
        self.online = online
        self.card = read_card(folder)
        # A card that does not say so may be of a model that did.
        self.learnt_from_feedback: bool = self.card.get("learnt_from_feedback", True)
        self.provenance = Provenance(
            model_digest=model_digest(folder),
            data_digest=self.card.get("data_digest"),
            version=__version__,
            torch=str(torch.__version__),
            precision=precision,
            threads=1,
            processor=processor(device),
            online=online or None,
            domains_from=domains_from,
            thresholds=() if calibration is None else calibration.thresholds(),
        )

    def annotate(
        self, dialogues: Sequence[Dialogue], goals_from: str | None = None, root: Path | None = None
    ) -> list[Annotation]:
        """One annotation for each dialogue, in order. goals_from: an annotator in the dialogues whose goals the tasks
        about goals are asked of, in the place of the model's own. root: the folder that audio paths start from."""
        said = annotate(self.model, dialogues, goals_from, root, self._autocast(), self.collator, self.online)
        joined = [
            _joined(self.name, one, dialogue, self.provenance) for one, dialogue in zip(said, dialogues, strict=True)
        ]
        if self._calibrated is None:
            return joined
        return [abstaining(one, self._calibrated, goals_from is not None) for one in joined]

    def refuses(self, source: str | None) -> UsageError | None:
        """Why records of this source cannot be labelled: a task has several label sets, and none is theirs. None where
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
        return told(self.heard, self.unheard)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()


def _check_asked_alike(calibration: Calibration, domains_from: str | None, folder: Path) -> None:
    """Thresholds hold for labels that were chosen from as many."""
    if calibration.domains_from != domains_from:
        made, asked = (
            "without --domains-from" if field is None else f"with --domains-from {field}"
            for field in (calibration.domains_from, domains_from)
        )
        raise UsageError(
            f"the model was calibrated {made}, and is asked {asked}", str(folder), "ask it alike, or calibrate it again"
        )


def annotate(
    model: LabelModel,
    dialogues: Sequence[Dialogue],
    goals_from: str | None = None,
    root: Path | None = None,
    autocast: AbstractContextManager[Any] | None = None,
    collator: Collator | None = None,
    online: bool = False,
) -> list[list[Answers]]:
    """What each task says of each dialogue, in the order of the model's tasks; an empty list for one without turns.
    collator: of this model; it counts what sound it could not read. None makes one. online: turns see no later ones."""
    collator = collator or model.collator()
    said: list[list[Answers]] = [[] for _ in dialogues]
    by_turns: dict[int, list[int]] = {}
    for k, dialogue in enumerate(dialogues):
        if dialogue.turns:
            by_turns.setdefault(len(dialogue.turns), []).append(k)
    training = model.training
    model.eval()
    with torch.inference_mode(), autocast or nullcontext(), _one_thread():
        if model.turn_encoder.prepared:
            model.turn_encoder.memory.expect(tokens.ids for tokens in collator.tokenizer(_texts(dialogues)))
        for run in _runs(by_turns):
            if model.turn_encoder.prepared and len(run) > 1:
                texts = _texts([dialogues[k] for group in run for k in group])
                model.turn_encoder.read_ahead(tokens.ids for tokens in collator.tokenizer(texts))
            for group in run:
                own = _annotate_group(model, collator, [dialogues[k] for k in group], goals_from, root, online)
                for place, one in zip(group, own, strict=True):
                    said[place] = one
    model.train(training)
    return said


def _runs(by_turns: Mapping[int, Sequence[int]]) -> Iterator[list[list[int]]]:
    """Batches of dialogues of one number of turns, by their numbers; those of a run are encoded at once."""
    run: list[list[int]] = []
    held = 0
    for turns, places in sorted(by_turns.items()):
        size = max(1, WINDOW // turns)
        for start in range(0, len(places), size):
            group = list(places[start : start + size])
            if run and held + turns * len(group) > _AHEAD:
                yield run
                run, held = [], 0
            run.append(group)
            held += turns * len(group)
    if run:
        yield run


def _texts(dialogues: Sequence[Dialogue]) -> list[str]:
    return [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.request, turn.response)]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _annotate_group(
    model: LabelModel,
    collator: Collator,
    dialogues: Sequence[Dialogue],
    goals_from: str | None,
    root: Path | None,
    online: bool,
) -> list[list[Answers]]:
    """Dialogues of one exact number of turns; a small group is filled up with copies."""
    turns = len(dialogues[0].turns)
    fill = max(1, -(-LEAST_ROWS // turns)) - len(dialogues)
    filled = [*dialogues, *[dialogues[0]] * max(0, fill)]
    # Copies are there to fill up; their sound need not be read again.
    roots = [root] * len(dialogues) + [None] * max(0, fill)
    divides = any(task.divides for task in model.tasks.values())
    given = tuple(_given_goals(d, goals_from, divides) for d in filled)
    seen = read(model, collator, filled, given, roots, online)
    said: list[list[Answers]] = [[] for _ in filled]
    layout = seen.layout
    ordered = sorted(model.tasks.values(), key=lambda task: not task.divides)
    by_name: dict[str, tuple[Answers, ...]] = {}
    for task in ordered:
        if task.hides_response:
            continue
        decoded = _decode(model, task, seen, layout)
        if task.divides and goals_from is None:
            layout = layout.with_goals(tuple(_labelled_goals(a) for a in decoded))
        by_name[task.name] = decoded
    for name in model.tasks:
        for b, own in enumerate(by_name.get(name, ())):
            said[b].append(own)
    return said[: len(dialogues)]


def _decode(model: LabelModel, task: Task[Any], seen: Read, layout: Layout) -> tuple[Answers, ...]:
    if "goal" in task.units and not task.divides and layout.goal_count == 0:
        return tuple(Answers() for _ in layout.turns)
    return seen.decode(model, task, layout)


def _given_goals(dialogue: Dialogue, annotator: str | None, divides: bool) -> Goals:
    """The annotator's goals; none where the model divides dialogues itself; else provisional ones, as feedback has."""
    if annotator is None:
        return () if divides else tuple(goals_of(dialogue, None)[0])
    annotation = dialogue.annotation(annotator)
    if annotation is None:
        return ()
    return tuple(sorted({label.at.turns for label in annotation.labels if isinstance(label.at, AtGoal)}))


def _labelled_goals(decoded: Answers) -> Goals:
    return tuple(label.at.turns for label in decoded.labels if isinstance(label.at, AtGoal))


def _joined(name: str, said: Sequence[Answers], dialogue: Dialogue, provenance: Provenance) -> Annotation:
    """All tasks together; the value of a span is the text it covers."""
    return Annotation(
        name,
        "model",
        labels=tuple(_with_text(label, dialogue) for one in said for label in one.labels),
        none=tuple(field for one in said for field in one.none),
        none_probabilities=tuple(p for one in said for p in one.none_probabilities),
        provenance=provenance,
    )


def _with_text(label: Label, dialogue: Dialogue) -> Label:
    if isinstance(label.at, AtSpan) and label.value is None:
        text = dialogue.turns[label.at.turn].request[label.at.start : label.at.end]
        return replace(label, value=text)
    return label
