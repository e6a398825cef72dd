"""The step from a log to parts that share no user."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

from labelgen.base.options import WholeNumber
from labelgen.data.dialogue import Dialogue
from labelgen.data.split import Part, Seen, part_of, read_parts
from labelgen.steps.shared import require_rereadable


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Split a log into parts, one file each, by a hash of the user, or of the dialogue if the user is unknown. Copies are left out and
    counted: dialogues of the other parts with the same requests as a dialogue of the first part."""

    parts: Annotated[str, "NAME=SHARE,..."] = "train=0.8,valid=0.1,test=0.1"
    """names of the parts and their shares of the users"""
    seed: WholeNumber = 0
    """seed of the split"""
    keep_copies: bool = False
    """copies kept in every part"""


@dataclass(frozen=True, slots=True)
class Divided:
    """A log that is divided while it is read, once. dialogues: pairs of a part and a dialogue of it. copies: part -> number of copies that
    were left out, complete when the last dialogue was read."""

    parts: tuple[Part, ...]
    dialogues: Iterator[tuple[str, Dialogue]]
    copies: Counter[str] = field(default_factory=Counter)


def divide(dialogues: Iterable[Dialogue], options: SplitOptions) -> Divided:
    """Each dialogue with its part. The dialogues are read twice, unless copies are kept.

    Raises UsageError for shares that do not add up to 1."""
    parts = read_parts(options.parts)
    first = parts[0].name
    if not options.keep_copies:
        require_rereadable(dialogues, "leaving out copies")

    def divided() -> Iterator[tuple[str, Dialogue]]:
        training = (d for d in dialogues if part_of(d, parts, options.seed) == first)
        seen = Seen(() if options.keep_copies else training)
        for dialogue in dialogues:
            part = part_of(dialogue, parts, options.seed)
            if part != first and dialogue in seen:
                made.copies[part] += 1
            else:
                yield part, dialogue

    made = Divided(parts, divided())
    return made
