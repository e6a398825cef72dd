"""The steps from a log to targets: find signals, aggregate and explain them, and correct requests."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from labelgen.base.errors import InputError, UsageError
from labelgen.base.options import Choices, Share
from labelgen.base.registry import resolve
from labelgen.base.terminal import aligned, printable, progress
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import GOALS, UNIT_OF, At, AtDialogue, AtGoal, AtSpan, AtTurn, Target, language_of
from labelgen.data.log import Log, require_annotators
from labelgen.feedback.cues import GROUPS_OF_SIGNALS, missing_signals
from labelgen.feedback.detectors import DETECTORS
from labelgen.feedback.items import (
    METHODS,
    FeedbackItem,
    Method,
    Posterior,
    dialogue_items,
    items_of,
    judging,
    rules,
    turn_items,
)
from labelgen.feedback.signal import USER, signals_of, user_annotation, with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of
from labelgen.report.terminal import DialogueView, ranges
from labelgen.steps.shared import Changed, place_of, require_rereadable

if TYPE_CHECKING:
    from labelgen.verdicts.curve import AnswerCurve

_AT_ONCE = 128
_ENCODED_AT_ONCE = 64
"""Dialogues whose texts are encoded together."""
_MUTED = "bright_black"


@dataclass(frozen=True, kw_only=True)
class SignalsOptions:
    """Find signals: write each record with the signals that the detectors find in it. They replace earlier signals."""

    kind: Annotated[tuple[str, ...], Choices("signal", DETECTORS), "KIND"] = ()
    """detector to run; all without a value"""


def find_signals(
    dialogues: Iterable[Dialogue],
    options: SignalsOptions,
    functions: Sequence[Callable[[Dialogue], Iterable[Signal]]] = (),
) -> Changed:
    """The dialogues with the signals that the detectors and these functions find."""

    def found() -> Iterator[Dialogue]:
        languages: Counter[str] = Counter()
        waiting = iter(dialogues)
        while group := list(islice(waiting, _ENCODED_AT_ONCE)):
            for dialogue, signals in zip(group, signals_of(group, kinds), strict=True):
                languages[language_of(dialogue.locale)] += 1
                more = (signal for function in functions for signal in function(dialogue))
                result = replace(dialogue, signals=(*signals, *more))
                made.counts.update((s.kind, "explicit" if s.explicit else "implicit", s.vote) for s in result.signals)
                yield result
        made.after.extend(_without_phrases(languages))
        if "reaction" in kinds:
            made.after.extend(_without_encoder())

    kinds = tuple(options.kind or DETECTORS)
    made = Changed(found(), "signals", ("kind", "feedback", "vote"))
    return made


def _without_encoder() -> Iterator[str]:
    from labelgen.features.pretrained import INSTALL, offline_weights

    if offline_weights() is None:
        yield f"no signals of kind reaction, which need an encoder: {INSTALL}"


def _without_phrases(languages: Counter[str]) -> Iterator[str]:
    """A line for each language that lacks phrases. languages: number of dialogues of each."""
    for language, count in sorted(languages.items()):
        if lacking := missing_signals(language):
            known = "has no phrases" if len(lacking) == len(GROUPS_OF_SIGNALS) else "has few phrases"
            dialogues = f"{count:,} dialogue{'s' if count != 1 else ''}"
            yield (
                f"language {language!r} of {dialogues} {known}: no signals from words of {', '.join(lacking)}; "
                "recorded feedback, times, steps and repeated requests are read"
            )


@dataclass(frozen=True, kw_only=True)
class _GoalsOptions:
    """The goals that get outcomes."""

    goals: Annotated[str | None, "ANNOTATOR"] = None
    """annotator whose goals get the outcomes; provisional goals without a value"""


@dataclass(frozen=True, kw_only=True)
class AggregateOptions(_GoalsOptions):
    """Aggregate signals into targets: write each record with targets made from its signals. They replace earlier targets. Run labelgen
    feedback signals first. Prints how often each kind of signal votes good or bad, how often other kinds agree, and the mean probability
    that it went well."""

    method: Annotated[str, Choices("method", METHODS)] = "em"
    """method that turns signals into probabilities: em learns from the log and from what was said, waterfall are the rules"""
    learn: Annotated[Path | None, "LOG"] = None
    """log with signals that the method learns from, such as that of the training part; the log itself without a value"""
    explicit_only: bool = False
    """restriction to explicit signals: answers and ratings of users"""
    implicit_only: bool = False
    """restriction to implicit signals: the behavior of users"""
    answers: bool = False
    """also write what users said themselves as annotations by `user`: thumbs, ratings and answers become labels of quality, to evaluate
    with (--reference user) where nobody else judged the log; users who say something are no fair sample of all"""

    def check(self) -> None:
        """Raises UsageError for options that exclude each other."""
        if self.explicit_only and self.implicit_only:
            what = "--explicit-only and --implicit-only exclude each other"
            raise UsageError(what, "the command line", "give one of them, or none")

    def select(self, signals: Sequence[Signal]) -> list[Signal]:
        """The signals that explicit_only or implicit_only select."""
        return [s for s in signals if not (self.implicit_only if s.explicit else self.explicit_only)]


def aggregate(dialogues: Iterable[Dialogue], options: AggregateOptions) -> Changed:
    """The dialogues with their targets. They are read twice, unless the method learns from another log.

    Raises InputError after the last dialogue if no dialogue has a signal."""
    learned_from = dialogues if options.learn is None else Log([options.learn])
    require_rereadable(learned_from, f"--method {options.method}")

    def items() -> Iterator[FeedbackItem]:
        for dialogue in _with_some_signal(learned_from):
            yield from items_of(dialogue, options.select(dialogue.signals), options.goals)

    method: Method = resolve(METHODS, options.method, "method")(items())
    summary = SignalSummary()

    def aggregated() -> Iterator[Dialogue]:
        read = require_annotators(_with_some_signal(dialogues), [options.goals], "--goals")
        for dialogue, found in _judged(read, method, options):
            signals = options.select(dialogue.signals)
            targets = feedback_targets(dialogue, signals, partial(_known, found), options.goals)
            made.counts.update((t.task, UNIT_OF[type(t.at)], _summary(t)) for t in targets)
            summary.add(dialogue, signals, targets, options.goals)
            result = replace(dialogue, targets=targets)
            yield with_user_answers(result) if options.answers else result
        made.before.extend([*aligned([SUMMARY_HEADS, *summary.rows()], 3), ""])

    made = Changed(aggregated(), "targets", ("task", "unit", "target"), before=_learned(method))
    return made


def _known(found: list[Posterior | None], _: Sequence[FeedbackItem]) -> list[Posterior | None]:
    """A Method for items whose posteriors are known."""
    return found


def _judged(
    dialogues: Iterable[Dialogue], method: Method, options: AggregateOptions
) -> Iterator[tuple[Dialogue, list[Posterior | None]]]:
    """Each dialogue with the posteriors of its items, in their order; many dialogues are judged at once."""
    waiting = iter(dialogues)
    while group := list(islice(waiting, _AT_ONCE)):
        items = [list(items_of(d, options.select(d.signals), options.goals)) for d in group]
        found = iter(method([item for of_dialogue in items for item in of_dialogue]))
        yield from ((d, list(islice(found, len(own)))) for d, own in zip(group, items, strict=True))


def _learned(method: Method) -> list[str]:
    """What a method learned of each kind of signal, as lines for people; none of one that learns nothing."""
    from labelgen.verdicts.estimate import LogEstimate
    from labelgen.verdicts.witnesses import SILENT

    if not isinstance(method, LogEstimate):
        return []
    rows = [
        (unit, key, f"{rate.times:,}", f"{rate.agreement:.0%}", f"{rate.nats:+.2f}")
        for unit, one in method.units.items()
        for key, rate in sorted(one.rates.rates.items())
        if not key.endswith(SILENT)
    ]
    lines = aligned([("unit", "signal", "items", "agreement", "log-odds"), *rows], 2)
    for unit, one in method.units.items():
        lines.append(
            f"em takes {one.good:.1%} of {one.items:,} {unit}s to be good; users answered about {one.answered:,}"
        )
        lines += [
            f"{key} is switched off for {unit}s: on this log it is no better than chance"
            for key in one.rates.switched_off()
        ]
    return [*lines, ""] if method.units else ["no signal votes: nothing to learn", ""]


def _with_some_signal(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """The dialogues. Raises InputError after the last one if there are dialogues, and none has a signal."""
    count = signals = 0
    for dialogue in dialogues:
        count += 1
        signals += len(dialogue.signals)
        yield dialogue
    if count and not signals:
        hint = "run `labelgen feedback signals` on the log first"
        raise InputError(f"none of the {count:,} records has a signal", place_of(dialogues), hint)


def _summary(target: Target) -> str:
    """The most probable name of an exclusive task; for other tasks, whether the named labels apply, and for pairs of turns, whether
    they serve one goal."""
    if target.complement is not None:
        return "not this"
    names = target.distribution or ()
    if not names:
        return "nothing else"
    if target.task == GOALS:
        return "same goal" if names[0][1] > 0.5 else "new goal?"
    return max(names, key=lambda pair: pair[1])[0] if len(names) > 1 and target.task in VERDICTS else "this"


def with_user_answers(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the annotation of its user, if the user said something."""
    others = tuple(one for one in dialogue.annotations if one.annotator != USER)
    answers = user_annotation(dialogue)
    return replace(dialogue, annotations=others if answers is None else (*others, answers))


