"""The terminal's views: a labeled dialogue, with goals as colored tracks and spans within the request, and the table of an evaluation.

No task is known by name here: labels of goals become tracks, spans are drawn in the request, labels of a turn or the dialogue are
listed. All text of the log is escaped; it can neither move the cursor nor style itself."""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import shorten
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from labelgen.base.terminal import printable
from labelgen.data.dialogue import Dialogue, Feedback, Signal, Step, Turn, steps_if_named
from labelgen.data.labels import (
    Abstained,
    Annotation,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Label,
    NoLabel,
    divides,
)
from labelgen.metrics.results import HUMAN, Evaluation, Interval, SystemRow

NO_BASELINES = "no baselines: give --train"
_TRACKS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red")
_SPANS = ("green", "cyan", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
_MUTED = "bright_black"
_STEP_WIDTH = 60
"""Characters of the arguments and of the result of a step."""
_TELLING = {"success": "green", "good": "green", "failure": "red", "bad": "red"}


@dataclass(frozen=True, slots=True)
class DialogueView:
    """One dialogue as a rich renderable. annotation: whose labels are drawn; None draws the bare log."""

    dialogue: Dialogue
    annotation: Annotation | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        goals = _goals(self.annotation)
        yield _title(self.dialogue, self.annotation)
        for g, at in enumerate(goals):
            yield _legend(g, at, self.annotation)
        yield from _notes(self.dialogue, self.annotation)
        body = options.update(width=max(20, options.max_width - len(goals) - 6))
        for k, turn in enumerate(self.dialogue.turns):
            lines = console.render_lines(_turn(self.dialogue, k, turn, self.annotation), body, pad=False)
            for row, line in enumerate(lines):
                yield from _tracks(goals, k, row == 0)
                number = f"{k:>3}  " if row == 0 else " " * 5
                yield Segment(f" {number}"[:6], Style.parse(_MUTED))
                yield from line
                yield Segment.line()
        if not self.dialogue.turns:
            yield Text("(a dialogue without turns)", _MUTED)


class PlainConsole(Console):
    """A console whose strings, cells of tables too, are shown as they are, made printable: no markup, no emoji names. In a
    notebook it prints text, as the lines around it are, so that their order is kept."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"force_jupyter": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


_PAGE_FORMAT = '<pre style="font-family: monospace; line-height: 1.3; white-space: pre">{code}</pre>'
_PAGE_COLORS = TerminalTheme(
    (255, 255, 255),
    (64, 64, 64),
    [
        (64, 64, 64),
        (200, 40, 40),
        (40, 135, 60),
        (165, 110, 0),
        (45, 100, 200),
        (150, 60, 160),
        (0, 130, 145),
        (96, 96, 96),
    ],
    [
        (128, 128, 128),
        (220, 70, 60),
        (60, 155, 80),
        (185, 130, 20),
        (75, 125, 225),
        (175, 85, 185),
        (20, 150, 165),
        (128, 128, 128),
    ],
)
"""Colors that can be read on white and on black."""


def drawn_html(*parts: RenderableType, width: int = 100) -> str:
    """Drawings such as DialogueView, one below the other, as HTML with the colors of the terminal. width: in characters."""
    with io.StringIO() as nowhere:
        console = _printed(parts, width, nowhere)
        return console.export_html(inline_styles=True, theme=_PAGE_COLORS, code_format=_PAGE_FORMAT)


def drawn_text(*parts: RenderableType) -> str:
    """Drawings as plain text."""
    with io.StringIO() as nowhere:
        return "\n".join(line.rstrip() for line in _printed(parts, 100, nowhere).export_text().splitlines())


def _printed(parts: Sequence[RenderableType], width: int, file: io.StringIO) -> PlainConsole:
    console = PlainConsole(record=True, width=width, file=file, highlight=False)
    for part in parts:
        console.print(part)
    return console


def _goals(annotation: Annotation | None) -> list[AtGoal]:
    """The goals that the annotation names, by their first turn; one column each."""
    goals = {label.at for label in annotation.labels if isinstance(label.at, AtGoal)} if annotation else set()
    return sorted(goals)


def _tracks(goals: Sequence[AtGoal], turn: int, first_line: bool) -> Iterator[Segment]:
    for g, goal in enumerate(goals):
        start, end = goal.turns[0], goal.turns[-1]
        glyph = " "
        if turn in goal.turns and first_line:
            glyph = "●"
        elif start <= turn < end:
            glyph = "┃" if turn in goal.turns else "│"
        yield Segment(glyph, Style.parse(_TRACKS[g % len(_TRACKS)]))


def _title(dialogue: Dialogue, annotation: Annotation | None) -> Text:
    text = Text()
    text.append(printable(dialogue.id), "bold")
    for part in (dialogue.user, dialogue.device, dialogue.source):
        if part is not None:
            text.append(f" · {printable(part)}", _MUTED)
    who = (
        "no labels"
        if annotation is None
        else f"labels by {printable(annotation.annotator)} ({printable(annotation.kind)})"
    )
    text.append(f" · {who}", _MUTED)
    return text


def _legend(g: int, at: AtGoal, annotation: Annotation | None) -> Text:
    """One goal: its turns, its probability, and the other labels at it."""
    assert annotation is not None
    text = Text(f" ● goal {g + 1}: turns {ranges(at.turns)}", _TRACKS[g % len(_TRACKS)])
    for label in annotation.labels:
        if label.at == at:
            if divides(label.task):
                _append_probability(text, label)
            else:
                text.append(f" · {printable(label.task)} ", _MUTED)
                _append_name(text, label)
    for none in annotation.none:
        if none.at == at:
            text.append(" · ", _MUTED).append_text(_none(none))
    for abstained in annotation.abstained:
        if abstained.field.at == at:
            text.append(" · ").append_text(_withheld(abstained))
    return text


def ranges(turns: Sequence[int]) -> str:
    """`0-2 5` for 0, 1, 2, 5."""
    runs = []
    for _, group in groupby(enumerate(turns), key=lambda pair: pair[1] - pair[0]):
        members = [turn for _, turn in group]
        runs.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return " ".join(runs)


def _notes(dialogue: Dialogue, annotation: Annotation | None) -> Iterator[Text]:
    """The labels of the dialogue as a whole."""
    text = Text(" ")
    parts: list[Text] = []
    if annotation is not None:
        parts += [_named(label) for label in annotation.labels if isinstance(label.at, AtDialogue)]
        parts += [_withheld(a) for a in annotation.abstained if isinstance(a.field.at, AtDialogue)]
        if not annotation.labels and not annotation.none and not annotation.abstained:
            parts.append(Text("this annotation is empty", _MUTED))
    parts += [_feedback(feedback) for feedback in dialogue.feedback]
    parts += [_signal(signal) for signal in dialogue.signals if not _places(signal)]
    if parts:
        yield text.append_text(Text(" · ", _MUTED).join(parts))


def _turn(dialogue: Dialogue, k: int, turn: Turn, annotation: Annotation | None) -> Text:
    """Request, response, labels and marks of one turn; one paragraph each."""
    spans = [x for x in annotation.labels if isinstance(x.at, AtSpan) and x.at.turn == k] if annotation else []
    lines = [Text("user  ", "bold").append_text(_request(turn.request, spans))]
    lines.append(Text("reply ", f"bold {_MUTED}").append(printable(turn.response) or "(nothing)", "italic"))
    notes: list[Text] = []
    if annotation is not None:
        here = [label for label in annotation.labels if label.at == AtTurn(k)]
        lines += map(_step, steps_if_named(turn, {label.value for label in here}))
        notes += map(_named, here)
        notes += [_none(none) for none in annotation.none if none.at == AtTurn(k)]
        notes += [_withheld(a) for a in annotation.abstained if a.field.at == AtTurn(k)]
    notes += [_feedback(feedback) for feedback in turn.feedback]
    notes += [_signal(signal) for signal in dialogue.signals if k in _places(signal)]
    if turn.status is not None:
        notes.append(Text(f"status {printable(turn.status)}", _MUTED))
    if notes:
        lines.append(Text("      ").append_text(Text(" · ", _MUTED).join(notes)))
    return Text("\n").join(lines)


def _step(step: tuple[str, Step, bool]) -> Text:
    """One step of the assistant; a label names it as the one that failed, or one of its neighbors."""
    words, one, failing = step
    text = Text("    ✗ " if failing else "      ", "red").append(printable(words), "bold red" if failing else _MUTED)
    for part in (one.arguments, one.result and f"→ {one.result}", one.error):
        if part:
            text.append(f" {shorten(printable(part), _STEP_WIDTH)}", "red" if part is one.error else _MUTED)
    return text


def _request(request: str, spans: Sequence[Label]) -> Text:
    """The request with each span colored and named behind it; spans that lie over others are named at the end."""
    text, at = Text(), 0
    aside: list[Label] = []
    for label in sorted(spans, key=lambda span: (span.at, span.name)):
        assert isinstance(label.at, AtSpan)
        if label.at.start < at or label.at.end > len(request):
            aside.append(label)
            continue
        color = _SPANS[zlib.crc32(label.name.encode("utf-8", "surrogatepass")) % len(_SPANS)]
        text.append(printable(request[at : label.at.start]))
        words = request[label.at.start : label.at.end]
        text.append(printable(words), f"underline {color}")
        text.append(f"‹{printable(label.name)}", color)
        if isinstance(label.value, str) and label.value != words:
            text.append(f"={printable(label.value)}", color)
        _append_probability(text, label)
        text.append("›", color)
        at = label.at.end
    text.append(printable(request[at:]))
    for label in aside:
        assert isinstance(label.at, AtSpan)
        words = printable(request[label.at.start : label.at.end])
        text.append(f"  (also {printable(label.name)}: {words})", _MUTED)
    return text if text.plain else Text("(nothing)", _MUTED)


def _named(label: Label) -> Text:
    text = Text(f"{printable(label.task)} ", _MUTED)
    _append_name(text, label)
    return text


def _none(none: NoLabel) -> Text:
    text = Text(f"no {printable(none.task)}", _MUTED)
    return text if none.probability is None else text.append(f" {none.probability:.2f}", _MUTED)


def _append_name(text: Text, label: Label) -> None:
    text.append(printable(label.name), _TELLING.get(label.name, "bold"))
    if isinstance(label.value, float):
        text.append(f" {round(label.value, 1):g}", _TELLING.get(label.name, ""))
    elif label.value is not None:
        text.append(f" {printable(label.value)}")
    _append_probability(text, label)


def _append_probability(text: Text, label: Label) -> None:
    if label.probability is not None:
        text.append(f" {label.probability:.2f}", _MUTED)


def _withheld(abstained: Abstained) -> Text:
    """A field that was left absent, with the guess that was not good enough."""
    text = Text(f"{printable(abstained.field.task)} withheld", f"italic {_MUTED}")
    for guess in abstained.best:
        place = f" {ranges(guess.at.turns)}" if isinstance(guess.at, AtGoal) and guess.at != abstained.field.at else ""
        text.append(f" ({printable(guess.name)}{place}?", f"italic {_MUTED}")
        _append_probability(text, guess)
        text.append(")", f"italic {_MUTED}")
    return text


def _places(signal: Signal) -> tuple[int, ...]:
    """The turns at which a signal was seen, else those that it speaks of."""
    return signal.evidence or signal.turns


def _signal(signal: Signal) -> Text:
    if signal.span is not None:
        return Text(f"⚐ {printable(signal.kind)}, characters {signal.span[0]} to {signal.span[1]}", "yellow")
    about = f" on {ranges(signal.turns)}" if signal.turns != _places(signal) else ""
    return Text(f"⚐ {printable(signal.kind)} {signal.vote} {signal.strength:.2f}{about}", "yellow")


def _feedback(feedback: Feedback) -> Text:
    text = f"⚑ {printable(feedback.kind)}"
    if feedback.answer is not None:
        text += f" {printable(feedback.answer)}"
    if feedback.rating is not None:
        text += f" {feedback.rating:g}"
        if feedback.scale is not None:
            text += f" of {feedback.scale[0]:g}..{feedback.scale[1]:g}"
    if feedback.about is not None:
        text += f" about {feedback.about}"
    return Text(text, "bright_yellow")


def results_table(evaluation: Evaluation) -> Table:
    """One line for each task and system, in the main metric; one for the first system also where it does not answer.

    Figures have their intervals; `-` stands for a number that is not defined. The ratio is system over human baseline: green where
    the verdict is that the system is better, red where it is worse."""
    caption = f"intervals at {evaluation.setting.level:.0%}" + ("" if evaluation.baselines else f"; {NO_BASELINES}")
    table = Table(caption=caption, caption_justify="left", box=None, pad_edge=False)
    first = list(map(str, evaluation.systems[:1]))
    rows = {task.name: [row for row in task.rows if row.kind != "human"] for task in evaluation.tasks}
    several = len({*first, *(row.system for group in rows.values() for row in group)}) > 1
    table.add_column("task")
    if several:
        table.add_column("system")
    table.add_column("metric")
    for heading in ("value" if several else "model", HUMAN, "ratio"):
        table.add_column(heading, justify="right")
    for task in evaluation.tasks:
        metric = task.main_metric
        human = task.row(HUMAN)
        absent = [SystemRow(system=name, kind="") for name in first if task.row(name) is None]
        for row in (*absent, *rows[task.name]):
            value = Text("not answered", _MUTED) if row in absent else _figure(row.metrics.get(metric))
            ratios = [r for r in task.ratios if (r.system, r.opponent, r.metric) == (row.system, HUMAN, metric)]
            ratio = _figure(ratios[0] if ratios else None)
            verdict = next((one.verdict for one in task.verdicts if one.system == row.system), None)
            if metric == task.main_metric and verdict in ("better", "no_baselines", "worse"):
                ratio.stylize("red" if verdict == "worse" else "green")
            cells = [Text(printable(task.name)), Text(printable(row.system)), Text(printable(metric).replace("_", " "))]
            kept = cells if several else [cells[0], cells[2]]
            table.add_row(*kept, value, _figure(human.metrics.get(metric) if human else None), ratio)
    return table


def _figure(estimate: Interval | None) -> Text:
    """Value and interval, such as `.873 [.851, .894]`."""
    if estimate is None or estimate.value is None:
        return Text("-", _MUTED)
    text = Text(_short(estimate.value))
    if estimate.low is not None and estimate.high is not None:
        text.append(f" [{_short(estimate.low)}, {_short(estimate.high)}]", _MUTED)
    return text


def _short(value: float) -> str:
    """Three decimals without a leading zero."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"
