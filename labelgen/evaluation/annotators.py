"""How far the annotators of a log agree, how good each of them is, and the noise ceiling: sums over dialogues, for each task.

The noise ceiling is the score of a system that always answers what most of all annotators say, against the same leave-one-out references as
everyone is judged by; a score beyond it is noise. It knows votes that its references are made of, and so is a little high; with
three annotators it is 1 by construction, and left out. Source: Nili et al. 2014, "A Toolbox for Representational Similarity Analysis"
(upper and lower noise ceiling)."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from labelgen.agreement.consensus import CONSENSUS, Consensus
from labelgen.agreement.dawid_skene import POOLED, Reliabilities
from labelgen.agreement.inter_annotator import KrippendorffAlpha, PairwiseKappa
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, Label, both_cover, on_turns, scope
from labelgen.evaluation.protocol import Judgment, Protocol
from labelgen.metrics.results import Setting, number
from labelgen.metrics.sets import same
from labelgen.tasks.evaluation import EvaluationTask, answered, concerns

LEAST_FOR_KAPPA = 30
"""Answers that a pair must share; names that hold for one dialogue only, such as r1, make no pairs."""

LEAST_FOR_CEILING = 3
"""Others that a reference is the consensus of. Where two others agree, most of three say the same."""

Row = dict[str, Any]


def no_ceiling(judgments: Iterable[Judgment]) -> str | None:
    """Why there is no ceiling; None where every reference is made of enough annotators."""
    votes = {judgment.dialogue: judgment.others for judgment in judgments}
    few = sum(others < LEAST_FOR_CEILING for others in votes.values())
    if not few:
        return None
    return (
        f"no noise ceiling: in {few:,} of {len(votes):,} dialogues a reference is the consensus of two, and there an annotator who says "
        "what most of all say is right by construction; --min-annotators 4 leaves out dialogues that three people answered"
    )


class Ceiling:
    """The noise ceiling, the human baseline and every annotator's accuracy; each dialogue must have the consensus of all annotators."""

    def __init__(self, tasks: Sequence[EvaluationTask], setting: Setting) -> None:
        self.tasks = tasks
        self.setting = setting
        self._counts: Counter[tuple[str, str]] = Counter()
        self._people: Counter[tuple[str, str, str]] = Counter()

    def add(self, dialogue: Dialogue) -> None:
        """Count one dialogue."""
        protocol = Protocol([dialogue], self.tasks, self.setting)
        for task in self.tasks:
            of_all = answered(dialogue.annotation(CONSENSUS), task)
            for judgment in protocol.judgments(task).all:
                person = judgment.person or {}
                for at, wanted in judgment.reference.items():
                    self._counts[task.name, "fields"] += 1
                    if judgment.others >= LEAST_FOR_CEILING:
                        self._counts[task.name, "of several"] += 1
                        self._counts[task.name, "most"] += at in of_all and same(of_all[at], wanted)
                    right = at in person and same(person[at], wanted)
                    self._counts[task.name, "one"] += right
                    self._people[task.name, judgment.who, "fields"] += 1
                    self._people[task.name, judgment.who, "right"] += right

    def of(self, task: str) -> tuple[float | None, float] | None:
        """Accuracy of whole answers: the noise ceiling and the human baseline; None where nothing could be judged. The ceiling is on
        dialogues that four people or more answered, None without any."""
        fields = self._counts[task, "fields"]
        if not fields:
            return None
        several = self._counts[task, "of several"]
        most = self._counts[task, "most"] / several if several else None
        return most, self._counts[task, "one"] / fields

    def person(self, task: str, who: str) -> tuple[int, int]:
        """How many answers of this annotator were judged against the consensus of the others, and how many are right."""
        return self._people[task, who, "fields"], self._people[task, who, "right"]


