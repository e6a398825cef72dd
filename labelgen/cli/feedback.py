"""labelgen feedback: find the signals in a log, aggregate them into targets, explain targets, choose turns to ask users about, correct
misrecognized requests, and report on signals."""

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec.structs import replace
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from labelgen.base.errors import InputError, UsageError
from labelgen.base.files import write_text
from labelgen.base.options import ARGUMENT, Choices, Count, Share, WholeNumber
from labelgen.base.process import command_line
from labelgen.base.registry import resolve
from labelgen.base.terminal import print_lines, printable, progress
from labelgen.cli.command import (
    Command,
    ForceOptions,
    LogOptions,
    OneLogOptions,
    RewriteOptions,
    fresh_log,
    open_log,
    rewriting,
)
from labelgen.data.dialogue import Dialogue, Signal
from labelgen.data.labels import GOALS, UNIT_OF, AtDialogue, AtGoal, AtSpan, AtTurn, Target
from labelgen.data.log import Log, require_annotators, write_log
from labelgen.feedback.answers import USER, user_annotation
from labelgen.feedback.asking import STRATEGIES, Question, TurnBelief, choose, turn_beliefs
from labelgen.feedback.items import FeedbackItem, items_of, turn_items
from labelgen.feedback.learned import train
from labelgen.feedback.posterior import FITTED_METHODS, METHODS, Method
from labelgen.feedback.signal import with_signals
from labelgen.feedback.targets import VERDICTS, feedback_targets, posterior_of
from labelgen.report.terminal import DialogueView, PlainConsole, ranges
from labelgen.steps.changed import Counts, aligned
from labelgen.steps.signals import SignalsOptions, find_signals

if TYPE_CHECKING:
    from labelgen.feedback.em.method import EmMethod

ANNOTATOR = "transcriber"
"""Annotator name of corrected requests."""

DISAGREEMENT = 0.25
"""Signals and model disagree if their probabilities differ by at least this much."""

_ALL_METHODS = (*METHODS, *FITTED_METHODS)
_MOST_POOLS = 12
_MUTED = "bright_black"


@dataclass(frozen=True, kw_only=True)
class _GoalsOptions:
    """The goals that get outcomes."""

    goals: Annotated[str | None, "ANNOTATOR"] = None
    """annotator whose goals get the outcomes; provisional goals without a value"""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a command wrote. counts: number of `what` by the values of `heads`; before, after: lines around their table."""

    dialogues: int
    what: str
    heads: tuple[str, ...]
    counts: Counts
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All of it for people."""
        rows = [(*self.heads, "count"), *((*key, f"{n:,}") for key, n in sorted(self.counts.items()))]
        total = f"{sum(self.counts.values()):,} {self.what} in {self.dialogues:,} dialogues"
        return [*self.before, *aligned(rows, len(self.heads)), total, *self.after]


def _rewrite(
    options: RewriteOptions,
    log: Log,
    dialogues: Iterable[Dialogue],
    change: Callable[[Dialogue, Counts], Dialogue],
    what: str,
    heads: tuple[str, ...],
) -> Rewritten:
    """Write each dialogue as `change` returns it, which counts what it adds."""
    fresh_log(options.out, options.force, [options.log])
    counts: Counts = Counter()
    changed = (change(dialogue, counts) for dialogue in dialogues)
    count = write_log(options.out, progress(changed, "feedback", "dialogues"), log.labels(), options.force)
    return Rewritten(count, what, heads, counts)


def _print(out: str, lines: Sequence[str]) -> None:
    """Print lines to standard output, or to standard error if the records go to standard output."""
    print_lines(*lines, file=sys.stderr if out == "-" else sys.stdout)


# Learned detectors


@dataclass(frozen=True, kw_only=True)
class LearnOptions(LogOptions, ForceOptions):
    """Learn a detector: a logistic regression on words of turns, from the explicit feedback in logs (answers and ratings of users). Give
    logs of other assistants than the one you will run it on; words of at least two logs count."""

    out: Path
    """output JSON file, for labelgen feedback signals --learned"""


