"""Leave-one-annotator-out evaluation: who is judged, and against which reference.

Against the consensus, each annotator of a dialogue is left out in turn and judged against the consensus of the others. Every system is
judged on the same fields against that same consensus, so no reference knows the answers of who is judged. Against one annotator, that
annotator's answers are the reference; other annotators are judged too only where the setting names them.

How far the annotators of a log agree, and how good each of them is: sums over dialogues, for each task.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from msgspec.structs import replace

from labelgen.agreement.consensus import CONSENSUS, Decided, KrippendorffAlpha, Votes, consensus, decide
from labelgen.agreement.dawid_skene import POOLED, Reliabilities
from labelgen.base.errors import InputError, UsageError
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Annotation,
    At,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    both_cover,
    divides,
    division,
    tasks_of,
)
from labelgen.data.log import require_annotators
from labelgen.metrics.results import EVERYONE, Setting, number
from labelgen.metrics.sets import same
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns, concerns_place, exclusive_names

LEAST_PEOPLE = 3

AnswersAt = dict[At, tuple[Label, ...]]


@cache
def annotator_names(annotators: tuple[str, ...] | None) -> frozenset[str] | None:
    """The names of human annotators in a setting; None for EVERYONE and for nobody. Raises UsageError for another
    kind, and for an empty name."""
    if annotators in (None, EVERYONE):
        return None
    if not all(annotators) or any(name.startswith(("kind=", "kind:")) for name in annotators):
        hint = f"repeat the option for each name, or give {EVERYONE[0]} for all people"
        raise UsageError(f"{', '.join(annotators)!r} names no people", "--annotators", hint)
    return frozenset(annotators)


def people_of(dialogue: Dialogue, setting: Setting) -> list[Annotation]:
    """The annotations by human annotators, without the reference."""
    if setting.annotators is None:
        return []
    names, reference = annotator_names(setting.annotators), setting.reference
    return [
        a
        for a in dialogue.annotations
        if (a.kind == "person" if names is None else a.annotator in names) and a.annotator != reference
    ]


@dataclass(frozen=True, slots=True)
class Judgment:
    """One dialogue judged once against one reference.

    dialogue: its position. reference: the judged fields, and what is right there. person: answers of the annotator who is left out,
    None where nobody is; who: that annotator. others: how many annotators the reference is the consensus of, 0 for one annotator's answers.
    covered: turns on which a division into goals is judged, None for all."""

    dialogue: int
    reference: AnswersAt
    person: AnswersAt | None
    who: str = ""
    others: int = 0
    covered: tuple[int, ...] | None = None


@dataclass(slots=True)
class Judgments:
    """All judgments of a task. ties: number of fields that the consensus could not decide. left_out: reason -> fields;
    dialogues_left_out: reason -> dialogues."""

    all: list[Judgment] = field(default_factory=list)
    ties: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    dialogues_left_out: Counter[str] = field(default_factory=Counter)

    def add(self, position: int, right: Annotation, person: Annotation, task: EvaluationTask, others: int = 0) -> None:
        """Judge one annotator's answers against a reference, on the fields that the annotator was asked about, and on turns that both
        divide."""
        reference, answers = answered(right, task), answered(person, task)
        fields = {at: labels for at, labels in reference.items() if _asked(person, answers, at)}
        self.left_out["the judged annotator left it unanswered"] += len(reference) - len(fields)
        if fields:
            covered = both_cover(right.covered_turns, person.covered_turns)
            self.all.append(Judgment(position, fields, answers, person.annotator, others, covered))


class Protocol:
    """The judgments of every task over the same dialogues; keeps each consensus that it has made."""

    def __init__(self, dialogues: Sequence[Dialogue], tasks: Sequence[EvaluationTask], setting: Setting) -> None:
        self.dialogues = dialogues
        self.setting = setting
        self.exclusive = exclusive_names(tasks)
        self._known: dict[tuple[int, tuple[str, ...]], Decided] = {}

    def judgments(self, task: EvaluationTask) -> Judgments:
        """The judgments of one task, in the order of the dialogues."""
        out = Judgments()
        leave_out = self.setting.reference == CONSENSUS and self.setting.others != 0
        for position, dialogue in enumerate(self.dialogues):
            (self._leave_one_out if leave_out else self._against_one)(position, dialogue, task, out)
        return out

    def _leave_one_out(self, position: int, dialogue: Dialogue, task: EvaluationTask, out: Judgments) -> None:
        people = [a for a in people_of(dialogue, self.setting) if answered(a, task)]
        if len(people) < LEAST_PEOPLE:
            out.dialogues_left_out[f"fewer than {LEAST_PEOPLE} people answered"] += 1
            return
        for person in people:
            others = self._others(dialogue, people, person)
            key = (position, tuple(a.annotator for a in others))
            if key not in self._known:
                least = min(2, len(others))
                self._known[key] = consensus(others, self.exclusive, least, self.setting.ratings)
            decided, answers = self._known[key], answered(person, task)
            tied = {f.at for f in decided.ties if concerns(f, task) and _asked(person, answers, f.at)}
            out.ties += len(tied)
            out.left_out["tie among the others"] += len(tied)
            out.add(position, decided.annotation, person, task, len(others))

    def _against_one(self, position: int, dialogue: Dialogue, task: EvaluationTask, out: Judgments) -> None:
        annotation = dialogue.annotation(self.setting.reference)
        reference = answered(annotation, task)
        if annotation is None or not reference:
            out.dialogues_left_out[f"not answered by {self.setting.reference}"] += 1
        elif self.setting.annotators is None or self.setting.reference == CONSENSUS:
            out.all.append(Judgment(position, reference, None, covered=annotation.covered_turns))
        else:
            people = [a for a in people_of(dialogue, self.setting) if answered(a, task)]
            if not people:
                out.dialogues_left_out["no person answered"] += 1
            for person in people:
                out.add(position, annotation, person, task)

    def _others(self, dialogue: Dialogue, people: Sequence[Annotation], person: Annotation) -> list[Annotation]:
        others = [a for a in people if a is not person]
        count = self.setting.others
        if count is None or len(others) <= count:
            return others
        rng = random.Random(f"{self.setting.seed}/{dialogue.id}/{person.annotator}")
        return [others[k] for k in sorted(rng.sample(range(len(others)), count))]


def _asked(person: Annotation, answers: Collection[At], at: At) -> bool:
    """Whether an annotator is judged on a field: where there is an answer, and on a goal that is none in the annotator's own division, which
    is a mistake. Any other missing field was not asked."""
    if at in answers or not isinstance(at, AtGoal):
        return at in answers
    divided = division(person)
    return divided is not None and at not in {label.at for label in divided}


def with_reference(dialogues: Iterable[Dialogue], tasks: Sequence[EvaluationTask], setting: Setting) -> list[Dialogue]:
    """The dialogues with the consensus of all their annotators added, where that is the reference; an older consensus is replaced."""
    if setting.reference != CONSENSUS:
        return list(dialogues)
    exclusive = exclusive_names(tasks)
    out = []
    for dialogue in dialogues:
        kept = tuple(a for a in dialogue.annotations if a.annotator != CONSENSUS)
        decided = consensus(people_of(dialogue, setting), exclusive, ratings=setting.ratings).annotation
        out.append(replace(dialogue, annotations=(*kept, decided)))
    return out


def with_all_named(
    dialogues: Iterable[Dialogue], setting: Setting, elsewhere: Iterable[Dialogue] = ()
) -> Iterator[Dialogue]:
    """The dialogues as they come. Raises UsageError at their end where an annotator of the setting is in none of them."""
    names = {*(annotator_names(setting.annotators) or ()), setting.reference} - {CONSENSUS}
    return require_annotators(dialogues, names, "--reference, --annotators", elsewhere)


def nothing_to_judge(
    dialogues: Sequence[Dialogue],
    tasks: Sequence[EvaluationTask],
    setting: Setting,
    left_out: Mapping[str, int],
    reasons: Iterable[str],
    where: str,
) -> InputError:
    """The error of a log in which the reference answers no task. left_out: why dialogues do not count, and how many; reasons: why the
    others could not be judged."""
    if not dialogues:
        every = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
        what = f"no dialogue is left: {every}" if every else "the log holds no dialogue"
        return InputError(what, where, "name a log with other dialogues" if every else "name a log with dialogues")
    by_all = setting.reference == CONSENSUS
    annotations = [
        a
        for d in dialogues
        for a in (people_of(d, setting) if by_all else [d.annotation(setting.reference)])
        if a is not None
    ]
    who = "a person" if by_all else setting.reference
    if not annotations:
        hint = "--annotators names who is one, --reference NAME takes one annotator's word; or have people annotate the log"
        return InputError(f"no annotation in the log is by {who}", where, hint)
    if not any(answered(a, task) for a in annotations for task in tasks):
        wanted = ", ".join(task.name for task in tasks)
        known = ", ".join(sorted({name for a in annotations for name in tasks_of(a)})) or "nothing"
        return InputError(f"no annotation by {who} answers {wanted}", where, f"answered tasks: {known}")
    hint = f"bring {LEAST_PEOPLE} people's answers of a dialogue, or take one annotator's word by --reference NAME"
    if not by_all:
        hint = f"have people answer what {setting.reference} answered, or leave --annotators out"
    return InputError(f"nothing to judge against {setting.reference}: {', '.join(reasons)}", where, hint)


Row = dict[str, Any]


class AnnotatorStatistics:
    """Inter-annotator agreement, annotators' accuracy and the human baseline, counted dialogue by dialogue. Memory grows
    with the annotators and with distinct answers, not with the log."""

    def __init__(self, tasks: Sequence[EvaluationTask], setting: Setting) -> None:
        self.dialogues: Counter[str] = Counter()
        self._of = {task.name: _TaskCounts(task, setting) for task in tasks if len(task.tasks) == 1}

    def add(self, dialogue: Dialogue, people: Sequence[Annotation], decided: Decided) -> None:
        """decided: the consensus that is written."""
        self.dialogues.update(a.annotator for a in people)
        for counts in self._of.values():
            if votes := decided.votes.get(counts.task.tasks[0]):
                counts.ties += sum(concerns(field, counts.task) for field in decided.ties)
                counts.add(dialogue, votes)

    def agreement(self) -> Iterator[Row]:
        """A row for each task that anybody answered; None for what is not defined."""
        for name, counts in self._of.items():
            counts.count_patterns()
            if counts.answers:
                judged = counts.judged.total()
                yield {
                    "task": name,
                    "judged_twice": counts.twice,
                    "ties": counts.ties,
                    "alpha": number(counts.alpha.value()),
                    "alpha_ordinal": number(counts.ordinal.value()),
                    "human": counts.right.total() / judged if judged else None,
                }

    def people(self, skills: Reliabilities | None) -> Iterator[Row]:
        """A row for each task and each annotator of several dialogues; annotators of a single dialogue are pooled as `POOLED`.

        accuracy: of the judged answers, against the consensus of the others. skill: how often the annotator is right, by the fit."""
        several = sorted(who for who, count in self.dialogues.items() if count > 1)
        once = [who for who, count in self.dialogues.items() if count == 1]
        for counts in self._of.values():
            counts.count_patterns()
            task = counts.task
            fit = skills.of.get((task.tasks[0], task.scopes[0])) if skills else None
            for name, members in [*((who, [who]) for who in several), (POOLED, once)]:
                answers_given, judged, right = (
                    sum(counter[who] for who in members) for counter in (counts.answers, counts.judged, counts.right)
                )
                if answers_given:
                    yield {
                        "task": task.name,
                        "annotator": name,
                        "annotators": len(members),
                        "answers": answers_given,
                        "judged": judged,
                        "accuracy": right / judged if judged else None,
                        "skill": fit.accuracy(name) if fit and name in fit.rows else None,
                    }


Ballot = tuple[tuple[At | None, str, str | float | None], ...]
"""An answer without the place of its field: place within the field, name and value of each label."""

Pattern = tuple[bool, tuple[tuple[str, bool, Ballot], ...]]
"""Answers to a field: whether annotators are judged by this; and, of each annotator, the name, whether that one answers the task anywhere in the dialogue, and the answer."""

Names = frozenset[tuple[At | None, str]]

_MOST_PATTERNS = 50_000
_AT = AtTurn(0)


class _TaskCounts:
    """Counts of one task. Fields with the same answers by the same annotators are counted together."""

    def __init__(self, task: EvaluationTask, setting: Setting) -> None:
        self.task = task
        self.setting = setting
        self.twice = self.ties = 0
        self.alpha, self.ordinal = KrippendorffAlpha(), KrippendorffAlpha("ordinal")
        self.answers: Counter[str] = Counter()
        self.judged: Counter[str] = Counter()
        self.right: Counter[str] = Counter()
        self._patterns: Counter[Pattern] = Counter()
        # An answer about a goal is judged by the division too.
        self._alone = AtGoal not in task.scopes and not task.divides and setting.others is None

    def add(self, dialogue: Dialogue, votes: Votes) -> None:
        """Count one dialogue."""
        exclusive, by_place = self.task.names is not None, [p for p in votes.items() if concerns_place(p[0], self.task)]
        # "None of the names" is no answer to be judged, but a vote.
        voters = {who for _, given in by_place for who, labels in given if labels or not exclusive}
        judged = self._alone and len(voters) >= LEAST_PEOPLE
        for _, given in by_place:
            self._patterns[judged, tuple([(who, who in voters, _ballot(labels)) for who, labels in given])] += 1
        if len(self._patterns) > _MOST_PATTERNS:
            self.count_patterns()
        if not self._alone and voters:
            self._judge_dialogue(dialogue)

    def _judge_dialogue(self, dialogue: Dialogue) -> None:
        for judgment in Protocol([dialogue], [self.task], self.setting).judgments(self.task).all:
            person = judgment.person or {}
            for at, wanted in judgment.reference.items():
                self._judge(judgment.who, at in person and same(person[at], wanted))

    def _judge(self, who: str, right: bool, times: int = 1) -> None:
        self.judged[who] += times
        self.right[who] += times * right

    def count_patterns(self) -> None:
        """Add what was counted together to all counts."""
        for (judged, entries), times in self._patterns.items():
            given = {who: ballot for who, _, ballot in entries if ballot or self.task.names is None}
            self.twice += times * (len(given) >= 2)
            self.answers.update(dict.fromkeys(given, times))
            names = {who: _names(ballot) for who, ballot in given.items()}
            self.alpha.add(names, times)
            values = {who: ballot[0][2] for who, ballot in given.items() if ballot}
            self.ordinal.add({who: v for who, v in values.items() if isinstance(v, (int, float))}, times)
            if judged:
                self._judge_pattern(entries, times)
        self._patterns.clear()

    def _judge_pattern(self, entries: Sequence[tuple[str, bool, Ballot]], times: int) -> None:
        """Judge each annotator of a field against the consensus of the others, as Protocol does."""
        known = [(who, ballot) for who, answers_task, ballot in entries if answers_task]
        for k, (who, ballot) in enumerate(known):
            reference = self._decided([other for j, (_, other) in enumerate(known) if j != k])
            if reference is not None and (ballot or self.task.names is None):
                self._judge(who, _names(ballot) == reference, times)

    def _decided(self, ballots: Sequence[Ballot]) -> Names | None:
        """The consensus of a field; None where it has none, is tied or, of an exclusive task, has none of the names."""
        if len(ballots) < 2:
            return None
        name, task = self.task.tasks[0], self.task
        labels = [tuple(Label(name, at or _AT, x, value=value) for at, x, value in ballot) for ballot in ballots]
        decided = decide(Field(name, _AT), labels, task.names, self.setting.ratings)
        if decided is None or (not decided and task.names is not None):
            return None
        return _names(_ballot(decided))


def _ballot(labels: Sequence[Label]) -> Ballot:
    return tuple([(_within(label), label.name, label.value) for label in labels])


def _names(ballot: Ballot) -> Names:
    """What makes an answer the same as another one: names; of spans and goals the place within the field too."""
    return frozenset((within, name) for within, name, _ in ballot)


def _within(label: Label) -> At | None:
    at = label.at
    if isinstance(at, AtSpan):
        return AtSpan(0, at.start, at.end)
    return at if divides(label.task) else None
