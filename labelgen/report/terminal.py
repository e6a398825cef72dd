"""A labeled dialogue drawn for a terminal: goals as colored tracks, spans named within the request.

Nothing here knows a task by name: what is about goals becomes a track, what is about spans is drawn in the request,
what is about a turn or the dialogue is listed. All text of the log is escaped; it can neither move the cursor nor
style itself."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from labelgen.base.printable import printable
from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.evidence import Signal
from labelgen.data.labels import (
    Abstained,
    Annotation,
    AtDialogue,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    divides,
    said_none,
)

_TRACKS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red")
_SPANS = ("green", "cyan", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
_MUTED = "bright_black"
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
    """A console whose strings, cells of tables too, are shown as they are, made printable: no markup, no emoji names."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})


def _goals(annotation: Annotation | None) -> list[AtGoal]:
    """The goals that the annotation names, by their first turn; one column each."""
    found = {label.at for label in annotation.labels if isinstance(label.at, AtGoal)} if annotation else set()
    return sorted(found)


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
    """One goal: its turns, how sure it is, and what else is said of it."""
    assert annotation is not None
    text = Text(f" ● goal {g + 1}: turns {ranges(at.turns)}", _TRACKS[g % len(_TRACKS)])
    for label in annotation.labels:
        if label.at == at:
            if divides(label.task):
                _append_probability(text, label)
            else:
                text.append(f" · {printable(label.task)} ", _MUTED)
                _append_name(text, label)
    for field, probability in said_none(annotation):
        if field.at == at:
            text.append(" · ", _MUTED).append_text(_none(field, probability))
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
    """What is said of the dialogue as a whole."""
    text = Text(" ")
    parts: list[Text] = []
    if annotation is not None:
        parts += [_named(label) for label in annotation.labels if isinstance(label.at, AtDialogue)]
        parts += [_withheld(a) for a in annotation.abstained if isinstance(a.field.at, AtDialogue)]
        if not annotation.labels and not annotation.none and not annotation.abstained:
            parts.append(Text("this annotation says nothing", _MUTED))
    parts += [_feedback(feedback) for feedback in dialogue.feedback]
    parts += [_signal(signal) for signal in dialogue.signals if not _places(signal)]
    if parts:
        yield text.append_text(Text(" · ", _MUTED).join(parts))


def _turn(dialogue: Dialogue, k: int, turn: Turn, annotation: Annotation | None) -> Text:
    """Request, response, labels and marks of one turn; one paragraph each."""
    spans = [x for x in annotation.labels if isinstance(x.at, AtSpan) and x.at.turn == k] if annotation else []
    lines = [Text("user  ", "bold").append_text(_request(turn.request, spans))]
    lines.append(Text("reply ", f"bold {_MUTED}").append(printable(turn.response) or "(nothing)", "italic"))
    said: list[Text] = []
    if annotation is not None:
        said += [_named(label) for label in annotation.labels if label.at == AtTurn(k)]
        said += [_none(field, p) for field, p in said_none(annotation) if field.at == AtTurn(k)]
        said += [_withheld(a) for a in annotation.abstained if a.field.at == AtTurn(k)]
    said += [_feedback(feedback) for feedback in turn.feedback]
    said += [_signal(signal) for signal in dialogue.signals if k in _places(signal)]
    if turn.status is not None:
        said.append(Text(f"status {printable(turn.status)}", _MUTED))
    if said:
        lines.append(Text("      ").append_text(Text(" · ", _MUTED).join(said)))
    return Text("\n").join(lines)


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


def _none(field: Field, probability: float | None) -> Text:
    text = Text(f"no {printable(field.task)}", _MUTED)
    return text if probability is None else text.append(f" {probability:.2f}", _MUTED)


def _append_name(text: Text, label: Label) -> None:
    text.append(printable(label.name), _TELLING.get(label.name, "bold"))
    if isinstance(label.value, float):
        text.append(f" {round(label.value, 1):g}", _TELLING.get(label.name, ""))
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