def learn(options: LearnOptions) -> None:
    """Write the detector, and print what it learned from."""
    fresh_log(options.out, options.force, options.log)
    logs = {path: iter(progress(open_log(options, [path]), path, "dialogues")) for path in options.log}
    detector = train(logs)
    write_text(options.out, detector.to_json())
    rows = [("log", "dialogues", "turns with feedback", "bad")]
    rows += [(log.log, f"{log.dialogues:,}", f"{log.examples:,}", f"{log.bad:.1%}") for log in detector.trained_on]
    print_lines(
        *aligned(rows, 1),
        f"{len(detector.words):,} words; log-odds times {detector.transfer:.2f} by the log where they hold worst; wrote {options.out}",
    )


# Aggregation


@dataclass(frozen=True, kw_only=True)
class AggregateOptions(RewriteOptions, _GoalsOptions):
    """Aggregate signals into targets: write each record with targets made from its signals. They replace earlier targets. Run labelgen
    feedback signals first."""

    method: Annotated[str, Choices("method", _ALL_METHODS)] = "waterfall"
    """method that turns signals into probabilities; em learns from the log"""
    explicit_only: bool = False
    """restriction to explicit signals: answers and ratings of users"""
    implicit_only: bool = False
    """restriction to implicit signals: the behavior of users"""
    fit: Annotated[Path | None, "FILE"] = None
    """JSON file for the learned rates of each kind of signal, with --method em"""
    no_anchors: bool = False
    """learning without people's annotations in the log, with --method em"""
    no_pool: bool = False
    """learning without other users who got the same response, and without the assistant's confidence, with --method em"""

    def check(self) -> None:
        """Raises UsageError for options that exclude each other."""
        if self.explicit_only and self.implicit_only:
            raise UsageError(
                "--explicit-only and --implicit-only exclude each other",
                "the command line",
                "give one of them, or none",
            )
        if self.method not in FITTED_METHODS and (self.fit or self.no_anchors or self.no_pool):
            raise UsageError(
                f"{self.method} learns nothing",
                "--fit, --no-anchors, --no-pool",
                f"--method {', '.join(FITTED_METHODS)}",
            )
        if self.method in FITTED_METHODS and self.log == "-":
            raise UsageError(
                f"--method {self.method} reads the log several times, and standard input can be read once",
                "the log -",
                "write the records to a file first",
            )


def aggregate(options: AggregateOptions) -> None:
    """Write the records, and print how many targets there are."""
    _print(options.out, write_targets(options).lines())


def write_targets(options: AggregateOptions) -> Rewritten:
    """Write the records with their targets."""
    log = open_log(options, [options.log])
    method: Method
    learned: list[str] = []
    if options.method in FITTED_METHODS:
        method, learned = _learn(options, log)
    else:
        method = resolve(METHODS, options.method, "method")

    def make(dialogue: Dialogue, counts: Counts) -> Dialogue:
        targets = feedback_targets(dialogue, _selected(dialogue, options), method, options.goals)
        counts.update((t.task, UNIT_OF[type(t.at)], _summary(t)) for t in targets)
        return replace(dialogue, targets=targets)

    dialogues = require_annotators(_with_some_signal(log, options.log), [options.goals], "--goals")
    written = _rewrite(options, log, dialogues, make, "targets", ("task", "unit", "target"))
    return dataclasses.replace(written, before=tuple(learned))


def _selected(dialogue: Dialogue, options: AggregateOptions) -> list[Signal]:
    """The signals that --explicit-only or --implicit-only select."""
    return [s for s in dialogue.signals if not (options.implicit_only if s.explicit else options.explicit_only)]


