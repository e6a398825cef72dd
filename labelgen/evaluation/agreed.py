"""How far the people of a log agree, and how good each of them is: sums over dialogues, for each question."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from labelgen.agreement.agreement import Alpha, Kappas
from labelgen.agreement.skill import POOLED, Skills
from labelgen.agreement.vote import Consensus
from labelgen.data.dialogue import Dialogue
from labelgen.data.labels import Annotation, AtSpan, Label, scope
from labelgen.evaluation.ceiling import Ceiling
from labelgen.evaluation.question import Question, answered, concerns
from labelgen.evaluation.trials import Setting

LEAST_FOR_KAPPA = 30
"""Answers that a pair must share; names that hold for one dialogue only, such as r1, make pairs of nobody."""

Row = dict[str, Any]


class Agreed:
    """Counts what people said, dialogue by dialogue. Memory grows with the people and with distinct answers, not with the log."""

    def __init__(self, questions: Sequence[Question], setting: Setting) -> None:
        self.questions = questions
        self.dialogues: Counter[str] = Counter()
        self._ceiling = Ceiling(questions, setting)
        self._of = {question.name: _OfQuestion() for question in questions}

    def add(self, agreed: Dialogue, people: Sequence[Annotation], decided: Consensus) -> None:
        """agreed: the dialogue with what most people say as its consensus. decided: the consensus that is given."""
        self.dialogues.update(a.annotator for a in people)
        for question in self.questions:
            of = self._of[question.name]
            of.ties += sum(concerns(field, question) for field in decided.ties)
            fields: dict[Any, dict[str, tuple[Label, ...]]] = {}
            for annotation in people:
                for at, labels in answered(annotation, question).items():
                    fields.setdefault(at, {})[annotation.annotator] = labels
            for said in fields.values():
                of.add(said)
        self._ceiling.add(agreed)

    def agreement(self) -> Iterator[Row]:
        """A row a question that anybody answered; None for what is not defined."""
        for question in self.questions:
            of = self._of[question.name]
            if of.answers:
                most, one = self._ceiling.of(question.name) or (None, None)
                yield {
                    "question": question.name,
                    "judged_twice": of.twice,
                    "ties": of.ties,
                    "alpha": _number(of.alpha.value()),
                    "alpha_ordinal": _number(of.ordinal.value()),
                    "kappa": _number(of.kappa()),
                    "ceiling": most,
                    "person": one,
                }

    def people(self, skills: Skills | None) -> Iterator[Row]:
        """A row for each annotator of several dialogues and each question that they answered; those who are known within one
        dialogue only come together as the annotator `POOLED`. right: of the judged answers, the share that the consensus of
        the others gives too. skill: how often the annotator says what holds, by the fit."""
        several = sorted(who for who, count in self.dialogues.items() if count > 1)
        once = [who for who, count in self.dialogues.items() if count == 1]
        for question in self.questions:
            given = self._of[question.name].answers
            for name, members in [*((who, [who]) for who in several), (POOLED, once)]:
                answers = sum(given[who] for who in members)
                if not answers:
                    continue
                judged, right = map(
                    sum, zip(*(self._ceiling.person(question.name, who) for who in members), strict=True)
                )
                skill = None
                if (
                    skills
                    and len(question.tasks) == 1
                    and (found := skills.of.get((question.tasks[0], question.scope)))
                ):
                    skill = found.right(name) if name in found.rows else None
                yield {
                    "question": question.name,
                    "annotator": name,
                    "annotators": len(members),
                    "answers": answers,
                    "judged": judged,
                    "right": right / judged if judged else None,
                    "skill": skill,
                }


class _OfQuestion:
    def __init__(self) -> None:
        self.twice = self.ties = 0
        self.alpha, self.ordinal, self.kappas = Alpha(), Alpha("ordinal"), Kappas()
        self.answers: Counter[str] = Counter()

    def add(self, said: Mapping[str, tuple[Label, ...]]) -> None:
        self.twice += len(said) >= 2
        self.answers.update(said.keys())
        names = {who: _answer(labels) for who, labels in said.items()}
        self.alpha.add(names)
        self.kappas.add(names)
        self.ordinal.add(
            {
                who: labels[0].value
                for who, labels in said.items()
                if labels and isinstance(labels[0].value, (int, float))
            }
        )

    def kappa(self) -> float:
        """The mean over pairs, by the answers that they share."""
        enough = [pair for pair in self.kappas.of.values() if pair.things >= LEAST_FOR_KAPPA]
        known = [(pair.kappa(), pair.things) for pair in enough if not math.isnan(pair.kappa())]
        weight = sum(things for _, things in known)
        return sum(kappa * things for kappa, things in known) / weight if weight else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _answer(labels: Sequence[Label]) -> Hashable:
    """An answer apart from the field it stands in, so that the same answer to two fields is one category: names; of
    spans and goals the place within the field too."""
    return frozenset((_within(label), label.name) for label in labels)


def _within(label: Label) -> Hashable:
    if scope(label).at == label.at:
        return None
    return (label.at.start, label.at.end) if isinstance(label.at, AtSpan) else label.at
