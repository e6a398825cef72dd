"""Whether the annotators that were asked for annotated anything."""

from collections.abc import Iterable, Iterator

from labelgen.base.errors import UsageError
from labelgen.data.dialogue import Dialogue

_SHOWN = 20


def with_named(
    dialogues: Iterable[Dialogue], names: Iterable[str | None], option: str, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError at their end where an annotator of these names is in none of them, nor in those
    that lie elsewhere; in no dialogue at all nobody is missed. option: what gave the names."""
    missed = {name for name in names if name is not None}
    # Some logs have an annotator a dialogue; so many are not remembered.
    known: dict[str, None] = {}
    count = 0

    def see(dialogue: Dialogue) -> None:
        for annotation in dialogue.annotations:
            missed.discard(annotation.annotator)
            if len(known) <= _SHOWN:
                known[annotation.annotator] = None

    for dialogue in elsewhere:
        see(dialogue)
    for dialogue in dialogues:
        see(dialogue)
        count += 1
        yield dialogue
    if missed and count:
        told = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise UsageError(
            f"nobody annotated as {', '.join(sorted(missed))}",
            option,
            f"the log's annotators: {told}" if known else "the log has no annotations",
        )
