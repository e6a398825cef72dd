"""Dialogues that say too much good or bad of a model: it was trained on them, or they were drawn because they are difficult."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import EVIDENCE_HIDDEN, ON_GIVEN_GOALS, Annotation
from labelgen.evaluation.section import kind_of
from labelgen.review.sampling import doubt_strategy

TRAINED_ON = "the model was trained on them"
DIFFICULT = "they were drawn because they are difficult, not by chance (sample.how in the record)"


def trained_on(annotation: Annotation | None) -> bool | None:
    """Whether the annotation is by a model that was trained on the dialogue; None where it does not say."""
    return None if annotation is None or annotation.provenance is None else annotation.provenance.trained_on


def held_out(
    dialogues: Iterable[Dialogue], was_trained_on: Callable[[Dialogue], bool | None]
) -> tuple[list[Dialogue], Counter[str]]:
    """The dialogues on which a claim about new ones can rest, and how many were left out for which reason."""
    kept: list[Dialogue] = []
    left_out: Counter[str] = Counter()
    for dialogue in dialogues:
        if was_trained_on(dialogue):
            left_out[TRAINED_ON] += 1
        elif doubt_strategy(dialogue) is not None:
            left_out[DIFFICULT] += 1
        else:
            kept.append(dialogue)
    return kept, left_out


def annotated_by(dialogues: Sequence[Dialogue], candidates: Sequence[str]) -> list[dict[str, Any]]:
    """For each model among the candidates: how many dialogues it annotated, and of how many it was trained on; None where no
    annotation says. Who was asked once more, in another way, is not counted."""
    rows = []
    for name in candidates:
        kind = kind_of(dialogues, name)
        if kind not in ("model", "llm") or name.endswith((ON_GIVEN_GOALS, EVIDENCE_HIDDEN)):
            continue
        found = [a for d in dialogues if (a := d.annotation(name)) is not None]
        known = [said for a in found if (said := trained_on(a)) is not None]
        rows.append(
            {
                "candidate": name,
                "kind": kind,
                "dialogues": len(found),
                "trained_on": sum(known) if known else None,
            }
        )
    return rows


def drawn(dialogues: Sequence[Dialogue]) -> dict[str, int]:
    """How many dialogues were drawn because they are difficult, by the way of drawing."""
    ways = [how for d in dialogues if (how := doubt_strategy(d)) is not None]
    return {how: ways.count(how) for how in sorted(set(ways))}
