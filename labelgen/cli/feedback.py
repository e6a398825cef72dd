"""labelgen feedback: find the signals in a log, aggregate them into targets, explain targets, choose turns to ask users about, and correct
misrecognized requests."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.errors import UsageError
from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT, Count
from labelgen.base.terminal import print_lines, progress
from labelgen.cli.command import (
    Command,
    ForceOptions,
    OneLogOptions,
    RewriteOptions,
    fresh_log,
    open_log,
    rewriting,
)
from labelgen.data.log import write_log
from labelgen.feedback.asking import TurnBelief
from labelgen.feedback.posterior import FITTED_METHODS
from labelgen.report.terminal import PlainConsole
from labelgen.steps.feedback import (
    AggregateOptions,
    AskOptions,
    ExplainOptions,
    TranscribeOptions,
    aggregate,
    ask,
    explain,
    transcribe,
)
from labelgen.steps.signals import SignalsOptions, find_signals


@dataclass(frozen=True, kw_only=True)
class AggregateCommand(AggregateOptions, RewriteOptions):
    fit: Annotated[Path | None, "FILE"] = None
    """JSON file for the learned rates of each kind of signal, with --method em"""

    def check(self) -> None:
        """Raises UsageError also for a file of rates where nothing is learned."""
        super().check()
        if self.fit and self.method not in FITTED_METHODS:
            raise UsageError(f"{self.method} learns nothing", "--fit", f"--method {', '.join(FITTED_METHODS)}")


def aggregate_command(options: AggregateCommand) -> None:
    """Write the records, and print how many targets there are."""
    for path in (options.fit, options.out):
        if path:
            fresh_log(path, options.force, [options.log])
    log = open_log(options, [options.log])
    made = aggregate(log, options)
    if options.fit and made.fitted is not None:
        write_text(options.fit, json.dumps(made.fitted.to_plain(), indent=1, ensure_ascii=False) + "\n")
    changed = progress(made.dialogues, "aggregate", "dialogues")
    count = write_log(options.out, changed, log.labels(), options.force)
    print_lines(*made.lines(count), file=sys.stderr if options.out == "-" else sys.stdout)


@dataclass(frozen=True, kw_only=True)
class ExplainCommand(ExplainOptions, OneLogOptions):
    dialogue: Annotated[str, ARGUMENT]
    """id of the dialogue"""
    width: Annotated[Count | None, "COLUMNS"] = None
    """width of the drawing; that of the terminal without a value"""


def explain_command(options: ExplainCommand) -> None:
    """Print the drawing and the targets."""
    console = PlainConsole(width=options.width, highlight=False)
    for part in explain(open_log(options, [options.log]), options.dialogue, options):
        console.print(part)


@dataclass(frozen=True, kw_only=True)
class AskCommand(AskOptions, OneLogOptions, ForceOptions):
    out: Annotated[str, ARGUMENT]
    """output file of JSON Lines in the order of asking, or - for standard output"""


def ask_command(options: AskCommand) -> None:
    """Write the questions, and print their number."""
    fresh_log(options.out, options.force, [options.log])
    asked = ask(open_log(options, [options.log]), options)
    lines = (json.dumps(_question(one), ensure_ascii=False) + "\n" for one in asked.questions)
    if options.out == "-":
        sys.stdout.writelines(lines)
    else:
        write_text(Path(options.out), "".join(lines))
    users = len({one.user or one.dialogue for one in asked.questions})
    print_lines(
        f"{len(asked.questions):,} questions to {users:,} users, of {asked.askable:,} turns in {asked.turns:,} that can be asked about",
        file=sys.stderr if options.out == "-" else sys.stdout,
    )


def _question(belief: TurnBelief) -> dict[str, Any]:
    """One line of the output."""
    numbers = {"good": belief.good, "signals": belief.signals, "model": belief.model}
    rounded = {name: None if value is None else round(value, 4) for name, value in numbers.items()}
    return {"dialogue": belief.dialogue, "turn": belief.turn, "user": belief.user, **rounded}


SIGNALS = rewriting(
    "feedback signals", find_signals, SignalsOptions, "labelgen feedback signals log.jsonl signals.jsonl"
)
AGGREGATE = Command(
    "feedback aggregate",
    AggregateCommand,
    aggregate_command,
    "labelgen feedback aggregate signals.jsonl targets.jsonl --method waterfall --goals anna",
)
EXPLAIN = Command(
    "feedback explain",
    ExplainCommand,
    explain_command,
    "labelgen feedback explain log.jsonl d7 --method waterfall --goals anna",
)
ASK = Command("feedback ask", AskCommand, ask_command, "labelgen feedback ask log.jsonl questions.jsonl --budget 200")
TRANSCRIBE = rewriting(
    "feedback transcribe",
    transcribe,
    TranscribeOptions,
    "labelgen feedback transcribe signals.jsonl transcribed.jsonl",
)
