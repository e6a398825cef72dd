"""What a model is unsure of: how probable it is that each of its answers is wrong.

An answer to a field is right where all of it is right, so its doubt is 1 minus the product of its probabilities; an answer
without a probability raises no doubt."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, Field, Label, said_none, scope


@dataclass(frozen=True, slots=True)
class Doubt:
    """names: of the best guess, sorted, () for "none here". doubt: probability that the guess is wrong. withheld: it was
    below the threshold."""

    field: Field
    names: tuple[str, ...]
    doubt: float
    withheld: bool


def reviewed(dialogue: Dialogue, model: str | None) -> Annotation | None:
    """The annotation to be looked at: by the annotator of that name, else by the first of kind `model`."""
    of = (a for a in dialogue.annotations if (a.kind == "model" if model is None else a.annotator == model))
    return next(of, None)


def doubts(annotation: Annotation) -> Iterator[Doubt]:
    """One for each field that the annotation answers or withholds."""
    answers: dict[Field, list[Label]] = {}
    for label in annotation.labels:
        answers.setdefault(scope(label), []).append(label)
    for field, labels in answers.items():
        yield _doubt(field, labels, withheld=False)
    for field, probability in said_none(annotation):
        yield Doubt(field, (), 0.0 if probability is None else 1.0 - probability, withheld=False)
    for left in annotation.abstained:
        yield _doubt(left.field, left.best, withheld=True)


def _doubt(field: Field, labels: Sequence[Label], withheld: bool) -> Doubt:
    # Of a withheld field without a guess nothing is known, which is doubt as great as it gets.
    sure = (
        0.0 if withheld and not labels else math.prod(1.0 if x.probability is None else x.probability for x in labels)
    )
    return Doubt(field, tuple(sorted({x.name for x in labels})), 1.0 - sure, withheld)
