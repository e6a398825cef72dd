"""`labelgen feedback report`: a log's signals as one HTML page."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from labelgen.base.errors import InputError
from labelgen.base.files import write_text
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.arguments import add_force, add_reading, fresh_log, open_log, parser
from labelgen.data.log import with_named


def report(argv: Sequence[str]) -> int:
    args = parser(
        "feedback report",
        "Write one HTML page about the signals of a log: counts by kind, vote and domain, how far kinds agree, the rates that\n"
        "em estimates, and the waterfall's posteriors. Find the signals first.",
        "labelgen feedback report signals.jsonl signals.html",
    )
    args.add_argument("log", help="file or folder of records; - reads standard input")
    add_reading(args)
    args.add_argument("out", type=Path, help="the HTML file to write")
    args.add_argument(
        "--goals", metavar="ANNOTATOR", help="outcomes are of this annotator's goals (default: of provisional goals)"
    )
    add_force(args)
    given = args.parse_args(argv)
    fresh_log(str(given.out), given.force, [given.log])
    log = open_log(given)

    from labelgen.feedback.em.method import learn
    from labelgen.feedback.summary import SignalCounts
    from labelgen.report.signals import render_signals, sentence

    counts = SignalCounts()
    fitted = learn(
        counts.watch(with_named(progress(log, "signals", "dialogues"), [given.goals], "--goals"), given.goals)
    )
    summary = counts.summary(fitted)
    if not summary.signals:
        raise InputError(
            f"none of the {summary.dialogues:,} records has a signal",
            given.log,
            "run `labelgen feedback signals` on the log first",
        )
    title = "Signals" if given.log == "-" else f"Signals in {Path(given.log).name}"
    write_text(given.out, render_signals(summary, title, shlex.join(["labelgen", "feedback", "report", *argv])))
    print_lines(sentence(summary), f"wrote {given.out}")
    return 0
