"""`labelgen show`: draw labeled dialogues in the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from labelgen.base.errors import UsageError
from labelgen.base.options import Count, WholeNumber
from labelgen.cli.command import Command, LogOptions, open_log
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.report.terminal import DialogueView, PlainConsole


@dataclass(frozen=True, kw_only=True)
class ShowOptions(LogOptions):
    """Draw labeled dialogues in the terminal: goals as colored tracks, slots in the request, probabilities, abstentions."""

    id: tuple[str, ...] = ()
    """id of a dialogue to draw"""
    count: WholeNumber = 3
    """number of dialogues to draw, from the first on"""
    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose labels are drawn; without a name a model's, else those of the first annotation"""
    width: Annotated[Count | None, "COLUMNS"] = None
    """width of the drawing; without a value the terminal's"""


def show(options: ShowOptions) -> None:
    """Draw the dialogues."""
    console = PlainConsole(width=options.width, highlight=False)
    missing = dict.fromkeys(options.id)
    annotators: set[str] = set()
    shown = 0
    for dialogue in _chosen(open_log(options, options.log), options.id, options.count):
        missing.pop(dialogue.id, None)
        annotators.update(annotation.annotator for annotation in dialogue.annotations)
        if shown:
            console.print()
        console.print(DialogueView(dialogue, _annotation(dialogue, options.annotator)))
        shown += 1
    if missing:
        raise UsageError(
            f"no dialogue {', '.join(missing)} in the log", "--id", "labelgen data stats counts what it has"
        )
    if options.annotator is not None and shown and options.annotator not in annotators:
        known = ", ".join(sorted(annotators)) or "nobody"
        raise UsageError(
            f"{options.annotator!r} labeled none of these dialogues", "--annotator", f"they are by: {known}"
        )


def _chosen(dialogues: Iterable[Dialogue], ids: Sequence[str], count: int) -> Iterator[Dialogue]:
    """Those with the ids, else the first ones; no more of the log is read than is needed."""
    wanted = set(ids)
    left = len(wanted) if ids else count
    for dialogue in dialogues if left > 0 else ():
        if not ids or dialogue.id in wanted:
            yield dialogue
            left -= 1
            if left == 0:
                return


def _annotation(dialogue: Dialogue, name: str | None) -> Annotation | None:
    if name is not None:
        return dialogue.annotation(name)
    by_model = [a for a in dialogue.annotations if a.kind == "model"]
    return next(iter((*by_model, *dialogue.annotations)), None)


SHOW = Command("show", ShowOptions, show, "labelgen show labels/ --count 3 --annotator anna")
