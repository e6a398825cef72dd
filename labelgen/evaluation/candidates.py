"""Who is judged: annotators that a log of predictions or a model brings to the dialogues."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from labelgen.base.errors import InputError
from labelgen.base.progress import progress
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import GOALS, Annotation, AtGoal
from labelgen.evaluation.baseline import BASELINE
from labelgen.evaluation.trials import Setting, people_of

ON_GIVEN_GOALS = " on the reference's goals"
"""Ends the name of a model that was told the goals and asked about them."""

_JUDGED = ("model", "llm", "user", "rule")
_AT_ONCE = 256

Annotate = Callable[[Sequence[Dialogue], str | None], Sequence[Annotation]]
"""Dialogues, and the annotator whose goals are given (None: its own), to one annotation each."""


def join(dialogues: Sequence[Dialogue], predictions: Iterable[Dialogue]) -> list[Dialogue]:
    """The dialogues with the annotations of others under the same id. Raises InputError where no id is shared, or where
    the requests of one differ: its labels would stand at other words."""
    others = {dialogue.id: dialogue for dialogue in predictions}
    if dialogues and not any(d.id in others for d in dialogues):
        raise InputError(
            "the predictions are of other dialogues: no id is shared", f"id={dialogues[0].id}", "predict this log"
        )
    out = []
    for dialogue in dialogues:
        other = others.get(dialogue.id)
        if other is None:
            out.append(dialogue)
            continue
        if [t.request for t in other.turns] != [t.request for t in dialogue.turns]:
            raise InputError(
                "the predictions were made of other requests", f"dialogue {dialogue.id}", "predict this very log"
            )
        known = {(a.annotator, a.kind) for a in dialogue.annotations}
        new = tuple(a for a in other.annotations if (a.annotator, a.kind) not in known)
        out.append(replace(dialogue, annotations=(*dialogue.annotations, *new)))
    return out


def annotated(dialogues: Sequence[Dialogue], annotate: Annotate, reference: str) -> list[Dialogue]:
    """The dialogues with what a model says of them: once from end to end, and once more about the goals of the
    reference, under a name that says so, where it labels goals."""
    out: list[Dialogue] = []
    starts = range(0, len(dialogues), _AT_ONCE)
    for start in progress(starts, "annotate", f"times {_AT_ONCE} dialogues", len(starts)):
        group = dialogues[start : start + _AT_ONCE]
        for dialogue, own, given in zip(group, annotate(group, None), annotate(group, reference), strict=True):
            told = tuple(x for x in given.labels if x.task != GOALS and isinstance(x.at, AtGoal))
            new = [own]
            if told:
                name = own.annotator + ON_GIVEN_GOALS
                new.append(replace(given, annotator=name, labels=told, none=(), none_probabilities=()))
            kept = [a for a in dialogue.annotations if a.annotator not in {n.annotator for n in new}]
            out.append(replace(dialogue, annotations=(*kept, *new)))
    return out


def candidates_of(dialogues: Iterable[Dialogue], setting: Setting) -> tuple[str, ...]:
    """Annotators that can be judged: models first, the baseline last, each kind in the order of the log. People and the
    reference are not among them."""
    kinds: dict[str, str] = {}
    for dialogue in dialogues:
        people = {a.annotator for a in people_of(dialogue, setting)}
        for annotation in dialogue.annotations:
            if annotation.annotator != setting.against and annotation.annotator not in people:
                kinds.setdefault(annotation.annotator, annotation.kind)
    judged = [name for name, kind in kinds.items() if kind in _JUDGED]
    return tuple(sorted(judged, key=lambda name: (name == BASELINE, _JUDGED.index(kinds[name]))))