def add_user_answers(dialogues: Iterable[Dialogue]) -> Changed:
    """The dialogues with the annotations of their users."""

    def answered() -> Iterator[Dialogue]:
        for dialogue in map(with_user_answers, dialogues):
            annotation = dialogue.annotation(USER)
            if annotation is not None:
                made.counts.update((UNIT_OF[type(label.at)], label.name) for label in annotation.labels)
            yield dialogue

    made = Changed(answered(), "answers", ("unit", "answer"))
    return made


# Explanation.


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(_GoalsOptions):
    """Explain targets: draw one dialogue with its signals, and for each goal and turn print the probability that it went well, its
    targets and their origins. A record without targets gets those of the rules, by its signals, else by those that the detectors
    find. With a model, its labels and the reason of each."""

    model: Annotated[Path | None, "FOLDER"] = None
    """model whose labels are explained too"""


def explain(dialogues: Iterable[Dialogue], name: str, options: ExplainOptions) -> Iterator[RenderableType]:
    """The drawing of a dialogue, an empty line, and its targets.

    Raises UsageError for a dialogue that is not in the log, and for goals that it does not have."""
    dialogue = next((d for d in dialogues if d.id == name), None)
    if dialogue is None:
        where = place_of(dialogues)
        hint = f"`labelgen show {where} --count 20` draws the first ones, each under its id"
        raise UsageError(f"no dialogue {name} in the log", where, hint)
    if options.goals and dialogue.annotation(options.goals) is None:
        known = ", ".join(a.annotator for a in dialogue.annotations) or "nobody"
        raise UsageError(f"nobody annotated {dialogue.id} as {options.goals}", "--goals", f"its annotators: {known}")
    dialogue = _with_signals(dialogue)
    targets = dialogue.targets or feedback_targets(dialogue, dialogue.signals, rules(), options.goals)
    yield DialogueView(dialogue, dialogue.annotation(options.goals) if options.goals else None)
    yield ""
    yield from _explained(dialogue, targets)
    if options.model is not None:
        from labelgen.model.annotate import reasons
        from labelgen.model.folder import load_model

        yield Text(f"labels of {options.model}, before calibration", "bold")
        for label, reason in reasons(load_model(options.model), dialogue, getattr(dialogues, "folder", None)):
            place = _HEADS[_place_at(label.at)[0]] + ranges(_place_at(label.at)[1])
            probability = "" if label.probability is None else f" {label.probability:.2f}"
            yield Padding(
                Text(f"{label.task} of {place.strip()}: {label.name}{probability}"), (0, 0, 0, 2), expand=False
            )
            yield Padding(Text(printable(reason), _MUTED), (0, 0, 0, 4), expand=False)


