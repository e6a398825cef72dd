"""Who is judged: annotators that a log of predictions or a model brings to the dialogues."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from labelgen.base.errors import InputError
from labelgen.base.progress import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import EVIDENCE_HIDDEN, ON_GIVEN_GOALS, Annotation, AtGoal, divides
from labelgen.evaluation.rivals import PLAIN
from labelgen.evaluation.trials import Setting, people_of
from labelgen.feedback.masking import mask_feedback

_JUDGED = ("model", "llm", "user", "rule")
_REPLACED = ("model", "llm", "rule")
"""Kinds whose earlier answers give way to those of a log of predictions; what people and users said stays."""
_AT_ONCE = 256

Annotate = Callable[[Sequence[Dialogue], str | None], Sequence[Annotation]]
"""Dialogues, and the annotator whose goals are given (None: its own), to one annotation each."""


def join(dialogues: Sequence[Dialogue], predictions: Iterable[Dialogue], against: str) -> list[Dialogue]:
    """The dialogues with the annotations of others under the same id. Who is judged by the predictions is judged by them alone: what
    the log itself has under that name gives way, in every dialogue; people, users and the reference stay as the log has them. Raises InputError
    where no id is shared, or where the requests of one differ: its labels would stand at other words."""
    others = {dialogue.id: dialogue for dialogue in predictions}
    if dialogues and not any(d.id in others for d in dialogues):
        raise InputError(
            "the predictions are of other dialogues: no id is shared", f"id={dialogues[0].id}", "predict this log"
        )
    predicted = {(a.annotator, a.kind) for other in others.values() for a in other.annotations}
    gone = {who for who in predicted if who[0] != against and who[1] in _REPLACED}
    out = []
    for dialogue in dialogues:
        other = others.get(dialogue.id)
        kept = tuple(a for a in dialogue.annotations if (a.annotator, a.kind) not in gone)
        if other is None:
            out.append(replace(dialogue, annotations=kept))
            continue
        if [t.request for t in other.turns] != [t.request for t in dialogue.turns]:
            raise InputError(
                "the predictions were made of other requests", f"dialogue {dialogue.id}", "predict this very log"
            )
        known = {(a.annotator, a.kind) for a in kept}
        new = tuple(a for a in other.annotations if (a.annotator, a.kind) not in known)
        out.append(replace(dialogue, annotations=(*kept, *new)))
    return out


@dataclass(frozen=True, slots=True)
class Judged:
    """A model to be judged. from_feedback: it learned from feedback, so it may have learned to read labels off the evidence."""

    annotate: Annotate
    from_feedback: bool = False


def annotated(dialogues: Sequence[Dialogue], model: Judged, reference: str) -> list[Dialogue]:
    """The dialogues with what a model says of them: once from end to end, and once more about the goals of the
    reference, under a name that says so, where it labels goals. Where the model learned from feedback and a dialogue carries
    evidence of it, both again of the dialogues without it, under names that say so."""
    hidden = [mask_feedback(dialogue) if model.from_feedback else dialogue for dialogue in dialogues]
    carrying = [k for k, dialogue in enumerate(dialogues) if hidden[k] != dialogue]
    seen = _said(dialogues, model.annotate, reference, "annotate")
    unseen = _said([hidden[k] for k in carrying], model.annotate, reference, f"annotate{EVIDENCE_HIDDEN}")
    without = dict(zip(carrying, unseen, strict=True))
    out = []
    for k, dialogue in enumerate(dialogues):
        new = list(seen[k])
        if carrying:
            # Of a dialogue in which there was nothing to hide, a model says the same again.
            new += [replace(a, annotator=a.annotator + EVIDENCE_HIDDEN) for a in without.get(k, seen[k])]
        kept = [a for a in dialogue.annotations if a.annotator not in {n.annotator for n in new}]
        out.append(replace(dialogue, annotations=(*kept, *new)))
    return out


def _said(dialogues: Sequence[Dialogue], annotate: Annotate, reference: str, name: str) -> list[list[Annotation]]:
    """Of each dialogue what a model says from end to end and, where that is anything, about the reference's goals."""
    out = []
    starts = range(0, len(dialogues), _AT_ONCE)
    for start in progress(starts, name, f"times {_AT_ONCE} dialogues", len(starts)):
        group = dialogues[start : start + _AT_ONCE]
        for own, given in zip(annotate(group, None), annotate(group, reference), strict=True):
            told = tuple(x for x in given.labels if not divides(x.task) and isinstance(x.at, AtGoal))
            on_goals = replace(
                given, annotator=own.annotator + ON_GIVEN_GOALS, labels=told, none=(), none_probabilities=()
            )
            out.append([own, on_goals] if told else [own])
    return out


def candidates_of(dialogues: Iterable[Dialogue], setting: Setting) -> tuple[str, ...]:
    """Annotators that can be judged: models first, plain rivals last, each kind in the order of the log. People and the
    reference are not among them."""
    kinds: dict[str, str] = {}
    for dialogue in dialogues:
        people = {a.annotator for a in people_of(dialogue, setting)}
        for annotation in dialogue.annotations:
            if annotation.annotator != setting.against and annotation.annotator not in people:
                kinds.setdefault(annotation.annotator, annotation.kind)
    judged = [name for name, kind in kinds.items() if kind in _JUDGED]
    return tuple(sorted(judged, key=lambda name: (name.startswith(PLAIN), _JUDGED.index(kinds[name]))))
