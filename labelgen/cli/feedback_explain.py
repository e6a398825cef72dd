"""`labelgen feedback explain`: draw one dialogue with its signals, and say where each of its targets comes from."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.padding import Padding
from rich.text import Text

from labelgen.base.errors import UsageError
from labelgen.base.registry import resolve
from labelgen.base.terminal import printable
from labelgen.cli.arguments import add_reading, open_log, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import At, AtDialogue, AtGoal, AtSpan, AtTurn, Target
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method
from labelgen.feedback.signal import with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of
from labelgen.report.terminal import DialogueView, PlainConsole, ranges

_MUTED = "bright_black"


def explain(argv: Sequence[str]) -> int:
    args = parser(
        "feedback explain",
        "Draw one dialogue with its signals (those of the record, else those that the detectors find), and for every goal\n"
        "and turn the probability that it went well, and its targets with where each comes from.",
        "labelgen feedback explain log.jsonl d7 --method waterfall --goals anna",
    )
    args.add_argument("log", help="file or folder of records; - reads standard input")
    args.add_argument("dialogue", help="id of the dialogue")
    add_reading(args)
    args.add_argument("--method", default="waterfall", help=f"{' or '.join(METHODS)} (default %(default)s)")
    args.add_argument(
        "--goals",
        metavar="ANNOTATOR",
        help="outcomes are of this annotator's goals, and the drawing shows these labels (default: of provisional goals)",
    )
    args.add_argument("--width", type=int, metavar="COLUMNS", help="width of the drawing (default: the terminal's)")
    given = args.parse_args(argv)
    if given.method in FITTED_METHODS:
        raise UsageError(
            f"{given.method} learns from a whole log, and explain reads one dialogue of it",
            "--method",
            f"--method {' or '.join(METHODS)}; `labelgen feedback aggregate` says in `origin` how {given.method} made a target",
        )
    method: Method = resolve(METHODS, given.method, "method")
    dialogue = next((d for d in open_log(given) if d.id == given.dialogue), None)
    if dialogue is None:
        raise UsageError(
            f"no dialogue {given.dialogue} in the log",
            given.log,
            f"`labelgen show {given.log} --count 20` draws the first ones, each under its id",
        )
    if given.goals and dialogue.annotation(given.goals) is None:
        known = ", ".join(a.annotator for a in dialogue.annotations) or "nobody"
        raise UsageError(f"nobody annotated {dialogue.id} as {given.goals}", "--goals", f"its annotators: {known}")
    if not dialogue.signals:
        dialogue = with_signals(dialogue)
    targets = feedback_targets(dialogue, dialogue.signals, method, given.goals)
    console = PlainConsole(width=given.width, highlight=False)
    console.print(DialogueView(dialogue, dialogue.annotation(given.goals) if given.goals else None))
    console.print()
    for line in _explained(dialogue, targets):
        console.print(line)
    return 0


def _explained(dialogue: Dialogue, targets: Sequence[Target]) -> Iterator[Text | Padding]:
    """The targets of the whole dialogue, then of its goals, then of its turns; under those of one origin, the origin."""
    if not targets:
        yield Text("no targets: " + ("the evidence cancels out" if dialogue.signals else "there is no signal"), _MUTED)
    for place, own in groupby(sorted(targets, key=lambda target: _place(target.at)), lambda t: _place(t.at)):
        yield Text(_HEADS[place[0]] + ranges(place[1]), "bold")
        for origin, alike in groupby(own, lambda target: target.origin):
            yield from (Padding(_says(dialogue, target), (0, 0, 0, 2), expand=False) for target in alike)
            yield Padding(Text(printable(origin), _MUTED), (0, 0, 0, 4), expand=False)


def _place(at: At) -> tuple[int, tuple[int, ...]]:
    """Which head of _HEADS, and the turns."""
    match at:
        case AtDialogue():
            return 0, ()
        case AtGoal(turns):
            return 1, turns
        case AtTurn(turn) | AtSpan(turn):
            return 2, (turn,)


_HEADS = ("the dialogue", "goal: turns ", "turn ")


def _says(dialogue: Dialogue, target: Target) -> Text:
    """What a target says, how much it weighs, and for a verdict the posterior that it was made from."""
    names = target.distribution or ()
    if target.complement is not None:
        said = f"not {' and '.join(map(printable, target.complement))}"
    elif not names:
        said = "nothing else"
    else:
        said = ", ".join(printable(name) if p == 1.0 else f"{printable(name)} {p:.2f}" for name, p in names)
    text = Text(f"{printable(target.task)} ", _MUTED).append(said, "")
    if isinstance(target.at, AtSpan):
        words = dialogue.turns[target.at.turn].request[target.at.start : target.at.end]
        text.append(f": {printable(words)}").append("" if target.complete else " · others unknown", _MUTED)
    if target.task in VERDICTS:
        text.append(f" · went well {posterior_of(target):.2f}")
    return text.append(f" · weight {target.weight:.2f}", _MUTED)