def _with_signals(dialogue: Dialogue) -> Dialogue:
    """The dialogue with its signals; without any, with those that the detectors find."""
    return dialogue if dialogue.signals else with_signals(dialogue)


def _explained(dialogue: Dialogue, targets: Sequence[Target]) -> Iterator[Text | Padding]:
    """The targets of the dialogue, then of its goals, then of its turns; the origin follows the targets that share it."""
    if not targets:
        yield Text("no targets: " + ("the evidence cancels out" if dialogue.signals else "there is no signal"), _MUTED)
    for place, group in groupby(sorted(targets, key=_place), _place):
        yield Text(_HEADS[place[0]] + ranges(place[1]), "bold")
        for origin, alike in groupby(group, lambda target: target.origin):
            yield from (Padding(_target_text(dialogue, target), (0, 0, 0, 2), expand=False) for target in alike)
            yield Padding(Text(printable(origin), _MUTED), (0, 0, 0, 4), expand=False)


def _place(target: Target) -> tuple[int, tuple[int, ...]]:
    """Index of a heading in _HEADS, and the turns."""
    place, turns = _place_at(target.at)
    return (2 if place == 1 and target.task == GOALS else place), turns


def _place_at(at: At) -> tuple[int, tuple[int, ...]]:
    match at:
        case AtDialogue():
            return 0, ()
        case AtGoal(turns):
            return 1, turns
        case AtTurn(turn) | AtSpan(turn):
            return 3, (turn,)


_HEADS = ("the dialogue", "goal: turns ", "pair: turns ", "turn ")