def _learn(options: AggregateOptions, log: Log) -> tuple[Method, list[str]]:
    """The method fitted to the log, and the learned rates of each kind as lines."""
    from labelgen.feedback.em.method import learn_pooled

    for path in (options.fit, options.out):
        if path:
            fresh_log(path, options.force, [options.log])

    def items() -> Iterator[FeedbackItem]:
        for dialogue in progress(_with_some_signal(log, options.log), "learning", "dialogues"):
            yield from items_of(dialogue, _selected(dialogue, options), options.goals)

    learn = partial(resolve(FITTED_METHODS, options.method, "method"), anchored=not options.no_anchors, compare=True)
    fitted: EmMethod
    method: Method
    if options.no_pool:
        fitted = method = learn(items())
    else:
        fitted, method = learn_pooled(items, learn)
    if options.fit:
        write_text(options.fit, json.dumps(fitted.to_plain(), indent=1, ensure_ascii=False) + "\n")
    heads = ("unit", "kind", "vote", "times", "precision", "recall", "log-odds")
    rows = [
        (k.unit, k.kind, k.vote, f"{k.times:,}", f"{k.precision:.3f}", f"{k.recall:.3f}", f"{k.log_odds:+.2f}")
        for k in fitted.kinds
    ]
    shares = [f"{rates.good:.1%} of {fitted.items[unit]:,} {unit}s" for unit, rates in fitted.whole.items()]
    summary = (
        f"{options.method} takes {', '.join(shares)} to be good"
        if shares
        else "no signal votes good or bad: nothing to learn"
    )
    return method, [*aligned([heads, *rows], 3), summary, *_prior_only(fitted), *_held_out(fitted), ""]


def _held_out(fitted: "EmMethod") -> Iterator[str]:
    """A line for each unit: does em or the waterfall predict held-out signals better?"""
    for unit in fitted.whole:
        comparison = next((c for c in fitted.comparisons if c.unit == unit), None)
        yield f"held-out signals of {unit}s: {'too few to compare em with the waterfall' if comparison is None else comparison.words}"


def _prior_only(fitted: "EmMethod") -> Iterator[str]:
    """A line for each combination of votes whose reliability cannot be estimated, so that it keeps its prior."""
    for unit, rates in fitted.whole.items():
        for _, votes, _ in sorted(rates.prior_only):
            shown = ", ".join(f"{kind} {vote}" for kind, vote in votes)
            yield f"nearly all {unit}s have {shown}; its reliability cannot be estimated from this log, so the prior is used"


def _with_some_signal(dialogues: Iterable[Dialogue], where: str) -> Iterator[Dialogue]:
    """The dialogues. Raises InputError after the last one if there are dialogues, and none has a signal."""
    count = signals = 0
    for dialogue in dialogues:
        count += 1
        signals += len(dialogue.signals)
        yield dialogue
    if count and not signals:
        raise _no_signals(count, where)


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


# Answers


@dataclass(frozen=True, kw_only=True)
class AnswersOptions(RewriteOptions):
    """Write what users said themselves as annotations by them: thumbs, ratings and answers become labels of quality, to evaluate a model
    with (labelgen evaluate --reference user) where nobody else judged the log. Users who say something are no fair sample of all."""

    annotator: Annotated[str, "NAME"] = USER
    """annotator name of the users"""


def answers(options: AnswersOptions) -> None:
    """Write the records, and print how many answers there are."""
    _print(options.out, write_answers(options).lines())


def write_answers(options: AnswersOptions) -> Rewritten:
    """Write the records with the annotations of their users."""

    def add(dialogue: Dialogue, counts: Counts) -> Dialogue:
        others = tuple(one for one in dialogue.annotations if one.annotator != options.annotator)
        said = user_annotation(dialogue, options.annotator)
        if said is None:
            return replace(dialogue, annotations=others)
        counts.update((UNIT_OF[type(label.at)], label.name) for label in said.labels)
        return replace(dialogue, annotations=(*others, said))

    log = open_log(options, [options.log])
    return _rewrite(options, log, log, add, "answers", ("unit", "answer"))


# Explanation


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(OneLogOptions, _GoalsOptions):
    """Explain targets: draw one dialogue with its signals, and for each goal and turn print the probability that it went well, its
    targets and their origins. Without signals in the record, the detectors find them."""

    dialogue: Annotated[str, ARGUMENT]
    """id of the dialogue"""
    method: Annotated[str, Choices("method", _ALL_METHODS)] = "waterfall"
    """method that turns signals into probabilities; all but em, which needs a whole log"""
    width: Annotated[Count | None, "COLUMNS"] = None
    """width of the drawing; that of the terminal without a value"""

    def check(self) -> None:
        """Raises UsageError for a method that learns from a log."""
        if self.method in FITTED_METHODS:
            raise UsageError(
                f"{self.method} learns from a whole log, and explain reads one dialogue of it",
                "--method",
                f"--method {' or '.join(METHODS)}; `labelgen feedback aggregate` writes to `origin` how {self.method} made a target",
            )


