"""`labelgen simulate`: write a simulated log whose truth is known."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from labelgen.base.errors import UsageError
from labelgen.base.files import fresh_file
from labelgen.base.printable import print_lines
from labelgen.base.progress import progress
from labelgen.base.registry import require
from labelgen.cli.arguments import add_force, parser
from labelgen.data.dialogue import Dialogue
from labelgen.data.log import write_log
from labelgen.simulator.corpus.grown import GrownWorld
from labelgen.simulator.corpus.scripts import read_corpus
from labelgen.simulator.log import Scene, labels, scene
from labelgen.simulator.options import WorldOptions
from labelgen.simulator.sound import write_sound


def main(argv: Sequence[str]) -> int:
    args = parser(
        "simulate",
        "Write a log of a simulated voice assistant, with its truth and four people's annotations, and labels.json\n"
        "beside it. The same seed gives the same bytes; a longer log begins with the shorter one.",
        "labelgen simulate world/log.jsonl --dialogues 2000 --seed 1 --corpus sgd:corpora/sgd/dev",
    )
    args.add_argument("out", help="file to write: .jsonl or .parquet, or - for standard output")
    args.add_argument("--dialogues", type=int, default=1000, help="how many (default %(default)s)")
    args.add_argument("--seed", type=int, default=0, help="of everything random (default %(default)s)")
    args.add_argument(
        "--corpus",
        metavar="FORMAT:PATH",
        help="grow the world from an annotated corpus: its users speak and its assistant answers as in the corpus's "
        "dialogues (default: a small language of its own)",
    )
    args.add_argument(
        "--annotated", type=float, metavar="SHARE", help="share of the dialogues that people annotate (default: all)"
    )
    args.add_argument(
        "--sound",
        type=float,
        nargs="?",
        const=0.3,
        metavar="SHARE",
        help="give this share of the dialogues (0.3 if none is named) a test signal as sound, in sound/ beside the log: "
        "tones that follow the user's mood, no speech",
    )
    args.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of the world, may be repeated: " + ", ".join(f.name for f in fields(WorldOptions)),
    )
    add_force(args)
    given = args.parse_args(argv)
    options = _options(given.option, {"annotated": given.annotated, "sound": given.sound})
    if given.dialogues < 0:
        raise UsageError(f"cannot write {given.dialogues} dialogues", "--dialogues", "give a count of 0 or more")
    if given.out == "-" and options.sound:
        raise UsageError("sound needs a folder beside the log", "--sound", "name a file in place of -")
    out = Path(given.out)
    if given.out != "-":
        fresh_file(out, given.force)
    grown = None if given.corpus is None else _grown(given.corpus)
    scenes = (scene(given.seed, index, options, grown) for index in range(given.dialogues))
    shown = progress(scenes, "simulate", "dialogues", given.dialogues)
    count = write_log(
        given.out,
        _dialogues(shown, out.parent, given.force),
        labels() if grown is None else grown.labels(),
        given.force,
    )
    if given.out != "-":
        print_lines(f"{count:,} dialogues in {out}, label names in {out.parent / 'labels.json'}")
    return 0


def _grown(named: str) -> GrownWorld:
    corpus = read_corpus(named)
    told = "".join(f"; left out: {why}, {count:,}" for why, count in corpus.left_out.most_common())
    print_lines(f"{len(corpus.scripts):,} dialogues of {named} can be retold{told}", file=sys.stderr)
    return GrownWorld(corpus)


def _dialogues(scenes: Iterator[Scene], folder: Path, force: bool) -> Iterator[Dialogue]:
    """Pass the dialogues on, and write the sound of those that have any. Raises UsageError as fresh_file does."""
    for one in scenes:
        if one.voice is not None:
            path = next(turn.audio.path for turn in one.dialogue.turns if turn.audio is not None)
            write_sound(fresh_file(folder / path, force), one.voice)
        yield one.dialogue


def _options(pairs: Sequence[str], named: dict[str, float | None]) -> WorldOptions:
    known = [f.name for f in fields(WorldOptions)]
    values: dict[str, float] = {name: value for name, value in named.items() if value is not None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        require(name, known, "option of the world")
        try:
            values[name] = int(text) if name == "users" else float(text)
        except ValueError as error:
            hint = "write a number" if equals else "write --option NAME=VALUE"
            raise UsageError(f"{text!r} is no value for {name}", f"--option {pair}", hint) from error
    return WorldOptions(**values)  # type: ignore[arg-type]