def _target_text(dialogue: Dialogue, target: Target) -> Text:
    """The labels of a target and its weight; for a verdict, also the posterior."""
    names = target.distribution or ()
    if target.complement is not None:
        labels = f"not {' and '.join(map(printable, target.complement))}"
    elif not names:
        labels = "nothing else"
    else:
        labels = ", ".join(printable(name) if p == 1.0 else f"{printable(name)} {p:.2f}" for name, p in names)
    text = Text(f"{printable(target.task)} ", _MUTED).append(labels, "")
    if isinstance(target.at, AtSpan):
        words = dialogue.turns[target.at.turn].request[target.at.start : target.at.end]
        text.append(f": {printable(words)}").append("" if target.complete else " · others unknown", _MUTED)
    if target.task in VERDICTS:
        text.append(f" · went well {posterior_of(target):.2f}")
    return text.append(f" · weight {target.weight:.2f}", _MUTED)


# Transcriptions.


@dataclass(frozen=True, kw_only=True)
class TranscribeOptions:
    """Correct misrecognized requests: write each record with one more annotation, the most probable words of each request. They are
    chosen from the recognizer's n-best list and from later requests that repeat it; docs/how-to/values.md."""

    threshold: Share = 0.0
    """probability below which a request is left open"""
    annotator: Annotated[str, "NAME"] = "transcriber"
    """annotator name written to the output"""

    def check(self) -> None:
        """Raises UsageError without an annotator name."""
        if not self.annotator:
            raise UsageError("labels need an annotator name", "--annotator", "give a name")


def transcribe(dialogues: Iterable[Dialogue], options: TranscribeOptions) -> Changed:
    """The dialogues with their corrected requests. They are read twice."""
    from labelgen.feedback.transcription import KIND, LogStatistics, corrected_requests

    require_rereadable(dialogues, "transcribe")
    statistics = LogStatistics()
    for dialogue in dialogues:
        statistics.add(dialogue)

    def corrected() -> Iterator[Dialogue]:
        for dialogue in dialogues:
            signals = _with_signals(dialogue).signals
            corrections = corrected_requests(dialogue, signals, statistics, options.threshold, options.annotator)
            made.counts.update((label.origin or "",) for label in corrections.labels)
            made.counts.update(("left open",) for _ in corrections.abstained)
            others = (a for a in dialogue.annotations if (a.annotator, a.kind) != (corrections.annotator, KIND))
            yield replace(dialogue, annotations=(*others, corrections))

    made = Changed(corrected(), "requests", ("from",))
    return made


SUMMARY_HEADS = ("unit", "signal", "vote", "items", "agree", "went well")


class SignalSummary:
    """Counts of votes on goals, turns and dialogues, added up dialogue by dialogue."""

    def __init__(self) -> None:
        # Items, votes of other kinds, those that are the same, items with a posterior, sum of the posteriors.
        self._sums: defaultdict[tuple[str, str, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(5))

    def add(
        self, dialogue: Dialogue, signals: Sequence[Signal], targets: Sequence[Target], annotator: str | None
    ) -> None:
        """Count the items of a dialogue. annotator: whose goals, where it has them."""
        good = {target.at: posterior_of(target) for target in targets if target.task in VERDICTS}
        for item in items_of(dialogue, signals, annotator):
            votes = {(signal.kind, signal.vote) for signal in judging(item.signals)}
            posterior = good.get(item.at)
            for kind, vote in votes:
                others = [other_vote for other, other_vote in votes if other != kind]
                known = (0.0, 0.0) if posterior is None else (1.0, posterior)
                self._sums[UNIT_OF[type(item.at)], kind, vote] += (1, len(others), others.count(vote), *known)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each unit, kind and vote, as SUMMARY_HEADS. agree: share of the votes by other kinds on the same items
        that are the same."""
        for key, (items, others, same, known, good) in sorted(self._sums.items()):
            agree = f"{same / others:.0%}" if others else "-"
            yield (*key, f"{items:,.0f}", agree, f"{good / known:.0%}" if known else "-")


# What more answers would bring.


def curve(dialogues: Iterable[Dialogue], _: object = None) -> "list[AnswerCurve]":
    """How well labels rank what users said, by the number of answers learned from, for turns and for dialogues.

    Raises InputError where users answered about too few items."""
    from labelgen.verdicts.curve import LEAST_JUDGED, answer_curves

    def items() -> Iterator[FeedbackItem]:
        for dialogue in map(_with_signals, dialogues):
            yield from turn_items(dialogue, dialogue.signals)
            yield from dialogue_items(dialogue, dialogue.signals)

    curves = list(answer_curves(items(), partial(progress, name="feedback curve", unit="rounds")))
    if not curves:
        what = f"users said good and bad about fewer than {2 * LEAST_JUDGED} turns and dialogues"
        raise InputError(what, place_of(dialogues), "ask more users whether they were served")
    return curves