def explain(options: ExplainOptions) -> None:
    """Print the drawing and the targets."""
    console = PlainConsole(width=options.width, highlight=False)
    for part in explanation_parts(options):
        console.print(part)


def explanation_parts(options: ExplainOptions) -> Iterator[RenderableType]:
    """The drawing, an empty line, and the targets."""
    method: Method = resolve(METHODS, options.method, "method")
    log, goals = options.log, options.goals
    dialogue = next((d for d in open_log(options, [log]) if d.id == options.dialogue), None)
    if dialogue is None:
        raise UsageError(
            f"no dialogue {options.dialogue} in the log",
            log,
            f"`labelgen show {log} --count 20` draws the first ones, each under its id",
        )
    if goals and dialogue.annotation(goals) is None:
        known = ", ".join(a.annotator for a in dialogue.annotations) or "nobody"
        raise UsageError(f"nobody annotated {dialogue.id} as {goals}", "--goals", f"its annotators: {known}")
    dialogue = _with_signals(dialogue)
    targets = feedback_targets(dialogue, dialogue.signals, method, goals)
    yield DialogueView(dialogue, dialogue.annotation(goals) if goals else None)
    yield ""
    yield from _explained(dialogue, targets)


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
    match target.at:
        case AtDialogue():
            return 0, ()
        case AtGoal(turns):
            return (2 if target.task == GOALS else 1), turns
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


# Questions


@dataclass(frozen=True, kw_only=True)
class AskOptions(OneLogOptions, ForceOptions):
    """Choose turns to ask users about ("did I answer your question?"): those whose answers reduce the uncertainty about all similar turns
    most. Without signals in a record, the detectors find them. The quality that a model predicted is used if there is one."""

    out: Annotated[str, ARGUMENT]
    """output file of JSON Lines in the order of asking, or - for standard output"""
    budget: Count
    """number of questions"""
    strategy: Annotated[str, Choices("strategy", STRATEGIES)] = "gain"
    """choice of the turns: by expected gain, or at random"""
    per_dialogue: Count = 1
    """limit of questions in one dialogue"""
    method: Annotated[str, Choices("method", _ALL_METHODS)] = "em"
    """method that turns signals into probabilities"""
    annotator: Annotated[str | None, "NAME"] = None
    """annotator whose quality of turns is used; the first model without a value"""
    seed: WholeNumber = 0
    """seed of the choice between equal turns"""

    def check(self) -> None:
        """Raises UsageError for a method that reads standard input twice."""
        if self.log == "-" and self.method in FITTED_METHODS:
            raise UsageError(
                f"--method {self.method} reads the log twice, and standard input can be read once",
                "the log -",
                f"write the records to a file first, or give --method {' or '.join(METHODS)}",
            )


def ask(options: AskOptions) -> None:
    """Write the questions, and print a summary."""
    fresh_log(options.out, options.force, [options.log])
    log = open_log(options, [options.log])
    method = _ask_method(options, log)
    beliefs = [
        belief
        for dialogue in progress(map(_with_signals, log), "reading", "dialogues")
        for belief in turn_beliefs(dialogue, method, options.annotator)
    ]
    if options.annotator is not None and all(belief.model is None for belief in beliefs):
        raise InputError(
            f"no turn's quality was judged by a model {options.annotator}",
            options.log,
            "`labelgen label` adds a model's annotation; without --annotator the first one is taken",
        )
    questions = choose(beliefs, options.budget, options.strategy, options.per_dialogue, options.seed)
    lines = (json.dumps(_question_json(question), ensure_ascii=False) + "\n" for question in questions)
    if options.out == "-":
        sys.stdout.writelines(lines)
    else:
        write_text(Path(options.out), "".join(lines))
    _show_questions(questions, beliefs, PlainConsole(stderr=options.out == "-", highlight=False))


