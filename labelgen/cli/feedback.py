"""labelgen feedback: find the signals in a log, aggregate them into targets, explain targets, and correct misrecognized requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from labelgen.base.options import ARGUMENT, Count
from labelgen.base.terminal import aligned, interval_text
from labelgen.cli.command import Command, ForceOptions, OneLogOptions, open_log, reporting, rewriting
from labelgen.report.terminal import PlainConsole
from labelgen.steps.feedback import (
    AggregateOptions,
    ExplainOptions,
    SignalsOptions,
    TranscribeOptions,
    aggregate,
    curve,
    explain,
    find_signals,
    transcribe,
)

if TYPE_CHECKING:
    from labelgen.verdicts.curve import AnswerCurve


@dataclass(frozen=True, kw_only=True)
class ExplainCommand(ExplainOptions, OneLogOptions):
    dialogue: Annotated[str, ARGUMENT]
    """id of the dialogue"""
    width: Annotated[Count | None, "COLUMNS"] = None
    """width of the drawing; that of the terminal without a value"""


def explain_command(options: ExplainCommand) -> None:
    """Print the drawing and the targets."""
    console = PlainConsole(width=options.width, highlight=False)
    for part in explain(open_log(options), options.dialogue, options):
        console.print(part)


@dataclass(frozen=True, kw_only=True)
class CurveOptions(OneLogOptions, ForceOptions):
    """Show how well labels rank what users said, by the number of answers learned from, and what the next hundred would bring. A record
    without signals gets those that the detectors find."""

    page: Annotated[Path | None, "FILE"] = None
    """HTML file for the curves as pictures"""


def curve_lines(curves: "Sequence[AnswerCurve]", _: Any) -> Iterator[str]:
    """A table for each unit."""
    from labelgen.verdicts.curve import NEXT

    for number, one in enumerate(curves):
        if number:
            yield ""
        areas = (interval_text(area.value, area.low, area.high) for area in one.areas)
        rows = [(f"{size:,}", area) for size, area in zip(one.sizes, areas, strict=True)]
        yield f"{one.unit}s: {one.answers:,} answers of {one.users:,} users"
        yield from aligned([("answers learned from", "AUC of the others (95%)"), *rows], 0)
        if one.gain.value is not None:
            yield f"{NEXT} more answers: {interval_text(one.gain.value, one.gain.low, one.gain.high, form='+.3f')}"


def _page(curves: "Sequence[AnswerCurve]") -> str:
    from labelgen.report.page import render_curves
    from labelgen.verdicts.curve import NEXT

    return render_curves(curves, NEXT)


SIGNALS = rewriting(find_signals, SignalsOptions, "log.jsonl signals.jsonl")
AGGREGATE = rewriting(aggregate, AggregateOptions, "signals.jsonl targets.jsonl --goals anna")
EXPLAIN = Command(ExplainCommand, explain_command, "targets.jsonl d7 --goals anna")
CURVE = reporting(curve, curve_lines, "signals.jsonl --page curve.html", CurveOptions, page=_page)
TRANSCRIBE = rewriting(transcribe, TranscribeOptions, "signals.jsonl transcribed.jsonl")
