"""Statistics of a log, counted in one pass."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labelgen.data.dialogue import Dialogue, Feedback, Turn
from labelgen.data.labels import Annotation, AtGoal, answers, division, tasks_of

_ALWAYS = ("request", "response")


@dataclass(frozen=True, slots=True)
class Spread:
    """Distribution of a number over a log; quantiles are values that occur (the lower one of two)."""

    least: int
    median: int
    p95: int
    most: int
    mean: float


def spread(counts: Counter[int]) -> Spread | None:
    """Quantiles and mean of values. counts: frequency of each value. None if there is no value."""
    total = counts.total()
    if not total:
        return None
    values = sorted(counts)

    def quantile(share: float) -> int:
        left = share * total
        for value in values:
            left -= counts[value]
            if left <= 0:
                return value
        return values[-1]

    mean = sum(value * times for value, times in counts.items()) / total
    return Spread(values[0], quantile(0.5), quantile(0.95), values[-1], mean)


@dataclass(slots=True)
class TaskStats:
    """Counts of one task.

    annotations: annotations that answer the task somewhere. fields: answered fields; none: those with no label. labels:
    frequency of each name."""

    annotations: int = 0
    fields: int = 0
    none: int = 0
    labels: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class LogStats:
    """Counts over a log.

    turns_of_dialogue, request_words, response_words: frequency of each number. turn_fields: turns with each optional field.
    annotators: annotations by annotator, with `*` for the id of the dialogue. tasks: by kind of annotator and task. goals:
    over all annotations. returning: annotations that resume a goal after a turn of another one. feedback: by kind and answer.
    signals: by kind and vote. targets: by task."""

    dialogues: int = 0
    turns: int = 0
    users: set[str] = field(default_factory=set)
    sources: Counter[str] = field(default_factory=Counter)
    turns_of_dialogue: Counter[int] = field(default_factory=Counter)
    request_words: Counter[int] = field(default_factory=Counter)
    response_words: Counter[int] = field(default_factory=Counter)
    turn_fields: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)
    tasks: dict[tuple[str, str], TaskStats] = field(default_factory=dict)
    goals: int = 0
    returning: int = 0
    feedback: Counter[tuple[str, str]] = field(default_factory=Counter)
    signals: Counter[tuple[str, str]] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)

    def add(self, dialogue: Dialogue) -> None:
        self.dialogues += 1
        self.turns += len(dialogue.turns)
        self.turns_of_dialogue[len(dialogue.turns)] += 1
        if dialogue.user:
            self.users.add(dialogue.user)
        if dialogue.source is not None:
            self.sources[dialogue.source] += 1
        self._feedback(dialogue.feedback)
        for turn in dialogue.turns:
            self._turn(turn)
        for annotation in dialogue.annotations:
            self.annotators[annotation.annotator.replace(dialogue.id, "*")] += 1
            self._annotation(annotation)
        self.signals.update((signal.kind, signal.vote) for signal in dialogue.signals)
        self.targets.update(target.task for target in dialogue.targets)

    def _turn(self, turn: Turn) -> None:
        self.request_words[len(turn.request.split())] += 1
        self.response_words[len(turn.response.split())] += 1
        self.turn_fields.update(name for name in _OPTIONAL if getattr(turn, name) not in (None, ()))
        self._feedback(turn.feedback)

    def _feedback(self, feedback_items: Iterable[Feedback]) -> None:
        self.feedback.update((item.kind, item.answer or "") for item in feedback_items)

    def _annotation(self, annotation: Annotation) -> None:
        for task in tasks_of(annotation):
            task_stats = self.tasks.setdefault((annotation.kind, task), TaskStats())
            answered = answers(annotation, task)
            task_stats.annotations += 1
            task_stats.fields += len(answered)
            task_stats.none += sum(not labels for labels in answered.values())
            task_stats.labels.update(label.name for labels in answered.values() for label in labels)
        goals = [label.at.turns for label in division(annotation) or () if isinstance(label.at, AtGoal)]
        self.goals += len(goals)
        self.returning += any(_returns(turns, goals) for turns in goals)


_OPTIONAL = tuple(name for name in Turn.__struct_fields__ if name not in _ALWAYS)


def _returns(turns: tuple[int, ...], goals: Iterable[tuple[int, ...]]) -> bool:
    """Whether a turn of another goal stands between two turns of this one."""
    return any(turns[0] < turn < turns[-1] for other in goals if other != turns for turn in other)


def log_stats(dialogues: Iterable[Dialogue]) -> LogStats:
    """Counts over a log. Memory grows with the number of users and of different label names only."""
    stats = LogStats()
    for dialogue in dialogues:
        stats.add(dialogue)
    return stats


def audio_summary(heard: int, unheard: Mapping[str, int]) -> str:
    """Summary for people: `sound: 3 of 4 read; not read: no_file 1`; empty if no audio was requested.

    heard: number of files read. unheard: number of files not read, by reason."""
    sought = heard + sum(unheard.values())
    if not sought:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(unheard.items()))
    read = f"{heard:,} of {sought:,} read" if heard else f"NONE of {sought:,} could be read, so nothing was heard"
    return f"sound: {read}" + (f"; not read: {reasons}" if reasons else "")