def _ask_method(options: AskOptions, log: Log) -> Method:
    """The method, fitted to the log if it learns."""
    if options.method in METHODS:
        method: Method = resolve(METHODS, options.method, "method")
        return method
    dialogues = progress(map(_with_signals, log), "learning", "dialogues")
    fitted: Method = resolve(FITTED_METHODS, options.method, "method")(
        item for dialogue in dialogues for item in turn_items(dialogue, dialogue.signals)
    )
    return fitted


def _question_json(question: Question) -> dict[str, Any]:
    """One line of the output. good: mean of the belief about the pool; alike: number of turns in the pool."""
    turn, pool = question.turn, question.pool
    return {
        "dialogue": turn.dialogue,
        "turn": turn.turn,
        "user": turn.user,
        "gain": round(question.gain, 6),
        "good": round(pool.rate()[0], 4),
        "signals": None if turn.signals is None else round(turn.signals, 4),
        "model": None if turn.model is None else round(turn.model, 4),
        "alike": pool.turns,
        "answers": pool.good + pool.bad,
        "reasons": _reasons(question),
    }


def _reasons(question: Question) -> list[str]:
    """The reasons for the choice of this turn, in words."""
    turn, pool = question.turn, question.pool
    mean, _ = pool.rate()
    reasons = [f"{mean:.0%} of {pool.turns:,} turns alike ({_pool_name(turn)}) are believed good"]
    if pool.signals is None and pool.model is None:
        reasons.append("neither signals nor a model say anything about them")
    if pool.signals is not None and pool.model is not None and abs(pool.signals - pool.model) >= DISAGREEMENT:
        reasons.append(f"signals say {pool.signals:.0%}, the model {pool.model:.0%}")
    if pool.good + pool.bad:
        reasons.append(f"{pool.good + pool.bad:,} answers about them are known, {pool.good:,} of them yes")
    if question.asked:
        reasons.append(f"{question.asked:,} questions about them come first")
    return reasons


def _pool_name(turn: TurnBelief) -> str:
    votes = ", ".join(f"{vote} by {kind}" for kind, vote in turn.votes) or "silence"
    if turn.model is not None:
        return f"{votes}; about as good by the model"
    return "; ".join((votes, turn.domain or "no domain", " and ".join(turn.intents) or "no intent"))


def _show_questions(questions: Sequence[Question], beliefs: Sequence[TurnBelief], console: Console) -> None:
    """Print the pools with most questions, then the number of questions and their expected gain in all."""
    by_pool: dict[tuple[object, ...], list[Question]] = {}
    for question in questions:
        by_pool.setdefault(question.turn.alike(), []).append(question)
    table = Table(box=None, pad_edge=False)
    for name in ("questions", "gain", "good", "turns"):
        table.add_column(name, justify="right")
    table.add_column("turns alike")
    largest = sorted(by_pool.values(), key=len, reverse=True)
    for group in largest[:_MOST_POOLS]:
        turn, pool, gain = group[0].turn, group[0].pool, sum(question.gain for question in group)
        table.add_row(f"{len(group):,}", f"{gain:.2f}", f"{pool.rate()[0]:.2f}", f"{pool.turns:,}", _pool_name(turn))
    if largest:
        console.print(table)
    if len(largest) > _MOST_POOLS:
        console.print(f"... and {len(largest) - _MOST_POOLS:,} more pools")
    users = {(question.turn.user, question.turn.user or question.turn.dialogue) for question in questions}
    askable = sum(belief.askable and not belief.asked for belief in beliefs)
    console.print(
        f"{len(questions):,} questions to {len(users):,} users, of {askable:,} turns in {len(beliefs):,} that can be asked about; "
        f"expected gain {sum(question.gain for question in questions):.2f}"
    )


# Transcriptions


