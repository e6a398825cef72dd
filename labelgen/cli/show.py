"""`labelgen show`: draw labeled dialogues in the terminal."""

from collections.abc import Iterable, Iterator, Sequence

from labelgen.base.errors import UsageError
from labelgen.cli.arguments import add_log, open_log, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation
from labelgen.report.terminal import DialogueView, PlainConsole


def main(argv: Sequence[str]) -> int:
    args = parser(
        "show",
        "Draw labeled dialogues: goals as colored tracks, slots named in the request, probabilities, abstentions.",
        "labelgen show labels/ --count 3 --annotator anna",
    )
    add_log(args)
    args.add_argument("--id", action="append", metavar="ID", help="show this dialogue, may be repeated")
    args.add_argument("--count", type=int, default=3, help="how many, from the first on (default %(default)s)")
    args.add_argument(
        "--annotator", metavar="NAME", help="whose labels to draw (default: a model's, else the first annotation's)"
    )
    args.add_argument("--width", type=int, metavar="COLUMNS", help="width of the drawing (default: the terminal's)")
    given = args.parse_args(argv)
    console = PlainConsole(width=given.width, highlight=False)
    missing = dict.fromkeys(given.id or ())
    annotators: set[str] = set()
    shown = 0
    for dialogue in _chosen(open_log(given), given.id, given.count):
        missing.pop(dialogue.id, None)
        annotators.update(annotation.annotator for annotation in dialogue.annotations)
        if shown:
            console.print()
        console.print(DialogueView(dialogue, _annotation(dialogue, given.annotator)))
        shown += 1
    if missing:
        raise UsageError(
            f"no dialogue {', '.join(missing)} in the log", "--id", "labelgen data stats counts what it has"
        )
    if given.annotator is not None and shown and given.annotator not in annotators:
        known = ", ".join(sorted(annotators)) or "nobody"
        raise UsageError(f"{given.annotator!r} labeled none of these dialogues", "--annotator", f"they are by: {known}")
    return 0


def _chosen(dialogues: Iterable[Dialogue], ids: list[str] | None, count: int) -> Iterator[Dialogue]:
    """Those with the ids, else the first ones; no more of the log is read than is needed."""
    wanted = set(ids or ())
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
