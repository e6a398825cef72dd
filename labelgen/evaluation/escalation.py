"""A model whose uncertain answers are replaced by those of another annotator, judged as one more system."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from labelgen.base.errors import InputError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtDialogue, AtTurn, Field, Label, divides, scope
from labelgen.model.abstain import score


def escalate(
    dialogues: Sequence[Dialogue], systems: Iterable[str], to: str, below: float | None = None
) -> list[Dialogue]:
    """The dialogues with one annotation more for each model among the systems, named `MODEL + TO`. Dialogues that the model did not annotate
    get none.

    Raises InputError where nothing is asked of that annotator."""
    models = [name for name in systems if name != to]
    out, asked = [], False
    for dialogue in dialogues:
        other = dialogue.annotation(to)
        new = []
        for name in models:
            own = dialogue.annotation(name)
            if own is not None and own.kind == "model":
                fields = uncertain(own, below)
                asked = asked or bool(fields and other)
                new.append(replace(filled(own, other, fields), annotator=f"{name} + {to}"))
        out.append(replace(dialogue, annotations=(*dialogue.annotations, *new)))
    if not asked:
        hint = "name an annotator of the log, and a probability by --escalate-below or a model with thresholds"
        raise InputError(f"no model leaves an answer to {to}", "--escalate-to", hint)
    return out


def uncertain(annotation: Annotation, below: float | None = None) -> set[Field]:
    """Fields of turns and of the dialogue that the model abstained from, or whose probability is lower. A division into goals, and what is
    said about its goals, stay the model's."""
    fields: dict[Field, list[Label]] = {}
    for label in annotation.labels:
        fields.setdefault(scope(label), []).append(label)
    found = {abstained.field for abstained in annotation.abstained}
    if below is not None:
        found |= {field for field, labels in fields.items() if (p := score(tuple(labels))) is not None and p < below}
        found |= {none.field for none in annotation.none if none.probability is not None and none.probability < below}
    return {field for field in found if isinstance(field.at, AtTurn | AtDialogue) and not divides(field.task)}


def filled(annotation: Annotation, other: Annotation | None, fields: set[Field]) -> Annotation:
    """The annotation with the other's answers in these fields. Where the other gave none, an answer below the probability stays, and one that
    the model abstained from stays absent. The price is that of both; the other's counts where at least one field is asked."""
    if other is None or not fields:
        return annotation
    answered = {scope(label) for label in other.labels} | {none.field for none in other.none}
    taken = fields & answered
    known = [one.price for one in (annotation, other) if one.price is not None]
    return replace(
        annotation,
        labels=(
            *(x for x in annotation.labels if scope(x) not in taken),
            *(x for x in other.labels if scope(x) in taken),
        ),
        none=(
            *(x for x in annotation.none if x.field not in taken),
            *(x for x in other.none if x.field in taken),
        ),
        abstained=tuple(x for x in annotation.abstained if x.field not in taken),
        price=sum(known) if known else None,
    )