@dataclass(frozen=True, kw_only=True)
class TranscribeOptions(RewriteOptions):
    """Correct misrecognized requests: write each record with one more annotation, the most probable words of each request. They are
    chosen from the recognizer's n-best list and from later requests that repeat it; docs/how-to/values.md."""

    threshold: Share = 0.0
    """probability below which a request is left open"""
    annotator: Annotated[str, "NAME"] = ANNOTATOR
    """annotator name written to the output"""

    def check(self) -> None:
        """Raises UsageError for standard input, and without an annotator name."""
        if self.log == "-":
            hint = "write the records to a file first"
            raise UsageError("the log is read twice, and standard input can be read once", "the log -", hint)
        if not self.annotator:
            raise UsageError("labels need an annotator name", "--annotator", "give a name")


def transcribe(options: TranscribeOptions) -> None:
    """Write the records, and print how many requests were corrected."""
    from labelgen.feedback.transcription import KIND, LogStatistics, corrected_requests

    log = open_log(options, [options.log])
    statistics = LogStatistics()
    for dialogue in progress(log, "learning", "dialogues"):
        statistics.add(dialogue)

    def correct(dialogue: Dialogue, counts: Counts) -> Dialogue:
        signals = _with_signals(dialogue).signals
        corrections = corrected_requests(dialogue, signals, statistics, options.threshold, options.annotator)
        counts.update((label.origin or "",) for label in corrections.labels)
        counts.update(("left open",) for _ in corrections.abstained)
        others = (a for a in dialogue.annotations if (a.annotator, a.kind) != (corrections.annotator, KIND))
        return replace(dialogue, annotations=(*others, corrections))

    _print(options.out, _rewrite(options, log, log, correct, "requests", ("from",)).lines())


# Report


@dataclass(frozen=True, kw_only=True)
class SignalReportOptions(OneLogOptions, ForceOptions, _GoalsOptions):
    """Report on the signals of a log as one HTML page: counts by kind, vote and domain, agreement between kinds, the rates that em
    estimates, and the posteriors of the waterfall. Run labelgen feedback signals first."""

    out: Annotated[Path, ARGUMENT]
    """output HTML file"""


def report(options: SignalReportOptions) -> None:
    """Write the page."""
    fresh_log(options.out, options.force, [options.log])
    log = open_log(options, [options.log])

    from labelgen.feedback.em.method import learn
    from labelgen.feedback.summary import SignalCounts
    from labelgen.report.signals import render_signals, sentence

    counts = SignalCounts()
    dialogues = require_annotators(progress(log, "signals", "dialogues"), [options.goals], "--goals")
    fitted = learn(counts.watch(dialogues, options.goals), compare=True)
    summary = counts.summary(fitted)
    if not summary.signals:
        raise _no_signals(summary.dialogues, options.log)
    title = "Signals" if options.log == "-" else f"Signals in {Path(options.log).name}"
    write_text(options.out, render_signals(summary, title, command_line()))
    print_lines(sentence(summary), f"wrote {options.out}")


def _no_signals(dialogues: int, where: str) -> InputError:
    return InputError(
        f"none of the {dialogues:,} records has a signal", where, "run `labelgen feedback signals` on the log first"
    )


SIGNALS = rewriting(
    "feedback signals", find_signals, SignalsOptions, "labelgen feedback signals log.jsonl signals.jsonl"
)
LEARN = Command(
    "feedback learn", LearnOptions, learn, "labelgen feedback learn bookings.jsonl music.jsonl --out learned.json"
)
ANSWERS = Command("feedback answers", AnswersOptions, answers, "labelgen feedback answers test.jsonl judged.jsonl")
AGGREGATE = Command(
    "feedback aggregate",
    AggregateOptions,
    aggregate,
    "labelgen feedback aggregate signals.jsonl targets.jsonl --method waterfall --goals anna",
)
EXPLAIN = Command(
    "feedback explain",
    ExplainOptions,
    explain,
    "labelgen feedback explain log.jsonl d7 --method waterfall --goals anna",
)
ASK = Command("feedback ask", AskOptions, ask, "labelgen feedback ask log.jsonl questions.jsonl --budget 200")
TRANSCRIBE = Command(
    "feedback transcribe",
    TranscribeOptions,
    transcribe,
    "labelgen feedback transcribe signals.jsonl transcribed.jsonl",
)
REPORT = Command("feedback report", SignalReportOptions, report, "labelgen feedback report signals.jsonl signals.html")
