"""labelgen feedback: find the signals in a log, aggregate them into targets, explain targets, choose turns to ask users about, and correct
misrecognized requests."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT, Count
from labelgen.base.terminal import print_lines
from labelgen.cli.command import (
    Command,
    ForceOptions,
    OneLogOptions,
    fresh_log,
    open_log,
    rewriting,
)
from labelgen.feedback.asking import TurnBelief
from labelgen.report.terminal import PlainConsole
from labelgen.steps.feedback import (
    AggregateOptions,
    AskOptions,
    CurveOptions,
    ExplainOptions,
    TranscribeOptions,
    aggregate,
    ask,
    curve,
    explain,
    transcribe,
)
from labelgen.steps.signals import SignalsOptions, find_signals


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


@dataclass(frozen=True, kw_only=True)
class CurveCommand(CurveOptions, OneLogOptions, ForceOptions):
    pass


def curve_command(options: CurveCommand) -> None:
    """Print the curves, and write the page."""
    if options.page is not None:
        fresh_log(options.page, options.force, [options.log])
    print_lines(*curve(open_log(options, [options.log]), options))


SIGNALS = rewriting(
    "feedback signals", find_signals, SignalsOptions, "labelgen feedback signals log.jsonl signals.jsonl"
)
AGGREGATE = rewriting(
    "feedback aggregate",
    aggregate,
    AggregateOptions,
    "labelgen feedback aggregate signals.jsonl targets.jsonl --goals anna",
)
EXPLAIN = Command(
    "feedback explain",
    ExplainCommand,
    explain_command,
    "labelgen feedback explain targets.jsonl d7 --goals anna",
)
ASK = Command("feedback ask", AskCommand, ask_command, "labelgen feedback ask log.jsonl questions.jsonl --budget 200")
CURVE = Command(
    "feedback curve", CurveCommand, curve_command, "labelgen feedback curve signals.jsonl --page curve.html"
)
TRANSCRIBE = rewriting(
    "feedback transcribe",
    transcribe,
    TranscribeOptions,
    "labelgen feedback transcribe signals.jsonl transcribed.jsonl",
)