class AnnotatorStatistics:
    """Inter-annotator agreement and annotators, counted dialogue by dialogue. Memory grows with the annotators and with distinct answers,
    not with the log."""

    def __init__(self, tasks: Sequence[EvaluationTask], setting: Setting) -> None:
        self.tasks = tasks
        self.dialogues: Counter[str] = Counter()
        self._ceiling = Ceiling(tasks, setting)
        self._of = {task.name: _TaskCounts() for task in tasks}

    def add(self, agreed: Dialogue, people: Sequence[Annotation], decided: Consensus) -> None:
        """agreed: the dialogue with the vote of all annotators as its consensus. decided: the consensus that is written."""
        self.dialogues.update(a.annotator for a in people)
        for task in self.tasks:
            counts = self._of[task.name]
            counts.ties += sum(concerns(field, task) for field in decided.ties)
            fields: dict[Any, dict[str, tuple[Label, ...]]] = {}
            covered = reduce(both_cover, [a.covered_turns for a in people], None) if task.divides else None
            for annotation in people:
                for at, labels in answered(annotation, task).items():
                    fields.setdefault(at, {})[annotation.annotator] = on_turns(labels, covered)
            for answers in fields.values():
                counts.add(answers)
        self._ceiling.add(agreed)

    def agreement(self) -> Iterator[Row]:
        """A row for each task that anybody answered; None for what is not defined."""
        for task in self.tasks:
            counts = self._of[task.name]
            if counts.answers:
                ceiling, human = self._ceiling.of(task.name) or (None, None)
                yield {
                    "task": task.name,
                    "judged_twice": counts.twice,
                    "ties": counts.ties,
                    "alpha": number(counts.alpha.value()),
                    "alpha_ordinal": number(counts.ordinal.value()),
                    "kappa": number(counts.kappa()),
                    "ceiling": ceiling,
                    "human": human,
                }

    def people(self, skills: Reliabilities | None) -> Iterator[Row]:
        """A row for each task and each annotator of several dialogues; annotators of a single dialogue are pooled as `POOLED`.

        accuracy: of the judged answers, against the consensus of the others. skill: how often the annotator is right, by the fit."""
        several = sorted(who for who, count in self.dialogues.items() if count > 1)
        once = [who for who, count in self.dialogues.items() if count == 1]
        for task in self.tasks:
            answers_of = self._of[task.name].answers
            fit = skills.of.get((task.tasks[0], task.scopes[0])) if skills and len(task.tasks) == 1 else None
            for name, members in [*((who, [who]) for who in several), (POOLED, once)]:
                answers = sum(answers_of[who] for who in members)
                if not answers:
                    continue
                judged, right = map(sum, zip(*(self._ceiling.person(task.name, who) for who in members), strict=True))
                yield {
                    "task": task.name,
                    "annotator": name,
                    "annotators": len(members),
                    "answers": answers,
                    "judged": judged,
                    "accuracy": right / judged if judged else None,
                    "skill": fit.accuracy(name) if fit and name in fit.rows else None,
                }


class _TaskCounts:
    def __init__(self) -> None:
        self.twice = self.ties = 0
        self.alpha, self.ordinal, self.kappas = KrippendorffAlpha(), KrippendorffAlpha("ordinal"), PairwiseKappa()
        self.answers: Counter[str] = Counter()

    def add(self, answers: Mapping[str, tuple[Label, ...]]) -> None:
        self.twice += len(answers) >= 2
        self.answers.update(answers.keys())
        names = {who: _category(labels) for who, labels in answers.items()}
        self.alpha.add(names)
        self.kappas.add(names)
        self.ordinal.add(
            {
                who: labels[0].value
                for who, labels in answers.items()
                if labels and isinstance(labels[0].value, (int, float))
            }
        )

    def kappa(self) -> float:
        """The mean over pairs, weighted by the answers that they share."""
        enough = [pair for pair in self.kappas.of.values() if pair.items >= LEAST_FOR_KAPPA]
        known = [(pair.kappa(), pair.items) for pair in enough if not math.isnan(pair.kappa())]
        weight = sum(things for _, things in known)
        return sum(kappa * things for kappa, things in known) / weight if weight else math.nan


def _category(labels: Sequence[Label]) -> Hashable:
    """An answer without the place of its field, so that the same answer to two fields is one category: names; of spans and goals the place
    within the field too."""
    return frozenset((_within(label), label.name) for label in labels)


def _within(label: Label) -> Hashable:
    if scope(label).at == label.at:
        return None
    return (label.at.start, label.at.end) if isinstance(label.at, AtSpan) else label.at
