"""How far the annotators of a log agree, and how good each of them is: sums over dialogues, for each task."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from labelgen.agreement.consensus import Decided, KrippendorffAlpha, Votes, decide
from labelgen.agreement.dawid_skene import POOLED, Reliabilities
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import (
    Annotation,
    At,
    AtGoal,
    AtSpan,
    AtTurn,
    Field,
    Label,
    divides,
)
from labelgen.evaluation.protocol import LEAST_PEOPLE, Protocol
from labelgen.metrics.results import Setting, number
from labelgen.metrics.sets import same
from labelgen.tasks.evaluation import EvaluationTask, concerns, concerns_place

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
